"""Pulse Inverters for one qubit, a transmon, two qubits, and a qubit under errors."""

import dataclasses

from invlearn_jax.keys import MAX_SEED
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.gates.build import PulseConfig


@dataclasses.dataclass
class TrainingConfig:
    """Training through the propagator: updates, targets per update, learning rate."""

    steps: int = bounded(40_000, low=0)
    batch: int = bounded(512, low=1)
    learning_rate: float = bounded(3e-3, above=0)


@dataclasses.dataclass
class PulseEvaluationConfig:
    """Evaluation on fresh gates from the Haar measure: how many, their seed, and the numbers K of refinement steps."""

    gates: int = bounded(1000, low=1)
    seed: int = bounded(10_000, low=0, high=MAX_SEED)
    refine_steps: tuple[int, ...] = bounded((0, 1, 2, 3), low=0, empty=True)


@dataclasses.dataclass
class Config:
    """The experiment.

    Attributes:
        planner: what to train.
        training: of the network; for two qubits, of the one for the single qubits' gates.
        interaction: for two qubits, training of the network for interactions.
        whole: for two qubits, training of both on whole gates.
        evaluation: at the end of the run.
        block: updates per compiled call.
        checkpoint_every: updates.
    """

    planner: PulseConfig = dataclasses.field(default_factory=PulseConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    interaction: TrainingConfig = dataclasses.field(default_factory=lambda: TrainingConfig(0, 128))
    whole: TrainingConfig = dataclasses.field(default_factory=lambda: TrainingConfig(0, 128, 3e-4))
    evaluation: PulseEvaluationConfig = dataclasses.field(default_factory=PulseEvaluationConfig)
    block: int = bounded(250, low=1)
    checkpoint_every: int = bounded(1000, low=1, multiple_of="block")


def qubit() -> Config:
    """A resonant qubit: 20 MHz, 100 ns."""
    return Config()


def robust_qubit() -> Config:
    """The mean over detunings of +-5 MHz and amplitudes of +-5 %: 50 MHz, 100 ns."""
    config = Config(PulseConfig(limit=50.0, slices=(30,), knots=(12,), detuning_error=5.0, amplitude_error=0.05))
    config.training.steps, config.training.batch = 20_000, 256
    config.evaluation.refine_steps = (0, 10)
    return config


def transmon() -> Config:
    """Three levels, -300 MHz of anharmonicity: 40 MHz, 60 ns."""
    config = Config(PulseConfig("transmon", 0.06, 40.0, -300.0, (60,), (24,)))
    config.training.steps, config.training.batch = 20_000, 256
    return config


def two_qubits() -> Config:
    """A ZZ coupling of 5 MHz: 100 MHz drives, 225 ns, which is 1.5 times what SWAP needs."""
    planner = PulseConfig("two_qubit", 0.225, 100.0, 5.0, (14, 62, 14), (9, 17, 9), (128, 128, 128), (128, 128, 128))
    config = Config(planner)
    config.training = TrainingConfig(16_000, 256, 2e-3)
    config.interaction = TrainingConfig(8000, 128, 2e-3)
    config.whole = TrainingConfig(2000, 128, 3e-4)
    config.evaluation.refine_steps = (0, 1, 3, 5)
    return config
