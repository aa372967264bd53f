"""Planners that the first edition saved, as today's: the same networks over the task's features."""

from typing import Any

import numpy as np

from invlearn_jax.settings import filled
from invlearn_jax.tasks.maze2d.first_edition_baselines import convert_baseline
from invlearn_jax.tasks.maze2d.planner import MazePlannerConfig

_FAR = 10.0  # times the scale of a velocity: further off lies what the data did not hold
_BEYOND = 1.1  # times the half-width of the data's box
_OF_THE_TASK = ("horizon", "execute_steps", "goal_radius", "goal_width")
_WANTED = {f".inverter.{name}" for name in ("centre", "half", "scale")} | {
    f".objective.{name}" for name in ("centre", "half", "unvisited")
}


def convert(
    fields: dict[str, Any], arrays: dict[str, np.ndarray]
) -> tuple[str, str, dict[str, Any], dict[str, np.ndarray]] | None:
    """A planner of one level, or a baseline over one.

    Args:
        fields: of its ``planner.json``.
        arrays: of its ``params.npz``.

    Returns:
        The task's name, the method, its settings and the arrays by today's names; None for a description that is at fault, or
        of a horizon or goal disc that is not the task's: the first edition's own loader takes these.

    Raises:
        KeyError: if a field or array of a baseline is missing.
        ValueError: for a baseline over a planner whose goal disc is not the task's.
    """
    if fields.get("kind") in ("maze_policy", "maze_diffusion"):
        return _baseline(fields, arrays)
    try:
        config = filled(MazePlannerConfig(), {name: value for name, value in fields.items() if name != "kind"})
    except (TypeError, ValueError):
        return None
    like = MazePlannerConfig()
    if any(getattr(config, name) != getattr(like, name) for name in _OF_THE_TASK) or not _WANTED <= arrays.keys():
        return None
    return config.env, "inverter", _settings(config), _inverter(arrays) | _model_and_objective(arrays)


def _baseline(
    fields: dict[str, Any], arrays: dict[str, np.ndarray]
) -> tuple[str, str, dict[str, Any], dict[str, np.ndarray]]:
    base = filled(MazePlannerConfig(), fields["base"])
    for name in ("goal_radius", "goal_width"):
        if getattr(base, name) != getattr(MazePlannerConfig(), name):
            raise ValueError(
                f"{name} of this first-edition planner is {getattr(base, name)}, of the task "
                f"{getattr(MazePlannerConfig(), name)}; costs would be others. Train it again."
            )
    task, method, settings, kept = convert_baseline(fields, arrays, _settings(base))
    if method == "bc":
        kept = _inverter(arrays)
    return task, method, settings, kept if "shares" in fields else kept | _model_and_objective(arrays)


def _settings(config: MazePlannerConfig) -> dict[str, Any]:
    """Those of the method ``inverter``."""
    return {
        "model": {
            "chunk": config.model_chunk,
            "hidden": config.model_hidden,
            "octaves": config.model_octaves,
        },
        "tail": {
            "kind": "graph",
            "look_ahead": config.look_ahead,
            "hidden": config.cost_to_go_hidden,
            "octaves": config.cost_to_go_octaves,
        },
        "net": {"hidden": config.inverter_hidden, "octaves": config.inverter_octaves, "knots": 0},
        "objective": {
            "final": config.final_weight,
            "along": config.along_weight,
            "smoothness": config.smooth_weight,
            "effort": config.effort_weight,
            "unvisited": config.unvisited_weight,
        },
        "refine_rate": config.refine_rate,
    }


def _inverter(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The Inverter's arrays: one scale for all inputs of a kind."""
    centre, half, scale = (arrays[f".inverter.{name}"] for name in ("centre", "half", "scale"))
    rest = np.zeros_like(scale)
    mean, std = np.concatenate([centre, rest]), np.concatenate([half, scale])
    reach = np.concatenate([_BEYOND * half, _FAR * scale])
    kept = {name: x for name, x in arrays.items() if name.startswith(".inverter.net")}
    return kept | _scales("state", mean, std, reach) | _scales("goal", centre, half, _BEYOND * half)


def _model_and_objective(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of model and objective: cost-to-go and map of distances apart."""
    kept = {name: x for name, x in arrays.items() if name.startswith(".model.")}
    kept |= {
        name.replace(".objective.", ".objective.tail."): x
        for name, x in arrays.items()
        if name.startswith(".objective.") and name != ".objective.unvisited"
    }
    for name in ("centre", "half"):
        kept[f".objective.coverage.{name}"] = arrays[f".objective.{name}"]
    kept[".objective.coverage.table"] = arrays[".objective.unvisited"]
    kept[".objective.scale"] = np.ones((), np.float32)
    return kept


def _scales(name: str, mean: np.ndarray, std: np.ndarray, reach: np.ndarray) -> dict[str, np.ndarray]:
    values = {"mean": mean, "std": std, "low": mean - reach, "high": mean + reach}
    return {f".inverter.{name}.{part}": np.asarray(x, np.float32) for part, x in values.items()}
