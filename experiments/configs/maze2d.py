"""maze2d: from data to a planner. One mutable dataclass; every field can be set by ``--config.part.field=value``."""

import dataclasses

from experiments.configs.shared import DataConfig, EvaluationConfig, InverterConfig, maze_data
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.maze2d.planner import MazePlannerConfig


@dataclasses.dataclass
class ModelConfig:
    """Training of the forward model: updates, windows per update, steps per window, and the random data's share."""

    steps: int = bounded(4000, low=0)
    batch: int = bounded(256, low=1)
    horizon: int = bounded(16, low=1)
    learning_rate: float = bounded(2e-3, above=0)
    random_share: float = bounded(0.75, low=0, high=1)


@dataclasses.dataclass
class CostToGoConfig:
    """The data's graph (bin size in metres, least count of a bin or link) and its distillation."""

    bin_size: float = bounded(0.1, above=0)
    min_count: int = bounded(3, low=1)
    steps: int = bounded(3000, low=0)
    batch: int = bounded(2048, low=1)
    learning_rate: float = bounded(3e-3, above=0)


@dataclasses.dataclass
class Config:
    """The experiment; ``hacking_problems`` random plans are held against the simulator at its end (0: none)."""

    planner: MazePlannerConfig = dataclasses.field(default_factory=MazePlannerConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    cost_to_go: CostToGoConfig = dataclasses.field(default_factory=CostToGoConfig)
    inverter: InverterConfig = dataclasses.field(default_factory=InverterConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    hacking_problems: int = bounded(2000, low=0)
    block: int = bounded(250, low=1)
    checkpoint_every: int = bounded(1000, low=1, multiple_of="block")


def umaze() -> Config:
    """maze2d-umaze-v1, three minutes on two cores."""
    return Config()


def medium() -> Config:
    """maze2d-medium-v1, five minutes on two cores."""
    config = Config()
    config.planner.env, config.data = "maze2d-medium-v1", maze_data("medium")
    # About 450 updates of the model per free cell: with a third of them, and of the data, it let plans through walls.
    config.model.steps, config.cost_to_go.steps, config.inverter.steps = 15_000, 4000, 10_000
    return config


def large() -> Config:
    """maze2d-large-v1, seven minutes on two cores."""
    config = Config()
    config.planner.env, config.data = "maze2d-large-v1", maze_data("large")
    config.model.steps, config.cost_to_go.steps, config.inverter.steps = 20_000, 5000, 12_000
    return config
