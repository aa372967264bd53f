"""Inverse dynamics on a run's data: error of the action away from walls and at them, and where it cannot be known.

    python -m benchmarks.inverse_dynamics --run=runs/umaze-0 --output=benchmarks/results/inverse_dynamics_umaze.json

Regression and a mixture, over gaps of one and more steps, on held-out pairs. Away from walls means that the ball is 0.1 m
clear of every wall at both ends of a pair; what is no such pair counts as at a wall. Actions are within [-1, 1]. The models are
told of the environment's clip of the speed.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from scipy import stats

from benchmarks.harness import run_data
from invlearn_jax.data import Dataset, concatenate, sample_windows, split, window_store
from invlearn_jax.files import write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed, stream
from invlearn_jax.learn.forward_model import Source
from invlearn_jax.learn.inverse_dynamics import inverse_dynamics_state, inverse_dynamics_update
from invlearn_jax.learn.loop import default_optimizer, train
from invlearn_jax.models import InverseDynamics
from invlearn_jax.tasks.maze2d.environment import inside_maze
from invlearn_jax.tasks.maze2d.model import MAX_SPEED
from invlearn_jax.tasks.maze2d.task import Maze2dTask

_RUN = flags.DEFINE_string("run", None, "A run's folder, for its data.", required=True)
_GAPS = flags.DEFINE_multi_integer("gaps", [1, 4, 8], "Steps between the two states.", lower_bound=1)
_COMPONENTS = flags.DEFINE_integer("components", 4, "Of the mixture.", lower_bound=2)
_STEPS = flags.DEFINE_integer("steps", 4000, "Updates of each model.", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch", 1024, "Pairs per update.", lower_bound=1)
_PAIRS = flags.DEFINE_integer("pairs", 20_000, "Held-out pairs to judge by.", lower_bound=10)
_SEED = define_seed(0, "Seed of the models.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the rows as JSON.", required=True)

_CLEAR = 0.1  # m from every wall
_SLOW = 0.99  # of the speed limit


def fit(
    task: Maze2dTask,
    parts: list[tuple[Dataset, Dataset]],
    gap: int,
    components: int,
    steps: int,
    batch: int,
    seed: int,
) -> tuple[InverseDynamics, object]:
    """Trains one model on the training parts, in equal shares."""
    rows = concatenate(*(part[0] for part in parts))
    model = InverseDynamics(task, gap, components)
    optimizer = default_optimizer(2e-3, steps)
    state = inverse_dynamics_state(model, optimizer, from_seed(seed), rows)
    sources = [Source(window_store(part[0], gap), 1.0) for part in parts]
    update = inverse_dynamics_update(model, optimizer, sources, batch)
    return model, train(update, state, steps, min(500, steps)).params


def judge(task: Maze2dTask, model: InverseDynamics, params: object, held: Dataset, pairs: int) -> dict:
    """Errors and ambiguity on held-out pairs, away from walls and at them."""
    states, actions = sample_windows(
        window_store(held, model.gap), stream(jax.random.key(0), "held-out pairs"), pairs, model.gap
    )
    first, last, action = states[:, 0], states[:, -1], np.asarray(actions[:, 0])
    error = np.asarray(jax.jit(jax.vmap(model, in_axes=(None, 0, 0)))(params, first, last)) - action
    layout = task.spec.layout
    clear = np.all([inside_maze(layout, np.asarray(s[:, :2]), slack=-_CLEAR) for s in (first, last)], axis=0)
    if clear.all() or not clear.any():
        raise ValueError(f"{100 * clear.mean():.0f} % of the pairs are clear of walls; give data with both kinds.")
    found = {"pairs": pairs, "share_clear": float(clear.mean())}
    for name, chosen in (("clear", clear), ("wall", ~clear)):
        found |= {
            f"{name}_rmse": float(np.sqrt((error[chosen] ** 2).mean())),
            f"{name}_abs_error_p99": float(np.percentile(np.abs(error[chosen]), 99)),
        }
    # Apart from the clip of the speed, a kink in what the action does.
    slow = clear & (np.abs(np.asarray(first[:, task.goal_size :])) < _SLOW * MAX_SPEED).all(-1)
    found |= {"share_clear_slow": float(slow.mean())}
    found |= {"clear_slow_rmse": float(np.sqrt((error[slow] ** 2).mean())) if slow.any() else None}
    if model.components > 1:
        ambiguity = np.asarray(jax.jit(jax.vmap(model.ambiguity, in_axes=(None, 0, 0)))(params, first, last))
        found |= {
            f"{name}_ambiguity": float(ambiguity[chosen].mean())
            for name, chosen in (("clear", clear), ("wall", ~clear))
        }
        found["rank_correlation"] = float(stats.spearmanr(ambiguity.ravel(), np.abs(error).ravel()).statistic)
        density = jax.jit(jax.vmap(model.log_likelihood, in_axes=(None, 0, 0, 0)))(
            params, first, last, jnp.asarray(action)
        )
        found["log_likelihood"] = float(density.mean())
    return found


def main(argv: list[str]) -> None:
    """Trains and judges all models."""
    task, kept = run_data(_RUN.value)
    if not isinstance(task, Maze2dTask):
        raise ValueError(f"{_RUN.value} is a run of {task.name}; give one of a maze2d, whose walls are known.")
    parts = [split(part.rows, 0.02) for part in kept.values()]
    held = concatenate(*(part[1] for part in parts))
    rows = []
    for gap in _GAPS.value:
        for components in (1, _COMPONENTS.value):
            begin = time.time()
            model, params = fit(task, parts, gap, components, _STEPS.value, _BATCH.value, _SEED.value)
            row = {"gap": gap, "components": components, "train_s": time.time() - begin}
            row |= judge(task, model, params, held, _PAIRS.value)
            rows.append(row)
            told = f", ambiguity {row['clear_ambiguity']:.4f} / {row['wall_ambiguity']:.4f}" if components > 1 else ""
            print(
                f"gap {gap}, {components} components: rmse away from walls {row['clear_rmse']:.4f}, at walls "
                f"{row['wall_rmse']:.4f}{told}; {row['train_s']:.0f} s",
                flush=True,
            )
    settings = {"run": _RUN.value, "env": task.name, "steps": _STEPS.value, "batch": _BATCH.value}
    write_json(_OUTPUT.value, {**settings, "rows": rows, **manifest(_SEED.value)})


if __name__ == "__main__":
    run_program(main)
