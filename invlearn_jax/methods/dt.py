"""A Decision Transformer (arXiv 2106.01345) of the data's first part: actions given the return that followed; see ``learn``.

A policy for a task whose goals vary is given the goal; in training it is a place that the rows came to, in hindsight.
"""

import dataclasses

from invlearn_jax.data.dataset import Dataset, longest_episode
from invlearn_jax.keys import streams
from invlearn_jax.learn.decision_transformer import (
    return_store,
    transformer_optimizer,
    transformer_state,
    transformer_update,
)
from invlearn_jax.learn.policy_inputs import policy_scales
from invlearn_jax.learn.stages import Run
from invlearn_jax.methods import scoring
from invlearn_jax.methods.policies import PolicySettings, policy_planner
from invlearn_jax.methods.scoring import shared
from invlearn_jax.models.decision_transformer import DecisionTransformer
from invlearn_jax.planners.planner import PlannerParams
from invlearn_jax.planners.policy import PolicyPlanner, RolloutParams
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key

__all__ = ["INFERENCE_OPTIONS", "Settings", "build", "fit", "shared"]

INFERENCE_OPTIONS = ("target_return",)


@dataclasses.dataclass
class Settings(PolicySettings):
    """The Decision Transformer, beside ``policies.PolicySettings``.

    Published: a context of 20 steps, a width of 128 and a learning rate of 1e-4 over a hundred thousand updates. A plan's
    context begins anew, so it is no longer than a plan; the narrower network learns more in minutes.

    Attributes:
        context: K, steps.
        target_return: at the beginning of a plan, over ``return_steps`` steps of the task's reward; 0 is the best that costs
            allow. ``return`` in the log is what the data have on the mean.
        return_steps: L, over which the data's returns are summed; 0 for an episode's length, or less where the data are shorter.
        return_scale: what returns are divided by.
        width: of a token.
        layers: of self-attention.
        heads: of each layer.
        dropout: in training.
        steps: updates.
        batch: windows per update.
        learning_rate: of AdamW.
        warm_up: updates of linear warm-up, fewer than all.
        decay: weight decay.
    """

    horizon: int = bounded(8, low=1)
    context: int = bounded(8, low=1)
    target_return: float = 0.0
    return_steps: int = bounded(0, low=0)
    return_scale: float = bounded(1.0, above=0.0)
    width: int = bounded(64, low=1)
    layers: int = bounded(3, low=1)
    heads: int = bounded(1, low=1)
    dropout: float = bounded(0.1, low=0.0, below=1.0)
    steps: int = bounded(8000, low=1)
    batch: int = bounded(64, low=1)
    learning_rate: float = bounded(2e-3, above=0.0)
    warm_up: int = bounded(200, low=0)
    decay: float = bounded(1e-4, low=0.0)


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
        ValueError: what ``scoring.model_and_objective``, the network or the planner refuses, or a warm-up that takes all updates.
    """
    transformer_optimizer(settings.learning_rate, settings.steps, settings.warm_up, settings.decay)
    policy = _policy(task, settings)
    return policy_planner(task, settings, policy, refine_steps, candidates, refiner, execute_steps)


def _policy(task: Task, settings: Settings) -> DecisionTransformer:
    return DecisionTransformer(
        task,
        settings.context,
        settings.target_return,
        settings.return_scale,
        settings.width,
        settings.layers,
        settings.heads,
        settings.dropout,
        settings.one_goal,
    )


def _return_steps(task: Task, settings: Settings, rows: Dataset) -> int:
    return settings.return_steps or max(settings.context, min(task.episode_length, longest_episode(rows) - 1))


def fit(task: Task, settings: Settings, run: Run, key: Key) -> tuple[PolicyPlanner, PlannerParams]:
    """Learns a planner for a task. The key is consumed. See ``methods.inverter.fit``.

    Raises:
        ValueError: for data whose episodes are all shorter than ``return_steps``.
    """
    planner, policy = build(task, settings), _policy(task, settings)
    data_key, scoring_key, scales_key, key = streams(key, "data", "scoring", "scales", "dt")
    parts = scoring.load_parts(task, settings, run, data_key)
    rows = task.joined(scoring.shares(task, next(iter(parts.values())).rows))
    steps = _return_steps(task, settings, rows)
    store = return_store(rows, steps, settings.context)
    model_params, objective_params = scoring.learn_scoring(task, settings, run, parts, scoring_key)
    optimizer = transformer_optimizer(settings.learning_rate, settings.steps, settings.warm_up, settings.decay)
    update = transformer_update(policy, optimizer, store, settings.batch, steps)
    state = transformer_state(policy, optimizer, key, policy_scales(policy.inputs, rows, scales_key))
    state = run.train(
        "dt", update, state, settings.steps, settings.block, settings.checkpoint_every, "transformer_loss"
    )
    return planner, PlannerParams(RolloutParams(state.params, ()), model_params, objective_params)
