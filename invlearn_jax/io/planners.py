"""Planners on disk: ``planner.json`` (what to build) and ``params.npz`` (with what), and the shipped ones by name."""

import dataclasses
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from invlearn_jax.files import read_json, read_npz, replace_files
from invlearn_jax.names import unknown_name
from invlearn_jax.settings import check_settings
from invlearn_jax.tasks.maze2d.planner import MazePlannerConfig, build_planner
from invlearn_jax.types import Params, Planner

_SHIPPED = Path(__file__).parent.parent / "planners" / "shipped"

PlannerConfig = MazePlannerConfig


class Kind(NamedTuple):
    """What a ``kind`` in ``planner.json`` stands for.

    Attributes:
        config: the class of its description, with an ``env``.
        build: ``(config, refine_steps, candidates, refiner, execute_steps) -> planner``.
        shared: what it may take from another planner: the part of its own parameters for the part of that one's.
    """

    config: type
    build: Callable[..., Planner]
    shared: tuple[tuple[str, str], ...] = ((".model", ".model"), (".objective", ".objective"))


# A description without a kind is of the first.
_KINDS = {
    "maze": Kind(MazePlannerConfig, build_planner),
}


def planner_names() -> list[str]:
    """The planners that come with the library."""
    return sorted(path.parent.name for path in _SHIPPED.glob("*/planner.json"))


def save_planner(
    folder: str | os.PathLike,
    config: PlannerConfig,
    params: Params,
    shares: str | None = None,
    half: bool = False,
) -> None:
    """Writes a planner's folder.

    Args:
        folder: made where missing.
        config: what to build.
        params: its parameters.
        shares: the planner, shipped or a folder, that holds forward model and objective already, which are not written again.
        half: stores weights in half precision, for shipping.

    Raises:
        ValueError: for a description of no known kind.
        OSError: if the folder cannot be written.
    """
    held = tuple(own for own, _ in _KINDS[_kind_of(config)].shared) if shares else ()
    arrays = {name: np.asarray(x) for name, x in _by_name(params).items() if not name.startswith(held)}
    if half:
        arrays = {
            name: x.astype(np.float16) if x.dtype == np.float32 and x.ndim > 1 else x for name, x in arrays.items()
        }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    if shares and (Path(shares) / "planner.json").is_file():
        shares = os.path.relpath(shares, folder)
    fields = {"kind": _kind_of(config), **({"shares": shares} if shares else {}), **dataclasses.asdict(config)}
    description = json.dumps(fields, indent=2) + "\n"
    replace_files({Path(folder) / "params.npz": buffer.getvalue(), Path(folder) / "planner.json": description.encode()})


def load_config(name: str | os.PathLike) -> tuple[PlannerConfig, Path]:
    """Finds a planner by shipped name or folder.

    Returns:
        Its configuration and its folder.

    Raises:
        ValueError: for an unknown name or kind (nearest known ones shown) or a broken description.
    """
    folder = Path(name)
    if not (folder / "planner.json").is_file():
        folder = _SHIPPED / str(name)
    if str(name) in ("", ".") or not (folder / "planner.json").is_file():
        raise unknown_name("planner (neither shipped nor a folder with planner.json)", str(name), planner_names())
    fields, kind, _ = _description(folder)
    try:
        config = _filled(_KINDS[kind].config(), fields)
        check_settings(config)
        return config, folder
    except (TypeError, ValueError) as error:
        raise ValueError(f"{folder / 'planner.json'} does not describe a planner ({error}). Save it again.") from error


def _description(folder: Path) -> tuple[dict[str, Any], str, str | None]:
    """The fields of a folder's ``planner.json``, the kind that it is of, and the planner that it shares with.

    Raises:
        ValueError: if it is broken or of an unknown kind; names the file.
    """
    file = folder / "planner.json"
    fields = read_json(file)
    kind, shares = fields.pop("kind", next(iter(_KINDS))), fields.pop("shares", None)
    if not isinstance(kind, str) or not isinstance(shares, str | None):
        raise ValueError(f"{file} does not describe a planner (its kind or shares is no text). Save it again.")
    if kind not in _KINDS:
        raise unknown_name(f"kind of planner in {file}", kind, _KINDS)
    return fields, kind, shares


def _kind_of(config: PlannerConfig) -> str:
    for name, kind in _KINDS.items():
        if kind.config is type(config):
            return name
    known = ", ".join(kind.config.__name__ for kind in _KINDS.values())
    raise ValueError(
        f"{type(config).__name__} describes no planner that can be written to a folder and loaded from it; known are {known}. "
        "Give one of these, or keep the parameters alone, as a checkpoint (invlearn_jax.io.checkpoint) or by numpy.savez."
    )


def _filled(config: Any, fields: dict[str, Any]) -> Any:
    """A configuration with fields from JSON, which knows neither tuples nor dataclasses.

    Raises:
        TypeError: for an unknown field, or a value of another type than the field's.
    """
    types, values = get_type_hints(type(config)), {}
    known = [field.name for field in dataclasses.fields(config)]
    for name, value in fields.items():
        if name not in known:
            raise TypeError(str(unknown_name(f"field of {type(config).__name__}", name, known)))
        like = getattr(config, name)
        if dataclasses.is_dataclass(like) and isinstance(value, dict):
            values[name] = _filled(like, value)
        elif isinstance(like, tuple) and isinstance(value, list | tuple):
            each = get_args(types[name])[0]
            values[name] = tuple(_checked(f"{name}[{index}]", part, each) for index, part in enumerate(value))
        else:
            values[name] = _checked(name, value, type(like))
    return dataclasses.replace(config, **values)


def _checked(name: str, value: Any, kind: type) -> Any:
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise TypeError(f"{name} is {value!r:.80}, no {kind.__name__}")
    # Whole numbers may be larger than any float, which ``math.isfinite`` does not take.
    if kind is float and not abs(value) <= sys.float_info.max:
        raise TypeError(f"{name} is {value!r:.80}, no finite number")
    return value


def load_planner(
    name: str | os.PathLike,
    refine_steps: int = 0,
    candidates: int | None = None,
    refiner: str | None = None,
    execute_steps: int | None = None,
) -> tuple[Planner, Params]:
    """Loads a planner, shipped or your own.

    Args:
        name: a shipped name such as ``maze2d-large-v1``, or a folder written by ``save_planner``.
        refine_steps: K steps of refinement; 0 is one forward pass.
        candidates: proposals per problem; the planner's own recommendation by default.
        refiner: ``adam`` (the default), ``sgd``, ``predictive_sampling``, ``mppi``, ``cem`` or ``ilqr``.
        execute_steps: motor steps between plans; the planner's own recommendation by default.

    Returns:
        The planner and its parameters: ``planner.plan(params, key, problem)``.

    Raises:
        ValueError: for an unknown name, bad values, or parameters of another architecture.
    """
    config, folder = load_config(name)
    kind = _KINDS[_kind_of(config)]
    how = {} if refiner is None else {"refiner": refiner}
    planner = kind.build(config, refine_steps, candidates, execute_steps=execute_steps, **how)
    return planner, load_params(planner, folder)


def load_params(planner: Planner, folder: str | os.PathLike) -> Params:
    """Reads ``params.npz`` for a planner, and what it shares from the planner that holds it.

    Raises:
        ValueError: if the file is missing or broken, or an array is missing, of another shape or not finite; names the file.
    """
    folder = Path(folder)
    try:
        params = jax.eval_shape(planner.init, jax.random.key(0))
    except (TypeError, ArithmeticError) as error:
        raise ValueError(
            f"{folder / 'planner.json'} describes arrays that cannot be ({error}). Save the planner again."
        ) from error
    wanted, saved = _by_name(params), _arrays(folder)
    _, kind, shares = _description(folder)
    if shares is not None:
        beside = folder / shares
        held = _arrays(load_config(beside if beside.is_dir() else shares)[1])
        for own, theirs in _KINDS[kind].shared:
            saved |= {own + key[len(theirs) :]: value for key, value in held.items() if key.startswith(theirs)}
    for key, like in wanted.items():
        have = saved[key].shape if key in saved else None
        if have != like.shape:
            raise ValueError(
                f"{folder / 'params.npz'} is of another architecture: {key} has shape {have} there, {like.shape} in "
                "planner.json. Keep the two files of one planner together."
            )
    arrays = [jnp.asarray(saved[key]).astype(like.dtype) for key, like in wanted.items()]
    return jax.tree.structure(params).unflatten(arrays)


def _arrays(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of a folder's ``params.npz``, all finite."""
    path = folder / "params.npz"
    try:
        arrays = read_npz(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"params.npz holds no planner's parameters: {error}") from error
    for name, value in arrays.items():
        if not np.isfinite(value).all():
            raise ValueError(
                f"{path} holds no planner's parameters: {name} has NaN or infinite entries. Copy the planner again, or train it "
                "again."
            )
    return arrays


def _by_name(params: PyTree) -> dict:
    return {jax.tree_util.keystr(path): x for path, x in jax.tree_util.tree_flatten_with_path(params)[0]}
