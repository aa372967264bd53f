"""Planners on disk: ``planner.json`` (what to build) and ``params.npz`` (with what), and the shipped ones by name."""

import dataclasses
import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from invlearn_jax.files import replace_files
from invlearn_jax.names import unknown_name
from invlearn_jax.planners import maze_diffusion, maze_policy
from invlearn_jax.planners.ant_motor import AntMotorConfig, build_motor
from invlearn_jax.planners.ant_stack import AntStackConfig, build_ant_stack
from invlearn_jax.planners.maze import MazePlannerConfig, build_planner
from invlearn_jax.planners.maze_diffusion import OPTIONS, MazeDiffusionConfig, build_diffusion_planner
from invlearn_jax.planners.maze_policy import MazePolicyConfig, build_policy_planner
from invlearn_jax.planners.maze_stack import MazeStackConfig, build_stack
from invlearn_jax.quantum.build import PulseConfig, build_pulse_planner
from invlearn_jax.types import Params, Planner

_SHIPPED = Path(__file__).parent.parent / "planners" / "shipped"

PlannerConfig = (
    MazePlannerConfig
    | MazeStackConfig
    | MazePolicyConfig
    | MazeDiffusionConfig
    | AntMotorConfig
    | AntStackConfig
    | PulseConfig
)


class Kind(NamedTuple):
    """What a ``kind`` in ``planner.json`` stands for.

    Attributes:
        config: the class of its description, with an ``env``.
        build: ``(config, refine_steps, candidates, refiner, execute_steps) -> planner``.
        options: inference options: fields of the description that may be changed without training again.
        effective: ``config -> names``, which of them have an effect under a description.
        shared: what it may take from another planner: the part of its own parameters for the part of that one's.
    """

    config: type
    build: Callable[..., Planner]
    options: tuple[str, ...] = ()
    effective: Callable[[Any], tuple[str, ...]] = lambda config: ()
    shared: tuple[tuple[str, str], ...] = ((".model", ".model"), (".objective", ".objective"))


# A description without a kind is of the first.
_KINDS = {
    "maze": Kind(MazePlannerConfig, build_planner),
    "maze_stack": Kind(MazeStackConfig, build_stack),
    "maze_policy": Kind(MazePolicyConfig, build_policy_planner, ("target_return",), maze_policy.inference_options),
    "maze_diffusion": Kind(MazeDiffusionConfig, build_diffusion_planner, OPTIONS, maze_diffusion.inference_options),
    "ant_motor": Kind(AntMotorConfig, build_motor),
    "ant_stack": Kind(AntStackConfig, build_ant_stack, shared=((".motor", ""),)),
    "pulse": Kind(PulseConfig, build_pulse_planner),
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
        shares: the planner, shipped or a folder, that holds a part of these already, which is not written again: forward model
            and objective of a maze2d planner, the motor level of an antmaze planner.
        half: stores weights in half precision, for shipping.

    Raises:
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
    file = folder / "planner.json"
    try:
        fields = json.loads(file.read_text())
        fields.pop("shares", None)
        kind = fields.pop("kind", next(iter(_KINDS)))
        if kind not in _KINDS:
            raise unknown_name(f"kind of planner in {file}", kind, _KINDS)
        return _filled(_KINDS[kind].config(), fields), folder
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise ValueError(f"{file} does not describe a planner ({error}). Save it again.") from error


def _kind_of(config: PlannerConfig) -> str:
    return next(name for name, kind in _KINDS.items() if kind.config is type(config))


def _filled(config: Any, fields: dict[str, Any]) -> Any:
    """A configuration with fields from JSON, which knows neither tuples nor dataclasses."""
    values = {}
    for name, value in fields.items():
        like = getattr(config, name)
        if dataclasses.is_dataclass(like):
            value = _filled(like, value)
        elif isinstance(value, list):
            value = tuple(value)
        if type(value) is not type(like) and not (type(like) is float and type(value) is int):
            raise TypeError(f"{name} is {value!r}, no {type(like).__name__}")
        values[name] = value
    return dataclasses.replace(config, **values)


def load_planner(
    name: str | os.PathLike,
    refine_steps: int = 0,
    candidates: int | None = None,
    refiner: str | None = None,
    execute_steps: int | None = None,
    **settings: Any,
) -> tuple[Planner, Params]:
    """Loads a planner, shipped or your own.

    Args:
        name: a shipped name such as ``maze2d-large-v1``, or a folder written by ``save_planner``.
        refine_steps: K steps of refinement; 0 is one forward pass.
        candidates: proposals per problem; the planner's own recommendation by default.
        refiner: ``adam`` (the default), ``sgd``, ``predictive_sampling``, ``mppi``, ``cem`` or ``ilqr``; for pulses
            ``gauss_newton``, ``lbfgs`` or ``adam``.
        execute_steps: motor steps between plans; the planner's own recommendation by default.
        **settings: its own inference options: ``sampler``, ``denoise_steps``, ``guidance``, ``temperature``, ``follow`` and
            ``horizon`` of a diffusion planner, ``target_return`` of a Decision Transformer.

    Returns:
        The planner and its parameters: ``planner.plan(params, key, problem)``.

    Raises:
        ValueError: for an unknown name or option, an option without effect on this planner, bad values, or parameters of
            another architecture.
    """
    config, folder = load_config(name)
    kind = _KINDS[_kind_of(config)]
    for setting in settings:
        if setting not in kind.options:
            raise unknown_name(f"inference option of {name}", setting, kind.options)
    try:
        config = _filled(config, settings)
    except TypeError as error:
        raise ValueError(f"An inference option of {name} was set wrongly: {error}.") from error
    effective = kind.effective(config)
    for setting in settings:
        if setting not in effective:
            raise ValueError(
                f"The inference option {setting} has no effect on {name} as it is set; leave it out. With an effect: "
                f"{', '.join(effective) or 'none'}."
            )
    how = {} if refiner is None else {"refiner": refiner}
    planner = kind.build(config, refine_steps, candidates, execute_steps=execute_steps, **how)
    return planner, load_params(planner, folder)


def load_params(planner: Planner, folder: str | os.PathLike) -> Params:
    """Reads ``params.npz`` for a planner, and what it shares from the planner that holds it.

    Raises:
        ValueError: if the file is missing or broken, or an array is missing or of another shape; names the file.
    """
    path = Path(folder) / "params.npz"
    params = jax.eval_shape(planner.init, jax.random.key(0))
    wanted, saved = _by_name(params), _arrays(path)
    description = json.loads((Path(folder) / "planner.json").read_text())
    shares = description.get("shares")
    if shares:
        beside = Path(folder) / shares
        held = _arrays(load_config(beside if beside.is_dir() else shares)[1] / "params.npz")
        for own, theirs in _KINDS[description.get("kind", next(iter(_KINDS)))].shared:
            saved |= {own + key[len(theirs) :]: value for key, value in held.items() if key.startswith(theirs)}
    for key, like in wanted.items():
        have = saved[key].shape if key in saved else None
        if have != like.shape:
            raise ValueError(
                f"{path} is of another architecture: {key} has shape {have} there, {like.shape} in planner.json. "
                "Keep the two files of one planner together."
            )
    arrays = [jnp.asarray(saved[key]).astype(like.dtype) for key, like in wanted.items()]
    return jax.tree.structure(params).unflatten(arrays)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        # Read to the end, since an altered array shows only then; opened here, since NumPy leaves a broken file open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as saved:
            return {key: np.asarray(value) for key, value in saved.items()}
    except (OSError, EOFError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} holds no planner's parameters ({error}). Copy or save the planner again.") from error


def _by_name(params: PyTree) -> dict:
    return {jax.tree_util.keystr(path): x for path, x in jax.tree_util.tree_flatten_with_path(params)[0]}
