"""Planners: Inverters, and what refines and joins them."""

from invlearn_jax.planners.mlp_inverter import InverterParams, MlpInverter
from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.planners.shooting import Shooting

__all__ = [
    "InversePlanner",
    "InverterParams",
    "MlpInverter",
    "PlannerParams",
    "Shooting",
]
