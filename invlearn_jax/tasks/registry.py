"""Tasks by name, or from a user's file as ``FILE.py:CLASS``. A new world is registered here, in one line."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from invlearn_jax.names import unknown_name
from invlearn_jax.tasks.task import Task


class TaskEntry(NamedTuple):
    """A registered task: how to make it, and one line about it."""

    make: Callable[[], Task]
    summary: str


# The library's worlds: each module has ``tasks() -> {name: TaskEntry}``, and may have ``parse(name) -> Task | None`` for names
# that describe a task instead of listing it. They are imported when a name is looked up.
_WORLDS: tuple[str, ...] = ("maze2d", "antmaze", "control", "locomotion", "classic", "gates", "adapters")
# Kinds of planner that the first edition saved, and the world whose ``first_edition.convert`` reads them.
_FIRST_EDITION = {
    "maze": "maze2d",
    "maze_policy": "maze2d",
    "maze_diffusion": "maze2d",
    "ant_motor": "antmaze",
    "ant_stack": "antmaze",
    "pulse": "gates",
}
_TASKS: dict[str, TaskEntry] = {}


def register_task(name: str, make: Callable[[], Task], summary: str = "") -> None:
    """Adds a task to the registry of this process.

    Args:
        name: how it is called, e.g. on the command line.
        make: makes it; a ``Task`` class will do.
        summary: one line about it.

    Raises:
        ValueError: if the name is taken, or reads as a file's.
    """
    if ".py:" in name or not name:
        raise ValueError(f"A task cannot be called {name!r}. Give a name that is no FILE.py:CLASS.")
    if name in task_entries():
        raise ValueError(f"There is a task {name!r} already. Give another name.")
    _TASKS[name] = TaskEntry(make, summary)


def task_entries() -> dict[str, TaskEntry]:
    """All registered tasks by name."""
    entries: dict[str, TaskEntry] = {}
    for world in _WORLDS:
        entries |= importlib.import_module(f"invlearn_jax.tasks.{world}").tasks()
    return entries | _TASKS


def first_edition_converter(kind: Any) -> Callable[..., tuple[Task | str, str, dict[str, Any], dict[str, Any]]]:
    """What turns ``(fields, arrays)`` of a first edition's planner into task, method, its settings and arrays.

    The earliest descriptions have no kind: these are the first of them all.

    Raises:
        ValueError: for an unknown kind; the nearest known ones are listed.
    """
    kind = next(iter(_FIRST_EDITION)) if kind is None else kind
    if not isinstance(kind, str) or kind not in _FIRST_EDITION:
        raise unknown_name("kind of planner", str(kind), _FIRST_EDITION)
    return importlib.import_module(f"invlearn_jax.tasks.{_FIRST_EDITION[kind]}.first_edition").convert


def make_task(name: str) -> Task:
    """A task by its registered name, of another library by ``SOURCE:NAME``, or of a class in a file, ``FILE.py:CLASS``.

    Raises:
        ValueError: for an unknown name (the nearest known ones are listed), or a file without such a class.
        FileNotFoundError: if the file is missing.
    """
    if ".py:" in name:
        return _made(task_class(name))
    entries = task_entries()
    if name in entries:
        return entries[name].make()
    task = _parsed(name)
    if task is None:
        raise unknown_name("task (registered, SOURCE:NAME, or FILE.py:CLASS)", name, entries)
    return task


def _parsed(name: str) -> Task | None:
    """The task that a name describes to one of the worlds, or None."""
    worlds = (importlib.import_module(f"invlearn_jax.tasks.{world}") for world in _WORLDS)
    found = (world.parse(name) for world in worlds if hasattr(world, "parse"))
    return next((task for task in found if task is not None), None)


def task_class(name: str) -> type[Task]:
    """The class that ``FILE.py:CLASS`` names.

    Raises:
        ValueError: if the file has no such class, or it is no ``Task``.
        FileNotFoundError: if the file is missing.
    """
    file, _, wanted = name.rpartition(":")
    module = load_module(Path(file))
    classes = {n: c for n, c in vars(module).items() if isinstance(c, type) and issubclass(c, Task) and c is not Task}
    own = {n: c for n, c in classes.items() if c.__module__ == module.__name__}
    if wanted not in classes:
        if wanted in vars(module):
            raise ValueError(
                f"{wanted} in {file} is no Task. Let the class inherit from invlearn_jax.Task or MujocoTask."
            )
        raise unknown_name(f"task class in {file}", wanted, own)
    return classes[wanted]


def task_reference(task: Task) -> str:
    """What ``make_task`` makes the task from again in another process: its registered name, or ``FILE.py:CLASS``.

    Raises:
        ValueError: for a class defined where no other process finds it (a notebook, an interactive session).
    """
    if task.name in task_entries() or _parsed(task.name) is not None:
        return task.name
    owner = type(task)
    module = sys.modules.get(owner.__module__)
    file = getattr(module, "__file__", None)
    if file is None or getattr(module, owner.__name__, None) is not owner:
        raise ValueError(
            f"{owner.__qualname__} is defined where another process cannot find it. Put the class at the top of a .py file, so "
            "that a saved planner can name it as FILE.py:CLASS."
        )
    return f"{Path(file).resolve()}:{owner.__name__}"


def _made(owner: type[Task]) -> Task:
    parameters = inspect.signature(owner).parameters.values()
    needed = [
        p.name for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    if needed:
        raise ValueError(
            f"{owner.__name__} cannot be made without {', '.join(needed)}. Give its arguments defaults, or keep them in a "
            "dataclass, Task.settings, which is saved with planners."
        )
    return owner()


def load_module(path: Path) -> ModuleType:
    """The module in a user's file, which is executed once in a process.

    Raises:
        FileNotFoundError: if it is missing.
        ValueError: if it cannot be imported.
    """
    path = path.resolve()
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}. Give a file that exists, as FILE.py:NAME.")
    # A module that was imported already (the user's own program, say) is the same one.
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and Path(file).resolve() == path:
            return module
    name = f"invlearn_user_{path.stem}_{abs(hash(path))}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ValueError(f"{path} cannot be imported ({type(error).__name__}: {error}).") from error
    return module
