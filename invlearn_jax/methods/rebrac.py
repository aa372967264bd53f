"""ReBRAC (arXiv 2305.09836): an actor and critics that learn the task's reward from the data's first part; see ``learn.rebrac``.

A policy for a task whose goals vary is given the goal, which is drawn for each row of training by ``Task.draw_goal_from``.
"""

import dataclasses

from invlearn_jax.keys import streams
from invlearn_jax.learn.loop import default_optimizer
from invlearn_jax.learn.policy_inputs import policy_scales
from invlearn_jax.learn.rebrac import (
    RebracTraining,
    critic_network,
    rebrac_state,
    rebrac_store,
    rebrac_update,
)
from invlearn_jax.learn.stages import Run
from invlearn_jax.methods import scoring
from invlearn_jax.methods.policies import PolicySettings, policy_planner
from invlearn_jax.methods.scoring import shared
from invlearn_jax.models.policy import MlpPolicy
from invlearn_jax.planners.planner import PlannerParams
from invlearn_jax.planners.policy import PolicyPlanner, RolloutParams
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key

__all__ = ["Settings", "build", "fit", "shared"]


@dataclasses.dataclass
class Settings(PolicySettings):
    """ReBRAC, beside ``policies.PolicySettings``.

    Published for maze2d: a million updates at a learning rate of 3e-4, slowness 0.005, actor_penalty 0.003 and no Fourier
    features. With a fiftieth of the updates that leaves the value far behind and the actor pressed against walls; these
    settings do not.

    Attributes:
        hidden: widths of actor and critics.
        octaves: their Fourier features.
        steps: updates.
        learning_rate: greatest.
        batch: see ``learn.rebrac.RebracTraining``, as all that follows.
        discount: gamma.
        slowness: of the slow copies.
        actor_penalty: w_a.
        critic_penalty: w_c.
        noise: sigma.
        noise_limit: c.
        delay: updates of the critics to one of the actor.
    """

    hidden: tuple[int, ...] = bounded((256, 256, 256), low=1)
    octaves: int = bounded(3, low=0, high=16)
    steps: int = bounded(20_000, low=1)
    learning_rate: float = bounded(1e-3, above=0.0)
    batch: int = bounded(256, low=1)
    discount: float = bounded(0.99, above=0.0, below=1.0)
    slowness: float = bounded(0.05, above=0.0, high=1.0)
    actor_penalty: float = bounded(0.02, low=0.0)
    critic_penalty: float = bounded(0.001, low=0.0)
    noise: float = bounded(0.2, low=0.0)
    noise_limit: float = bounded(0.5, low=0.0)
    delay: int = bounded(2, low=1)


def build(
    task: Task,
    settings: Settings,
    refine_steps: int = 0,
    candidates: int | None = None,
    refiner: str = "adam",
    execute_steps: int | None = None,
) -> PolicyPlanner:
    """The planner for a task; see ``methods.inverter.build``.

    Raises:
        ValueError: what ``scoring.model_and_objective`` or the planner refuses.
    """
    policy = _policy(task, settings)
    return policy_planner(task, settings, policy, refine_steps, candidates, refiner, execute_steps)


def _policy(task: Task, settings: Settings) -> MlpPolicy:
    return MlpPolicy(task, settings.hidden, settings.octaves, settings.one_goal)


def fit(task: Task, settings: Settings, run: Run, key: Key) -> tuple[PolicyPlanner, PlannerParams]:
    """Learns a planner for a task. The key is consumed. See ``methods.inverter.fit``."""
    planner, policy = build(task, settings), _policy(task, settings)
    training = RebracTraining(**{name: getattr(settings, name) for name in RebracTraining._fields})
    data_key, scoring_key, scales_key, key = streams(key, "data", "scoring", "scales", "rebrac")
    parts = scoring.load_parts(task, settings, run, data_key)
    model_params, objective_params = scoring.learn_scoring(task, settings, run, parts, scoring_key)
    rows = scoring.shares(task, next(iter(parts.values())).rows)
    critic = critic_network(policy, settings.hidden)
    optimizers = (default_optimizer(settings.learning_rate, settings.steps),) * 2
    update = rebrac_update(policy, critic, optimizers, rebrac_store(rows), training)
    state = rebrac_state(policy, critic, optimizers, key, policy_scales(policy.inputs, rows, scales_key))
    state = run.train("rebrac", update, state, settings.steps, settings.block, settings.checkpoint_every, "value")
    return planner, PlannerParams(RolloutParams(state.params, ()), model_params, objective_params)
