"""``fit(task, method)``: the one way to a planner."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from invlearn_jax.io.compile_cache import ensure_compile_cache
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.keys import check_seed, from_seed
from invlearn_jax.learn.stages import Run
from invlearn_jax.methods.registry import NotRefinedError, find_method
from invlearn_jax.methods.saved import save_planner
from invlearn_jax.progress import say
from invlearn_jax.settings import check_settings, with_settings
from invlearn_jax.tasks.check import check_task
from invlearn_jax.tasks.registry import make_task, task_reference
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Params, Planner


class FitConfig(NamedTuple):
    """What ``fit`` was told, as ``config.json`` holds it: task and method by name, and their settings."""

    task: str
    task_settings: Any
    method: str
    settings: Any


def method_settings(task: Task, method: str) -> Any:
    """The settings of a method for a task: the method's defaults, as the task adapts them."""
    return task.configure(method, find_method(method, task).Settings())


def fit(
    task: Task | str,
    method: str = "inverter",
    workdir: str | Path | None = None,
    seed: int = 0,
    settings: Any | Mapping[str, Any] | None = None,
) -> tuple[Planner, Params]:
    """Learns a planner for a task.

    Args:
        task: a task, or its name, or ``FILE.py:CLASS``.
        method: a registered method.
        workdir: the run's folder; a killed run in it continues. By default a fresh temporary folder.
        seed: of data, initial weights and training.
        settings: changes by dotted name, such as ``{"model.steps": 2000}``, or the method's whole ``Settings``.

    Returns:
        The planner and its parameters; they are also saved in ``workdir/planner``, which ``load_planner`` reads.

    Raises:
        ValueError: for an unknown method, settings out of range, a task that breaks its contract, or a folder that holds
            another run; before anything is made.
        BlockingIOError: if another process is training in the folder.
        NonFiniteLossError: if training diverges.
    """
    task = make_task(task) if isinstance(task, str) else task
    if settings is None or isinstance(settings, Mapping):
        settings = with_settings(method_settings(task, method), settings or {})
    check_fit(task, method, settings)
    check_seed(seed)
    ensure_compile_cache()
    if workdir is None:
        workdir = tempfile.mkdtemp(prefix="invlearn-")
        say(f"The run is kept in {workdir}.")
    with RunFolder(workdir) as folder:
        begin(folder, task, method, settings, seed)
        planner, params = fit_in(folder, task, method, settings, seed)
        folder.status("done", 1, 1, "done")
    return planner, params


def check_fit(task: Task, method: str, settings: Any) -> None:
    """Refuses what cannot be learned, before anything is made.

    Raises:
        ValueError: for settings out of range or that do not fit together, a task that breaks its contract, or one that no
            other process could find, so that its planner could not be loaded.
        TypeError: for a task that lacks a method.
    """
    learner = find_method(method, task)
    if not isinstance(settings, learner.Settings):
        raise ValueError(
            f"The settings are {settings!r:.80}; give the Settings of the method {method}, or changes by dotted name."
        )
    if task.settings is not None:
        check_settings(task.settings)
    check_settings(settings)
    if method not in task.methods():
        # A method of the task's own knows what it learns on; the library's count on the contract.
        check_task(task)
    task_reference(task)
    learner.build(task, settings)


def refinable(task: Task, method: str, settings: Any, refine_steps: Sequence[int]) -> list[int]:
    """Those numbers of refinement steps that the method's planners take: where plans are followed as they are, 0 alone.

    Raises:
        ValueError: for settings that do not fit together.
    """
    kept, learner = [], find_method(method, task)
    for steps in refine_steps:
        try:
            learner.build(task, settings, refine_steps=steps)
        except NotRefinedError as error:
            say(f"Not evaluated: {error}")
        else:
            kept.append(steps)
    return kept


def begin(folder: RunFolder, task: Task, method: str, settings: Any, seed: int) -> None:
    """Writes what is to be done into a run's folder.

    Raises:
        ValueError: if it holds another run.
    """
    folder.begin(FitConfig(task.name, task.settings, method, settings), seed)


def fit_in(folder: RunFolder, task: Task, method: str, settings: Any, seed: int) -> tuple[Planner, Params]:
    """``fit`` in a folder that the caller has locked and begun, of what ``check_fit`` passed."""
    planner, params = find_method(method, task).fit(task, settings, Run(folder), from_seed(seed))
    save_planner(folder.path / "planner", task, method, settings, params)
    return planner, params
