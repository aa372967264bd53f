"""A run of a task and a method: ``experiments.run --task=NAME|FILE.py:CLASS --method=NAME``."""

import contextlib
from collections.abc import Callable
from typing import Any

from absl import flags

from invlearn_jax.evaluate.episodes import evaluate, summary
from invlearn_jax.files import write_json
from invlearn_jax.io import interrupt
from invlearn_jax.io.command import define_config, option
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.methods.fitting import begin, check_fit, fit_in, method_settings
from invlearn_jax.methods.registry import find_method, method_names
from invlearn_jax.methods.saved import load_planner
from invlearn_jax.progress import announce
from invlearn_jax.tasks.registry import make_task, task_entries
from invlearn_jax.tasks.task import Task


def listing() -> str:
    """All tasks and methods, one line each."""
    tasks = [f"  {name:32} {entry.summary}" for name, entry in sorted(task_entries().items())]
    methods = [f"  {name:32} {summary}" for name, summary in sorted(method_names().items())]
    return "\n".join(["tasks (or FILE.py:CLASS):", *tasks, "methods:", *methods])


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
    method = option(argv, "method") or "inverter"
    find_method(method, task)
    own = define_config(task.settings, argv, "task_config") if task.settings is not None else None
    config = define_config(method_settings(task, method), argv)

    def settings() -> Any:
        if own is not None:
            task.settings = own.value
        return config.value

    return task, settings


def carry_out(task: Task, settings: Any) -> None:
    """Trains, then evaluates with each number of refinement steps; ``status.json`` says how far it came, and how it ended."""
    values = flags.FLAGS
    refine_steps = _whole_numbers(values.refine_steps)
    if values.episodes == 1:
        raise ValueError(
            "--episodes is 1; give at least 2, or there is no confidence interval, or 0 for no evaluation."
        )
    check_fit(task, values.method, settings)
    with RunFolder(values.workdir) as run:
        begin(run, task, values.method, settings, values.seed)
        try:
            fit_in(run, task, values.method, settings, values.seed)
            rows = []
            for steps in refine_steps if values.episodes else []:
                run.status("evaluation", len(rows), len(refine_steps))
                planner, params = load_planner(run.path / "planner", refine_steps=steps, task=task)
                rows.append(evaluate(planner, params, task, values.episodes, values.eval_seed))
                print(summary(rows[-1]), flush=True)
                interrupt.check()
            write_json(run.path / "eval.json", rows)
            run.status("done", 1, 1, "done")
        except interrupt.Stopped as stopped:
            stopped.progress = stopped.progress or run.progress
            run.status(*stopped.progress, "stopped")
            raise
        except BaseException as error:
            # On a full disk this fails as well; what is told is the first failure.
            with contextlib.suppress(OSError):
                run.status(*run.progress, "failed", f"{type(error).__name__}: {error}")
            raise


def _whole_numbers(texts: list[str]) -> list[int]:
    """Numbers of refinement steps, ascending, each once."""
    if not all(text.isdecimal() for text in texts):
        raise ValueError(f"--refine_steps is {','.join(texts)}; give whole numbers from 0 up, such as 0,10.")
    return sorted({int(text) for text in texts})
