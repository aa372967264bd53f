"""Whole plans out of offline data: every ``stride``-th row of a stretch, for models that generate them.

A plan is either a stretch as it is, or ends where its episode does and rests there: its last position is held with all other
channels zero, so that a plan of fixed length can be of any duration.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from invlearn_jax.data.dataset import Dataset, last_rows
from invlearn_jax.data.episodes import find_law
from invlearn_jax.types import Key


class PlanStore(NamedTuple):
    """A dataset on the device.

    Attributes:
        channels: ``[N, C]`` what a token holds of each row.
        starts: ``[M]`` rows at which a plan may start.
        last: ``[N]`` the last row of each row's episode.
    """

    channels: Float[Array, "N C"]
    starts: Int[Array, " M"]
    last: Int[Array, " N"]


def joined_episodes(dataset: Dataset, most: float, position_size: int) -> Dataset:
    """Undoes cuts at which the motion goes on: D4RL's maze2d marks each new goal as an end.

    Args:
        dataset: rows in the order they were recorded.
        most: how far a position entry can move in one step; a longer jump is an end.
        position_size: how many leading entries of the state are the position.

    Returns:
        The dataset with an end only where the position jumps, or moves otherwise than its velocity says.
    """
    before, after = dataset.states[:-1], dataset.states[1:]
    jumps = np.abs(after - before)[:, :position_size].max(-1) > most
    law = find_law(before, after)
    if law is not None:
        jumps |= law.breaks(before, after)
    return dataset._replace(ends=np.append(jumps, True))


def plan_store(dataset: Dataset, channels: Float[np.ndarray, "N C"], span: int, rests: bool) -> PlanStore:
    """Puts a dataset on the device, ready for ``sample_plans``.

    Args:
        dataset: the rows.
        channels: what a token holds of each row.
        span: steps from a plan's first row to its last.
        rests: whether a plan may outlast its episode and rest at its end.

    Returns:
        The store.

    Raises:
        ValueError: if plans may not rest and no episode has ``span + 1`` rows.
    """
    rows, last = np.arange(len(dataset.states)), last_rows(dataset)
    # An episode's last row alone is no plan.
    starts = rows[last - rows >= (1 if rests else span)]
    if not len(starts):
        raise ValueError(
            f"A plan spans {span} steps, but the longest episode has {int((last - rows).max())}; give a shorter horizon or "
            "stride."
        )
    return PlanStore(jnp.asarray(channels), jnp.asarray(starts, jnp.int32), jnp.asarray(last, jnp.int32))


def sample_plans(
    store: PlanStore, key: Key, batch: int, tokens: int, stride: int, moving: slice
) -> Float[Array, "B H C"]:
    """Draws plans uniformly over their possible starts, inside jit. The key is consumed.

    Args:
        store: from ``plan_store`` for a span of ``(tokens - 1) * stride``.
        key: consumed.
        batch: B.
        tokens: H.
        stride: rows between tokens.
        moving: the channels that are zero at rest.

    Returns:
        The plans.
    """
    start = store.starts[jax.random.randint(key, (batch,), 0, store.starts.shape[0])]
    wanted, last = start[:, None] + stride * jnp.arange(tokens), store.last[start][:, None]
    plans = store.channels[jnp.minimum(wanted, last)]
    at_rest = plans.at[..., moving].set(0.0)
    return jnp.where((wanted <= last)[..., None], plans, at_rest)
