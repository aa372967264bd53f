"""Two levels on maze2d from a plain description: sub-goals over the motor Inverter of a maze planner."""

import dataclasses

from invlearn_jax.planners.mlp_inverter import MlpInverter
from invlearn_jax.planners.planner import InversePlanner
from invlearn_jax.planners.stack import LevelModel, Stack
from invlearn_jax.settings import bounded, check_settings
from invlearn_jax.tasks.maze2d.planner import (
    POSITION_SIZE,
    STATE_SIZE,
    MazeObjective,
    MazePlannerConfig,
    build_planner,
    build_refiner,
)


@dataclasses.dataclass
class MazeStackConfig:
    """The architecture of a stack on maze2d: numbers only, so that JSON holds it.

    The objective is the motor planner's, judged at the sub-goals. The stack's horizon is ``subgoals * motor.horizon``.

    Attributes:
        motor: the planner below.
        subgoals: how many sub-goals a plan holds.
        reach: how far a sub-goal can lie from the position, metres along each axis.
        hidden: widths of the sub-goal Inverter.
        octaves: its Fourier features.
        execute_steps: how many motor steps of 0.01 s to execute before the next plan.
        refine_rate: learning rate of gradient refinement, on sub-goals in units of ``reach``.
    """

    motor: MazePlannerConfig = dataclasses.field(default_factory=MazePlannerConfig)
    subgoals: int = bounded(4, low=1)
    reach: float = bounded(1.6, above=0)
    hidden: tuple[int, ...] = bounded((256, 256), low=1)
    octaves: int = bounded(5, low=0)
    execute_steps: int = bounded(8, low=1)
    refine_rate: float = bounded(0.1, above=0)

    @property
    def env(self) -> str:
        """The environment it is for: the motor planner's."""
        return self.motor.env


def build_stack(
    config: MazeStackConfig,
    refine_steps: int = 0,
    candidates: int | None = None,
    refiner: str = "adam",
    execute_steps: int | None = None,
) -> Stack:
    """The stack of a configuration.

    Args:
        config: architecture of both levels.
        refine_steps: K, on the sub-goals.
        candidates: proposals of sub-goals per problem; 1 by default.
        refiner: one of ``REFINERS``.
        execute_steps: motor steps between plans; the configuration's by default.

    Returns:
        The stack; its parameters hold both levels.

    Raises:
        ValueError: for settings out of their ranges, steps to execute outside 1 .. horizon, or what ``build_planner`` refuses.
    """
    check_settings(config)
    motor = build_planner(config.motor)
    model = LevelModel(motor.inverter, motor.model, POSITION_SIZE, config.reach)
    inverter = MlpInverter(STATE_SIZE, POSITION_SIZE, config.subgoals, POSITION_SIZE, config.hidden, config.octaves)
    objective = MazeObjective(config.motor, dt=model.dt, stride=1)
    upper = InversePlanner(
        inverter,
        model,
        objective,
        build_refiner(refiner, config.refine_rate),
        refine_steps,
        1 if candidates is None else candidates,
    )
    return Stack(upper, config.execute_steps if execute_steps is None else execute_steps)
