"""Trains and evaluates an experiment.

    python -m experiments.run --experiment=maze2d-umaze --workdir=runs/umaze --seed=0 [--config.part.field=value]

The same command goes on with a run that was killed.
"""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from typing import Any

from absl import app, flags

from experiments.configs import EXPERIMENTS, experiment
from experiments.configs.shared import EvaluationConfig
from experiments.flag_config import define_config, define_seed, option, quiet
from experiments.pipelines.evaluation import evaluate_planner, summary
from experiments.pipelines.stages import PlannerOf
from invlearn_jax.files import write_json
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.settings import check_settings

_EXPERIMENT = flags.DEFINE_string("experiment", None, f"What to run: {', '.join(EXPERIMENTS)}.", required=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder.", required=True)
_SEED = define_seed(0, "Seed of data, initial weights and training.")


def main(config: Any) -> None:
    """Runs the experiment of the flags."""
    quiet()
    use_compile_cache()
    module, function = experiment(_EXPERIMENT.value).pipeline.split(".")
    pipeline = importlib.import_module(f"experiments.pipelines.{module}")
    train = getattr(pipeline, function)
    # Before anything is written or trained.
    check_settings(config)
    pipeline.check(config)
    run = RunFolder(_WORKDIR.value)
    run.begin(config, _SEED.value)
    try:
        env, planner_of = train(config, run, _SEED.value)
        rows = []
        for row, line in getattr(pipeline, "evaluate", closed_loop)(config.evaluation, env, planner_of):
            rows.append(row)
            print(line, flush=True)
        write_json(run.path / "eval.json", rows)
        run.status("done", 1, 1, "done")
    except BaseException as error:
        # On a full disk this fails as well; what is told is the first failure.
        with contextlib.suppress(OSError):
            run.status("failed", 0, 1, "failed", f"{type(error).__name__}: {error}")
        raise


def closed_loop(settings: EvaluationConfig, env: str, planner_of: PlannerOf) -> Iterator[tuple[dict[str, Any], str]]:
    """Episodes in the environment: a record and a line for each number of refinement steps and kind of goal."""
    for refine_steps in sorted(set(settings.refine_steps)):
        ends = refine_steps in (min(settings.refine_steps), max(settings.refine_steps))
        for multi_goal in (False, True) if ends else (False,):
            planner, params = planner_of(refine_steps)
            record, _ = evaluate_planner(planner, params, env, settings.episodes, settings.seed, "mujoco", multi_goal)
            yield record, summary(record)


def cli() -> None:
    """The command line, with errors as sentences."""
    try:
        # The experiment decides which configuration the other flags set, so it is read first.
        name = option(sys.argv, "experiment") or next(iter(EXPERIMENTS))
        config_flag = define_config(experiment(name).config(), sys.argv)
    except ValueError as error:
        sys.exit(f"error: {error}")

    def guarded(argv: list[str]) -> None:
        if argv[1:]:
            sys.exit(f"error: unknown argument {argv[1]!r}; settings are given as --config.part.field=value.")
        try:
            main(config_flag.value)
        except (ValueError, OSError, ImportError) as error:
            sys.exit(f"error: {error}")

    app.run(guarded)


if __name__ == "__main__":
    cli()
