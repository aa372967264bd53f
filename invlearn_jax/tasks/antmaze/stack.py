"""Two levels on antmaze from a plain description: sub-goals over the ant's motor level."""

import dataclasses
from typing import Any

from invlearn_jax.models.cost_to_go import CostToGo
from invlearn_jax.models.sequence import SequenceModel
from invlearn_jax.objectives import (
    WeightedSum,
    mean_time_to_goal,
    time_outside,
    time_to_goal,
    unvisited,
    weighted_sum,
)
from invlearn_jax.planners.mlp_inverter import MlpInverter
from invlearn_jax.planners.planner import InversePlanner
from invlearn_jax.planners.subgoals import SubgoalPlanner
from invlearn_jax.refine.named import named_refiner
from invlearn_jax.settings import bounded, check_settings
from invlearn_jax.tasks.antmaze.motor import DT, POSITION_SIZE, AntMotorConfig, build_motor


@dataclasses.dataclass
class AntStackConfig:
    """The architecture and objective of an antmaze planner: numbers only, so that JSON holds it.

    Attributes:
        env: the environment it is for.
        motor: the motor level.
        hold: motor steps of 0.1 s that the upper level's model sees a sub-goal held for.
        execute_steps: motor steps between plans of the upper level.
        subgoals: how many sub-goals a plan holds.
        reach: how far a sub-goal lies from the position at most, metres along each axis.
        near: metres from the goal within which the goal itself is the sub-goal.
        inverter_hidden: widths of the sub-goal Inverter.
        inverter_octaves: its Fourier features.
        model_hidden: widths of the upper level's forward model.
        model_octaves: its Fourier features.
        cost_to_go_hidden: widths of the cost-to-go.
        cost_to_go_octaves: its Fourier features.
        speed: m/s that turn the data's distances into times.
        final_weight: weight of the time-to-goal of the last position.
        along_weight: weight of the mean time-to-goal along the plan.
        outside_weight: weight of the time spent outside the goal's disc.
        unvisited_weight: weight of the distance from the training data, seconds per metre.
        goal_radius: metres; a little inside the 0.5 m that count.
        goal_width: metres, of the disc's soft edge.
        refine_rate: learning rate of gradient refinement, on sub-goals in units of ``reach``.
    """

    env: str = "antmaze-umaze-v2"
    motor: AntMotorConfig = dataclasses.field(default_factory=AntMotorConfig)
    hold: int = bounded(10, low=1)
    execute_steps: int = bounded(5, low=1)
    subgoals: int = bounded(6, low=1)
    reach: float = bounded(3.0, above=0)
    near: float = bounded(1.0, low=0)
    inverter_hidden: tuple[int, ...] = bounded((256, 256), low=1)
    inverter_octaves: int = bounded(5, low=0)
    model_hidden: tuple[int, ...] = bounded((256, 256), low=1)
    model_octaves: int = bounded(6, low=0)
    cost_to_go_hidden: tuple[int, ...] = bounded((256, 256), low=1)
    cost_to_go_octaves: int = bounded(5, low=0)
    speed: float = bounded(2.0, above=0)
    final_weight: float = bounded(1.0, low=0)
    along_weight: float = bounded(0.3, low=0)
    outside_weight: float = bounded(1.0, low=0)
    unvisited_weight: float = bounded(10.0, low=0)
    goal_radius: float = bounded(0.4, above=0)
    goal_width: float = bounded(0.2, above=0)
    refine_rate: float = bounded(0.05, above=0)


def build_level_model(config: AntStackConfig) -> SequenceModel:
    """The upper level's forward model: a position and a sub-goal to where the motor level is ``hold`` steps later."""
    return SequenceModel(
        POSITION_SIZE, POSITION_SIZE, config.hold * DT, 1, config.model_hidden, POSITION_SIZE, config.model_octaves
    )


def build_level_cost_to_go(config: AntStackConfig) -> CostToGo:
    """The cost-to-go of a configuration; positions have no velocity to look ahead with."""
    return CostToGo(POSITION_SIZE, 0.0, config.cost_to_go_hidden, config.cost_to_go_octaves)


def build_subgoal_inverter(config: AntStackConfig) -> MlpInverter:
    """The sub-goal Inverter of a configuration."""
    return MlpInverter(
        POSITION_SIZE, POSITION_SIZE, config.subgoals, POSITION_SIZE, config.inverter_hidden, config.inverter_octaves
    )


class SubgoalObjective:
    """Time to the goal and outside its disc, and the distance from the data, judged at the sub-goals' ends."""

    def __init__(self, config: AntStackConfig) -> None:
        """Weighs the terms by the configuration."""
        cost_to_go, dt = build_level_cost_to_go(config), config.hold * DT
        self._terms: WeightedSum = weighted_sum(
            time_to_goal=(config.final_weight, time_to_goal(cost_to_go)),
            mean_time_to_goal=(config.along_weight, mean_time_to_goal(cost_to_go)),
            time_outside=(config.outside_weight, time_outside(config.goal_radius, config.goal_width, dt)),
            unvisited=(config.unvisited_weight, unvisited(cost_to_go.unvisited)),
        )
        self.init = cost_to_go.init

    def __call__(self, *args: Any) -> dict:
        """The weighted terms; see ``types.Objective``."""
        return self._terms(*args)


def build_ant_stack(
    config: AntStackConfig,
    refine_steps: int = 0,
    candidates: int | None = None,
    refiner: str = "adam",
    execute_steps: int | None = None,
) -> SubgoalPlanner:
    """The planner of a configuration.

    Args:
        config: architecture and objectives of both levels.
        refine_steps: K, of each level.
        candidates: proposals per problem of each level; 1 by default.
        refiner: one of ``refine.named.REFINERS``.
        execute_steps: motor steps between plans of the upper level; the configuration's by default.

    Returns:
        The planner.

    Raises:
        ValueError: for a bad K, number of candidates or of steps, reach or refiner.
    """
    check_settings(config)
    upper = InversePlanner(
        build_subgoal_inverter(config),
        build_level_model(config),
        SubgoalObjective(config),
        named_refiner(refiner, config.refine_rate),
        refine_steps,
        1 if candidates is None else candidates,
    )
    motor = build_motor(config.motor, refine_steps, candidates, refiner)
    steps = config.execute_steps if execute_steps is None else execute_steps
    return SubgoalPlanner(upper, motor, config.reach, steps, config.near)
