"""Inverse Learning in JAX: ``plan = refine(invert(problem))``, scored by a forward model.

planner, params = invlearn_jax.load_planner("maze2d-large-v1", refine_steps=10)
plan = jax.jit(planner.plan)(params, key, invlearn_jax.Problem(state=obs, goal=goal))
plan.actions  # [T, A]
"""

from invlearn_jax.envs.registry import environment_names, make
from invlearn_jax.io.planners import save_planner
from invlearn_jax.methods.saved import load_planner, planner_names
from invlearn_jax.models import CostToGo, SequenceModel
from invlearn_jax.objectives import weighted_sum
from invlearn_jax.planners import InversePlanner, LevelModel, MlpInverter, PlannerParams, Stack
from invlearn_jax.refine import Refiner, cem, gradient, mppi, predictive_sampling, refine
from invlearn_jax.tasks.maze2d.environment import Maze2d, maze2d_spec
from invlearn_jax.types import (
    Environment,
    ForwardModel,
    Inverter,
    Objective,
    Planner,
    PlanOutput,
    Problem,
    Result,
)

__all__ = [
    "CostToGo",
    "Environment",
    "ForwardModel",
    "InversePlanner",
    "Inverter",
    "LevelModel",
    "Maze2d",
    "MlpInverter",
    "Objective",
    "PlanOutput",
    "Planner",
    "PlannerParams",
    "Problem",
    "Refiner",
    "Result",
    "SequenceModel",
    "Stack",
    "cem",
    "environment_names",
    "gradient",
    "load_planner",
    "make",
    "maze2d_spec",
    "mppi",
    "planner_names",
    "predictive_sampling",
    "refine",
    "save_planner",
    "weighted_sum",
]
