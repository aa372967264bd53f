"""Soft actor-critic (arXiv 1812.05905), and soft Q-learning where actions are choices, on the task's own reward.

    minimise  E[(Q(s, a) - r - gamma V(s'))^2] / 2,    V and the actor as in ``imitation.agents``, at a fixed temperature

It makes experts for those who have none: ``experiments.demonstrate`` turns its planner into demonstrations. Settings, parts and
stages are IQ-Learn's, whose update it is with another teacher.
"""

import dataclasses

from invlearn_jax.imitation.learner import LearnerSettings
from invlearn_jax.methods import iq_learn
from invlearn_jax.methods.iq_learn import build, fit
from invlearn_jax.methods.scoring import shared
from invlearn_jax.settings import bounded

__all__ = ["Settings", "build", "fit", "shared"]


@dataclasses.dataclass
class Settings(iq_learn.Settings):
    """Soft actor-critic; demonstrations have no part in it."""

    learner: LearnerSettings = dataclasses.field(default_factory=lambda: LearnerSettings(teaching="reward"))
    scale_features: bool = False
    temperature: float = bounded(0.1, above=0.0)
    actor_rate: float = bounded(3e-4, above=0.0)
