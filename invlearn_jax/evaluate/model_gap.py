"""Model hacking on any task: plans that are good because the model is wrong.

A plan is made for a drawn problem and executed open loop on the true system; the task's cost is read off both trajectories:

    gap = J(realised states, actions) - J(predicted states, actions)
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from invlearn_jax.evaluate.metrics import mean_ci
from invlearn_jax.inputs import float_type
from invlearn_jax.keys import streams
from invlearn_jax.rollout import total
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key, Params, Planner, Problem

_HACKED = 0.1  # of the mean realised cost, by which a hacked plan's cost is above what was predicted


class GapReport(NamedTuple):
    """N plans against what came of them.

    Attributes:
        problems: ``[N, ...]`` starts and goals.
        predicted_cost: ``[N]`` the task's cost of the predicted states.
        realised_cost: ``[N]`` of the realised ones.
        predicted: ``[N, T+1, S]`` states.
        realised: ``[N, T+1, S]`` states.
        actions: ``[N, T, A]`` of the plans.
    """

    problems: Problem
    predicted_cost: np.ndarray
    realised_cost: np.ndarray
    predicted: np.ndarray
    realised: np.ndarray
    actions: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """``[N]`` realised less predicted cost."""
        return self.realised_cost - self.predicted_cost


def model_gap(
    planner: Planner,
    params: Params,
    task: Task,
    key: Key,
    problems: int = 200,
    plan: Callable | None = None,
    batch: int | None = None,
) -> GapReport:
    """Plans once for problems of the task's own protocol and executes the whole plans open loop on its simulator.

    Args:
        planner: what plans; its plans hold the task's states.
        params: its parameters.
        task: whose physics decide.
        key: consumed.
        problems: N.
        plan: ``(params, keys, problems) -> plans``, where it was compiled already for ``batch`` problems.
        batch: so many problems are planned for at once, if they divide N; all by default.

    Returns:
        The report.

    Raises:
        ValueError: for fewer than two problems.
    """
    if problems < 2:
        raise ValueError(f"problems is {problems}; give at least 2.")
    problem_key, plan_key = streams(key, "problems", "plans")
    drawn = jax.jit(jax.vmap(task.draw_problem))(jax.random.split(problem_key, problems))
    return executed_plans(planner, params, task, plan_key, drawn, plan, batch)


def executed_plans(
    planner: Planner,
    params: Params,
    task: Task,
    key: Key,
    drawn: Problem,
    plan: Callable | None = None,
    batch: int | None = None,
) -> GapReport:
    """Plans for the given problems ``[N, ...]``, and executes the whole plans. The key is consumed. See ``model_gap``."""
    count = len(drawn.state)
    size = batch if batch and count % batch == 0 else count
    plan = plan or jax.jit(jax.vmap(planner.plan, in_axes=(None, 0, 0)))
    drawn = jax.tree.map(np.asarray, drawn)
    parts = [
        plan(params, keys, jax.tree.map(lambda x, i=i: x[i * size : (i + 1) * size], drawn))
        for i, keys in enumerate(jax.random.split(key, (count // size, size)))
    ]
    out = jax.tree.map(lambda *x: np.concatenate(x), *parts)
    actions = np.asarray(out.actions)
    simulator, realised = task.simulator(), [np.asarray(drawn.state, np.float64)]
    for step in range(actions.shape[1]):
        realised.append(simulator.step(realised[-1], actions[:, step]))
    simulator.close()

    def cost(states: jax.Array, actions: jax.Array, goal: jax.Array) -> jax.Array:
        return total(task.trajectory_cost(states, actions, goal))

    states = np.stack(realised, axis=1)
    predicted_cost, realised_cost = (
        jax.jit(jax.vmap(cost))(jnp.asarray(s, float_type()), actions, drawn.goal) for s in (out.states, states)
    )
    report = GapReport(drawn, predicted_cost, realised_cost, out.states, states.astype(np.float32), actions)
    return jax.tree.map(np.asarray, report)


def gap_summary(report: GapReport) -> dict[str, Any]:
    """The report in a few numbers, fit for JSON.

    They are the gap's mean with its 95 % interval, its 99th percentile, the share of plans whose gap is more than a tenth of the
    mean realised cost, and both mean costs.
    """
    gap, worth = mean_ci(report.gap), np.abs(report.realised_cost).mean()
    return {
        "gap_plans": len(report.gap),
        "gap_mean": gap.mean,
        "gap_ci95": [gap.low, gap.high],
        "gap_p99": float(np.percentile(report.gap, 99)),
        "hacked_share": float((report.gap > _HACKED * worth).mean()),
        "predicted_cost_mean": float(report.predicted_cost.mean()),
        "realised_cost_mean": float(report.realised_cost.mean()),
    }
