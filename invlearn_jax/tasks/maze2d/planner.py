"""The maze planner from a plain description: what training builds, checkpoints restore and ``load_planner`` loads."""

import dataclasses
from typing import Any

import optax

from invlearn_jax.models.cost_to_go import CostToGo
from invlearn_jax.models.sequence import SequenceModel
from invlearn_jax.names import unknown_name
from invlearn_jax.objectives import (
    WeightedSum,
    effort,
    mean_time_to_goal,
    smoothness,
    time_outside,
    time_to_goal,
    unvisited,
    weighted_sum,
)
from invlearn_jax.planners.mlp_inverter import MlpInverter
from invlearn_jax.planners.planner import InversePlanner
from invlearn_jax.refine import Refiner, cem, gradient, ilqr, mppi, predictive_sampling
from invlearn_jax.settings import bounded, check_settings
from invlearn_jax.tasks.maze2d.model import MAX_SPEED

REFINERS = ("adam", "sgd", "predictive_sampling", "mppi", "cem", "ilqr")


@dataclasses.dataclass
class MazePlannerConfig:
    """The architecture and objective of a maze2d planner: numbers only, so that JSON holds it.

    Attributes:
        env: the environment it is for.
        horizon: T, steps of 0.01 s.
        execute_steps: how many of them to execute before the next plan.
        inverter_hidden: widths of the Inverter.
        inverter_octaves: its Fourier features.
        model_chunk: steps per call of the forward model.
        model_hidden: widths of the forward model.
        model_octaves: its Fourier features.
        cost_to_go_hidden: widths of the cost-to-go.
        cost_to_go_octaves: its Fourier features.
        look_ahead: seconds; velocity enters the cost-to-go as position + look_ahead * velocity.
        final_weight: weight of the time-to-goal of the last state.
        along_weight: weight of the mean time-to-goal along the sequence.
        outside_weight: weight of the time spent outside the goal's disc.
        smooth_weight: weight of the squared change of action.
        effort_weight: weight of the squared action; forces are free in D4RL's score, so 0 by default.
        unvisited_weight: weight of the distance from the training data, seconds per metre.
        goal_radius: metres; a little inside the 0.5 m that count.
        goal_width: metres, of the disc's soft edge.
        refine_rate: learning rate of gradient refinement.
    """

    env: str = "maze2d-umaze-v1"
    horizon: int = bounded(32, low=1)
    execute_steps: int = bounded(8, low=1)
    inverter_hidden: tuple[int, ...] = bounded((256, 256, 256), low=1)
    inverter_octaves: int = bounded(5, low=0)
    model_chunk: int = bounded(8, low=1)
    model_hidden: tuple[int, ...] = bounded((512, 512), low=1)
    model_octaves: int = bounded(7, low=0)
    cost_to_go_hidden: tuple[int, ...] = bounded((256, 256), low=1)
    cost_to_go_octaves: int = bounded(5, low=0)
    look_ahead: float = bounded(0.06, low=0)
    final_weight: float = bounded(1.0, low=0)
    along_weight: float = bounded(0.3, low=0)
    outside_weight: float = bounded(1.0, low=0)
    smooth_weight: float = bounded(1e-4, low=0)
    effort_weight: float = bounded(0.0, low=0)
    unvisited_weight: float = bounded(30.0, low=0)
    goal_radius: float = bounded(0.45, above=0)
    goal_width: float = bounded(0.05, above=0)
    refine_rate: float = bounded(0.02, above=0)


STATE_SIZE, ACTION_SIZE, POSITION_SIZE, DT = 4, 2, 2, 0.01
# What the environment cuts the state to before each step: positions are free.
STATE_LIMITS = (float("inf"), float("inf"), MAX_SPEED, MAX_SPEED)


def build_model(config: MazePlannerConfig) -> SequenceModel:
    """The forward model of a configuration."""
    return SequenceModel(
        STATE_SIZE, ACTION_SIZE, DT, config.model_chunk, config.model_hidden, POSITION_SIZE, config.model_octaves
    )


def build_cost_to_go(config: MazePlannerConfig) -> CostToGo:
    """The cost-to-go of a configuration."""
    return CostToGo(POSITION_SIZE, config.look_ahead, config.cost_to_go_hidden, config.cost_to_go_octaves)


def build_inverter(config: MazePlannerConfig) -> MlpInverter:
    """The Inverter of a configuration."""
    return MlpInverter(
        STATE_SIZE, ACTION_SIZE, config.horizon, POSITION_SIZE, config.inverter_hidden, config.inverter_octaves
    )


class MazeObjective:
    """Time to the goal and outside its disc, with a little smoothness; terms from ``objectives``."""

    def __init__(self, config: MazePlannerConfig, dt: float = DT, stride: int | None = None) -> None:
        """Weighs the terms by the configuration.

        Args:
            config: the weights.
            dt: seconds between the states that are judged.
            stride: the mean time-to-goal takes every so many-th state; the model's chunk by default.
        """
        stride = stride or config.model_chunk
        self.cost_to_go = build_cost_to_go(config)
        self._terms: WeightedSum = weighted_sum(
            time_to_goal=(config.final_weight, time_to_goal(self.cost_to_go)),
            mean_time_to_goal=(config.along_weight, mean_time_to_goal(self.cost_to_go, stride)),
            time_outside=(config.outside_weight, time_outside(config.goal_radius, config.goal_width, dt)),
            smoothness=(config.smooth_weight, smoothness),
            effort=(config.effort_weight, effort),
            unvisited=(config.unvisited_weight, unvisited(self.cost_to_go.unvisited)),
        )
        self.init = self.cost_to_go.init

    def __call__(self, *args: Any) -> dict:
        """The weighted terms; see ``types.Objective``."""
        return self._terms(*args)


def build_refiner(name: str, rate: float, samples: int = 64) -> Refiner:
    """A refiner by name.

    Args:
        name: one of ``REFINERS``.
        rate: learning rate of the gradient methods.
        samples: per step, of the sampling methods.

    Returns:
        The refiner.

    Raises:
        ValueError: for an unknown name.
    """
    makers = {
        "adam": lambda: gradient(optax.adam(rate)),
        "sgd": lambda: gradient(optax.sgd(rate)),
        "predictive_sampling": lambda: predictive_sampling(samples),
        "mppi": lambda: mppi(samples),
        "cem": lambda: cem(samples),
        "ilqr": ilqr,
    }
    if name not in makers:
        raise unknown_name("refiner", name, makers)
    return makers[name]()


def build_planner(
    config: MazePlannerConfig,
    refine_steps: int = 0,
    candidates: int | None = None,
    refiner: str = "adam",
    execute_steps: int | None = None,
) -> InversePlanner:
    """The planner of a configuration.

    Args:
        config: architecture and objective.
        refine_steps: K.
        candidates: proposals per problem; 1 by default.
        refiner: one of ``REFINERS``.
        execute_steps: steps between plans; the configuration's by default.

    Returns:
        The planner.

    Raises:
        ValueError: for a bad K, number of candidates or of steps to execute, refiner, or a horizon that the model's chunk
            does not divide.
    """
    check_settings(config)
    if config.horizon % config.model_chunk:
        raise ValueError(
            f"horizon is {config.horizon}, model_chunk {config.model_chunk}; the chunk must divide the horizon."
        )
    return InversePlanner(
        build_inverter(config),
        build_model(config),
        MazeObjective(config),
        build_refiner(refiner, config.refine_rate),
        refine_steps,
        1 if candidates is None else candidates,
        config.execute_steps if execute_steps is None else execute_steps,
    )
