"""Baselines on maze2d: behaviour cloning, ReBRAC and the Decision Transformer, from D4RL's data alone."""

import dataclasses

from experiments.configs.shared import DataConfig, EvaluationConfig, maze_data
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.maze2d import specs as maze2d_specs


@dataclasses.dataclass
class _Config:
    """What the baselines share.

    Attributes:
        base: the trained planner whose forward model and objective tell what plans lead to: a shipped name or a folder.
        data: what to learn from.
        evaluation: at the end of the run.
        block: updates per compiled call.
        checkpoint_every: updates.
    """

    base: str = "maze2d-umaze-v1"
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=lambda: EvaluationConfig(refine_steps=(0,)))
    block: int = bounded(250, low=1)
    checkpoint_every: int = bounded(1000, low=1, multiple_of="block")


@dataclasses.dataclass
class CloningConfig:
    """Behaviour cloning: the Inverter (T steps per plan, all executed; widths; Fourier features) and its training."""

    horizon: int = bounded(1, low=1)
    hidden: tuple[int, ...] = bounded((256, 256, 256), low=1)
    octaves: int = bounded(5, low=0)
    steps: int = bounded(10_000, low=0)
    batch: int = bounded(256, low=1)
    learning_rate: float = bounded(1e-3, above=0)


@dataclasses.dataclass
class BcConfig(_Config):
    """Goal-conditioned behaviour cloning."""

    policy: CloningConfig = dataclasses.field(default_factory=CloningConfig)


@dataclasses.dataclass
class RebracPolicyConfig:
    """ReBRAC: widths of actor and critics, Fourier features, and the training; see ``learn.rebrac.RebracTraining``.

    Published for maze2d: a million updates at a learning rate of 3e-4, slowness 0.005, actor_penalty 0.003 and no Fourier
    features. With a fiftieth of the updates that leaves the value far behind and the actor pressed against walls; these
    settings do not.
    """

    hidden: tuple[int, ...] = bounded((256, 256, 256), low=1)
    octaves: int = bounded(3, low=0)
    steps: int = bounded(20_000, low=0)
    learning_rate: float = bounded(1e-3, above=0)
    batch: int = bounded(256, low=1)
    discount: float = bounded(0.99, above=0, below=1)
    slowness: float = bounded(0.05, above=0, high=1)
    actor_penalty: float = bounded(0.02, low=0)
    critic_penalty: float = bounded(0.001, low=0)
    noise: float = bounded(0.2, low=0)
    noise_limit: float = bounded(0.5, low=0)
    delay: int = bounded(2, low=1)


@dataclasses.dataclass
class RebracConfig(_Config):
    """ReBRAC on the maze's own goal."""

    policy: RebracPolicyConfig = dataclasses.field(default_factory=RebracPolicyConfig)


@dataclasses.dataclass
class TransformerConfig:
    """The Decision Transformer and its training.

    Published: a context of 20 steps, a width of 128 and a learning rate of 1e-4 over a hundred thousand updates. A plan's
    context begins anew, so it is no longer than a plan; the narrower network learns more in minutes.

    Attributes:
        horizon: T, steps of a plan.
        execute_steps: of a plan.
        context: K, steps.
        target_return: asked for at the beginning of a plan.
        return_steps: L, over which the data's returns are summed.
        return_scale: what returns are divided by.
        width: of a token.
        layers: of self-attention.
        heads: of each layer.
        dropout: in training.
        steps: updates.
        batch: windows per update.
        learning_rate: of AdamW.
        warm_up: updates of linear warm-up.
        decay: weight decay.
    """

    horizon: int = bounded(8, low=1)
    execute_steps: int = bounded(8, low=1)
    context: int = bounded(8, low=1)
    target_return: float = 280.0
    return_steps: int = bounded(300, low=1)
    return_scale: float = bounded(100.0, above=0)
    width: int = bounded(64, low=1)
    layers: int = bounded(3, low=1)
    heads: int = bounded(1, low=1)
    dropout: float = bounded(0.1, low=0, below=1)
    steps: int = bounded(8000, low=1)
    batch: int = bounded(64, low=1)
    learning_rate: float = bounded(2e-3, above=0)
    warm_up: int = bounded(200, low=0)
    decay: float = bounded(1e-4, low=0)


@dataclasses.dataclass
class DtConfig(_Config):
    """The Decision Transformer on the maze's own goal."""

    policy: TransformerConfig = dataclasses.field(default_factory=TransformerConfig)


Config = BcConfig | RebracConfig | DtConfig
_CONFIGS = {"bc": BcConfig, "rebrac": RebracConfig, "dt": DtConfig}


def for_maze(size: str, method: str) -> Config:
    """The configuration of a method, ``bc``, ``rebrac`` or ``dt``, for one of D4RL's mazes."""
    config = _CONFIGS[method]()
    config.base, config.data = f"maze2d-{size}-v1", maze_data(size)
    config.data.random_rows = 0
    if method == "dt":
        config.policy.return_steps = maze2d_specs.spec(config.base).episode_length
    if method == "rebrac" and size != "umaze":
        # Ways of four seconds and more: the value has to come further, and round more corners.
        config.policy.discount, config.policy.slowness, config.policy.octaves = 0.995, 0.2, 4
    if method == "dt" and size != "umaze":
        config.policy.steps = 16_000
    if size == "large" and method != "dt":
        config.policy.steps = {"bc": 20_000, "rebrac": 30_000}[method]
    return config
