"""Goal-conditioned behaviour cloning with hindsight goals: what the data did next, given where they came to later.

    minimise  E_{t, j} |pi(s_t, achieved(s_{t+j})) - a[t : t+T]|^2,    j uniform on 1 .. the rows left of t's episode

Every row of an episode is thus a lesson in how to reach those after it.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from invlearn_jax.data.dataset import Dataset, last_rows, window_store
from invlearn_jax.learn.loop import Metrics, TrainState, Update, apply_gradients
from invlearn_jax.types import Key, Params, Problem

Achieved = Callable[[Array], Array]


class HindsightStore(NamedTuple):
    """A dataset on the device with the rows to clone and where their episodes end.

    Attributes:
        states: ``[N, S]``.
        actions: ``[N, A]``.
        starts: ``[M]`` rows with T known actions and a row of their episode after them.
        last: ``[M]`` the last row of the start's episode.
    """

    states: Float[Array, "N S"]
    actions: Float[Array, "N A"]
    starts: Int[Array, " M"]
    last: Int[Array, " M"]


def hindsight_store(dataset: Dataset, horizon: int) -> HindsightStore:
    """Puts a dataset on the device, ready for ``sample_hindsight``.

    Args:
        dataset: the rows.
        horizon: T, actions to clone at a time.

    Returns:
        The store.

    Raises:
        ValueError: if no episode has T + 1 rows.
    """
    windows = window_store(dataset, horizon)
    last = last_rows(dataset)[np.asarray(windows.starts)]
    return HindsightStore(windows.states, windows.actions, windows.starts, jnp.asarray(last, jnp.int32))


def sample_hindsight(
    store: HindsightStore, key: Key, batch: int, horizon: int, achieved: Achieved, within: int | None = None
) -> tuple[Problem, Float[Array, "B T A"]]:
    """Draws problems, their goals from later rows of the same episode, and what the data did. The key is consumed.

    ``achieved`` gives a state's place in goal space. ``within`` bounds how many rows later: where ways are not straight, only a
    near row tells where the data were heading.
    """
    row_key, goal_key = jax.random.split(key)
    chosen = jax.random.randint(row_key, (batch,), 0, store.starts.shape[0])
    start, last = store.starts[chosen], store.last[chosen]
    last = last if within is None else jnp.minimum(last, start + within)
    later = jax.random.randint(goal_key, (batch,), start + 1, last + 1)
    actions = store.actions[start[:, None] + jnp.arange(horizon)]
    return Problem(store.states[start], jax.vmap(achieved)(store.states[later])), actions


def cloning_state(optimizer: optax.GradientTransformation, params: Params, key: Key) -> TrainState:
    """The state to train from: an Inverter's ``params``, whose ``net`` is trained. The key is kept."""
    return TrainState(jnp.zeros((), jnp.int32), key, params, optimizer.init(params.net), ())


def cloning_loss(
    logits: Callable[[Params, Problem], Float[Array, "T A"]],
    store: HindsightStore,
    batch: int,
    horizon: int,
    achieved: Achieved,
    within: int | None = None,
    encode: Callable[[Array], Array] = lambda actions: actions,
) -> Callable[[Params, Key], Array]:
    """The module's objective over rows drawn from a store.

    Args:
        logits: ``(params, problem) -> [L, C]``; latents are their tanh.
        store: made for the horizon.
        batch: rows per draw.
        horizon: T.
        achieved: a state's place in goal space.
        within: how many rows later a goal may lie; see ``sample_hindsight``.
        encode: ``actions [T, A] -> latents [L, C]``; by default they are the same.

    Returns:
        ``(params, key) -> loss``; the key is consumed.
    """

    def loss(params: Params, key: Key) -> Array:
        problems, actions = sample_hindsight(store, key, batch, horizon, achieved, within)
        found = jax.vmap(logits, in_axes=(None, 0))(params, problems)
        return ((jnp.tanh(found) - jax.vmap(encode)(actions)) ** 2).mean()

    return loss


def cloning_update(loss: Callable[[Params, Key], Array], optimizer: optax.GradientTransformation) -> Update:
    """One gradient step on ``cloning_loss`` for ``params.net``, for ``train``."""

    def update(state: TrainState) -> tuple[TrainState, Metrics]:
        key, draw_key = jax.random.split(state.key)
        value, gradient = jax.value_and_grad(lambda net: loss(state.params._replace(net=net), draw_key))(
            state.params.net
        )
        following = apply_gradients(state, optimizer, gradient, state.params.net, key, state.extra)
        return following._replace(params=state.params._replace(net=following.params)), {"cloning_loss": value}

    return update
