"""antmaze: the ant's motor level, and the two-level planner of a maze over it."""

import dataclasses

from experiments.configs.shared import EvaluationConfig, InverterConfig
from invlearn_jax.keys import MAX_SEED
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.antmaze.motor import AntMotorConfig
from invlearn_jax.tasks.antmaze.stack import AntStackConfig


@dataclasses.dataclass
class AntDataConfig:
    """What to learn from.

    Attributes:
        path: files of your own (D4RL HDF5 or OGBench npz), comma-separated; empty makes D4RL's data anew.
        policy: the goal-reaching policy that makes data, shipped or an npz file, see ``read_goal_policy``; ``none`` for an
            ant that flails at random. Broad data are of its ants too, also beside files of your own.
        rows: rows of D4RL's recipe to make.
        noise: standard deviation of its action noise.
        broad_rows: rows of broad data on an open floor to add; 0 for none.
        seed: of what is made; one for all training seeds, as D4RL's file is one.
        held_out: share of rows held out for the model's error.
        upright: least uprightness of the rows to learn from.
    """

    path: str = ""
    policy: str = "ant-v1"
    rows: int = bounded(1_000_000, low=1)
    noise: float = bounded(0.2, low=0)
    broad_rows: int = bounded(500_000, low=0)
    seed: int = bounded(0, low=0, high=MAX_SEED)
    held_out: float = bounded(0.02, low=0, below=1)
    upright: float = bounded(0.2, low=-1, below=1)


@dataclasses.dataclass
class MotorModelConfig:
    """Training of the motor level's forward model: first on single steps, then on windows of ``horizon`` steps."""

    one_step_updates: int = bounded(10_000, low=0)
    one_step_batch: int = bounded(1024, low=1)
    one_step_rate: float = bounded(1e-3, above=0)
    steps: int = bounded(3000, low=0)
    batch: int = bounded(128, low=1)
    horizon: int = bounded(10, low=1)
    learning_rate: float = bounded(5e-4, above=0)
    broad_share: float = bounded(0.5, low=0, high=1)


@dataclasses.dataclass
class CloningConfig:
    """Behaviour cloning: where the Inverter starts from, and what keeps it near the data.

    Attributes:
        steps: updates before training through the model.
        batch: rows per update.
        learning_rate: greatest.
        within: how many rows later a hindsight goal may lie.
        weight: of the cloning term while training through the model.
    """

    steps: int = bounded(3000, low=0)
    batch: int = bounded(512, low=1)
    learning_rate: float = bounded(1e-3, above=0)
    within: int = bounded(24, low=1)
    weight: float = bounded(0.3, low=0)


@dataclasses.dataclass
class CorrectionConfig:
    """Online correction: the motor level is executed, its model learns from that, and it learns from the model anew.

    Attributes:
        rounds: how often; 0 learns from the data alone.
        ants: side by side.
        rows: steps of each, per round.
        noise: greatest standard deviation of the noise on their actions.
        follow: for how many steps every second ant follows its plan before the next one; the others plan in every step.
        starts: share of the Inverter's starts that are executed states, once there are any.
        share: of a batch that the executed rows of all rounds are, once there are any.
        model_steps: updates of the model per round.
        steps: updates of the Inverter per round.
    """

    rounds: int = bounded(2, low=0)
    ants: int = bounded(256, low=1)
    rows: int = bounded(500, low=1)
    noise: float = bounded(0.2, low=0)
    follow: int = bounded(1, low=1)
    starts: float = bounded(0.0, low=0, below=1)
    share: float = bounded(0.5, low=0, high=1)
    model_steps: int = bounded(2000, low=0)
    steps: int = bounded(2000, low=0)


@dataclasses.dataclass
class MotorConfig:
    """The motor level's experiment; goals are drawn ``nearest`` to ``farthest`` metres away."""

    planner: AntMotorConfig = dataclasses.field(default_factory=lambda: AntMotorConfig(env="antmaze-large-diverse-v2"))
    data: AntDataConfig = dataclasses.field(default_factory=AntDataConfig)
    model: MotorModelConfig = dataclasses.field(default_factory=MotorModelConfig)
    cloning: CloningConfig = dataclasses.field(default_factory=CloningConfig)
    inverter: InverterConfig = dataclasses.field(
        default_factory=lambda: InverterConfig(
            steps=4000, advance=(1, 2, 4), reset_share=0.1, goal_share=0.1, state_noise=0.03
        )
    )
    correction: CorrectionConfig = dataclasses.field(default_factory=CorrectionConfig)
    nearest: float = bounded(0.3, low=0)
    farthest: float = bounded(5.0, above=0)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=lambda: EvaluationConfig(refine_steps=(0, 5)))
    block: int = bounded(250, low=1)
    checkpoint_every: int = bounded(1000, low=1, multiple_of="block")


def motor() -> MotorConfig:
    """The ant's motor level, for all mazes."""
    return MotorConfig()


@dataclasses.dataclass
class PolicyConfig:
    """A goal-reaching policy from nothing: motor levels that each learn from what the one before did, and a clone of the last.

    Attributes:
        flail: the first generation, whose data are its own random exploration.
        motor: those after it, which also clone what the one before executed.
        generations: how many come after the first.
        hidden: widths of the policy.
        steps: updates of the policy.
        batch: states per update.
        learning_rate: greatest.
    """

    flail: MotorConfig = dataclasses.field(default_factory=MotorConfig)
    motor: MotorConfig = dataclasses.field(default_factory=MotorConfig)
    generations: int = bounded(2, low=0)
    hidden: tuple[int, ...] = bounded((256, 256), low=1)
    steps: int = bounded(10_000, low=0)
    batch: int = bounded(512, low=1)
    learning_rate: float = bounded(1e-3, above=0)

    @property
    def evaluation(self) -> EvaluationConfig:
        """The motor level's."""
        return self.motor.evaluation


def policy() -> PolicyConfig:
    """The ant's policy."""
    config = PolicyConfig()
    first, later = config.flail, config.motor
    first.data.policy, first.data.rows, first.data.broad_rows = "none", 300_000, 0
    first.cloning.steps, first.cloning.weight = 0, 0.0
    first.model.one_step_updates, first.model.steps, first.inverter.steps = 5000, 2000, 2000
    # A plan that is replaced in every step can put off walking for ever: what it predicts has to be executed.
    first.correction = CorrectionConfig(rounds=3, follow=16, starts=0.5)
    later.data.policy, later.data.broad_rows = "none", 0
    later.correction = CorrectionConfig(rounds=3, follow=8, starts=0.5)
    return config


@dataclasses.dataclass
class LevelConfig:
    """The upper level's forward model: what the motor level is seen to do, and training on it.

    Attributes:
        ants: side by side.
        episodes: of each, from starts among the data.
        rounds: random sub-goals per episode.
        steps: updates.
        batch: rows per update.
        learning_rate: greatest.
    """

    ants: int = bounded(256, low=1)
    episodes: int = bounded(6, low=1)
    rounds: int = bounded(10, low=1)
    steps: int = bounded(6000, low=0)
    batch: int = bounded(1024, low=1)
    learning_rate: float = bounded(2e-3, above=0)


@dataclasses.dataclass
class GraphConfig:
    """The data's graph (bin size in metres, least count of a bin or link, steps that join bins) and its distillation."""

    bin_size: float = bounded(0.4, above=0)
    min_count: int = bounded(5, low=1)
    max_steps: int = bounded(4, low=1)
    steps: int = bounded(4000, low=0)
    batch: int = bounded(2048, low=1)
    learning_rate: float = bounded(3e-3, above=0)


@dataclasses.dataclass
class Config:
    """The two-level planner's experiment; ``motor`` is a trained motor level, shipped or a folder."""

    motor: str = "ant-motor"
    planner: AntStackConfig = dataclasses.field(default_factory=AntStackConfig)
    data: AntDataConfig = dataclasses.field(default_factory=lambda: AntDataConfig(broad_rows=0))
    cost_to_go: GraphConfig = dataclasses.field(default_factory=GraphConfig)
    level: LevelConfig = dataclasses.field(default_factory=LevelConfig)
    inverter: InverterConfig = dataclasses.field(
        default_factory=lambda: InverterConfig(steps=6000, advance=(1, 2, 3), state_noise=0.0)
    )
    evaluation: EvaluationConfig = dataclasses.field(default_factory=lambda: EvaluationConfig(refine_steps=(0,)))
    block: int = bounded(250, low=1)
    checkpoint_every: int = bounded(1000, low=1, multiple_of="block")


def for_maze(variant: str) -> Config:
    """The configuration of ``antmaze-{variant}-v2``."""
    config = Config()
    config.planner.env = f"antmaze-{variant}-v2"
    return config
