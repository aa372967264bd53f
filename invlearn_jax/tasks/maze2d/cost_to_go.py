"""How good a learned cost-to-go is, against the map's own times."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array

from invlearn_jax.keys import generator
from invlearn_jax.tasks.layouts import Layout
from invlearn_jax.tasks.maze2d.generator import random_free_positions
from invlearn_jax.tasks.maze2d.oracle import FreeSpace, free_space, times_to
from invlearn_jax.types import Key, Params

_PITCH = 0.1  # m, of the points that are judged
_CLEARANCE = 0.3  # m around the goal, in which a minimum is a true one


def false_minima(space: FreeSpace, values: np.ndarray, goal: np.ndarray, clearance: float = _CLEARANCE) -> np.ndarray:
    """Where a descent on ``values`` would stop short of the goal.

    A false minimum is a point whose value is strictly below those of all its free neighbours, of eight, and which is
    farther than ``clearance`` from the goal (straight line).

    Args:
        space: the grid; its neighbours are never separated by a wall.
        values: ``[M]`` on its points, lower being nearer to the goal.
        goal: ``[2]`` metres.
        clearance: metres.

    Returns:
        ``[F]`` indices of the points.
    """
    around = np.append(np.asarray(values, float), np.inf)[space.neighbours]
    lowest = (values < around.min(1)) & np.isfinite(around).any(1)
    return np.flatnonzero(lowest & (np.linalg.norm(space.points - goal, axis=-1) > clearance))


def cost_to_go_quality(
    cost_to_go: Callable[[Params, Array, Array], Array], params: Params, layout: Layout, key: Key, goals: int = 20
) -> dict[str, int | float]:
    """Compares ``D(s, g)`` at rest with the shortest times at the speed limit, on a grid of 0.1 m.

    Args:
        cost_to_go: ``(params, state [4], goal [2]) -> seconds``.
        params: its parameters.
        layout: the maze.
        key: consumed (the goals, uniform over the free positions).
        goals: G.

    Returns:
        ``spearman`` (rank correlation over the points, mean over the goals) and ``spearman_worst`` (the worst goal's),
        ``mean_abs_error`` in seconds, ``false_minima`` (how many in all) and ``goals_with_false_minima`` (share),
        ``goals``, ``points`` (of the grid).

    Raises:
        ValueError: for fewer than one goal.
    """
    if goals < 1:
        raise ValueError(f"goals is {goals}; give at least 1.")
    rng = generator(key)
    fine, space = free_space(layout), free_space(layout, _PITCH)
    node = fine.tree.query(space.points)[1]
    states = jnp.asarray(np.pad(space.points, ((0, 0), (0, 2))), jnp.float32)
    learned_of = jax.jit(jax.vmap(cost_to_go, in_axes=(None, 0, None)))
    correlations, errors, minima = [], [], []
    for goal in random_free_positions(layout, rng, goals):
        learned = np.asarray(learned_of(params, states, jnp.asarray(goal, jnp.float32)))
        true = times_to(fine, goal, radius=0.0)[node]
        correlations.append(scipy.stats.spearmanr(learned, true).statistic)
        errors.append(np.abs(learned - true).mean())
        minima.append(len(false_minima(space, learned, goal)))
    return {
        "spearman": float(np.mean(correlations)),
        "spearman_worst": float(np.min(correlations)),
        "mean_abs_error": float(np.mean(errors)),
        "false_minima": int(np.sum(minima)),
        "goals_with_false_minima": float(np.mean(np.array(minima) > 0)),
        "goals": goals,
        "points": len(space.points),
    }
