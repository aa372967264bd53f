"""Where the gap to the time bound comes from: one part at a time is replaced by its oracle.

    python -m benchmarks.gap_attribution --planner=maze2d-large-v1 --episodes=64 --output=benchmarks/results/gap_large.json

Rows, each on the same starts: one pass; refined; refined long; the true simulator as the model being refined through; the
map's own shortest times as the cost-to-go; and both oracles.
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags

from invlearn_jax.evaluate import mean_ci
from invlearn_jax.evaluate.closed_loop import run_mujoco, start_states
from invlearn_jax.files import write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.io.planners import load_config, load_planner
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed, stream
from invlearn_jax.models import SimulatorModel
from invlearn_jax.objectives import mean_time_to_goal, smoothness, time_outside, time_to_goal, weighted_sum
from invlearn_jax.planners import InversePlanner
from invlearn_jax.refine import gradient
from invlearn_jax.tasks.d4rl import GOAL_RADIUS, normalized_score, returns_of, success
from invlearn_jax.tasks.maze2d.environment import Maze2d
from invlearn_jax.tasks.maze2d.oracle import bound_return, free_space, time_bound, times_to
from invlearn_jax.tasks.maze2d.planner import DT, MazePlannerConfig
from invlearn_jax.tasks.registry import make_task

_PLANNER = flags.DEFINE_string("planner", None, "A shipped name or a folder.", required=True)
_EPISODES = flags.DEFINE_integer("episodes", 64, "Episodes per row.", lower_bound=2)
_SEED = define_seed(5000, "Seed of the starts.")
_LONG = flags.DEFINE_integer("long", 100, "Refinement steps of the long row.")
_STEPS = flags.DEFINE_integer("oracle_steps", 10, "Refinement steps of the oracle rows and of the row beside them.")
_EXECUTE = flags.DEFINE_integer("execute_steps", 16, "Steps between plans, for all rows.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the rows as JSON.", required=True)

_PITCH = 0.05  # m


def map_cost_to_go(env: Maze2d, look_ahead: float) -> Callable:
    """``D(s, g)`` for the maze's own goal from the map: shortest times on a grid, interpolated, the look-ahead kept.

    Places inside walls take the time of the nearest free one, so that the slope there leads nowhere wrong.
    """
    space = free_space(env.spec.layout, _PITCH)
    seconds = times_to(space, np.asarray(env.goal), GOAL_RADIUS)
    axes = [np.arange(0.0, n, _PITCH) for n in env.spec.layout.walls.shape]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    nearest = np.abs(grid.reshape(-1, 1, 2) - space.points[None]).max(-1).argmin(1)
    table = jnp.asarray(seconds[nearest].reshape(grid.shape[:2]), jnp.float32)

    def cost_to_go(params: tuple, state: jax.Array, goal: jax.Array) -> jax.Array:
        place = (state[:2] + look_ahead * state[2:]) / _PITCH
        return jax.scipy.ndimage.map_coordinates(table, list(place), order=1, mode="nearest")

    return cost_to_go


def main(argv: list[str]) -> None:
    """Runs all rows."""
    use_compile_cache()
    config, _ = load_config(_PLANNER.value)
    env = make_task(config.env).environment
    planner, params = load_planner(_PLANNER.value)
    starts, goals = start_states(env, from_seed(_SEED.value), _EPISODES.value, multi_goal=False)
    bound = normalized_score(env.spec, bound_return(time_bound(env.spec.layout, starts, goals), env.episode_length))
    simulator = SimulatorModel(Maze2d(env.spec, solver_iterations=1))
    map_objective = oracle_objective(config, map_cost_to_go(env, config.look_ahead))
    learned, objective = planner.model, planner.objective
    rows = []
    for name, model, goal_cost, steps in (
        ("one pass", learned, objective, 0),
        (f"refined, K = {_STEPS.value}", learned, objective, _STEPS.value),
        (f"refined, K = {_LONG.value}", learned, objective, _LONG.value),
        (f"oracle forward model, K = {_STEPS.value}", simulator, objective, _STEPS.value),
        (f"oracle cost-to-go, K = {_STEPS.value}", learned, map_objective, _STEPS.value),
        (f"both oracles, K = {_STEPS.value}", simulator, map_objective, _STEPS.value),
    ):
        varied = InversePlanner(
            planner.inverter,
            model,
            goal_cost,
            gradient(optax.adam(config.refine_rate)),
            steps,
            execute_steps=_EXECUTE.value,
        )
        given = params._replace(
            model=params.model if model is learned else (), objective=params.objective if goal_cost is objective else ()
        )
        begin = time.time()
        episodes = run_mujoco(varied, given, env, stream(jax.random.key(0), "planning"), starts, goals)
        scores = normalized_score(env.spec, returns_of(env.spec, episodes.states, goals))
        score, lead = mean_ci(scores), mean_ci(scores - (rows[0]["scores"] if rows else scores))
        rows.append(
            {
                "row": name,
                "score_mean": score.mean,
                "score_sem": score.sem,
                "lead_mean": lead.mean,
                "lead_sem": lead.sem,
                "success_rate": float(success(episodes.states, goals).mean()),
                "seconds": time.time() - begin,
                "scores": scores,
            }
        )
        print(f"{name:36s} {score.mean:6.1f} +- {score.sem:.1f}   {lead.mean:+.2f} +- {lead.sem:.2f}", flush=True)
    for row in rows:
        row.pop("scores")
    record = {
        "env": config.env,
        "planner": _PLANNER.value,
        "episodes": _EPISODES.value,
        "execute_steps": _EXECUTE.value,
    }
    write_json(_OUTPUT.value, {**record, "bound_score": float(bound.mean()), "rows": rows, **manifest(_SEED.value)})


def oracle_objective(config: MazePlannerConfig, cost_to_go: Callable) -> Callable:
    """The planner's objective with another cost-to-go."""
    return weighted_sum(
        time_to_goal=(config.final_weight, time_to_goal(cost_to_go)),
        mean_time_to_goal=(config.along_weight, mean_time_to_goal(cost_to_go, config.model_chunk)),
        time_outside=(config.outside_weight, time_outside(config.goal_radius, config.goal_width, DT)),
        smoothness=(config.smooth_weight, smoothness),
    )


if __name__ == "__main__":
    run_program(main)
