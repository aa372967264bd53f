"""Diffuser (arXiv 2205.09991): plans of states and actions whose last state is at the goal, followed as they are."""

import dataclasses

from invlearn_jax.methods.decision_diffuser import fit
from invlearn_jax.methods.plan_diffusion import (
    INFERENCE_OPTIONS,
    PlanSettings,
    PlanTraining,
    build_planner,
    inference_options,
)
from invlearn_jax.methods.scoring import shared
from invlearn_jax.settings import bounded

build = build_planner
__all__ = ["INFERENCE_OPTIONS", "Settings", "build", "fit", "inference_options", "shared"]


@dataclasses.dataclass
class Settings(PlanSettings):
    """``PlanSettings`` with Diffuser's defaults."""

    train_steps: int = bounded(64, low=1)
    with_actions: bool = True
    pin_goal: bool = True
    ask_goal: bool = False
    sampler: str = "ddpm"
    denoise_steps: int = bounded(64, low=1)
    follow: str = "actions"
    candidates: int = bounded(1, low=1)
    training: PlanTraining = dataclasses.field(default_factory=lambda: PlanTraining(steps=10_000))
