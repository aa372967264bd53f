"""Planners that the first edition saved, as planners of this one."""

from typing import Any

import numpy as np

from invlearn_jax.models.coverage import resampled
from invlearn_jax.models.data_coverage import CELLS_BY_DIMENSION

Arrays = dict[str, np.ndarray]
_ANYTHING = np.finfo(np.float32).max
_EDGE = 1.1  # of the data's box, within which the first edition's upper level answered
_FAR = 10.0  # deviations from the mean of the data, within which the first edition's motor level answered


def convert(fields: dict[str, Any], arrays: Arrays) -> tuple[str, str, dict[str, Any], Arrays]:
    """A first-edition description and its arrays as task, method, settings and arrays.

    Raises:
        KeyError: if something is missing.
    """
    if fields["kind"] == "ant_stack":
        return fields["env"], "hierarchy", _stack_settings(fields), _stack(arrays)
    settings = {
        "model": {"chunk": fields["model_chunk"], "hidden": fields["model_hidden"]},
        "net": {"hidden": fields["inverter_hidden"]},
        "refine_rate": fields["refine_rate"],
    }
    return "ant-walk", "inverter", settings, _motor(arrays, len(fields["model_hidden"]))


def _stack_settings(fields: dict[str, Any]) -> dict[str, Any]:
    own = {name: fields[name] for name in ("hold", "subgoals", "reach", "near", "execute_steps")}
    upper = {
        "model": {"hidden": fields["model_hidden"], "octaves": fields["model_octaves"]},
        "net": {"hidden": fields["inverter_hidden"], "octaves": fields["inverter_octaves"]},
        "tail": {
            "max_speed": fields["speed"],
            "hidden": fields["cost_to_go_hidden"],
            "octaves": fields["cost_to_go_octaves"],
        },
        "objective": {name: fields[f"{name}_weight"] for name in ("final", "along", "unvisited")},
        "refine_rate": fields["refine_rate"],
    }
    return own | {"lower": fields["shares"], "upper": upper}


def _stack(arrays: Arrays) -> Arrays:
    """The upper level's arrays; the lower level's are in its own folder."""
    new = {name: x for name, x in arrays.items() if name.startswith((".upper.inverter.net", ".upper.model."))}
    centre, half = (arrays[f".upper.inverter.{part}"] for part in ("centre", "half"))
    for part in ("state", "goal"):
        scaled = _scales(part, centre, half, centre - _EDGE * half, centre + _EDGE * half)
        new |= {f".upper{name}": x for name, x in scaled.items()}
    old = {name.removeprefix(".upper.objective"): x for name, x in arrays.items() if ".objective" in name}
    new |= {f".upper.objective.tail{name}": x for name, x in old.items() if name != ".unvisited"}
    new |= {f".upper.objective.coverage.{part}": old[f".{part}"] for part in ("centre", "half")}
    new[".upper.objective.coverage.table"] = resampled(old[".unvisited"], CELLS_BY_DIMENSION[2])
    return new | {".upper.objective.scale": np.ones((), np.float32)}


def _motor(arrays: Arrays, depth: int) -> Arrays:
    """The motor level's arrays: its networks saw x and y of the heading frame too, which are always 0."""
    new = {name: x for name, x in arrays.items() if name.startswith((".inverter.net", ".model."))}
    for layer in (0, depth + 1):  # the first layer, and the linear map that skips all
        name = f".model.net['Dense_{layer}']['kernel']"
        new[name] = new[name][2:]
    for part in ("mean", "std"):
        new[f".model.{part}"] = arrays[f".model.{part}"][2:]
    mean, std = (arrays[f".inverter.{part}"][2:] for part in ("mean", "std"))
    # Of the quaternion x and y count, the tilt; w follows from them, z is the heading.
    free = np.isin(np.arange(len(mean)), (1, 4))
    low, high = (np.where(free, sign * _ANYTHING, mean + sign * _FAR * std) for sign in (-1, 1))
    new |= _scales("state", mean, std, low, high)
    new |= _scales("goal", np.zeros(3), np.ones(3), np.full(3, -_ANYTHING), np.full(3, _ANYTHING))
    return new | {".objective.scale": np.ones((), np.float32)}


def _scales(part: str, mean: np.ndarray, std: np.ndarray, low: np.ndarray, high: np.ndarray) -> Arrays:
    """The scales of an Inverter's states or goals by name."""
    values = {"mean": mean, "std": std, "low": low, "high": high}
    return {f".inverter.{part}.{name}": np.asarray(x, np.float32) for name, x in values.items()}
