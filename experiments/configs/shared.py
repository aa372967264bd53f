"""Parts that several experiments configure."""

import dataclasses

from invlearn_jax.keys import MAX_SEED
from invlearn_jax.settings import bounded


@dataclasses.dataclass
class DataConfig:
    """What to learn from.

    Attributes:
        path: files of your own (D4RL HDF5, OGBench npz or a Minari folder), comma-separated; empty makes D4RL's data anew.
        rows: rows of controller data to make.
        noise: standard deviation of the controller's action noise.
        random_rows: rows of broad random data to add; 0 learns from the D4RL-style data alone.
        held_out: share of rows held out for the model's error.
    """

    path: str = ""
    rows: int = bounded(1_000_000, low=1)
    noise: float = bounded(0.5, low=0)
    random_rows: int = bounded(800_000, low=0)
    held_out: float = bounded(0.02, low=0, below=1)


# Rows of D4RL's own data for a maze, and of broad random data: about 90,000 of these per free cell.
_MAZE_ROWS = {"umaze": (1_000_000, 800_000), "medium": (2_000_000, 2_400_000), "large": (4_000_000, 4_000_000)}


def maze_data(size: str) -> DataConfig:
    """The data of one of D4RL's mazes, ``umaze``, ``medium`` or ``large``."""
    rows, random_rows = _MAZE_ROWS[size]
    return DataConfig(rows=rows, random_rows=random_rows)


@dataclasses.dataclass
class InverterConfig:
    """Training of the Inverter on imagined starts; see ``learn.inverter.InverterTraining``."""

    steps: int = bounded(6000, low=0)
    batch: int = bounded(192, low=1)
    learning_rate: float = bounded(1e-3, above=0)
    advance: tuple[int, ...] = bounded((4, 8, 16), low=1)
    reset_share: float = bounded(0.15, low=0, high=1)
    goal_share: float = bounded(0.12, low=0, high=1)
    state_noise: float = bounded(0.01, low=0)
    logit_limit: float = bounded(3.0, low=0)
    logit_weight: float = bounded(1e-3, low=0)


@dataclasses.dataclass
class EvaluationConfig:
    """Closed-loop evaluation at the end of a run: episodes per setting, seed, and the numbers K of refinement steps.

    Every K is run on the maze's own goal; random goals are run with the least and the greatest K.
    """

    episodes: int = bounded(100, low=2)
    seed: int = bounded(10_000, low=0, high=MAX_SEED)
    refine_steps: tuple[int, ...] = bounded((0, 2, 10), low=0, empty=True)
