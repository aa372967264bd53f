"""What a motor level achieves: where it is ``hold`` steps after it was somewhere, with a sub-goal held meanwhile.

x' = x_{t + hold}    for    x = x_t,  u = (g - x_t) / reach,    while a_t = act(s_t, g)
"""

import numpy as np

from invlearn_jax.data.dataset import Dataset
from invlearn_jax.tasks.antmaze.rows import Act, uprightness


def evenly(positions: np.ndarray, bin_size: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Rows ``[count]`` whose positions ``[N, P]`` are spread evenly over the bins (m) that the data were in."""
    cells = np.unique(np.floor(positions / bin_size).astype(int), axis=0, return_inverse=True)[1].ravel()
    order = np.argsort(cells, kind="stable")
    first = np.searchsorted(cells[order], np.arange(cells.max() + 2))
    chosen = rng.integers(cells.max() + 1, size=count)
    return order[rng.integers(first[chosen], first[chosen + 1])]


def level_rows(
    act: Act,
    step: Act,
    starts: np.ndarray,
    seed: int,
    rounds: int,
    hold: int,
    reach: float,
    stride: int = 2,
) -> Dataset:
    """Executes a motor level towards random sub-goals, as rows for a model of positions.

    Each sub-goal is drawn with ``u ~ U(-1, 1)^2`` and kept for twice ``hold`` steps, so that an ant that is just turning and one
    that is under way are both seen.

    Args:
        act: the motor level, for many ants at a time.
        step: ``(states, actions) -> states``, the maze's simulator.
        starts: ``[N, S]`` states to begin from, where the data were.
        seed: of the sub-goals.
        rounds: sub-goals per ant, one after the other.
        hold: steps between x and x'.
        reach: metres, how far a sub-goal lies from the position along each axis at most.
        stride: steps between one x and the next.

    Returns:
        Episodes of two rows: x with u, then x'. Ants that flip, and sub-goals that got beyond reach, are left out.
    """
    rng = np.random.default_rng(seed)
    states, begin, action, after = np.asarray(starts, np.float64), [], [], []
    alive = uprightness(states) > 0
    for _ in range(rounds):
        goals = states[:, :2] + reach * rng.uniform(-1.0, 1.0, (len(states), 2))
        positions, upright = [states[:, :2]], [alive]
        for _ in range(2 * hold):
            states = step(states, act(states, goals))
            alive = alive & (uprightness(states) > 0)
            positions.append(states[:, :2])
            upright.append(alive)
        for time in range(0, hold + 1, stride):
            subgoal = (goals - positions[time]) / reach
            keep = upright[time + hold] & (np.abs(subgoal) <= 1).all(-1)
            begin.append(positions[time][keep])
            action.append(subgoal[keep])
            after.append(positions[time + hold][keep])
    begin, action, after = (np.concatenate(part).astype(np.float32) for part in (begin, action, after))
    rows = np.stack([begin, after], axis=1).reshape(-1, 2), np.repeat(action, 2, axis=0)
    return Dataset(*rows, np.arange(2 * len(begin)) % 2 == 1)
