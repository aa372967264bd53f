"""Trains and evaluates an experiment.

    python -m experiments.run --task=my_robot.py:Reach --method=inverter --workdir=runs/reach --seed=0 [--config.part.field=value]
    python -m experiments.run --experiment=maze2d-umaze --workdir=runs/umaze --seed=0 [--config.part.field=value]
    python -m experiments.run --list

The same command goes on with a run that was killed or stopped. SIGTERM and Ctrl-C stop it after the current block of updates.
"""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from absl import app, flags

from experiments import task_run
from experiments.configs import EXPERIMENTS, experiment
from experiments.configs.shared import EvaluationConfig
from experiments.pipelines.evaluation import evaluate_planner, summary
from experiments.pipelines.stages import PlannerOf
from invlearn_jax.files import write_json
from invlearn_jax.io import interrupt
from invlearn_jax.io.command import command_line, define_config, define_seed, option, quiet
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.learn.loop import NonFiniteLossError
from invlearn_jax.settings import check_settings

_EXPERIMENT = flags.DEFINE_string("experiment", None, f"What to run: {', '.join(EXPERIMENTS)}.")
flags.DEFINE_string("task", None, "The task to plan for: a name (see --list), or FILE.py:CLASS.")
flags.DEFINE_string("method", "inverter", "How to learn a planner for it; see --list.")
flags.DEFINE_integer("episodes", 100, "Of the task, episodes of evaluation at the end; 0 for none.", lower_bound=0)
define_seed(10_000, "Of the task, seed of the evaluation.", name="eval_seed")
flags.DEFINE_list("refine_steps", ["0", "10"], "Of the task, numbers of refinement steps to evaluate with.")
flags.DEFINE_bool("list", False, "Print all tasks and methods, and end.")
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
    with RunFolder(_WORKDIR.value) as run:
        run.begin(config, _SEED.value)
        carry_out(pipeline, train, config, run, _SEED.value)


def carry_out(pipeline: ModuleType, train: Callable, config: Any, run: RunFolder, seed: int) -> None:
    """Trains and evaluates; ``status.json`` says how far it came, and how it ended.

    Args:
        pipeline: the experiment's module.
        train: its function that trains.
        config: the experiment's configuration.
        run: the run's folder.
        seed: of data, initial weights and training.
    """
    try:
        run.status("data", 0, 1)
        env, planner_of = train(config, run, seed)
        run.status("evaluation", 0, 1)
        rows = []
        for row, line in getattr(pipeline, "evaluate", closed_loop)(config.evaluation, env, planner_of):
            rows.append(row)
            print(line, flush=True)
            interrupt.check()
        write_json(run.path / "eval.json", rows)
        run.status("done", 1, 1, "done")
    except interrupt.Stopped as stopped:
        # A stage in a folder of its own knows better than this one how far it came.
        stopped.progress = stopped.progress or run.progress
        run.status(*stopped.progress, "stopped")
        raise
    except BaseException as error:
        # On a full disk this fails as well; what is told is the first failure.
        with contextlib.suppress(OSError):
            run.status(*run.progress, "failed", f"{type(error).__name__}: {error}")
        raise


def _defined(argv: list[str]) -> Callable[[], None]:
    """Defines the flags that a task, or an experiment, brings; what they are is read first. Returns what is to be done."""
    if option(argv, "task") is not None and option(argv, "experiment") is not None:
        raise ValueError("Both --task and --experiment are given; a run is of one of them.")
    if option(argv, "task") is not None:
        task, settings = task_run.define(argv)

        def train_task() -> None:
            quiet()
            use_compile_cache()
            task_run.carry_out(task, settings())

        return train_task
    name = option(argv, "experiment")
    if name is None and "--help" not in argv:
        raise ValueError("Give --task=NAME or FILE.py:CLASS (see --list), or --experiment=NAME.")
    config_flag = define_config(experiment(name or next(iter(EXPERIMENTS))).config(), argv)
    return lambda: main(config_flag.value)


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
    if "--list" in sys.argv:
        print(task_run.listing())
        return
    try:
        work = _defined(sys.argv)
    except (ValueError, TypeError, OSError) as error:
        sys.exit(f"error: {error}")

    def guarded(argv: list[str]) -> None:
        if argv[1:]:
            sys.exit(f"error: unknown argument {argv[1]!r}; settings are given as --config.part.field=value.")
        try:
            with interrupt.stop_on_signals():
                work()
        except (ValueError, TypeError, OSError, ImportError, NonFiniteLossError) as error:
            sys.exit(f"error: {error}")
        except interrupt.Stopped as stopped:
            stage, step, _ = stopped.progress or ("start", 0, 1)
            print(f"Stopped in stage {stage} at step {step}. To go on: {command_line()}", file=sys.stderr)
            sys.exit(stopped.exit_code)

    app.run(guarded)


if __name__ == "__main__":
    cli()
