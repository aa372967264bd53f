"""What a lower level achieves: where it is ``hold`` steps after it was somewhere, with a sub-goal held meanwhile.

x' = x_{t + hold}    for    x = x_t,  u = (g - x_t) / reach,    while a_t = act(s_t, g)

In hindsight (``hindsight_rows``) the sub-goal is where whoever made the data came to: g = x_{t + hold} = x'.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from invlearn_jax.data.dataset import Dataset, last_rows

# ``(states [N, S], goals [N, G]) -> states [N, S]`` one control step later, under the lower level.
Follow = Callable[[np.ndarray, np.ndarray], np.ndarray]


def evenly(places: np.ndarray, bin_size: float, least: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Rows ``[count]`` whose places ``[N, G]`` are spread evenly over the bins that ``least`` rows or more were in."""
    cells, counts = _bins(places, bin_size)
    order = np.argsort(cells, kind="stable")
    first = np.cumsum(counts) - counts
    seen = np.flatnonzero(counts >= min(least, counts.max()))
    chosen = seen[rng.integers(len(seen), size=count)]
    return order[first[chosen] + rng.integers(counts[chosen])]


def often_visited(places: np.ndarray, bin_size: float, least: int) -> np.ndarray:
    """Which of the places ``[N, G]`` lie in bins that ``least`` rows or more were in; ``[N]`` bool.

    Raises:
        ValueError: if none does.
    """
    cells, counts = _bins(places, bin_size)
    if counts.max() < least:
        raise ValueError(
            f"No bin of places ({bin_size:.3g} wide) holds {least} rows, the fullest {counts.max()}. Give less, or larger bins."
        )
    return counts[cells] >= least


def _bins(places: np.ndarray, bin_size: float) -> tuple[np.ndarray, np.ndarray]:
    """Each place's bin ``[N]``, and how many rows the bins ``[B]`` hold."""
    cells = np.floor(places / bin_size).astype(int)
    cells, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)[1:]
    return cells.ravel(), counts


def level_rows(
    place: Callable[[Array], Array],
    usable: Callable[[Array], Array],
    follow: Follow,
    starts: np.ndarray,
    rng: np.random.Generator,
    rounds: int,
    hold: int,
    reach: float,
    stride: int = 2,
) -> Dataset:
    """Follows a lower level towards random sub-goals, as rows for a model of places.

    Each sub-goal is drawn with ``u ~ U(-1, 1)^G`` and kept for twice ``hold`` steps, so that a robot that is just turning and
    one that is under way are both seen.

    Args:
        place: of a state.
        usable: whether a state is one to learn from.
        follow: one step of the lower level, for many robots at a time.
        starts: ``[N, S]`` states to begin from, where the data were.
        rng: draws the sub-goals.
        rounds: sub-goals per robot, one after the other.
        hold: steps between x and x'.
        reach: how far a sub-goal lies from the place along each axis at most, in its units.
        stride: steps between one x and the next.

    Returns:
        Episodes of two rows: x with u, then x'. Robots that came to a state that is not usable, and sub-goals that got beyond
        reach, are left out.
    """
    places_of, fine = (jax.jit(jax.vmap(function)) for function in (place, usable))

    def seen(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        given = jnp.asarray(states, jnp.float32)
        return np.asarray(places_of(given), np.float64), np.asarray(fine(given))

    states, begin, action, after = np.asarray(starts, np.float64), [], [], []
    here, alive = seen(states)
    for _ in range(rounds):
        goals = here + reach * rng.uniform(-1.0, 1.0, here.shape)
        places, lasting = [here], [alive]
        for _ in range(2 * hold):
            states = follow(states, goals)
            here, sound = seen(states)
            alive = alive & sound
            places.append(here)
            lasting.append(alive)
        for time in range(0, hold + 1, stride):
            subgoal = (goals - places[time]) / reach
            keep = lasting[time + hold] & (np.abs(subgoal) <= 1).all(-1)
            begin.append(places[time][keep])
            action.append(subgoal[keep])
            after.append(places[time + hold][keep])
    return _joined(*(np.concatenate(part) for part in (begin, action, after)))


def hindsight_rows(places: Dataset, chosen: np.ndarray, hold: int, reach: float) -> Dataset:
    """What the data did, as if the place ``hold`` rows later had been the sub-goal; no lower level is used.

    A sub-goal in hindsight is always reached: x' = x + reach u. What is told by the rows is which ones there were, and ``reach``
    has to be what whoever made the data covered in ``hold`` steps. Sub-goals twice as far, of which one may be around a corner,
    sent ants into the corner.

    Args:
        places: the data's places ``[N, G]`` as states, with the ends of its episodes.
        chosen: ``[M]`` the rows to begin from.
        hold: rows between x and x'.
        reach: how far a sub-goal lies from the place along each axis at most, in its units.

    Returns:
        Episodes of two rows: x with u, then x'. Sub-goals after an episode's end or beyond reach are left out.

    Raises:
        ValueError: if none is left.
    """
    chosen = chosen[chosen + hold <= last_rows(places)[chosen]]
    begin, after = places.states[chosen], places.states[chosen + hold]
    subgoal = (after - begin) / reach
    keep = (np.abs(subgoal) <= 1).all(-1)
    if not keep.any():
        raise ValueError(
            f"No place of the data lies within reach ({reach:.3g} along each axis) {hold} rows after another one of its "
            "episode. Give a larger reach, a shorter hold, or longer episodes."
        )
    return _joined(begin[keep], subgoal[keep], after[keep])


def _joined(begin: np.ndarray, subgoals: np.ndarray, after: np.ndarray) -> Dataset:
    """Episodes of two rows ``[N, G]``: x with u, then x'."""
    first, action, last = (np.asarray(part, np.float32) for part in (begin, subgoals, after))
    rows = np.stack([first, last], axis=1).reshape(-1, first.shape[1]), np.repeat(action, 2, axis=0)
    return Dataset(*rows, np.arange(2 * len(first)) % 2 == 1)
