"""Planners on disk: ``planner.json`` (what to build) and ``params.npz`` (with what), and the shipped ones by name."""

import dataclasses
import io
import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from invlearn_jax.files import replace_files
from invlearn_jax.names import unknown_name
from invlearn_jax.planners.maze import MazePlannerConfig, build_planner
from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.types import Planner

_SHIPPED = Path(__file__).parent.parent / "planners" / "shipped"


def planner_names() -> list[str]:
    """The planners that come with the library."""
    return sorted(path.parent.name for path in _SHIPPED.glob("*/planner.json"))


def save_planner(folder: str | os.PathLike, config: MazePlannerConfig, params: PlannerParams) -> None:
    """Writes a planner's folder.

    Args:
        folder: made where missing.
        config: what to build.
        params: its parameters.

    Raises:
        OSError: if the folder cannot be written.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: np.asarray(x) for name, x in _by_name(params).items()})
    description = json.dumps(dataclasses.asdict(config), indent=2) + "\n"
    replace_files({Path(folder) / "params.npz": buffer.getvalue(), Path(folder) / "planner.json": description.encode()})


def load_config(name: str | os.PathLike) -> tuple[MazePlannerConfig, Path]:
    """Finds a planner by shipped name or folder.

    Returns:
        Its configuration and its folder.

    Raises:
        ValueError: for an unknown name (nearest known names shown) or a broken description.
    """
    folder = Path(name)
    if not (folder / "planner.json").is_file():
        folder = _SHIPPED / str(name)
    if str(name) in ("", ".") or not (folder / "planner.json").is_file():
        raise unknown_name("planner (neither shipped nor a folder with planner.json)", str(name), planner_names())
    try:
        fields = json.loads((folder / "planner.json").read_text())
        fields = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
        return MazePlannerConfig(**fields), folder
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(f"{folder / 'planner.json'} does not describe a planner ({error}). Save it again.") from error


def load_planner(
    name: str | os.PathLike,
    refine_steps: int = 0,
    candidates: int = 1,
    refiner: str = "adam",
    execute_steps: int | None = None,
) -> tuple[Planner, PlannerParams]:
    """Loads a planner, shipped or your own.

    Args:
        name: a shipped name such as ``maze2d-large-v1``, or a folder written by ``save_planner``.
        refine_steps: K steps of refinement; 0 is one forward pass.
        candidates: proposals per problem.
        refiner: ``adam``, ``sgd``, ``predictive_sampling``, ``mppi`` or ``cem``.
        execute_steps: steps between plans; the planner's own recommendation by default.

    Returns:
        The planner and its parameters: ``planner.plan(params, key, problem)``.

    Raises:
        ValueError: for an unknown name, bad settings, or parameters of another architecture.
    """
    config, folder = load_config(name)
    planner = build_planner(config, refine_steps, candidates, refiner, execute_steps)
    return planner, load_params(planner, folder)


def load_params(planner: InversePlanner, folder: str | os.PathLike) -> PlannerParams:
    """Reads ``params.npz`` for a planner.

    Raises:
        ValueError: if an array is missing or of another shape.
    """
    path = Path(folder) / "params.npz"
    wanted = _by_name(jax.eval_shape(planner.init, jax.random.key(0)))
    with np.load(path, allow_pickle=False) as saved:
        for key, like in wanted.items():
            have = saved[key].shape if key in saved else None
            if have != like.shape:
                raise ValueError(
                    f"{path} is of another architecture: {key} has shape {have} there, {like.shape} in planner.json. "
                    "Keep the two files of one planner together."
                )
        structure = jax.tree.structure(jax.eval_shape(planner.init, jax.random.key(0)))
        return structure.unflatten([jnp.asarray(saved[key]) for key in wanted])


def _by_name(params: PyTree) -> dict:
    return {jax.tree_util.keystr(path): x for path, x in jax.tree_util.tree_flatten_with_path(params)[0]}
