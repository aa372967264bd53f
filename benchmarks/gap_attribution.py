"""Where the gap to the time bound comes from: one part at a time is replaced by its oracle.

    python -m benchmarks.gap_attribution --planner=maze2d-large-v1 --episodes=64 --output=benchmarks/results/gap_large.json

Rows, each on the same starts: one pass; refined; refined long; the true simulator as the model being refined through; the
map's own shortest times as the cost-to-go; and both oracles.
"""

import dataclasses
import time

import jax.numpy as jnp
from absl import flags

from invlearn_jax.evaluate.episodes import draw_problems, run_mujoco
from invlearn_jax.evaluate.metrics import mean_ci
from invlearn_jax.files import write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed, streams
from invlearn_jax.methods.saved import load_planner, load_task
from invlearn_jax.models import SimulatorModel
from invlearn_jax.objectives import ObjectiveParams, TaskObjective
from invlearn_jax.planners import InversePlanner
from invlearn_jax.tasks.d4rl import normalized_score, returns_of, success
from invlearn_jax.tasks.maze2d.oracle import MapCost, bound_return, time_bound
from invlearn_jax.tasks.maze2d.task import Maze2dTask

_PLANNER = flags.DEFINE_string("planner", None, "A shipped name or a folder.", required=True)
_EPISODES = flags.DEFINE_integer("episodes", 64, "Episodes per row.", lower_bound=2)
_SEED = define_seed(5000, "Seed of the starts.")
_LONG = flags.DEFINE_integer("long", 100, "Refinement steps of the long row.")
_STEPS = flags.DEFINE_integer("oracle_steps", 10, "Refinement steps of the oracle rows and of the row beside them.")
_EXECUTE = flags.DEFINE_integer("execute_steps", 16, "Steps between plans, for all rows.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the rows as JSON.", required=True)


def oracle_objective(task: Maze2dTask, objective: TaskObjective) -> TaskObjective:
    """The planner's objective with the map's times in place of what it learned from data."""
    weights = dataclasses.replace(objective.weights, unvisited=0.0)
    return TaskObjective(task, weights, MapCost(task, objective.tail.look_ahead), stride=objective.stride)


def main(argv: list[str]) -> None:
    """Runs all rows."""
    use_compile_cache()
    task = load_task(_PLANNER.value)
    planner, params = load_planner(_PLANNER.value, task=task)
    if not isinstance(task, Maze2dTask) or not isinstance(getattr(planner, "objective", None), TaskObjective):
        raise ValueError(f"{_PLANNER.value} is no planner of the method inverter for a maze2d; give one.")
    spec, (problem_key, plan_key) = task.spec, streams(from_seed(_SEED.value), "problems", "planning")
    problems = draw_problems(task, problem_key, _EPISODES.value)
    shortest = time_bound(spec.layout, problems.state, problems.goal)
    bound = normalized_score(spec, bound_return(shortest, task.episode_length, spec.reward))
    learned, simulator = planner.model, SimulatorModel(task.differentiable())
    objective, by_map = planner.objective, oracle_objective(task, planner.objective)
    rows: list[dict] = []
    for name, model, goal_cost, steps in (
        ("one pass", learned, objective, 0),
        (f"refined, K = {_STEPS.value}", learned, objective, _STEPS.value),
        (f"refined, K = {_LONG.value}", learned, objective, _LONG.value),
        (f"oracle forward model, K = {_STEPS.value}", simulator, objective, _STEPS.value),
        (f"oracle cost-to-go, K = {_STEPS.value}", learned, by_map, _STEPS.value),
        (f"both oracles, K = {_STEPS.value}", simulator, by_map, _STEPS.value),
    ):
        varied = InversePlanner(planner.inverter, model, goal_cost, planner.refiner, steps, 1, _EXECUTE.value)
        given = params._replace(
            model=params.model if model is learned else (),
            objective=params.objective if goal_cost is objective else ObjectiveParams((), (), jnp.ones(())),
        )
        begin = time.time()
        episodes = run_mujoco(varied, given, task, plan_key, problems)
        scores = normalized_score(spec, returns_of(spec, episodes.states, episodes.goals))
        score, lead = mean_ci(scores), mean_ci(scores - (rows[0]["scores"] if rows else scores))
        rows.append(
            {
                "row": name,
                "score_mean": score.mean,
                "score_sem": score.sem,
                "lead_mean": lead.mean,
                "lead_sem": lead.sem,
                "success_rate": float(success(episodes.states, episodes.goals).mean()),
                "seconds": time.time() - begin,
                "scores": scores,
            }
        )
        print(f"{name:36s} {score.mean:6.1f} +- {score.sem:.1f}   {lead.mean:+.2f} +- {lead.sem:.2f}", flush=True)
    for row in rows:
        row.pop("scores")
    record = {
        "env": task.name,
        "planner": _PLANNER.value,
        "episodes": _EPISODES.value,
        "execute_steps": _EXECUTE.value,
    }
    write_json(_OUTPUT.value, {**record, "bound_score": float(bound.mean()), "rows": rows, **manifest(_SEED.value)})


if __name__ == "__main__":
    run_program(main)
