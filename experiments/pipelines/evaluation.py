"""Closed-loop evaluation of a planner under D4RL's protocol, as one record."""

import jax
import jax.numpy as jnp
import numpy as np

from invlearn_jax.evaluate import jerk, mean_ci, prediction_error, wilson
from invlearn_jax.evaluate.closed_loop import Episodes, run_mjx, run_mujoco, start_states
from invlearn_jax.evaluate.latency import measure
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed
from invlearn_jax.names import unknown_name
from invlearn_jax.planners import InversePlanner, PlannerParams
from invlearn_jax.progress import announce
from invlearn_jax.tasks.d4rl import normalized_score, returns_of, steps_to_goal, success
from invlearn_jax.tasks.maze2d.controller import controller_returns
from invlearn_jax.tasks.maze2d.hacking import hacking_gap, hacking_summary
from invlearn_jax.tasks.maze2d.oracle import bound_return, time_bound
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.types import Problem, Result

_HACKING_PROBLEMS = 500  # random problems whose plans are held against the simulator
BACKENDS = {"mujoco": run_mujoco, "mjx": run_mjx}


def check_request(backend: str, episodes: int) -> None:
    """Refuses an unknown engine, and too few episodes for an interval.

    Raises:
        ValueError: says what is allowed.
    """
    if backend not in BACKENDS:
        raise unknown_name("backend", backend, BACKENDS)
    if episodes < 2:
        raise ValueError(f"episodes is {episodes}; give at least 2, or there is no confidence interval.")


def evaluate_planner(
    planner: InversePlanner,
    params: PlannerParams,
    env_name: str,
    episodes: int,
    seed: int,
    backend: str = "mujoco",
    multi_goal: bool = False,
) -> tuple[dict, Episodes]:
    """Runs the episodes and sums them up.

    Args:
        planner: what plans; its ``execute_steps`` of each plan are executed.
        params: its parameters.
        env_name: a registered maze2d environment.
        episodes: N.
        seed: of starts, goals and planning.
        backend: ``mujoco`` (D4RL's engine, float64) or ``mjx``.
        multi_goal: a random goal per episode instead of the maze's own.

    Returns:
        The record, fit for JSON, and the episodes.

    Raises:
        ValueError: for an unknown environment or backend, an environment that is no maze2d, or fewer than 2 episodes.
    """
    check_request(backend, episodes)
    env = make_task(env_name).environment
    start_key, run_key, controller_key, hacking_key, time_key = jax.random.split(from_seed(seed), 5)
    starts, goals = start_states(env, start_key, episodes, multi_goal)
    rows = BACKENDS[backend](planner, params, env, run_key, starts, goals)
    length, spec = env.episode_length, env.spec
    returns = returns_of(spec, rows.states, goals)
    reached = success(rows.states, goals)
    bounds = bound_return(time_bound(spec.layout, starts, goals), length, spec.reward)
    with announce("episodes of the data's controller"):
        controller = controller_returns(env, starts, goals, controller_key)
    steps = steps_to_goal(rows.states, goals)
    score, bound_score = mean_ci(normalized_score(spec, returns)), mean_ci(normalized_score(spec, bounds))
    problem = Problem(jnp.asarray(starts[0], jnp.float32), jnp.asarray(goals[0], jnp.float32))
    with announce("latency"):
        latency = measure(lambda p, k, q: planner.plan(p, k, q).actions, params, time_key, problem)
    rate = wilson(int(reached.sum()), episodes)
    error = mean_ci(prediction_error(rows.plan_states, rows.states, planner.execute_steps))
    gap = {}
    if isinstance(planner, InversePlanner):
        with announce("model hacking"):
            report = hacking_summary(hacking_gap(planner, params, env, hacking_key, _HACKING_PROBLEMS), worst=0)
        gap = {"hacking_gap_mean": report["gap_mean"], "wrong_side_rate": report["wrong_side_rate"]}
    return {
        "env": env_name,
        "backend": backend,
        "episodes": episodes,
        "seed": seed,
        "multi_goal": multi_goal,
        "horizon": planner.horizon,
        "execute_steps": planner.execute_steps,
        "refine_steps": planner.refine_steps,
        "candidates": planner.candidates,
        "score_mean": score.mean,
        "score_sem": score.sem,
        "score_ci95": [score.low, score.high],
        "success_rate": rate.mean,
        "success_ci95": [rate.low, rate.high],
        "return_mean": float(returns.mean()),
        "bound_score": bound_score.mean,
        "ratio_to_bound": float(returns.sum() / bounds.sum()),
        "score_ratio_to_bound": score.mean / bound_score.mean,
        "controller_score": float(normalized_score(spec, controller).mean()),
        "ratio_to_controller": float(returns.sum() / controller.sum()),
        "steps_to_goal_mean": float(np.nanmean(steps)) if reached.any() else None,
        "prediction_error_m": error.mean,
        **gap,
        "action_jerk": float(jerk(rows.actions, env.dt).mean()),
        "results": {result.name.lower(): int((rows.results == result).sum()) for result in Result},
        "plan_ms_p50": latency.p50,
        "plan_ms_p95": latency.p95,
        "plan_ms_p99": latency.p99,
        **manifest(seed),
    }, rows


def summary(record: dict) -> str:
    """One line of an evaluation."""
    task = "random goals" if record["multi_goal"] else "the maze's goal"
    return (
        f"{record['env']} K={record['refine_steps']} {task}: score {record['score_mean']:.1f} +- {record['score_sem']:.1f} "
        f"(bound {record['bound_score']:.1f}), success {100 * record['success_rate']:.1f} %, "
        f"plan {record['plan_ms_p50']:.2f} ms"
    )


def result_shares(results: dict[str, int]) -> str:
    """The shares of the plans' result codes, by number, where not all are ``OK``: ``"; plans: 90.0 % ok, ..."``."""
    total, counted = sum(results.values()), {name: count for name, count in results.items() if count}
    if set(counted) <= {Result.OK.name.lower()}:
        return ""
    shares = sorted(counted.items(), key=lambda item: -item[1])
    return "; plans: " + ", ".join(f"{100 * count / total:.3g} % {name}" for name, count in shares)
