"""Diffusion planners on maze2d: Diffuser, Decision Diffuser, and the latter distilled to one step."""

import dataclasses

from experiments.configs.shared import DataConfig, EvaluationConfig, maze_data
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.maze2d.diffusion import MazeDiffusionConfig


@dataclasses.dataclass
class TrainingConfig:
    """Training of the diffusion model; see ``learn.diffusion``.

    Attributes:
        steps: updates.
        batch: plans per update.
        learning_rate: greatest.
        dropout: probability that the goal is left out.
        decay: of the moving average.
    """

    steps: int = bounded(16_000, low=0)
    batch: int = bounded(64, low=1)
    learning_rate: float = bounded(1e-3, above=0)
    dropout: float = bounded(0.25, low=0, high=1)
    decay: float = bounded(0.999, low=0, below=1)


@dataclasses.dataclass
class InverseConfig:
    """Training of the inverse dynamics: updates, pairs per update, learning rate."""

    steps: int = bounded(4000, low=0)
    batch: int = bounded(512, low=1)
    learning_rate: float = bounded(2e-3, above=0)


@dataclasses.dataclass
class Config:
    """The experiment.

    Attributes:
        base: the trained planner, shipped or a folder, whose forward model and objective rank the candidates.
        teacher: a trained diffusion planner's folder or shipped name to distil to one step; empty trains from data.
        planner: what to train. Its own ``base`` is replaced by that planner's; with a teacher, all of it but the sampler.
    """

    base: str = "maze2d-umaze-v1"
    teacher: str = ""
    planner: MazeDiffusionConfig = dataclasses.field(default_factory=MazeDiffusionConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    inverse: InverseConfig = dataclasses.field(default_factory=InverseConfig)
    # The compute-budget benchmark evaluates these planners, under settings of its own.
    evaluation: EvaluationConfig = dataclasses.field(default_factory=lambda: EvaluationConfig(refine_steps=()))
    block: int = bounded(250, low=1)
    checkpoint_every: int = bounded(1000, low=1, multiple_of="block")


# Diffuser's horizon in steps, as tokens and stride, and its levels of noise, for each maze.
_DIFFUSER = {"umaze": (32, 4, 64), "medium": (32, 8, 256), "large": (32, 12, 256)}
# Updates of the model of plans.
_DIFFUSER_STEPS = {"umaze": 10_000, "medium": 9000, "large": 60_000}
_STEPS = {"umaze": 12_000, "medium": 16_000, "large": 20_000}
_LONGER_THAN_EPISODES = 10_000  # Diffuser draws one plan an episode


def decision_diffuser(size: str) -> Config:
    """States alone, 15 steps apart, the goal as a condition, actions from inverse dynamics."""
    return Config(base=f"maze2d-{size}-v1", data=maze_data(size), training=TrainingConfig(steps=_STEPS[size]))


def diffuser(size: str) -> Config:
    """States and actions, every 4th, 8th or 12th step; the goal painted in; followed by the published PD controller."""
    config = decision_diffuser(size)
    planner = config.planner
    planner.tokens, planner.stride, planner.train_steps = _DIFFUSER[size]
    planner.with_actions, planner.pin_goal, planner.ask_goal = True, True, False
    planner.sampler, planner.denoise_steps, planner.candidates = "ddpm", planner.train_steps, 1
    planner.follow, planner.execute_steps = "pd", _LONGER_THAN_EPISODES
    config.training.steps = _DIFFUSER_STEPS[size]
    config.data.random_rows = 0
    return config


def consistency(size: str) -> Config:
    """The Decision Diffuser distilled to one step."""
    config = decision_diffuser(size)
    config.teacher = f"maze2d-{size}-v1-decision-diffuser"
    config.planner.denoise_steps = 1
    config.training.steps, config.training.learning_rate = 3000, 3e-4
    config.data.random_rows = 0
    return config
