"""Planners: Inverters, and the levels they stack to."""

from invlearn_jax.planners.mlp_inverter import InverterParams, MlpInverter
from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.planners.shooting import Shooting
from invlearn_jax.planners.stack import LevelModel, LevelParams, Stack

__all__ = [
    "InversePlanner",
    "InverterParams",
    "LevelModel",
    "LevelParams",
    "MlpInverter",
    "PlannerParams",
    "Shooting",
    "Stack",
]
