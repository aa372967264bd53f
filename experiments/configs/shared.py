"""Parts that several experiments configure."""

import dataclasses


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
    rows: int = 1_000_000
    noise: float = 0.5
    random_rows: int = 800_000
    held_out: float = 0.02


# Rows of D4RL's own data for a maze, and of broad random data: about 90,000 of these per free cell.
_MAZE_ROWS = {"umaze": (1_000_000, 800_000), "medium": (2_000_000, 2_400_000), "large": (4_000_000, 4_000_000)}


def maze_data(size: str) -> DataConfig:
    """The data of one of D4RL's mazes, ``umaze``, ``medium`` or ``large``."""
    rows, random_rows = _MAZE_ROWS[size]
    return DataConfig(rows=rows, random_rows=random_rows)


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
