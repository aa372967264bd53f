"""Closed-loop evaluation of any planner on any task: plan, execute ``execute_steps`` of the plan, plan again."""

import functools
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.evaluate.latency import measure
from invlearn_jax.evaluate.metrics import mean_ci, wilson
from invlearn_jax.evaluate.model_gap import gap_summary, model_gap
from invlearn_jax.inputs import float_type
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed, streams
from invlearn_jax.names import unknown_name
from invlearn_jax.progress import announce, progress
from invlearn_jax.rollout import total
from invlearn_jax.tasks.task import Episodes, JudgesPlans, Task, has_end, has_success
from invlearn_jax.types import Follows, Key, Params, Planner, PlanOutput, Problem, Result, WarmStarts

BACKENDS = ("mujoco", "mjx")


@runtime_checkable
class Refines(Protocol):
    """What a planner may be besides: one that refines the best of some proposals."""

    refine_steps: int
    candidates: int


def first_guess(planner: Planner, *batch: int) -> Array | None:
    """``[*batch, T, A]`` for a planner that starts from its last plan, else None."""
    if not isinstance(planner, WarmStarts):
        return None
    guess = planner.first_guess()
    return jnp.broadcast_to(guess, (*batch, *guess.shape))


def next_guess(planner: Planner, actions: Float[Array, "*b T A"]) -> Array | None:
    """What the next plan starts from; None for a planner that starts from nothing."""
    if not isinstance(planner, WarmStarts):
        return None
    # In the first guess's type, which a scan keeps.
    following = planner.next_guess if actions.ndim == 2 else jax.vmap(planner.next_guess)
    return following(actions).astype(float_type())


def draw_problems(task: Task, key: Key, episodes: int) -> Problem:
    """N problems of the task's own protocol, on the host. The key is consumed."""
    drawn = jax.jit(jax.vmap(task.draw_problem))(jax.random.split(key, episodes))
    return jax.tree.map(np.asarray, drawn)


def run_mujoco(
    planner: Planner,
    params: Params,
    task: Task,
    key: Key,
    problems: Problem,
    steps: int | None = None,
    plan: Callable | None = None,
) -> Episodes:
    """Runs all episodes side by side on the task's simulator; planning is one jitted, vmapped call per round.

    Args:
        planner: what plans.
        params: its parameters.
        task: whose simulator is stepped.
        key: consumed.
        problems: ``[N, ...]`` starts and goals.
        steps: episode length; the task's by default.
        plan: ``(params, keys, problems) -> plans`` for the whole batch, where it was compiled already.

    Returns:
        The episodes.
    """
    steps = steps or task.episode_length
    simulator, ended = task.simulator(), _ended(task)
    plan = plan or jax.jit(jax.vmap(planner.plan, in_axes=(None, 0, 0)))
    act = jax.jit(jax.vmap(planner.act, in_axes=(None, 0, None, 0))) if isinstance(planner, Follows) else None
    state, goals = np.asarray(problems.state, np.float64), jnp.asarray(problems.goal, float_type())
    states: list[np.ndarray] = [state.astype(np.float32)]
    actions: list[np.ndarray] = []
    plans: list[tuple[np.ndarray, np.ndarray]] = []
    guess = first_guess(planner, len(state))
    rounds = range(0, steps, planner.execute_steps)
    for begin, plan_key in zip(
        progress(rounds, "evaluation", unit="plan"), jax.random.split(key, len(rounds)), strict=True
    ):
        keys = jax.random.split(plan_key, len(state))
        out = plan(params, keys, Problem(jnp.asarray(state, float_type()), goals, guess))
        guess = next_guess(planner, out.actions)
        plans.append((np.asarray(out.states), np.asarray(out.result)))
        chosen = np.asarray(out.actions)
        for step in range(min(planner.execute_steps, steps - begin)):
            here = jnp.asarray(state, float_type())
            action = chosen[:, step] if act is None else np.asarray(act(params, out, step, here))
            going = ~ended(states[-1], problems.goal)
            # Physics is what an evaluation's time goes into.
            state = state.copy()
            if going.any():
                state[going] = simulator.step(state[going], action[going])
            states.append(state.astype(np.float32))
            actions.append(action)
    simulator.close()
    predicted, results = (np.stack(x, axis=1) for x in zip(*plans, strict=True))
    return Episodes(np.asarray(problems.goal), np.stack(states, 1), np.stack(actions, 1), predicted, results)


def run_mjx(
    planner: Planner,
    params: Params,
    task: Task,
    key: Key,
    problems: Problem,
    steps: int | None = None,
) -> Episodes:
    """The same on the task's ``step``: all episodes, plans and physics in one jitted program. See ``run_mujoco``."""
    steps = steps or task.episode_length
    rounds = -(-steps // planner.execute_steps)
    episode = _episode(planner, task, rounds, steps)
    starts, goals = (jnp.asarray(x, float_type()) for x in (problems.state, problems.goal))
    with announce("evaluation in one program, with compiling"):
        rows = jax.jit(jax.vmap(episode, in_axes=(None, 0, 0, 0)))(
            params, jax.random.split(key, len(starts)), starts, goals
        )
        states, actions, predicted, results = (np.asarray(x) for x in rows)
    states = np.concatenate([np.asarray(starts)[:, None], states], axis=1)[:, : steps + 1]
    return Episodes(np.asarray(goals), states, actions[:, :steps], predicted, results)


def _ended(task: Task) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """``[N]`` which episodes are over."""
    if not (task.ends_at_success or has_end(task)):
        return lambda states, goals: np.zeros(len(states), bool)
    over = jax.jit(jax.vmap(functools.partial(_is_over, task)))
    return lambda states, goals: np.asarray(over(states, goals))


def _is_over(task: Task, state: Array, goal: Array) -> Array:
    """Whether the task ends an episode in a state: there for good, or at success where it ends there."""
    return task.over(state) | (task.success(state, goal) if task.ends_at_success else False)


def _episode(planner: Planner, task: Task, rounds: int, steps: int) -> Callable:
    def episode(params: Params, key: Key, start: Array, goal: Array) -> tuple:
        def physics(out: PlanOutput, state: Array, step: Array) -> tuple[Array, tuple[Array, Array]]:
            action = planner.act(params, out, step, state) if isinstance(planner, Follows) else out.actions[step]
            state = jnp.where(_is_over(task, state, goal), state, task.step(state, action.astype(state.dtype)))
            return state, (state, action)

        def one_round(carry: tuple, key: Key) -> tuple[tuple, tuple[Array, Array, Array, Array]]:
            state, guess = carry
            out = planner.plan(params, key, Problem(state, goal, guess))
            executed = jnp.arange(min(planner.execute_steps, steps))
            state, (states, chosen) = jax.lax.scan(functools.partial(physics, out), state, executed)
            return (state, next_guess(planner, out.actions)), (states, chosen, out.states, out.result)

        begin = start, first_guess(planner)
        states, actions, predicted, results = jax.lax.scan(one_round, begin, jax.random.split(key, rounds))[1]
        return states.reshape(-1, states.shape[-1]), actions.reshape(-1, actions.shape[-1]), predicted, results

    return episode


def evaluate(
    planner: Planner, params: Params, task: Task, episodes: int = 100, seed: int = 0, backend: str = "mujoco"
) -> dict[str, Any]:
    """Closed-loop episodes under the task's protocol, as one record, fit for JSON.

    Args:
        planner: what plans.
        params: its parameters.
        task: what for.
        episodes: N.
        seed: of starts, goals and planning.
        backend: ``mujoco`` (the task's simulator on the host) or ``mjx`` (its ``step``, in one program).

    Returns:
        The record: costs (the task's own terms over the whole episode), success at any time and at the end, the task's figures,
        the gap between predicted and realised cost of whole plans (model hacking), plan latency, device.

    Raises:
        ValueError: for an unknown backend, fewer than 2 episodes, a bad seed, or fewer than 2 episodes of finite cost (others
            are left out of the mean, and counted as ``diverged``).
    """
    if not isinstance(task, JudgesPlans):
        return evaluate_episodes(planner, params, task, episodes, seed, backend)[0]
    judge_key, latency_key = streams(from_seed(seed), "plans", "latency")
    problem = jax.tree.map(np.asarray, task.draw_problem(latency_key))
    times = _times(planner, jax.jit(planner.plan), params, latency_key, problem)
    shared = {"task": task.name, "backend": None, "episodes": episodes, "seed": seed}
    shared |= {
        "refine_steps": planner.refine_steps if isinstance(planner, Refines) else 0,
        "return_mean": None,
        "score_mean": None,
        "score_sem": None,
    }
    return shared | task.judge(planner, params, judge_key, episodes) | times | manifest(seed)


def _times(planner: Planner, plan: Callable, params: Params, key: Key, problem: Problem) -> dict[str, float]:
    """Milliseconds of a plan and, of a planner that follows it with feedback, of a single action."""
    whole = measure(lambda p, k, q: plan(p, k, q).actions, params, key, problem)
    times = {"plan_ms_p50": whole.p50, "plan_ms_p95": whole.p95, "plan_ms_p99": whole.p99}
    if isinstance(planner, Follows):
        out = plan(params, key, problem)
        act = measure(lambda p, o, s: planner.act(p, o, 0, s), params, out, problem.state)
        times |= {"act_ms_p50": act.p50, "act_ms_p99": act.p99}
    return times


def evaluate_episodes(
    planner: Planner, params: Params, task: Task, episodes: int, seed: int, backend: str = "mujoco"
) -> tuple[dict[str, Any], Episodes]:
    """The record of ``evaluate``, and the episodes themselves."""
    if backend not in BACKENDS:
        raise unknown_name("backend", backend, BACKENDS)
    if episodes < 2:
        raise ValueError(f"episodes is {episodes}; give at least 2, or there is no confidence interval.")
    problem_key, run_key, latency_key, gap_key = streams(from_seed(seed), "problems", "episodes", "latency", "gap")
    problems = draw_problems(task, problem_key, episodes)
    # Traced once. One program plans in the episodes and, where it serves, for the gap.
    one = jax.jit(planner.plan)
    plan = jax.jit(jax.vmap(one, in_axes=(None, 0, 0)))
    if backend == "mujoco":
        rows = run_mujoco(planner, params, task, run_key, problems, plan=plan)
    else:
        rows = run_mjx(planner, params, task, run_key, problems)
    costs = episode_costs(task, rows)
    finite = np.isfinite(costs)
    if finite.sum() < 2:
        raise ValueError(
            f"The cost of {episodes - finite.sum()} of {episodes} episodes of {task.name} is NaN or infinite: the task's cost, "
            "or its physics, diverges. See that both are finite in every state that the system can come to."
        )
    cost = mean_ci(costs[finite])
    first = jax.tree.map(lambda x: jnp.asarray(x[0], float_type()), problems)
    times = _times(planner, one, params, latency_key, first)
    own = task.metrics(rows)
    record = {
        "task": task.name,
        "backend": backend,
        "episodes": episodes,
        "seed": seed,
        "horizon": planner.horizon,
        "execute_steps": planner.execute_steps,
        "refine_steps": planner.refine_steps if isinstance(planner, Refines) else 0,
        "candidates": planner.candidates if isinstance(planner, Refines) else 1,
        **_success(task, rows),
        **cost.fields("cost"),
        "diverged": int(episodes - finite.sum()),
        "return_mean": None,
        "score_mean": None,
        "score_sem": None,
        **own,
        **gap_summary(model_gap(planner, params, task, gap_key, plan=plan, batch=episodes)),
        "results": {result.name.lower(): int((rows.results == result).sum()) for result in Result},
        **times,
        **manifest(seed),
    }
    return record, rows


def _success(task: Task, rows: Episodes) -> dict[str, Any]:
    """The shares of episodes that reach their goal at any time, and at the end; None for a task of costs alone."""
    if not has_success(task):
        return {"success_rate": None, "success_ci95": None, "success_at_end_rate": None}
    reached = successes(task, rows)
    ever, last = (wilson(int(there.sum()), len(reached)) for there in (reached.any(1), reached[:, -1]))
    return {"success_rate": ever.mean, "success_ci95": [ever.low, ever.high], "success_at_end_rate": last.mean}


def episode_costs(task: Task, rows: Episodes) -> np.ndarray:
    """``[N]`` the task's cost of each whole episode, its named terms summed."""

    def cost(states: Array, actions: Array, goal: Array) -> Array:
        return total(task.trajectory_cost(states, actions, goal))

    return np.asarray(jax.jit(jax.vmap(cost))(rows.states, rows.actions, rows.goals))


def successes(task: Task, rows: Episodes) -> np.ndarray:
    """``[N, L+1]`` whether each state is a success."""
    return np.asarray(jax.jit(jax.vmap(jax.vmap(task.success, (0, None))))(rows.states, rows.goals))


def summary(record: dict[str, Any]) -> str:
    """One line of a record."""
    parts = [f"cost {record['cost_mean']:.4g} +- {record['cost_sem']:.2g}"]
    if record["score_mean"] is not None:
        parts.insert(0, f"score {record['score_mean']:.1f} +- {record['score_sem']:.1f}")
    if record["success_rate"] is not None:
        parts.append(f"success {100 * record['success_rate']:.1f} %")
    results = record["results"]
    other = {name: count for name, count in results.items() if count and name != "ok"}
    plans = sum(results.values())
    shares = ", ".join(f"{100 * count / plans:.1f} % {name}" for name, count in other.items())
    return f"{record['task']} K={record['refine_steps']}: {', '.join(parts)}, plan {record['plan_ms_p50']:.2f} ms" + (
        f" (plans: {shares})" if shares else ""
    )
