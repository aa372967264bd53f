"""The results table: every trained planner of a maze, by one pass and refined, on D4RL's task and on random goals.

    python -m benchmarks.maze2d --planners=runs/large-0/planner,runs/large-1/planner --data="D4RL + random" \
        --episodes=500 --seed=20261121 --output=benchmarks/results/maze2d_large.json

The evaluation seed is to be one that no choice was made on. C MuJoCo, D4RL's protocol.
"""

import numpy as np
from absl import flags

from invlearn_jax.evaluate.episodes import evaluate, summary
from invlearn_jax.files import write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.methods.saved import load_planner, load_task
from invlearn_jax.tasks.maze2d.task import Maze2dTask

_PLANNERS = flags.DEFINE_list("planners", None, "Planners (names or folders), one per training seed.", required=True)
_DATA = flags.DEFINE_string("data", "D4RL + random", "What they were trained on, for the table.")
_EPISODES = flags.DEFINE_integer("episodes", 500, "Episodes per row.", lower_bound=2)
_STEPS = flags.DEFINE_multi_integer("refine_steps", [0, 10], "Numbers K of refinement steps.")
_SEED = define_seed(20261121, "Seed of starts and goals; the same for all planners.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the table as JSON.", required=True)

_AVERAGED = (
    "score_mean",
    "success_rate",
    "score_ratio_to_bound",
    "ratio_to_bound",
    "ratio_to_controller",
    "action_jerk",
)


def main(argv: list[str]) -> None:
    """Evaluates all planners and averages over training seeds."""
    use_compile_cache()
    rows, table = [], []
    for steps in _STEPS.value:
        for multi_goal in (False, True):
            records = []
            for name in _PLANNERS.value:
                own = load_task(name)
                if not isinstance(own, Maze2dTask):
                    raise ValueError(f"{name} plans for {own.name}; give planners of a maze2d.")
                task = Maze2dTask(own.spec, multi_goal)
                task.settings = own.settings
                planner, params = load_planner(name, refine_steps=steps, task=task)
                record = evaluate(planner, params, task, _EPISODES.value, _SEED.value)
                records.append({"planner": name, "env": own.spec.name, **record})
                print(summary(record), flush=True)
            rows += records
            table.append(_mean_row(records))
    write_json(_OUTPUT.value, {"data": _DATA.value, "table": table, "rows": rows, **manifest(_SEED.value)})


def _mean_row(records: list[dict]) -> dict:
    """The mean over training seeds; its spread is the standard deviation over seeds (0 for one)."""
    first = records[0]
    row = {key: first[key] for key in ("env", "multi_goal", "refine_steps", "execute_steps", "episodes")}
    row |= {key: float(np.mean([r[key] for r in records])) for key in _AVERAGED}
    scores = [r["score_mean"] for r in records]
    # Starts are shared by the seeds, so the error of the mean is that of one evaluation plus the spread of training.
    spread = float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0
    sem = float(np.hypot(np.mean([r["score_sem"] for r in records]), spread / np.sqrt(len(scores))))
    return row | {
        "training_seeds": len(records),
        "score_seed_std": spread,
        "score_sem": sem,
        "bound_score": first["bound_score"],
        "controller_score": first["controller_score"],
        "plan_ms_p50": float(np.median([r["plan_ms_p50"] for r in records])),
    }


if __name__ == "__main__":
    run_program(main)
