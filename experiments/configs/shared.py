"""Parts that several experiments configure."""

import dataclasses


@dataclasses.dataclass
class InverterConfig:
    """Training of the Inverter on imagined starts; see ``learn.inverter.InverterTraining``."""

    steps: int = 6000
    batch: int = 192
    learning_rate: float = 1e-3
    advance: tuple[int, ...] = (4, 8, 16)
    reset_share: float = 0.15
    goal_share: float = 0.12
    state_noise: float = 0.01
    logit_limit: float = 3.0
    logit_weight: float = 1e-3


@dataclasses.dataclass
class EvaluationConfig:
    """Closed-loop evaluation at the end of a run: episodes per setting, seed, and the numbers K of refinement steps.

    Every K is run on the maze's own goal; random goals are run with the least and the greatest K.
    """

    episodes: int = 100
    seed: int = 10_000
    refine_steps: tuple[int, ...] = (0, 2, 10)
