"""Policies on maze2d from a plain description: behaviour cloning, ReBRAC and the Decision Transformer as planners."""

import dataclasses
from collections.abc import Callable

from jaxtyping import Array

from invlearn_jax.models.decision_transformer import DecisionTransformer
from invlearn_jax.models.padded import PaddedModel
from invlearn_jax.models.policy import MlpPolicy, Policy
from invlearn_jax.names import unknown_name
from invlearn_jax.planners.mlp_inverter import MlpInverter
from invlearn_jax.planners.planner import InversePlanner
from invlearn_jax.planners.policy import PolicyInverter, PolicyPlanner
from invlearn_jax.settings import bounded, check_settings
from invlearn_jax.tasks.d4rl import dense_reward, sparse_reward
from invlearn_jax.tasks.maze2d.planner import (
    ACTION_SIZE,
    POSITION_SIZE,
    STATE_SIZE,
    MazeObjective,
    MazePlannerConfig,
    build_model,
    build_refiner,
)
from invlearn_jax.tasks.maze2d.specs import spec

METHODS = ("bc", "rebrac", "dt")


@dataclasses.dataclass
class MazePolicyConfig:
    """The architecture of a policy on maze2d: numbers and names only, so that JSON holds it.

    Model and objective are those of the planner ``base``; they tell what a plan is predicted to lead to.

    Attributes:
        base: the planner whose forward model and objective are used.
        method: ``bc`` (behaviour cloning towards any goal), ``rebrac`` or ``dt`` (the maze's own goal only).
        horizon: T, steps of 0.01 s; what the model does not divide is padded.
        execute_steps: how many of them to execute before the next plan.
        hidden: widths of the MLP of ``bc`` and ``rebrac``.
        octaves: its Fourier features.
        context: of ``dt``, steps.
        target_return: of ``dt``, what is asked for at the beginning of each plan.
        return_scale: of ``dt``, what returns are divided by.
        width: of ``dt``, of a token.
        layers: of ``dt``, of self-attention.
        heads: of ``dt``, of each layer.
        dropout: of ``dt``, in training.
        refine_rate: learning rate of gradient refinement.
    """

    base: MazePlannerConfig = dataclasses.field(default_factory=MazePlannerConfig)
    method: str = "bc"
    horizon: int = bounded(1, low=1)
    execute_steps: int = bounded(1, low=1)
    hidden: tuple[int, ...] = bounded((256, 256, 256), low=1)
    octaves: int = bounded(5, low=0)
    context: int = bounded(20, low=1)
    target_return: float = 140.0
    return_scale: float = bounded(300.0, above=0)
    width: int = bounded(128, low=1)
    layers: int = bounded(3, low=1)
    heads: int = bounded(1, low=1)
    dropout: float = bounded(0.1, low=0, below=1)
    refine_rate: float = bounded(0.02, above=0)

    @property
    def env(self) -> str:
        """The environment it is for: the base planner's."""
        return self.base.env


def inference_options(config: MazePolicyConfig) -> tuple[str, ...]:
    """What may be changed of a trained planner: the Decision Transformer's target return."""
    return ("target_return",) if config.method == "dt" else ()


def reward_of(env: str) -> Callable[[Array, Array], Array]:
    """The reward ``(position [..., P], goal [P]) -> [...]`` of arriving at a position, of a named environment.

    Raises:
        ValueError: for an environment that is unknown or no maze2d.
    """
    return {"sparse": sparse_reward, "dense": dense_reward}[spec(env).reward]


def build_cloner(config: MazePolicyConfig) -> MlpInverter:
    """The Inverter that behaviour cloning trains."""
    return MlpInverter(STATE_SIZE, ACTION_SIZE, config.horizon, POSITION_SIZE, config.hidden, config.octaves)


def build_mlp_policy(config: MazePolicyConfig) -> MlpPolicy:
    """The policy that ReBRAC trains."""
    return MlpPolicy(STATE_SIZE, ACTION_SIZE, POSITION_SIZE, config.hidden, config.octaves)


def build_decision_transformer(config: MazePolicyConfig) -> DecisionTransformer:
    """The Decision Transformer of a configuration."""
    return DecisionTransformer(
        STATE_SIZE,
        ACTION_SIZE,
        config.context,
        config.target_return,
        config.return_scale,
        reward_of(config.env),
        POSITION_SIZE,
        config.width,
        config.layers,
        config.heads,
        config.dropout,
    )


def build_policy_planner(
    config: MazePolicyConfig,
    refine_steps: int = 0,
    candidates: int | None = None,
    refiner: str = "adam",
    execute_steps: int | None = None,
) -> InversePlanner:
    """The planner of a configuration.

    Args:
        config: architecture, and the planner whose model and objective are used.
        refine_steps: K.
        candidates: proposals per problem; 1 by default.
        refiner: one of ``tasks.maze2d.planner.REFINERS``.
        execute_steps: steps between plans; the configuration's by default.

    Returns:
        The planner.

    Raises:
        ValueError: for an unknown method, or what its parts refuse.
    """
    check_settings(config)
    policies: dict[str, Callable[[MazePolicyConfig], Policy]] = {
        "rebrac": build_mlp_policy,
        "dt": build_decision_transformer,
    }
    if config.method not in METHODS:
        raise unknown_name("method", config.method, METHODS)
    model = PaddedModel(build_model(config.base))
    # A short plan has no state at the end of a chunk, so every state counts.
    objective = MazeObjective(config.base, stride=min(config.base.model_chunk, config.horizon))
    settings = (
        build_refiner(refiner, config.refine_rate),
        refine_steps,
        1 if candidates is None else candidates,
        config.execute_steps if execute_steps is None else execute_steps,
    )
    if config.method == "bc":
        return InversePlanner(build_cloner(config), model, objective, *settings)
    inverter = PolicyInverter(policies[config.method](config), config.horizon, model)
    return PolicyPlanner(inverter, model, objective, *settings)
