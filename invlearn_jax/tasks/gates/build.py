"""Pulse planners from a plain description."""

import dataclasses

import optax

from invlearn_jax.inputs import check_whole
from invlearn_jax.names import unknown_name
from invlearn_jax.planners.planner import InversePlanner
from invlearn_jax.refine import Refiner, gauss_newton, gradient
from invlearn_jax.settings import bounded, check_settings
from invlearn_jax.tasks.gates.objective import NO_ERRORS, PulseObjective, error_grid
from invlearn_jax.tasks.gates.planner import pulse_planner
from invlearn_jax.tasks.gates.pulse_inverter import QubitInverter, TwoQubitInverter
from invlearn_jax.tasks.gates.systems import MHZ, PulseSystem, qubit, transmon, two_qubits

SYSTEMS = ("qubit", "transmon", "two_qubit")
REFINERS = ("gauss_newton", "lbfgs", "adam")


@dataclasses.dataclass
class PulseConfig:
    """A pulse planner: numbers and names only, so that JSON holds it.

    Attributes:
        system: ``qubit``, ``transmon`` or ``two_qubit``.
        gate_time: us.
        limit: greatest Rabi frequency of a drive, MHz (times 2 pi rad/us).
        drift: MHz: the qubit's detuning, the transmon's anharmonicity, the coupling of two qubits.
        slices: of each section of the pulse.
        knots: spline coefficients of each section.
        hidden: widths of the network; for two qubits, of the one for the single qubits' gates.
        interaction_hidden: widths of the network for interactions.
        share: of the coupling that passes while the single qubits' gates are made and counts as interaction.
        detuning_error: that pulses are to bear, MHz; 0 for none.
        amplitude_error: that pulses are to bear, as a share.
    """

    system: str = "qubit"
    gate_time: float = bounded(0.1, above=0)
    limit: float = bounded(20.0, above=0)
    drift: float = 0.0
    slices: tuple[int, ...] = bounded((22,), low=1)
    knots: tuple[int, ...] = bounded((8,), low=1)
    hidden: tuple[int, ...] = bounded((64, 64), low=1)
    interaction_hidden: tuple[int, ...] = bounded((), low=1)
    share: float = bounded(0.25, low=0, high=1)
    detuning_error: float = bounded(0.0, low=0)
    amplitude_error: float = bounded(0.0, low=0, below=1)

    @property
    def env(self) -> str:
        """What it drives."""
        return self.system


def build_system(config: PulseConfig) -> PulseSystem:
    """The system of a configuration.

    Raises:
        ValueError: for an unknown system, or what the system refuses.
    """
    if config.system not in SYSTEMS:
        raise unknown_name("system", config.system, SYSTEMS)
    count = 3 if config.system == "two_qubit" else 1
    if not len(config.slices) == len(config.knots) == count:
        raise ValueError(
            f"slices are {tuple(config.slices)}, knots are {tuple(config.knots)}; pulses of {config.system} have {count} "
            "sections, give one number for each."
        )
    sections = tuple(zip(config.slices, config.knots, strict=True))
    limit, drift = config.limit * MHZ, config.drift * MHZ
    if config.system == "two_qubit":
        return two_qubits(config.gate_time, limit, drift, sections=sections)
    ((slices, knots),) = sections
    make = qubit if config.system == "qubit" else transmon
    return make(config.gate_time, limit, drift, knots=knots, slices=slices)


def build_pulse_inverter(config: PulseConfig) -> QubitInverter | TwoQubitInverter:
    """The Inverter of a configuration."""
    system = build_system(config)
    if config.system == "two_qubit":
        return TwoQubitInverter(system, config.hidden, config.interaction_hidden, config.share)
    return QubitInverter(system, config.hidden)


def build_objective(config: PulseConfig) -> PulseObjective:
    """The infidelity, or where errors are to be borne its mean over them."""
    if not (config.detuning_error or config.amplitude_error):
        return PulseObjective()
    return PulseObjective(error_grid(config.detuning_error * MHZ, config.amplitude_error))


def build_refiner(name: str) -> Refiner:
    """A way to refine pulses, by name.

    Raises:
        ValueError: for an unknown one.
    """
    if name == "gauss_newton":
        return gauss_newton()
    if name == "lbfgs":
        return gradient(optax.lbfgs(), limit=float("inf"))
    if name == "adam":
        return gradient(optax.adam(0.01), limit=float("inf"))
    raise unknown_name("refiner of pulses", name, REFINERS)


def build_pulse_planner(
    config: PulseConfig,
    refine_steps: int = 0,
    candidates: int | None = None,
    refiner: str | None = None,
    execute_steps: int | None = None,
) -> InversePlanner:
    """The planner of a configuration.

    Args:
        config: what to build.
        refine_steps: K.
        candidates: proposals: None or 1, since the Inverter has one answer.
        refiner: one of ``REFINERS``. By default Gauss-Newton, which makes the gate itself exact; where errors are to be borne
            L-BFGS on the mean over them.
        execute_steps: a pulse is played whole; None, or its number of slices.

    Returns:
        The planner.

    Raises:
        ValueError: for settings that do not fit together; says which are allowed.
    """
    check_settings(config)
    objective = build_objective(config)
    inverter = build_pulse_inverter(config)
    check_whole(execute_steps=execute_steps, candidates=candidates)
    if execute_steps not in (None, inverter.system.slices):
        raise ValueError(
            f"execute_steps is {execute_steps}; a pulse is played whole, {inverter.system.slices} slices. Leave it out."
        )
    if candidates not in (None, 1):
        raise ValueError(f"candidates is {candidates}; the Inverter of pulses has one answer to a gate. Leave it out.")
    name = refiner or ("gauss_newton" if objective.errors is NO_ERRORS else "lbfgs")
    return pulse_planner(inverter, objective, build_refiner(name), refine_steps)
