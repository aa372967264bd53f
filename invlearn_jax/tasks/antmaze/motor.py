"""The ant's motor level from a plain description: torques for a goal a few metres away, with no wall between."""

import dataclasses

from invlearn_jax.models.heading import HeadingModel
from invlearn_jax.objectives import WeightedSum, off_pace, tilt, weighted_sum
from invlearn_jax.planners.heading_inverter import HeadingInverter
from invlearn_jax.planners.planner import InversePlanner
from invlearn_jax.refine.named import named_refiner
from invlearn_jax.settings import bounded, check_settings
from invlearn_jax.tasks.antmaze import model as ant

POSITION_SIZE = 2
DT = ant.FRAME_SKIP * ant.TIMESTEP  # s


@dataclasses.dataclass
class AntMotorConfig:
    """The architecture and objective of an ant's motor level: numbers only, so that JSON holds it.

    Attributes:
        env: an environment with this robot; walls play no part.
        horizon: T, steps of 0.1 s.
        execute_steps: how many of them to execute before the next plan.
        inverter_hidden: widths of the Inverter.
        reach: metres beyond which only the goal's direction counts.
        model_chunk: steps per call of the forward model.
        model_hidden: widths of the forward model.
        pace: metres per step at which it is to go.
        tilt_weight: metres of mean distance off the pace that leaning over fully is worth.
        upright: vertical part of the ant's own vertical axis below which it leans over; see ``objectives.tilt``.
        refine_rate: learning rate of gradient refinement.
    """

    env: str = "antmaze-umaze-v2"
    horizon: int = bounded(16, low=1)
    execute_steps: int = bounded(1, low=1)
    inverter_hidden: tuple[int, ...] = bounded((512, 512), low=1)
    reach: float = bounded(4.0, above=0)
    model_chunk: int = bounded(1, low=1)
    model_hidden: tuple[int, ...] = bounded((256, 256, 256), low=1)
    pace: float = bounded(0.2, above=0)
    tilt_weight: float = bounded(3.0, low=0)
    upright: float = bounded(0.9, low=-1, high=1)
    refine_rate: float = bounded(0.02, above=0)


def build_motor_model(config: AntMotorConfig) -> HeadingModel:
    """The forward model of a configuration."""
    return HeadingModel(ant.STATE_SIZE, ant.ACTION_SIZE, DT, config.model_chunk, config.model_hidden)


def build_motor_inverter(config: AntMotorConfig) -> HeadingInverter:
    """The Inverter of a configuration."""
    return HeadingInverter(ant.STATE_SIZE, ant.ACTION_SIZE, config.horizon, config.inverter_hidden, config.reach)


def motor_objective(config: AntMotorConfig) -> WeightedSum:
    """Going to the goal at the pace asked for, upright."""
    return weighted_sum(
        off_pace=(1.0, off_pace(config.pace, POSITION_SIZE)), tilt=(config.tilt_weight, tilt(config.upright))
    )


def build_motor(
    config: AntMotorConfig,
    refine_steps: int = 0,
    candidates: int | None = None,
    refiner: str = "adam",
    execute_steps: int | None = None,
) -> InversePlanner:
    """The planner of a configuration; see ``tasks.maze2d.planner.build_planner``."""
    check_settings(config)
    if config.horizon % config.model_chunk:
        raise ValueError(
            f"horizon is {config.horizon}, model_chunk {config.model_chunk}; the chunk must divide the horizon."
        )
    return InversePlanner(
        build_motor_inverter(config),
        build_motor_model(config),
        motor_objective(config),
        named_refiner(refiner, config.refine_rate),
        refine_steps,
        1 if candidates is None else candidates,
        config.execute_steps if execute_steps is None else execute_steps,
    )
