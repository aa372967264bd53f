"""Planners that the first edition saved, as today's: the same networks over the task's features."""

from typing import Any

import numpy as np

from invlearn_jax.models.coverage import resampled
from invlearn_jax.models.data_coverage import CELLS_BY_DIMENSION
from invlearn_jax.tasks.maze2d.first_edition_baselines import convert_baseline
from invlearn_jax.tasks.maze2d.task import Maze2dTask
from invlearn_jax.tasks.registry import make_task

Arrays = dict[str, np.ndarray]

_FAR = 10.0  # times the scale of a velocity: further off lies what the data did not hold
_BEYOND = 1.1  # times the half-width of the data's box
_OF_THE_TASK = ("horizon", "execute_steps", "goal_radius", "goal_width")


def convert(fields: dict[str, Any], arrays: Arrays) -> tuple[Maze2dTask, str, dict[str, Any], Arrays]:
    """A planner of one level, or a baseline over one.

    Args:
        fields: of its ``planner.json``.
        arrays: of its ``params.npz``.

    Returns:
        The task, the method, its settings and the arrays by today's names.

    Raises:
        KeyError: if a field or array is missing.
        ValueError: for a task that is no maze2d.
    """
    if fields.get("kind") in ("maze_policy", "maze_diffusion"):
        base = fields["base"]
        method, settings, kept = convert_baseline(fields, arrays, _settings(base))
        if method == "bc":
            kept = _inverter(arrays)
        if "shares" not in fields:
            kept = kept | _model_and_objective(arrays)
        return _task(base), method, settings, kept
    return _task(fields), "inverter", _settings(fields), _inverter(arrays) | _model_and_objective(arrays)


def _task(fields: dict[str, Any]) -> Maze2dTask:
    """The maze with the horizon and the goal's disc that a planner was trained for."""
    task = make_task(fields["env"])
    if not isinstance(task, Maze2dTask):
        raise ValueError(f"A planner of a maze2d names the task {task.name}. Copy it again.")
    for name in _OF_THE_TASK:
        setattr(task.settings, name, fields[name])
    return task


def _settings(fields: dict[str, Any]) -> dict[str, Any]:
    """Those of the method ``inverter``."""
    return {
        "model": {
            "chunk": fields["model_chunk"],
            "hidden": fields["model_hidden"],
            "octaves": fields["model_octaves"],
        },
        "tail": {
            "kind": "graph",
            "look_ahead": fields["look_ahead"],
            "hidden": fields["cost_to_go_hidden"],
            "octaves": fields["cost_to_go_octaves"],
        },
        "net": {"hidden": fields["inverter_hidden"], "octaves": fields["inverter_octaves"], "knots": 0},
        "objective": {
            "final": fields["final_weight"],
            "along": fields["along_weight"],
            "smoothness": fields["smooth_weight"],
            "effort": fields["effort_weight"],
            "unvisited": fields["unvisited_weight"],
        },
        "refine_rate": fields["refine_rate"],
    }


def _inverter(arrays: Arrays) -> Arrays:
    """The Inverter's arrays: one scale for all inputs of a kind."""
    centre, half, scale = (arrays[f".inverter.{name}"] for name in ("centre", "half", "scale"))
    rest = np.zeros_like(scale)
    mean, std = np.concatenate([centre, rest]), np.concatenate([half, scale])
    reach = np.concatenate([_BEYOND * half, _FAR * scale])
    kept = {name: x for name, x in arrays.items() if name.startswith(".inverter.net")}
    return kept | _scales("state", mean, std, reach) | _scales("goal", centre, half, _BEYOND * half)


def _model_and_objective(arrays: Arrays) -> Arrays:
    """The arrays of model and objective: cost-to-go and map of distances apart."""
    kept = {name: x for name, x in arrays.items() if name.startswith(".model.")}
    kept |= {
        name.replace(".objective.", ".objective.tail."): x
        for name, x in arrays.items()
        if name.startswith(".objective.") and name != ".objective.unvisited"
    }
    for name in ("centre", "half"):
        kept[f".objective.coverage.{name}"] = arrays[f".objective.{name}"]
    kept[".objective.coverage.table"] = resampled(arrays[".objective.unvisited"], CELLS_BY_DIMENSION[2])
    kept[".objective.scale"] = np.ones((), np.float32)
    return kept


def _scales(name: str, mean: np.ndarray, std: np.ndarray, reach: np.ndarray) -> Arrays:
    values = {"mean": mean, "std": std, "low": mean - reach, "high": mean + reach}
    return {f".inverter.{name}.{part}": np.asarray(x, np.float32) for part, x in values.items()}
