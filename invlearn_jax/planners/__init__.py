"""Planners: Inverters, and what refines and joins them."""

from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.planners.shooting import SamplingPlanner, Shooting, ShootingPlanner

__all__ = [
    "InversePlanner",
    "PlannerParams",
    "SamplingPlanner",
    "Shooting",
    "ShootingPlanner",
]
