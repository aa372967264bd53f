"""Planners that the first edition saved, as today's: the same networks over the task's features."""

from typing import Any

import numpy as np

_FAR = 10.0  # times the scale of a velocity: further off lies what the data did not hold
_BEYOND = 1.1  # times the half-width of the data's box
_NET = (".inverter.net", ".model.")


def convert(
    fields: dict[str, Any], arrays: dict[str, np.ndarray]
) -> tuple[str, str, dict[str, Any], dict[str, np.ndarray]]:
    """A planner of one level.

    Args:
        fields: of its ``planner.json``.
        arrays: of its ``params.npz``.

    Returns:
        The task's name, the method, its settings and the arrays by today's names.
    """
    settings = {
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
            "effort": fields.get("effort_weight", 0.0),
            "unvisited": fields.get("unvisited_weight", 0.0),
        },
        "refine_rate": fields["refine_rate"],
    }
    kept = {name: x for name, x in arrays.items() if name.startswith(_NET)}
    centre, half, scale = (arrays[f".inverter.{name}"] for name in ("centre", "half", "scale"))
    rest = np.zeros_like(scale)
    mean, std = np.concatenate([centre, rest]), np.concatenate([half, scale])
    reach = np.concatenate([_BEYOND * half, _FAR * scale])
    kept |= _scales("state", mean, std, reach) | _scales("goal", centre, half, _BEYOND * half)
    kept |= {
        name.replace(".objective.", ".objective.tail."): x
        for name, x in arrays.items()
        if name.startswith(".objective.") and name != ".objective.unvisited"
    }
    for name in ("centre", "half"):
        kept[f".objective.coverage.{name}"] = arrays[f".objective.{name}"]
    kept[".objective.coverage.table"] = arrays[".objective.unvisited"]
    kept[".objective.scale"] = np.ones((), np.float32)
    return fields["env"], "inverter", settings, kept


def _scales(name: str, mean: np.ndarray, std: np.ndarray, reach: np.ndarray) -> dict[str, np.ndarray]:
    values = {"mean": mean, "std": std, "low": mean - reach, "high": mean + reach}
    return {f".inverter.{name}.{part}": np.asarray(x, np.float32) for part, x in values.items()}
