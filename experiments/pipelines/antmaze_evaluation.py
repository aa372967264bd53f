"""Closed-loop evaluation on antmaze under D4RL's protocol, as one record."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.pipelines.evaluation import BACKENDS, check_request
from invlearn_jax.evaluate import wilson
from invlearn_jax.evaluate.closed_loop import Episodes, start_states
from invlearn_jax.evaluate.latency import measure
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed
from invlearn_jax.planners.subgoals import SubgoalParams, SubgoalPlanner
from invlearn_jax.progress import announce
from invlearn_jax.tasks.antmaze.rows import uprightness
from invlearn_jax.tasks.d4rl import returns_of, steps_to_goal
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.types import Problem, Result


def evaluate_ant(
    planner: SubgoalPlanner,
    params: SubgoalParams,
    env_name: str,
    episodes: int,
    seed: int,
    backend: str = "mujoco",
    multi_goal: bool = False,
) -> tuple[dict, Episodes]:
    """Runs the episodes and sums them up. See ``evaluation.evaluate_planner``."""
    check_request(backend, episodes)
    env = make_task(env_name).environment
    start_key, run_key, time_key, motor_key = jax.random.split(from_seed(seed), 4)
    starts, goals = start_states(env, start_key, episodes, multi_goal)
    rows = BACKENDS[backend](planner, params, env, run_key, starts, goals)
    steps = steps_to_goal(rows.states, goals)
    reached = returns_of(env.spec, rows.states, goals) > 0
    rate = wilson(int(reached.sum()), episodes)
    # What happens after the goal is of no account.
    last = np.where(reached, np.nan_to_num(steps), rows.states.shape[1] - 1)
    before = np.arange(rows.states.shape[1]) <= last[:, None]
    down = (uprightness(rows.states) < 0) & before
    falls = down[:, 1:] & ~down[:, :-1]
    planned = np.arange(rows.results.shape[1]) * planner.execute_steps <= last[:, None]
    problem = Problem(jnp.asarray(starts[0], jnp.float32), jnp.asarray(goals[0], jnp.float32))
    with announce("latency"):
        latency = measure(lambda p, k, q: planner.plan(p, k, q).actions, params, time_key, problem)
        motor = measure(lambda p, k, q: planner.motor.plan(p.motor, k, q).actions, params, motor_key, problem)
    quartiles = [float(x) for x in np.nanpercentile(steps, (25, 50, 75))] if reached.any() else None
    return {
        "env": env_name,
        "backend": backend,
        "episodes": episodes,
        "seed": seed,
        "multi_goal": multi_goal,
        "horizon": planner.horizon,
        "execute_steps": planner.execute_steps,
        "refine_steps": planner.refine_steps,
        "success_rate": rate.mean,
        "success_ci95": [rate.low, rate.high],
        "score_mean": 100 * rate.mean,
        "steps_to_goal_median": quartiles[1] if quartiles else None,
        "steps_to_goal_quartiles": quartiles,
        "flips_per_1000_steps": 1000 * float(falls.sum() / before.sum()),
        "lost_flipped": int((down.any(1) & ~reached).sum()),
        "lost_upright": int((~down.any(1) & ~reached).sum()),
        "rises": int((~down[:, 1:] & down[:, :-1] & before[:, 1:]).sum()),
        "lost": [
            {"at": np.round(state[-1, :2], 2).tolist(), "goal": np.round(goal, 2).tolist()}
            for state, goal in zip(rows.states[~reached].astype(float), np.asarray(goals, float)[~reached], strict=True)
        ],
        "results": {result.name.lower(): int((rows.results == result)[planned].sum()) for result in Result},
        "plan_ms_p50": latency.p50,
        "plan_ms_p95": latency.p95,
        "plan_ms_p99": latency.p99,
        "motor_ms_p50": motor.p50,
        **manifest(seed),
    }, rows


def summary(record: dict) -> str:
    """One line of an evaluation."""
    low, high = (100 * x for x in record["success_ci95"])
    return (
        f"{record['env']} K={record['refine_steps']}: success {100 * record['success_rate']:.1f} % "
        f"({low:.1f} to {high:.1f}), {record['steps_to_goal_median']} steps to the goal (median), "
        f"{record['flips_per_1000_steps']:.2f} flips per 1000 steps, plan {record['plan_ms_p50']:.2f} ms"
    )
