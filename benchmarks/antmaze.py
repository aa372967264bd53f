"""The results on one antmaze: every trained planner of it, and the policy that made its data, from the same starts.

    python -m benchmarks.antmaze --planners=runs/large-play-0/planner,runs/large-play-1/planner \
        --policy=POLICY.npz --episodes=500 --seed=20261122 --output=benchmarks/results/antmaze_large_play.json

The evaluation seed is to be one that no choice was made on. C MuJoCo, D4RL's protocol (v2). The data policy walks with the
map's waypoints and the data's noise of 0.2.
"""

from pathlib import Path

import jax
import numpy as np
from absl import flags

from invlearn_jax.evaluate.episodes import draw_problems, evaluate_episodes, summary
from invlearn_jax.evaluate.latency import measure
from invlearn_jax.evaluate.metrics import wilson
from invlearn_jax.files import replace_files, write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed, streams
from invlearn_jax.methods.saved import load_planner, load_task
from invlearn_jax.planners.hierarchy import Hierarchy, HierarchyParams
from invlearn_jax.tasks.antmaze.drawing import ant_gif
from invlearn_jax.tasks.antmaze.generator import navigated
from invlearn_jax.tasks.antmaze.goal_policy import read_goal_policy
from invlearn_jax.tasks.antmaze.maze import AntmazeTask
from invlearn_jax.tasks.d4rl import steps_to_goal
from invlearn_jax.tasks.task import Episodes

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
    rows, tasks = [], {name: load_task(name) for name in _PLANNERS.value}
    task = next(iter(tasks.values()))
    for name, own in tasks.items():
        if not isinstance(own, AntmazeTask) or own.name != task.name:
            raise ValueError(f"{name} is for {own.name}; give planners of one antmaze, those of {task.name}, say.")
    for steps in _STEPS.value:
        for name in _PLANNERS.value:
            planner, params = load_planner(name, refine_steps=steps)
            if not isinstance(planner, Hierarchy):
                raise ValueError(f"{name} is a {type(planner).__name__}; give planners of two levels.")
            record, episodes = evaluate_episodes(planner, params, task, _EPISODES.value, _SEED.value)
            if _VIDEO.value and not rows:
                replace_files({Path(_VIDEO.value): _video(task, episodes)})
            speed = {"motor_ms_p50": record["act_ms_p50"], "plans_per_second": _throughput(planner, params, task)}
            rows.append({"planner": name, **record, **speed})
            print(summary(record), flush=True)
    result = {"env": task.name, "table": [_row(rows, steps) for steps in _STEPS.value], "rows": rows}
    if _POLICY.value:
        result["data_policy"] = _data_policy(task)
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


def _video(task: AntmazeTask, episodes: Episodes) -> bytes:
    steps = steps_to_goal(episodes.states, episodes.goals)
    chosen = np.argsort(-np.nan_to_num(steps, nan=np.inf))[:_LOST]
    chosen = np.concatenate([chosen[np.isnan(steps[chosen])], np.flatnonzero(np.isfinite(steps))])[:_SHOWN]
    last = int(np.nanmax(steps[chosen])) + 5 if np.isfinite(steps[chosen]).any() else episodes.states.shape[1]
    return ant_gif(task.spec.layout, episodes.states[chosen, :last], episodes.goals[chosen])


def _throughput(planner: Hierarchy, params: HierarchyParams, task: AntmazeTask) -> float:
    """Whole plans per second at a batch of 1024."""
    start_key, plan_key = streams(jax.random.key(0), "starts", "planning")
    problems = jax.jit(jax.vmap(task.draw_problem))(jax.random.split(start_key, _BATCH))
    plans = jax.vmap(lambda p, k, q: planner.plan(p, k, q).actions, in_axes=(None, None, 0))
    return 1e3 * _BATCH / measure(plans, params, plan_key, problems, calls=50).p50


def _data_policy(task: AntmazeTask) -> dict:
    start_key, walk_key = jax.random.split(from_seed(_SEED.value))
    problems, policy = draw_problems(task, start_key, _POLICY_EPISODES.value), read_goal_policy(_POLICY.value)
    states, _ = navigated(task.spec, policy, walk_key, problems.state, problems.goal, task.episode_length, _NOISE)
    steps = steps_to_goal(states, problems.goal)
    rate = wilson(int(np.isfinite(steps).sum()), len(steps))
    return {
        "noise": _NOISE,
        "episodes": len(steps),
        "success_rate": rate.mean,
        "success_ci95": [rate.low, rate.high],
        "steps_to_goal_median": _median(steps[np.isfinite(steps)].tolist()),
    }


if __name__ == "__main__":
    run_program(main)
