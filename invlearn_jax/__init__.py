"""Inverse Learning in JAX: ``plan = refine(invert(problem))``, scored by a forward model.

planner, params = invlearn_jax.fit(MyRobot(), method="inverter", workdir="runs/mine")
plan = jax.jit(planner.plan)(params, key, invlearn_jax.Problem(state=x, goal=g))
plan.actions  # [T, A]
"""

from invlearn_jax.evaluate.episodes import evaluate
from invlearn_jax.methods.fitting import fit
from invlearn_jax.methods.registry import register_method
from invlearn_jax.methods.saved import load_planner, planner_names, save_planner
from invlearn_jax.planners import InversePlanner
from invlearn_jax.refine import cem, gradient, mppi, predictive_sampling, refine
from invlearn_jax.tasks.check import check_task
from invlearn_jax.tasks.mujoco import MujocoTask
from invlearn_jax.tasks.registry import make_task, register_task
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import (
    ForwardModel,
    Inverter,
    Objective,
    Planner,
    PlanOutput,
    Problem,
    Result,
)

__all__ = [
    "ForwardModel",
    "InversePlanner",
    "Inverter",
    "MujocoTask",
    "Objective",
    "PlanOutput",
    "Planner",
    "Problem",
    "Result",
    "Task",
    "cem",
    "check_task",
    "evaluate",
    "fit",
    "gradient",
    "load_planner",
    "make_task",
    "mppi",
    "planner_names",
    "predictive_sampling",
    "refine",
    "register_method",
    "register_task",
    "save_planner",
]
