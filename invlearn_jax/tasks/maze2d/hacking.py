"""Model hacking: plans that are good because the model is wrong.

A plan is made from a random state to a random goal and executed open loop on the simulator; the same objective is read
off both trajectories:

    gap = J(realised states, actions) - J(predicted states, actions).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from invlearn_jax.evaluate.metrics import mean_ci, wilson
from invlearn_jax.keys import generator
from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.tasks.layouts import Layout
from invlearn_jax.tasks.maze2d import model as ball
from invlearn_jax.tasks.maze2d.environment import inside_maze
from invlearn_jax.tasks.maze2d.generator import random_free_positions
from invlearn_jax.tasks.maze2d.oracle import free_space, geodesic
from invlearn_jax.tasks.maze2d.task import Maze2dTask
from invlearn_jax.types import Key, Problem

_DEEP = 0.15  # m inside a wall, from which on an end counts as on the wrong side
_NEAR = 0.5  # m of way between two ends that never count as separated
_DETOUR, _DETOUR_OFFSET = 2.0, 0.2  # how much longer than the straight line a way must be to count, and m


class HackingReport(NamedTuple):
    """N plans against what came of them.

    Attributes:
        starts: ``[N, 4]``.
        goals: ``[N, 2]``.
        predicted_cost: ``[N]`` the plan's cost under its own model.
        realised_cost: ``[N]`` the same objective on the realised states.
        gap: ``[N]`` realised less predicted.
        predicted_end: ``[N, 2]`` metres.
        realised_end: ``[N, 2]`` metres.
        wrong_side: ``[N]`` bool, whether a wall separates the two ends; see ``wrong_side``.
    """

    starts: np.ndarray
    goals: np.ndarray
    predicted_cost: np.ndarray
    realised_cost: np.ndarray
    gap: np.ndarray
    predicted_end: np.ndarray
    realised_end: np.ndarray
    wrong_side: np.ndarray


def wrong_side(layout: Layout, predicted: np.ndarray, realised: np.ndarray, pitch: float = 0.05) -> np.ndarray:
    """Whether a wall separates predicted ends from realised ones.

    With the straight line d between the two (m) and the shortest way w around the walls (m, Chebyshev),

        w > max(0.5, 2 d + 0.2).

    Ends inside a wall count as at the nearest free position. A predicted end more than 0.15 m inside a wall (or not
    finite) counts as on the wrong side wherever the realised one is.

    Args:
        layout: the maze.
        predicted: ``[N, 2]`` metres.
        realised: ``[N, 2]`` metres.
        pitch: of the grid the way is measured on, metres.

    Returns:
        ``[N]`` bool.
    """
    predicted, realised = np.asarray(predicted, float), np.asarray(realised, float)
    space = free_space(layout, pitch)
    finite = np.isfinite(predicted).all(-1)
    safe = np.where(finite[:, None], predicted, realised)
    depth, node = space.tree.query(safe)
    blocked = ~inside_maze(layout, safe, slack=0.0)
    begin = np.where(blocked[:, None], space.points[node], safe)
    way = geodesic(space, begin, realised)
    straight = np.linalg.norm(safe - realised, axis=-1)
    separated = way > np.maximum(_NEAR, _DETOUR * straight + _DETOUR_OFFSET)
    return separated | (blocked & (depth > _DEEP)) | ~finite


def _random_problems(layout: Layout, key: Key, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = generator(key)
    position, goals = random_free_positions(layout, rng, count), random_free_positions(layout, rng, count)
    speed = rng.uniform(-ball.MAX_SPEED, ball.MAX_SPEED, size=(count, 2)) * rng.uniform(size=(count, 1))
    return np.concatenate([position, speed], axis=1).astype(np.float32), goals.astype(np.float32)


def _execute(task: Maze2dTask, starts: np.ndarray, actions: np.ndarray) -> np.ndarray:
    simulator, states = task.simulator(), [np.asarray(starts, np.float64)]
    for step in range(actions.shape[1]):
        states.append(simulator.step(states[-1], actions[:, step]))
    simulator.close()
    return np.stack(states, axis=1)


def hacking_gap(
    planner: InversePlanner, params: PlannerParams, task: Maze2dTask, key: Key, problems: int, *, batch: int = 500
) -> HackingReport:
    """Plans once for random problems and executes the whole plans open loop on C MuJoCo.

    Starts and goals are uniform over the free positions; velocities are uniform up to a random share of 5 m/s.

    Args:
        planner: what plans.
        params: its parameters.
        task: whose physics decide.
        key: consumed.
        problems: N.
        batch: problems planned side by side.

    Returns:
        The report.

    Raises:
        ValueError: for fewer than one problem.
    """
    if problems < 1:
        raise ValueError(f"problems is {problems}; give at least 1.")
    problem_key, plan_key = jax.random.split(key)
    batch = min(batch, problems)
    # Whole batches, so that one program serves them all; the surplus is dropped at the end.
    count = -(-problems // batch) * batch
    starts, goals = _random_problems(task.spec.layout, problem_key, count)
    plan = jax.jit(jax.vmap(planner.plan, in_axes=(None, 0, 0)))
    cost_of = jax.jit(jax.vmap(lambda s, a, g: sum(planner.objective(params.objective, s, a, g).values())))
    keys, parts = jax.random.split(plan_key, count), []
    for begin in range(0, count, batch):
        rows = slice(begin, begin + batch)
        out = plan(params, keys[rows], Problem(jnp.asarray(starts[rows]), jnp.asarray(goals[rows])))
        actions = np.asarray(out.actions)
        realised = _execute(task, starts[rows], actions)
        cost = cost_of(jnp.asarray(realised, jnp.float32), out.actions, jnp.asarray(goals[rows]))
        parts.append([np.asarray(x) for x in (out.cost, cost, out.states[:, -1, :2], realised[:, -1, :2])])
    predicted_cost, realised_cost, predicted_end, realised_end = (
        np.concatenate(part)[:problems] for part in zip(*parts, strict=True)
    )
    separated = wrong_side(task.spec.layout, predicted_end, realised_end)
    gap = realised_cost - predicted_cost
    return HackingReport(
        starts[:problems], goals[:problems], predicted_cost, realised_cost, gap, predicted_end, realised_end, separated
    )


def hacking_summary(report: HackingReport, worst: int = 10) -> dict[str, Any]:
    """The report in a few numbers, fit for JSON.

    Args:
        report: from ``hacking_gap``.
        worst: how many of the largest gaps to list.

    Returns:
        ``problems``, ``gap_mean, gap_low, gap_high`` (95 %), ``gap_p99``, ``wrong_side_rate, wrong_side_low,
        wrong_side_high`` (Wilson, 95 %), and ``worst``: rows of ``start, goal, predicted_end, realised_end, gap,
        wrong_side``, largest gap first.
    """
    gap = mean_ci(report.gap)
    rate = wilson(int(report.wrong_side.sum()), len(report.gap))
    places = [
        {
            "start": report.starts[i].tolist(),
            "goal": report.goals[i].tolist(),
            "predicted_end": report.predicted_end[i].tolist(),
            "realised_end": report.realised_end[i].tolist(),
            "gap": float(report.gap[i]),
            "wrong_side": bool(report.wrong_side[i]),
        }
        for i in np.argsort(-report.gap)[:worst]
    ]
    return {
        "problems": len(report.gap),
        "gap_mean": gap.mean,
        "gap_low": gap.low,
        "gap_high": gap.high,
        "gap_p99": float(np.percentile(report.gap, 99)),
        "wrong_side_rate": rate.mean,
        "wrong_side_low": rate.low,
        "wrong_side_high": rate.high,
        "worst": places,
    }
