"""The results on one antmaze: every trained planner of it, and the policy that made its data, from the same starts.

    python -m benchmarks.antmaze --planners=runs/large-play-0/planner,runs/large-play-1/planner \
        --policy=POLICY.npz --episodes=500 --seed=20261122 --output=benchmarks/results/antmaze_large_play.json

The evaluation seed is to be one that no choice was made on. C MuJoCo, D4RL's protocol (v2). The data policy walks with the
map's waypoints and the data's noise of 0.2.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from experiments.pipelines.antmaze_evaluation import evaluate_ant, summary
from invlearn_jax.evaluate.closed_loop import Episodes, start_states
from invlearn_jax.io.planners import load_config, load_planner
from invlearn_jax.tasks.antmaze.stack import AntStackConfig

from invlearn_jax.evaluate import wilson
from invlearn_jax.evaluate.latency import measure
from invlearn_jax.files import replace_files, write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed, streams
from invlearn_jax.tasks.antmaze import specs as antmaze_specs
from invlearn_jax.tasks.antmaze.drawing import ant_gif
from invlearn_jax.tasks.antmaze.generator import navigated
from invlearn_jax.tasks.antmaze.goal_policy import read_goal_policy
from invlearn_jax.tasks.d4rl import steps_to_goal
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.types import Problem

_PLANNERS = flags.DEFINE_list("planners", None, "Planners (names or folders), one per training seed.", required=True)
_POLICY = flags.DEFINE_string("policy", "", "The goal-reaching policy that made the data; empty leaves it out.")
_EPISODES = flags.DEFINE_integer("episodes", 500, "Episodes per row.", lower_bound=2)
_POLICY_EPISODES = flags.DEFINE_integer("policy_episodes", 200, "Episodes of that policy.", lower_bound=2)
_STEPS = flags.DEFINE_multi_integer("refine_steps", [0], "Numbers K of refinement steps, of each level.")
_SEED = define_seed(20261122, "Seed of starts and goals; the same for all planners.")
_VIDEO = flags.DEFINE_string("video", "", "Where to show a few episodes, lost ones first, as GIF.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the results as JSON.", required=True)

_NOISE = 0.2  # on the data policy's actions, as in the data
_BATCH = 1024
_SHOWN, _LOST = 6, 2  # episodes of a video, and how many lost ones among them at most


def main(argv: list[str]) -> None:
    """Evaluates all planners, and the data policy."""
    use_compile_cache()
    rows, kinds = [], {name: load_config(name)[0] for name in _PLANNERS.value}
    for name, config in kinds.items():
        if not isinstance(config, AntStackConfig) or config.env != next(iter(kinds.values())).env:
            raise ValueError(
                f"{name} is for {config.env} as {type(config).__name__}; give two-level planners of one antmaze."
            )
    for steps in _STEPS.value:
        for name in _PLANNERS.value:
            planner, params = load_planner(name, refine_steps=steps)
            env = kinds[name].env
            record, episodes = evaluate_ant(planner, params, env, _EPISODES.value, _SEED.value)
            if _VIDEO.value and not rows:
                replace_files({Path(_VIDEO.value): _video(env, episodes)})
            rows.append({"planner": name, **record, "plans_per_second": _throughput(planner, params, env)})
            print(summary(record), flush=True)
    result = {"env": rows[0]["env"], "table": [_row(rows, steps) for steps in _STEPS.value], "rows": rows}
    if _POLICY.value:
        result["data_policy"] = _data_policy(rows[0]["env"])
        print("data policy:", result["data_policy"], flush=True)
    write_json(_OUTPUT.value, {**result, **manifest(_SEED.value)})


def _row(rows: list[dict], steps: int) -> dict:
    """All training seeds together; the interval is that of all their episodes."""
    chosen = [row for row in rows if row["refine_steps"] == steps]
    episodes = sum(row["episodes"] for row in chosen)
    rate = wilson(round(sum(row["success_rate"] * row["episodes"] for row in chosen)), episodes)
    return {
        "refine_steps": steps,
        "training_seeds": len(chosen),
        "episodes": episodes,
        "success_rate": rate.mean,
        "success_ci95": [rate.low, rate.high],
        "success_by_seed": [row["success_rate"] for row in chosen],
        "steps_to_goal_median": _median([row["steps_to_goal_median"] for row in chosen]),
        "flips_per_1000_steps": float(np.mean([row["flips_per_1000_steps"] for row in chosen])),
        **{key: float(np.median([row[key] for row in chosen])) for key in ("plan_ms_p50", "motor_ms_p50")},
        "plans_per_second": float(np.median([row["plans_per_second"] for row in chosen])),
    }


def _median(values: list[float | None]) -> float | None:
    """Of those that there are."""
    there = [value for value in values if value is not None]
    return float(np.median(there)) if there else None


def _video(env: str, episodes: Episodes) -> bytes:
    steps = steps_to_goal(episodes.states, episodes.goals)
    chosen = np.argsort(-np.nan_to_num(steps, nan=np.inf))[:_LOST]
    chosen = np.concatenate([chosen[np.isnan(steps[chosen])], np.flatnonzero(np.isfinite(steps))])[:_SHOWN]
    last = int(np.nanmax(steps[chosen])) + 5 if np.isfinite(steps[chosen]).any() else episodes.states.shape[1]
    layout = antmaze_specs.spec(env).layout
    return ant_gif(layout, episodes.states[chosen, :last], episodes.goals[chosen])


def _throughput(planner: object, params: object, env_name: str) -> float:
    """Whole plans per second at a batch of 1024."""
    env = make_task(env_name).environment
    start_key, plan_key = streams(jax.random.key(0), "throughput starts", "throughput planning")
    starts, goals = start_states(env, start_key, _BATCH, multi_goal=True)
    problems = Problem(jnp.asarray(starts, jnp.float32), jnp.asarray(goals, jnp.float32))
    plans = jax.vmap(lambda p, k, q: planner.plan(p, k, q).actions, in_axes=(None, None, 0))
    return 1e3 * _BATCH / measure(plans, params, plan_key, problems, calls=50).p50


def _data_policy(env_name: str) -> dict:
    env = make_task(env_name).environment
    start_key, walk_key = jax.random.split(from_seed(_SEED.value))
    starts, goals = start_states(env, start_key, _POLICY_EPISODES.value, multi_goal=False)
    policy = read_goal_policy(_POLICY.value)
    states, _ = navigated(env.spec, policy, walk_key, starts, goals, env.episode_length, _NOISE)
    steps = steps_to_goal(states, goals)
    rate = wilson(int(np.isfinite(steps).sum()), len(goals))
    return {
        "noise": _NOISE,
        "episodes": len(goals),
        "success_rate": rate.mean,
        "success_ci95": [rate.low, rate.high],
        "steps_to_goal_median": _median(steps[np.isfinite(steps)].tolist()),
    }


if __name__ == "__main__":
    run_program(main)
