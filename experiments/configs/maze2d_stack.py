"""Two levels on maze2d: a sub-goal Inverter over the motor Inverter of a trained planner."""

import dataclasses

from experiments.configs.shared import EvaluationConfig, InverterConfig
from invlearn_jax.settings import bounded


@dataclasses.dataclass
class StackConfig:
    """The upper level.

    Attributes:
        motor: the trained single-level planner below: a shipped name or a folder.
        subgoals: how many sub-goals a plan holds; the stack's horizon is that many motor sequences.
        reach: how far a sub-goal can lie from the position, metres along each axis.
        hidden: widths of the sub-goal Inverter.
        octaves: its Fourier features.
        execute_steps: motor steps between plans.
        refine_rate: learning rate of gradient refinement, on sub-goals in units of ``reach``.
    """

    motor: str = "maze2d-umaze-v1"
    subgoals: int = bounded(4, low=1)
    reach: float = bounded(1.6, above=0)
    hidden: tuple[int, ...] = bounded((256, 256), low=1)
    octaves: int = bounded(5, low=0)
    execute_steps: int = bounded(8, low=1)
    refine_rate: float = bounded(0.1, above=0)


@dataclasses.dataclass
class Config:
    """The experiment."""

    stack: StackConfig = dataclasses.field(default_factory=StackConfig)
    inverter: InverterConfig = dataclasses.field(
        default_factory=lambda: InverterConfig(steps=3000, batch=96, advance=(1, 2, 3))
    )
    evaluation: EvaluationConfig = dataclasses.field(default_factory=lambda: EvaluationConfig(refine_steps=(0, 5)))
    block: int = bounded(250, low=1)
    checkpoint_every: int = bounded(1000, low=1, multiple_of="block")


def for_maze(size: str) -> Config:
    """The configuration for a maze's shipped planner."""
    config = Config()
    config.stack.motor = f"maze2d-{size}-v1"
    # Ways of many sub-goals take longer to learn: after 3000 updates the large maze's goal is passed, not held.
    config.inverter.steps = 3000 if size == "umaze" else 9000
    return config
