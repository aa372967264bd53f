"""Learns a planner for a task, and evaluates it.

    python -m experiments.run --task=maze2d-umaze-v1 --method=inverter --workdir=runs/umaze --seed=0 [--config.part.field=value]
    python -m experiments.run --task=my_robot.py:Reach --workdir=runs/reach
    python -m experiments.run --list

The same command continues a run that was killed or stopped. SIGTERM and Ctrl-C stop it after the current block of updates.
"""

import contextlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from absl import app, flags

from invlearn_jax.evaluate.episodes import evaluate, summary
from invlearn_jax.files import write_json
from invlearn_jax.io import interrupt
from invlearn_jax.io.command import command_line, define_config, define_seed, given_config, option, quiet
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.learn.loop import NonFiniteLossError
from invlearn_jax.methods.fitting import begin, check_fit, fit_in, method_settings, refinable
from invlearn_jax.methods.registry import find_method, method_entries
from invlearn_jax.methods.saved import load_planner
from invlearn_jax.progress import announce, say
from invlearn_jax.tasks.registry import make_task, task_entries
from invlearn_jax.tasks.task import Task

flags.DEFINE_string("task", None, "The task to plan for: a name (see --list), SOURCE:NAME, or FILE.py:CLASS.")
_METHOD = flags.DEFINE_string("method", "inverter", "How to learn a planner for it; see --list.")
_WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder.", required=True)
_SEED = define_seed(0, "Seed of data, initial weights and training.")
_EPISODES = flags.DEFINE_integer("episodes", 100, "Episodes of evaluation at the end; 0 for none.", lower_bound=0)
_EVAL_SEED = define_seed(10_000, "Seed of the evaluation.", name="eval_seed")
_ARRIVING = 0.97  # share of the episodes that succeed, below which a word is said of what may help
_STEPS = flags.DEFINE_list("refine_steps", ["0", "10"], "Numbers of refinement steps to evaluate with.")
flags.DEFINE_bool("list", False, "Print all tasks and methods, and end.")


def listing() -> str:
    """All tasks and methods, one line each, methods with their typical duration where it was measured."""
    tasks, methods = task_entries(), method_entries()
    width = max(map(len, [*tasks, *methods]))
    lines = [f"  {name:{width}} {entry.summary}" for name, entry in sorted(tasks.items())]
    lines.append("methods:")
    for name, method in sorted(methods.items()):
        lines.append(f"  {name:{width}} {method.summary}" + (f" ({method.duration})" if method.duration else ""))
    return "\n".join(["tasks (or FILE.py:CLASS; SOURCE:NAME of another library, docs/tasks.md):", *lines])


def define(argv: list[str]) -> tuple[Task, Callable[[], Any]]:
    """Makes the command line's task, and defines ``--config`` and ``--task_config`` for its settings.

    Returns:
        The task, and a function that gives the method's settings once flags are parsed.

    Raises:
        ValueError: for an unknown task, method or setting.
        FileNotFoundError: if the task's file is missing.
    """
    with announce("making the task"):
        task = make_task(option(argv, "task") or "")
    method = option(argv, "method") or _METHOD.default
    # Before anything is defined: a flag cannot be defined twice.
    find_method(method, task)
    if task.settings is not None:
        define_config(task.settings, argv, "task_config")
        # The method's settings may depend on the task's.
        task.settings = given_config(task.settings, argv, "task_config")
    config = define_config(method_settings(task, method), argv)
    return task, lambda: config.value


def carry_out(
    task: Task,
    method: str,
    settings: Any,
    workdir: str,
    seed: int = 0,
    episodes: int = 100,
    eval_seed: int = 10_000,
    refine_steps: Sequence[int] = (0, 10),
) -> None:
    """Trains, then evaluates with each number of refinement steps; ``status.json`` says how far it came, and how it ended.

    Raises:
        ValueError: for what cannot be learned or evaluated, before anything is written; or if the folder holds another run.
        Stopped: if a signal told the process to stop.
    """
    if episodes == 1:
        raise ValueError(
            "--episodes is 1; give at least 2, or there is no confidence interval, or 0 for no evaluation."
        )
    check_fit(task, method, settings)
    refine_steps = refinable(task, method, settings, refine_steps)
    with RunFolder(workdir) as run:
        begin(run, task, method, settings, seed)
        try:
            fit_in(run, task, method, settings, seed)
            rows = []
            for steps in refine_steps if episodes else []:
                run.status("evaluation", len(rows), len(refine_steps))
                planner, params = load_planner(run.path / "planner", refine_steps=steps, task=task)
                rows.append(evaluate(planner, params, task, episodes, eval_seed))
                print(summary(rows[-1]), flush=True)
                interrupt.check()
            share = rows[-1]["success_rate"] if rows else None
            if share is not None and share < _ARRIVING:
                say(
                    f"{100 * (1 - share):.0f} % of the episodes did not succeed. More updates often help "
                    "(--config.model.steps, --config.inverter.steps), or more data (--config.data.rows); "
                    f"`python -m experiments.report {workdir}` draws episodes."
                )
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


def whole_numbers(texts: list[str]) -> list[int]:
    """Numbers of refinement steps, ascending, each once.

    Raises:
        ValueError: if one is none.
    """
    if not all(text.isdecimal() for text in texts):
        raise ValueError(f"--refine_steps is {','.join(texts)}; give whole numbers from 0 up, such as 0,10.")
    return sorted({int(text) for text in texts})


def cli() -> None:
    """The command line, with errors as sentences."""
    if "--list" in sys.argv:
        print(listing())
        return
    if option(sys.argv, "task") is None:
        if any(word.startswith("--help") for word in sys.argv):
            app.run(lambda argv: None)  # prints the help and ends
        sys.exit("error: Give --task=NAME or FILE.py:CLASS; --list prints the names.")
    try:
        task, settings = define(sys.argv)
    except (ValueError, TypeError, OSError) as error:
        sys.exit(f"error: {error}")

    def guarded(argv: list[str]) -> None:
        if argv[1:]:
            sys.exit(f"error: unknown argument {argv[1]!r}; settings are given as --config.part.field=value.")
        quiet()
        use_compile_cache()
        try:
            with interrupt.stop_on_signals():
                carry_out(
                    task,
                    _METHOD.value,
                    settings(),
                    _WORKDIR.value,
                    _SEED.value,
                    _EPISODES.value,
                    _EVAL_SEED.value,
                    whole_numbers(_STEPS.value),
                )
        except (ValueError, TypeError, OSError, ImportError, NonFiniteLossError) as error:
            sys.exit(f"error: {error}")
        except interrupt.Stopped as stopped:
            stage, step, _ = stopped.progress or ("start", 0, 1)
            print(f"Stopped in stage {stage} at step {step}. To go on: {command_line()}", file=sys.stderr)
            sys.exit(stopped.exit_code)

    app.run(guarded)


if __name__ == "__main__":
    cli()
