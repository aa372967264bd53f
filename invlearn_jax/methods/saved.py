"""Planners on disk: ``planner.json`` (task, method, settings) and ``params.npz`` (parameters), and the shipped ones by name."""

import dataclasses
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from invlearn_jax.files import read_json, read_npz, replace_files
from invlearn_jax.inputs import check_whole
from invlearn_jax.io.compile_cache import ensure_compile_cache
from invlearn_jax.methods.registry import (
    ChecksInferenceOptions,
    HasInferenceOptions,
    Shared,
    SharesParams,
    find_method,
)
from invlearn_jax.names import unknown_name
from invlearn_jax.settings import check_settings, filled, with_settings
from invlearn_jax.tasks.registry import first_edition_converter, make_task, task_reference
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Params, Planner

Arrays = dict[str, np.ndarray]

_SHIPPED = Path(__file__).parent.parent / "planners" / "shipped"


def planner_names() -> list[str]:
    """The planners that come with the library."""
    return sorted(path.parent.name for path in _SHIPPED.glob("*/planner.json"))


def save_planner(
    folder: str | os.PathLike, task: Task, method: str, settings: Any, params: Params, half: bool = False
) -> None:
    """Writes a planner's folder.

    Args:
        folder: made where missing.
        task: what it plans for: registered, or a class in a ``.py`` file.
        method: how it was learned.
        settings: of the method.
        params: the planner's parameters; those that the method shares with another planner are not written again.
        half: stores weights in half precision, for shipping.

    Raises:
        ValueError: for an unknown method, or a task that no other process could find.
        OSError: if the folder cannot be written.
    """
    shared = _shared(find_method(method, task), settings)
    held = tuple(shared)
    # Folders of other planners as seen from this one, so that all can move together.
    seen = {
        o.planner: os.path.relpath(o.planner, Path(folder).resolve()) for o in shared.values() if _is_planner(o.planner)
    }
    arrays = {name: np.asarray(x) for name, x in _by_name(params).items() if not name.startswith(held)}
    if half:
        arrays = {n: x.astype(np.float16) if x.dtype == np.float32 and x.ndim > 1 else x for n, x in arrays.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # NumPy's stubs take any name for allow_pickle.
    fields = {
        "task": _relative(task_reference(task), Path(folder)),
        "task_settings": None if task.settings is None else dataclasses.asdict(task.settings),
        "method": method,
        "settings": _renamed(dataclasses.asdict(settings), seen),
    }
    description = json.dumps(fields, indent=2) + "\n"
    replace_files({Path(folder) / "params.npz": buffer.getvalue(), Path(folder) / "planner.json": description.encode()})


def find_planner(name: str | os.PathLike) -> Path:
    """The folder of a planner, by shipped name or path.

    Raises:
        ValueError: for an unknown name; the nearest known ones are listed.
    """
    if _is_planner(name):
        return Path(name)
    if str(name) in planner_names():
        return _SHIPPED / str(name)
    raise unknown_name("planner (neither shipped nor a folder with planner.json)", str(name), planner_names())


class Description(NamedTuple):
    """What a saved planner plans for, how it was learned, and with which settings of that method."""

    task: Task
    method: str
    settings: Any


def describe_planner(name: str | os.PathLike) -> Description:
    """Reads what a saved planner is, by shipped name or folder.

    Raises:
        ValueError: for an unknown planner, or a broken description.
        FileNotFoundError: if the file of a user's task is missing.
    """
    folder = find_planner(name)
    return Description(*_described(folder, *_contents(folder), None)[:3])


def load_task(name: str | os.PathLike) -> Task:
    """The task that a saved planner plans for. See ``describe_planner``."""
    return describe_planner(name).task


def load_planner(
    name: str | os.PathLike,
    refine_steps: int = 0,
    candidates: int | None = None,
    refiner: str | None = None,
    execute_steps: int | None = None,
    task: Task | str | None = None,
    **options: Any,
) -> tuple[Planner, Params]:
    """Loads a planner, shipped or your own.

    Args:
        name: a shipped name such as ``maze2d-large-v1``, or a folder written by ``fit`` or ``save_planner``.
        refine_steps: K steps of refinement; 0 is one forward pass.
        candidates: proposals per problem; the planner's own recommendation by default.
        refiner: one of ``refine.REFINERS``; the method's own by default.
        execute_steps: steps between plans; the task's own recommendation by default.
        task: instead of the task that the folder names, which may have moved.
        **options: the method's own inference options.

    Returns:
        The planner and its parameters: ``planner.plan(params, key, problem)``.

    Raises:
        ValueError: for an unknown name or option, an option without effect on this planner, bad values, or parameters of
            another architecture.
        FileNotFoundError: if the file of a user's task is missing.
    """
    check_whole(refine_steps=refine_steps, candidates=candidates, execute_steps=execute_steps)
    ensure_compile_cache()
    folder = find_planner(name)
    fields, arrays = _contents(folder)
    task, method, settings, arrays = _described(folder, fields, arrays, task)
    learner = find_method(method, task)
    known = learner.INFERENCE_OPTIONS if isinstance(learner, HasInferenceOptions) else ()
    for option in options:
        if option not in known:
            raise unknown_name(f"inference option of {name}, which is of the method {method},", option, known)
    settings = with_settings(settings, options)
    for part in (settings, task.settings):
        if part is not None:
            check_settings(part)
    effective = learner.inference_options(settings) if isinstance(learner, ChecksInferenceOptions) else known
    for option in options:
        if option not in effective:
            raise ValueError(
                f"The inference option {option} has no effect on {name} as it is set; leave it out. With an effect: "
                f"{', '.join(effective)}."
            )
    inference = {"refiner": refiner} if refiner is not None else {}
    planner = learner.build(
        task, settings, refine_steps=refine_steps, candidates=candidates, execute_steps=execute_steps, **inference
    )
    return planner, _load_params(planner, folder, arrays)


def _contents(folder: Path) -> tuple[dict[str, Any], Arrays]:
    """The fields and arrays of a planner's folder; those of the first edition as they would be written today."""
    fields, arrays = read_json(folder / "planner.json"), read_npz(folder / "params.npz")
    if "task" in fields:
        return fields, arrays
    try:
        convert = first_edition_converter(fields.get("kind"))
        task, method, settings, arrays = convert(fields, arrays)
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"{folder} does not describe a planner ({error}). Copy it again.") from error
    fields = {"task": task, "method": method, "settings": settings}
    if isinstance(task, Task) and task.settings is not None:
        fields["task_settings"] = dataclasses.asdict(task.settings)
    return fields, arrays


def _described(
    folder: Path, fields: dict[str, Any], arrays: Arrays, task: Task | str | None
) -> tuple[Task, str, Any, Arrays]:
    """Task, method, settings and arrays of a planner's folder."""
    file = folder / "planner.json"
    named, method = fields.get("task"), fields.get("method")
    if task is None and isinstance(named, Task):
        # A first-edition description may be of a task that has no name.
        task, named = named, named.name
    if not isinstance(named, str) or not isinstance(method, str):
        raise ValueError(f"{file} does not describe a planner (its task or method is missing). Save it again.")
    if task is None:
        try:
            task = make_task(_absolute(named, folder))
        except FileNotFoundError as error:
            raise FileNotFoundError(f"The task of the planner in {folder} is gone: {error} Or give task=.") from error
    elif isinstance(task, str):
        task = make_task(task)
    try:
        if fields.get("task_settings") is not None:
            task.settings = filled(task.settings, fields["task_settings"])
        settings = filled(task.configure(method, find_method(method, task).Settings()), fields.get("settings", {}))
    except TypeError as error:
        raise ValueError(f"{file} does not describe a planner ({error}). Save it again.") from error
    named_planners = {o.planner for o in _shared(find_method(method, task), settings).values()}
    here = {name: str(folder / name) for name in named_planners if name and _is_planner(folder / name)}
    settings = filled(settings, _renamed(dataclasses.asdict(settings), here))
    for part, (other, theirs) in _shared(find_method(method, task), settings).items():
        below = find_planner(other)
        held = _described(below, *_contents(below), None)[3]
        arrays = arrays | {part + n.removeprefix(theirs): x for n, x in held.items() if n.startswith(theirs)}
    return task, method, settings, arrays


def _shared(learner: Any, settings: Any) -> Mapping[str, Shared]:
    return learner.shared(settings) if isinstance(learner, SharesParams) else {}


def _is_planner(name: str | os.PathLike) -> bool:
    return str(name) not in ("", ".") and (Path(name) / "planner.json").is_file()


def _renamed(fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Fields of settings in which planners are named otherwise."""
    renamed = {name: names.get(value, value) for name, value in fields.items() if isinstance(value, str)}
    nested = {name: _renamed(value, names) for name, value in fields.items() if isinstance(value, Mapping)}
    return {**fields, **renamed, **nested}


def _relative(reference: str, folder: Path) -> str:
    """A user's ``FILE.py:CLASS`` as seen from the planner's folder, so that both can move together."""
    if ".py:" not in reference:
        return reference
    file, _, name = reference.rpartition(":")
    return f"{os.path.relpath(file, folder.resolve())}:{name}"


def _absolute(reference: str, folder: Path) -> str:
    if ".py:" not in reference:
        return reference
    file, _, name = reference.rpartition(":")
    return f"{(folder.resolve() / file).resolve()}:{name}"


def _load_params(planner: Planner, folder: Path, saved: Arrays) -> Params:
    try:
        params = jax.eval_shape(planner.init, jax.random.key(0))
    except (TypeError, ArithmeticError) as error:
        raise ValueError(
            f"{folder / 'planner.json'} describes arrays that cannot be ({error}). Save it again."
        ) from error
    path = folder / "params.npz"
    wanted = _by_name(params)
    for key, like in wanted.items():
        have = saved[key].shape if key in saved else None
        if have != like.shape:
            raise ValueError(
                f"{path} is of another architecture: {key} has shape {have} there, {like.shape} in planner.json. Keep the two "
                "files of one planner together."
            )
        if not np.isfinite(saved[key]).all():
            raise ValueError(f"{path}: {key} has NaN or infinite entries. Copy the planner again, or train it again.")
    # Cast on the host and moved together: on the device each shape's cast would be a program to compile.
    arrays = jax.device_put([saved[key].astype(like.dtype) for key, like in wanted.items()])
    return jax.tree.unflatten(jax.tree.structure(params), arrays)


def _by_name(params: PyTree) -> dict:
    return {jax.tree_util.keystr(path): x for path, x in jax.tree_util.tree_flatten_with_path(params)[0]}
