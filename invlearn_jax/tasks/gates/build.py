"""Systems and objectives from a task's settings."""

import functools

from invlearn_jax.names import unknown_name
from invlearn_jax.tasks.gates.objective import PulseObjective, error_grid
from invlearn_jax.tasks.gates.settings import GateSettings
from invlearn_jax.tasks.gates.systems import MHZ, PulseSystem, qubit, transmon, two_qubits

SYSTEMS = ("qubit", "transmon", "two_qubit")


def build_system(settings: GateSettings) -> PulseSystem:
    """The system that is driven; the same one for the same settings.

    Raises:
        ValueError: for an unknown system, or what the system refuses.
    """
    s = settings
    return _system(s.system, s.gate_time, s.limit, s.drift, tuple(s.slices), tuple(s.knots))


@functools.cache
def _system(
    name: str, gate_time: float, limit: float, drift: float, slices: tuple[int, ...], knots: tuple[int, ...]
) -> PulseSystem:
    if name not in SYSTEMS:
        raise unknown_name("system", name, SYSTEMS)
    count = 3 if name == "two_qubit" else 1
    if not len(slices) == len(knots) == count:
        raise ValueError(
            f"slices are {slices}, knots are {knots}; pulses of {name} have {count} sections, give one number for each."
        )
    sections = tuple(zip(slices, knots, strict=True))
    if name == "two_qubit":
        return two_qubits(gate_time, limit * MHZ, drift * MHZ, sections=sections)
    make = qubit if name == "qubit" else transmon
    return make(gate_time, limit * MHZ, drift * MHZ, knots=knots[0], slices=slices[0])


def build_objective(settings: GateSettings) -> PulseObjective:
    """The infidelity, or where errors are to be borne its mean over them."""
    if not (settings.detuning_error or settings.amplitude_error):
        return PulseObjective()
    return PulseObjective(error_grid(settings.detuning_error * MHZ, settings.amplitude_error))
