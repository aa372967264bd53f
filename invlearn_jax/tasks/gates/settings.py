"""What can be set of systems and pulses, and the tasks by name."""

import dataclasses
from typing import Any, NamedTuple

from invlearn_jax.settings import bounded


@dataclasses.dataclass
class GateSettings:
    """A system and its pulses.

    Attributes:
        system: ``qubit``, ``transmon`` or ``two_qubit``.
        gate_time: us.
        limit: greatest Rabi frequency of a drive, MHz (times 2 pi rad/us).
        drift: MHz: the qubit's detuning, the transmon's anharmonicity, the coupling of two qubits.
        slices: of each section of the pulse.
        knots: spline coefficients of each section.
        detuning_error: that pulses are to bear, MHz; 0 for none.
        amplitude_error: that pulses are to bear, as a share.
    """

    system: str = "qubit"
    gate_time: float = bounded(0.1, above=0)
    limit: float = bounded(20.0, above=0)
    drift: float = 0.0
    slices: tuple[int, ...] = bounded((22,), low=1)
    knots: tuple[int, ...] = bounded((8,), low=1)
    detuning_error: float = bounded(0.0, low=0)
    amplitude_error: float = bounded(0.0, low=0, below=1)


class Entry(NamedTuple):
    """A named task: one line about it, its settings, and what it changes of its method's."""

    summary: str
    settings: GateSettings
    method: dict[str, Any]


TASKS = {
    "gate-qubit": Entry("any gate of a resonant qubit: 20 MHz, 100 ns", GateSettings(), {}),
    "gate-qubit-robust": Entry(
        "any gate of a qubit under +-5 MHz of detuning and +-5 % of amplitude: 50 MHz, 100 ns",
        GateSettings(limit=50.0, slices=(30,), knots=(12,), detuning_error=5.0, amplitude_error=0.05),
        {"training.steps": 20_000, "training.batch": 256},
    ),
    "gate-transmon": Entry(
        "any gate of a transmon, -300 MHz of anharmonicity: 40 MHz, 60 ns",
        GateSettings("transmon", 0.06, 40.0, -300.0, (60,), (24,)),
        {"training.steps": 20_000, "training.batch": 256},
    ),
    "gate-two-qubit": Entry(
        "any gate of two qubits, a ZZ coupling of 5 MHz: 100 MHz drives, 225 ns",
        GateSettings("two_qubit", 0.225, 100.0, 5.0, (14, 62, 14), (9, 17, 9)),
        {
            "hidden": (128, 128, 128),
            "interaction_hidden": (128, 128, 128),
            "training.steps": 32_000,
            "training.batch": 256,
            "training.learning_rate": 2e-3,
            "interaction.steps": 8000,
            "interaction.learning_rate": 2e-3,
            "whole.steps": 6000,
        },
    ),
}
