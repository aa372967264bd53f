"""Offline data in memory: a flat run of rows cut into episodes, sampled in windows on the device.

    row        0    1    2    3    4    5    6
    states    s0   s1   s2   s3 | s0'  s1'  s2'
    actions   a0   a1   a2   a3 | a0'  a1'  a2'
    ends       0    0    0    1 |  0    0    1

``actions[t]`` leads from ``states[t]`` to ``states[t+1]``; the step out of the last row of an episode is not known.
"""

import logging
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from invlearn_jax.types import Key, Window

LOG = logging.getLogger("invlearn_jax.data")


class Dataset(NamedTuple):
    """Rows of one or more episodes, on the host.

    Attributes:
        states: ``[N, S]`` float32.
        actions: ``[N, A]`` float32.
        ends: ``[N]`` bool, true in the last row of an episode.
        rewards: ``[N]`` float32 as the file gives them (D4RL tests the row's own observation), or None.
    """

    states: np.ndarray
    actions: np.ndarray
    ends: np.ndarray
    rewards: np.ndarray | None = None


def check_rows(array: object, key: str, source: str, ndim: int, rows: int | None = None) -> np.ndarray:
    """Checks one key of a data file: numbers, shape, rows, finiteness.

    Args:
        array: ``[N]`` or ``[N, D]`` numbers or bools.
        key: its name, for the message.
        source: the file's name, for the message.
        ndim: 1 or 2.
        rows: N, if it is known already from ``observations``.

    Returns:
        The array, contiguous, as bool where it was bool and else as float32.

    Raises:
        ValueError: names the file, the key and, for a value that is not finite, the row.
    """
    array = np.asarray(array)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{source}: {key!r} holds {array.dtype}; real numbers or bools are needed.")
    if array.ndim and not len(array):
        raise ValueError(f"{source}: {key!r} has no rows, so there are no episodes. Give at least one row.")
    if array.ndim != ndim or 0 in array.shape:
        shape = ("[N]", "[N, D] with D >= 1")[ndim - 1]
        raise ValueError(f"{source}: {key!r} has shape {array.shape}; {ndim} dimensions are needed, {shape}.")
    if rows is not None and len(array) != rows:
        raise ValueError(f"{source}: {key!r} has {len(array)} rows, 'observations' has {rows}; they must agree.")
    if array.dtype == bool:
        return np.ascontiguousarray(array)
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, np.float32)
    bad = ~np.isfinite(array)
    if bad.any():
        row = int(np.argwhere(bad)[0][0])
        raise ValueError(
            f"{source}: {key!r} holds NaN or infinity (or a number too large for float32), first in row {row}. "
            "Remove or repair that row."
        )
    return array


def check_dataset(dataset: Dataset, source: str) -> Dataset:
    """Checks shapes and finiteness; the last row always ends an episode.

    Args:
        dataset: what was read, or is to be written.
        source: the file's name, for the message.

    Returns:
        The dataset, as float32 and bool.

    Raises:
        ValueError: names the key and the row at fault.
    """
    states = check_rows(dataset.states, "observations", source, 2)
    rows = len(states)
    actions = check_rows(dataset.actions, "actions", source, 2, rows)
    ends = check_rows(dataset.ends, "ends", source, 1, rows).astype(bool)
    ends[-1] = True
    rewards = None if dataset.rewards is None else check_rows(dataset.rewards, "rewards", source, 1, rows)
    return Dataset(states, actions, ends, rewards)


def concatenate(*datasets: Dataset) -> Dataset:
    """Joins datasets of equal state and action size; rewards are kept where all have them."""
    if not datasets:
        raise ValueError("No datasets were given to join; give at least one.")
    sizes = {(d.states.shape[1], d.actions.shape[1]) for d in datasets}
    if len(sizes) > 1:
        raise ValueError(f"The datasets' (state, action) sizes differ: {sorted(sizes)}. Join only data of one system.")
    rewards = [d.rewards for d in datasets if d.rewards is not None]
    return Dataset(
        np.concatenate([d.states for d in datasets]),
        np.concatenate([d.actions for d in datasets]),
        np.concatenate([d.ends for d in datasets]),
        np.concatenate(rewards) if len(rewards) == len(datasets) else None,
    )


def kept_rows(dataset: Dataset, keep: np.ndarray) -> Dataset:
    """The rows marked by ``keep`` ``[N]``; episodes are cut where rows are left out."""
    ends = dataset.ends | np.append(~keep[1:], True)
    return _picked(dataset._replace(ends=ends), keep)


def _picked(dataset: Dataset, rows: np.ndarray | slice) -> Dataset:
    rewards = None if dataset.rewards is None else dataset.rewards[rows]
    return Dataset(dataset.states[rows], dataset.actions[rows], dataset.ends[rows], rewards)


def last_rows(dataset: Dataset) -> np.ndarray:
    """``[N]`` the last row of each row's episode."""
    stops = np.flatnonzero(dataset.ends)
    return stops[np.searchsorted(stops, np.arange(len(dataset.states)))]


def longest_episode(dataset: Dataset) -> int:
    """How many rows the longest episode has."""
    return int(np.diff(np.flatnonzero(dataset.ends), prepend=-1).max())


def split(dataset: Dataset, held_out: float = 0.05) -> tuple[Dataset, Dataset]:
    """Splits off the last episodes (at least one, at most all but one) as held-out data; a lone episode is cut in two.

    Args:
        dataset: at least two rows.
        held_out: the share of rows to hold out.

    Returns:
        The training part and the held-out part.

    Raises:
        ValueError: if there are fewer than two rows.
    """
    rows = len(dataset.states)
    if rows < 2:
        raise ValueError(f"The data have {rows} row; two or more are needed to hold one out.")
    stops, wanted = np.flatnonzero(dataset.ends) + 1, (1 - held_out) * rows
    if len(stops) < 2:
        cut = min(max(round(wanted), 1), rows - 1)
        dataset = dataset._replace(ends=dataset.ends | (np.arange(rows) == cut - 1))
    else:
        cut = int(stops[:-1][np.argmin(np.abs(stops[:-1] - wanted))])
    return _picked(dataset, slice(0, cut)), _picked(dataset, slice(cut, None))


class WindowStore(NamedTuple):
    """A dataset on the device with the rows at which a window of T steps may start."""

    states: Float[Array, "N S"]
    actions: Float[Array, "N A"]
    starts: Int[Array, " M"]


def window_store(dataset: Dataset, horizon: int) -> WindowStore:
    """Puts a dataset on the device, ready for ``sample_windows``.

    Args:
        dataset: the rows.
        horizon: T, the steps of a window; it holds T + 1 states of one episode.

    Returns:
        The store. Rows of shorter episodes are in no window; if these are more than 1 % of all it is logged.

    Raises:
        ValueError: if no episode has T + 1 rows.
    """
    rows, stops = np.arange(len(dataset.states)), np.flatnonzero(dataset.ends)
    remaining = last_rows(dataset) - rows
    starts = rows[remaining >= horizon]
    if not len(starts):
        raise ValueError(
            f"horizon is {horizon} steps, but the longest episode has {int(remaining.max())}; "
            "give a horizon of at most that."
        )
    lengths = np.diff(stops, prepend=-1)
    lost = int(lengths[lengths <= horizon].sum())
    if lost > 0.01 * len(rows):
        LOG.warning(
            "%d of %d rows (%.0f %%) are in the %d of %d episodes with fewer than %d rows, and in no window of %d steps.",
            *(lost, len(rows), 100 * lost / len(rows), (lengths <= horizon).sum(), len(stops), horizon + 1, horizon),
        )
    return WindowStore(jnp.asarray(dataset.states), jnp.asarray(dataset.actions), jnp.asarray(starts, jnp.int32))


def sample_windows(store: WindowStore, key: Key, batch: int, horizon: int) -> Window:
    """Draws windows uniformly over their possible starts, inside jit. The key is consumed.

    Returns:
        A window with a leading batch axis: states ``[B, T+1, S]``, actions ``[B, T, A]``.
    """
    start = store.starts[jax.random.randint(key, (batch,), 0, store.starts.shape[0])]
    rows = start[:, None] + jnp.arange(horizon + 1)
    return Window(store.states[rows], store.actions[rows[:, :-1]])


class Normalizer(NamedTuple):
    """Per-dimension mean and standard deviation; fit on the training split only."""

    mean: Float[Array, " S"]
    std: Float[Array, " S"]

    def __call__(self, x: Float[Array, "*b S"]) -> Float[Array, "*b S"]:
        """``(x - mean) / std``."""
        return (x - self.mean) / self.std


def fit_normalizer(dataset: Dataset) -> Normalizer:
    """The states' mean and standard deviation; a constant dimension gets a deviation of 1."""
    std = dataset.states.std(0, dtype=np.float64)
    mean = dataset.states.mean(0, dtype=np.float64)
    return Normalizer(jnp.asarray(mean, jnp.float32), jnp.asarray(np.where(std < 1e-6, 1.0, std), jnp.float32))
