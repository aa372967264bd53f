"""Decision Diffuser (arXiv 2211.15657): plans of states, the goal as a condition, actions from inverse dynamics."""

from invlearn_jax.keys import streams
from invlearn_jax.learn.stages import Run
from invlearn_jax.methods import scoring
from invlearn_jax.methods.plan_diffusion import INFERENCE_OPTIONS, build_planner, inference_options, learn_plans
from invlearn_jax.methods.plan_diffusion import PlanSettings as Settings
from invlearn_jax.methods.scoring import shared
from invlearn_jax.planners.diffusion import Tracker
from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key

build = build_planner
__all__ = ["INFERENCE_OPTIONS", "Settings", "build", "fit", "inference_options", "shared"]


def fit(task: Task, settings: Settings, run: Run, key: Key) -> tuple[InversePlanner | Tracker, PlannerParams]:
    """Learns a planner for a task. The key is consumed. See ``methods.inverter.fit``."""
    planner = build(task, settings)
    data_key, scoring_key, plans_key = streams(key, "data", "scoring", "plans")
    parts = scoring.load_parts(task, settings, run, data_key)
    scored = scoring.learn_scoring(task, settings, run, parts, scoring_key)
    return planner, PlannerParams(learn_plans(task, settings, run, parts, plans_key), *scored)
