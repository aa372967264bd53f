"""Trains and evaluates an experiment.

    python -m experiments.run --experiment=maze2d-umaze --workdir=runs/umaze --seed=0 [--config.part.field=value]

The same command goes on with a run that was killed.
"""

import sys

from absl import app, flags

from experiments.configs import EXPERIMENTS, experiment_config
from experiments.flag_config import define_config, option, quiet
from experiments.pipelines.evaluation import evaluate_planner, summary
from experiments.pipelines.maze2d import train_planner
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.files import write_json
from invlearn_jax.io.planners import load_params
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.planners.maze import build_planner

_EXPERIMENT = flags.DEFINE_string("experiment", None, f"What to run: {', '.join(EXPERIMENTS)}.", required=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder.", required=True)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of data, initial weights and training.", lower_bound=0)


def main(config_flag: flags.FlagHolder) -> None:
    """Runs the experiment of the flags."""
    quiet()
    use_compile_cache()
    config, seed = config_flag.value, _SEED.value
    run = RunFolder(_WORKDIR.value)
    run.begin(config, seed)
    try:
        train_planner(config, run, seed)
        rows = []
        for refine_steps in sorted({0, config.evaluation.refine_steps}):
            for multi_goal in (False, True):
                planner = build_planner(config.planner, refine_steps)
                params = load_params(planner, run.path / "planner")
                settings = config.evaluation
                record, _ = evaluate_planner(
                    planner, params, config.planner.env, settings.episodes, settings.seed, "mujoco", multi_goal
                )
                rows.append(record)
                print(summary(record), flush=True)
        write_json(run.path / "eval.json", rows)
        run.status("done", 1, 1, "done")
    except BaseException as error:
        run.status("failed", 0, 1, "failed", f"{type(error).__name__}: {error}")
        raise


def cli() -> None:
    """The command line, with errors as sentences."""
    try:
        name = option(sys.argv, "experiment")
        config_flag = define_config(
            experiment_config(name) if name else experiment_config(next(iter(EXPERIMENTS))), sys.argv
        )
    except ValueError as error:
        sys.exit(f"error: {error}")

    def guarded(argv: list[str]) -> None:
        if argv[1:]:
            sys.exit(f"error: unknown argument {argv[1]!r}; settings are given as --config.part.field=value.")
        try:
            main(config_flag)
        except (ValueError, OSError) as error:
            sys.exit(f"error: {error}")

    app.run(guarded)


if __name__ == "__main__":
    cli()
