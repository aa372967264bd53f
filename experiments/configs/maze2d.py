"""maze2d: from data to a planner. One mutable dataclass; every field can be set by ``--config.part.field=value``."""

import dataclasses

from experiments.configs.shared import EvaluationConfig, InverterConfig
from invlearn_jax.planners.maze import MazePlannerConfig


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


@dataclasses.dataclass
class ModelConfig:
    """Training of the forward model: updates, windows per update, steps per window, and the random data's share."""

    steps: int = 4000
    batch: int = 256
    horizon: int = 16
    learning_rate: float = 2e-3
    random_share: float = 0.75


@dataclasses.dataclass
class CostToGoConfig:
    """The data's graph (bin size in metres, least count of a bin or link) and its distillation."""

    bin_size: float = 0.1
    min_count: int = 3
    steps: int = 3000
    batch: int = 2048
    learning_rate: float = 3e-3


@dataclasses.dataclass
class Config:
    """The experiment; ``hacking_problems`` random plans are held against the simulator at its end (0: none)."""

    planner: MazePlannerConfig = dataclasses.field(default_factory=MazePlannerConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    cost_to_go: CostToGoConfig = dataclasses.field(default_factory=CostToGoConfig)
    inverter: InverterConfig = dataclasses.field(default_factory=InverterConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    hacking_problems: int = 2000
    block: int = 250
    checkpoint_every: int = 1000


def umaze() -> Config:
    """maze2d-umaze-v1, three minutes on two cores."""
    return Config()


def medium() -> Config:
    """maze2d-medium-v1, five minutes on two cores."""
    config = Config()
    config.planner.env, config.data.rows = "maze2d-medium-v1", 2_000_000
    # About 90,000 random rows and 450 updates of the model per free cell: with a third of them it let plans through walls.
    config.data.random_rows = 2_400_000
    config.model.steps, config.cost_to_go.steps, config.inverter.steps = 15_000, 4000, 10_000
    return config


def large() -> Config:
    """maze2d-large-v1, seven minutes on two cores."""
    config = Config()
    config.planner.env, config.data.rows = "maze2d-large-v1", 4_000_000
    config.data.random_rows = 4_000_000
    config.model.steps, config.cost_to_go.steps, config.inverter.steps = 20_000, 5000, 12_000
    return config
