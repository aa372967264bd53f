"""Forward models from one-step to one-shot on the same data and updates: open-loop error, and time to unroll.

    python -m benchmarks.forward_models --run=runs/umaze-0 --output=benchmarks/results/forward_models_umaze.json

The run's folder gives the task and the data, in the parts and shares that it trained with; held-out episodes of the last part
are judged over a horizon, free space and windows that met a wall apart.
"""

import time

import jax
import numpy as np
from absl import flags

from benchmarks.harness import run_data
from invlearn_jax.data import concatenate, fit_normalizer, split, window_store
from invlearn_jax.evaluate.latency import measure
from invlearn_jax.files import write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed
from invlearn_jax.learn.forward_model import (
    Source,
    ensemble_state,
    ensemble_update,
    forward_model_state,
    forward_model_update,
    prediction_errors,
)
from invlearn_jax.learn.loop import default_optimizer, train
from invlearn_jax.models.chunked import ChunkedModel
from invlearn_jax.models.ensemble import EnsembleModel

_RUN = flags.DEFINE_string("run", None, "A run's folder, for its data.", required=True)
_STEPS = flags.DEFINE_integer("steps", 1500, "Updates of each model.")
_BATCH = flags.DEFINE_integer("batch", 128, "Windows per update.")
_HORIZON = flags.DEFINE_integer("horizon", 32, "Steps per window, and to be judged over.")
_SEED = define_seed(0, "Seed of the models.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the rows as JSON.", required=True)

# name, chunk (0: the whole horizon), hidden, octaves, members
_KINDS = (
    ("one-step", 1, (256, 256), 7, 1),
    ("chunk of 4", 4, (256, 256), 7, 1),
    ("chunk of 8", 8, (256, 256), 7, 1),
    ("one-shot", 0, (256, 256), 7, 1),
    ("chunk of 8, no Fourier features", 8, (256, 256), 0, 1),
    ("chunk of 8, wide", 8, (512, 512), 7, 1),
    ("chunk of 8, ensemble of 3", 8, (256, 256), 7, 3),
)


def main(argv: list[str]) -> None:
    """Trains and judges all kinds."""
    task, parts = run_data(_RUN.value)
    halves, horizon = [(split(part.rows, 0.02), part.share) for part in parts.values()], _HORIZON.value
    rows = concatenate(*(train for (train, _), _ in halves))
    features = np.asarray(jax.jit(jax.vmap(task.local_features))(rows.states))
    normalizer = fit_normalizer(rows._replace(states=features))
    sources = [Source(window_store(train, horizon), share) for (train, _), share in halves]
    held = halves[-1][0][1]
    results = []
    for name, chunk, hidden, octaves, size in _KINDS:
        single = ChunkedModel(task, chunk or horizon, hidden, octaves)
        optimizer, key = default_optimizer(2e-3, _STEPS.value), from_seed(_SEED.value)
        update = forward_model_update(single, optimizer, sources, _BATCH.value, horizon)
        if size == 1:
            model, state = single, forward_model_state(single, optimizer, key, rows, normalizer)
        else:
            model, update = EnsembleModel(single, size), ensemble_update(update)
            state = ensemble_state(single, optimizer, key, rows, normalizer, size)
        begin = time.time()
        state = train(update, state, _STEPS.value, 500)
        seconds = time.time() - begin
        errors = prediction_errors(model, state.params, held, horizon, task.goal_size)
        latency = measure(model.unroll, state.params, held.states[0], np.zeros((horizon, task.action_size), np.float32))
        results.append(
            {
                "model": name,
                "chunk": single.chunk,
                "hidden": list(hidden),
                "octaves": octaves,
                "members": size,
                "train_s": seconds,
                "unroll_ms_p50": latency.p50,
                "rmse_m": errors,
            }
        )
        at = [8, 16, 32] if horizon >= 32 else [horizon]
        free, wall = ([round(errors[kind][t], 4) for t in at if errors[kind]] for kind in ("free", "wall"))
        print(
            f"{name:32s} rmse (m) at {at}: free {free}, wall {wall}; {latency.p50:.2f} ms, {seconds:.0f} s", flush=True
        )
    settings = {"run": _RUN.value, "steps": _STEPS.value, "batch": _BATCH.value, "horizon": horizon}
    write_json(_OUTPUT.value, {**settings, "rows": results, **manifest(_SEED.value)})


if __name__ == "__main__":
    run_program(main)
