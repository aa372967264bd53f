"""Baselines that the first edition saved, as today's: policies and diffusion planners over a maze's planner."""

from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
_SAME_GOAL = 0.5  # m; further from the maze's own goal a policy for that said it was another one
_TRANSFORMER = ("context", "target_return", "return_scale", "width", "layers", "heads", "dropout")
_PLANS = (
    "tokens", "stride", "width", "multipliers", "train_steps", "with_actions", "pin_goal", "ask_goal", "sampler", "denoise_steps",
    "guidance", "temperature", "follow", "gap", "inverse_hidden", "horizon", "candidates", "execute_steps",
)  # fmt: skip


def convert_baseline(
    fields: dict[str, Any], arrays: Arrays, base_settings: dict[str, Any]
) -> tuple[str, dict[str, Any], Arrays]:
    """A baseline, but for model and objective.

    Args:
        fields: of its ``planner.json``, of the kind ``maze_policy`` or ``maze_diffusion``.
        arrays: of its ``params.npz``.
        base_settings: of model and objective, as of the method ``inverter``; unused where another planner's folder holds them.

    Returns:
        The method, its settings, and those of the arrays that are the baseline's own by today's names.

    Raises:
        KeyError: if a field is missing.
    """
    named = {name: base_settings[name] for name in ("model", "tail", "objective")}
    settings = named | {"base": fields.get("shares", "")}
    kept = {name: x for name, x in arrays.items() if name.startswith(".inverter.")}
    if fields["kind"] == "maze_diffusion":
        settings |= {name: fields[name] for name in _PLANS} | {"refine_rate": fields["base"]["refine_rate"]}
        one_step = fields["denoise_steps"] == 1 and fields["ask_goal"]
        method = "diffuser" if fields["pin_goal"] else "consistency" if one_step else "decision-diffuser"
        return method, settings, kept
    method = fields["method"]
    settings |= {"refine_rate": fields["refine_rate"], "horizon": fields["horizon"]}
    if method == "bc":
        return method, settings | {name: fields[name] for name in ("hidden", "octaves")}, kept
    settings |= {"one_goal": True, "same_goal": _SAME_GOAL, "execute_steps": fields["execute_steps"]}
    names = _TRANSFORMER if method == "dt" else ("hidden", "octaves")
    return method, settings | {name: fields[name] for name in names}, kept
