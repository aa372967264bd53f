"""Driven quantum systems in their rotating frames. Time in us, angular frequency in rad/us.

    H(t) = H0 + sum_c u_c(t) H_c

The controls come in pairs (x, y), one per drive, with ``u_x^2 + u_y^2 <= limit^2``. They are cubic B-splines of time, sampled
at the middle of N slices and constant there (see ``waveform``).
"""

from typing import NamedTuple

import numpy as np

from invlearn_jax.names import unknown_name
from invlearn_jax.tasks.gates.gates import PAULI
from invlearn_jax.tasks.gates.slice_table import SliceTable, tabulate

MHZ = 2 * np.pi  # rad/us


class PulseSystem(NamedTuple):
    """A system and the pulses it may be given.

    Attributes:
        name: which kind.
        drift: ``[D, D]`` H0, rad/us.
        controls: ``[C, D, D]`` H_c, without units.
        detuning: ``[D, D]`` what a detuning of 1 rad/us adds to H0.
        levels: the d levels that gates act on; the others are leakage.
        gate_time: T, us.
        limit: the greatest amplitude of a drive, rad/us.
        sections: ``(slices, spline coefficients per control)`` of each part of the pulse, which begins and ends at zero.
        table: of a slice's propagator, where each drive has an excitation number that the drift leaves alone.
    """

    name: str
    drift: np.ndarray
    controls: np.ndarray
    detuning: np.ndarray
    levels: tuple[int, ...]
    gate_time: float
    limit: float
    sections: tuple[tuple[int, int], ...]
    table: SliceTable | None = None

    @property
    def slices(self) -> int:
        """N."""
        return sum(slices for slices, _ in self.sections)

    @property
    def knots(self) -> int:
        """M, spline coefficients per control."""
        return sum(knots for _, knots in self.sections)

    @property
    def dimension(self) -> int:
        """D, all levels."""
        return len(self.drift)

    @property
    def gate_dimension(self) -> int:
        """d, the levels that gates act on."""
        return len(self.levels)

    @property
    def centred_drift(self) -> np.ndarray:
        """H0 with the middle of its energies at 0: the same but for a phase of all, and of the smallest norm."""
        energies = np.linalg.eigvalsh(self.drift)
        return self.drift - (energies[0] + energies[-1]) / 2 * np.eye(self.dimension)

    @property
    def dt(self) -> float:
        """Duration of a slice, us."""
        return self.gate_time / self.slices

    @property
    def bandwidth(self) -> float:
        """Where the spectrum of the shortest cubic B-spline, ``sinc^4(f h)``, is first zero: 1 / h, MHz."""
        return max((knots + 3) / (slices * self.dt) for slices, knots in self.sections)

    @property
    def drives(self) -> np.ndarray:
        """``[drives, D, D]`` the x control of each drive at the limit, rad/us."""
        return self.limit * self.controls[::2]

    def checked_table(self) -> SliceTable | None:
        """The table of a slice's propagator, or None where there is none.

        Raises:
            ValueError: if a field was replaced that the table depends on.
        """
        if self.table is not None and not self.table.holds_for(self.centred_drift, self.drives, self.dt):
            raise ValueError(
                f"{self.name} keeps the table of a system of another drift, limit or slice (now {1e3 * self.dt:g} ns, tabulated "
                f"for {1e3 * self.table.dt:g} ns). Make the system anew (qubit, transmon ...), or replace table by None as well."
            )
        return self.table

    def section(self, index: int) -> "PulseSystem":
        """The same system with one part of the pulse alone."""
        part = self.sections[index]
        return self._replace(gate_time=part[0] * self.dt, sections=(part,))


def _checked(system: PulseSystem, least_time: float, why: str) -> PulseSystem:
    numbers = [system.gate_time, system.limit, *np.abs(system.drift).ravel()]
    if not np.isfinite(numbers).all():
        raise ValueError(f"{system.name} was given NaN or infinite parameters; give finite numbers.")
    if system.limit <= 0:
        raise ValueError(
            f"The amplitude bound of {system.name} is {system.limit} rad/us; without a drive there is no gate. Give more than 0."
        )
    for slices, knots in system.sections:
        if knots < 4 or slices < knots + 3:
            raise ValueError(
                f"{system.name} was given {knots} spline coefficients on {slices} slices; give at least 4, and at "
                f"least {knots + 3} slices for them."
            )
    if system.gate_time < least_time:
        raise ValueError(
            f"A gate time of {system.gate_time:g} us is below the speed limit of {least_time:.4g} us for all gates of "
            f"{system.name}: {why}. Give more time, or a larger bound."
        )
    return system


def _tabulated(system: PulseSystem, numbers: list[list[int]]) -> PulseSystem:
    return system._replace(table=tabulate(system.centred_drift, system.drives, np.array(numbers), system.dt))


def _least_time(limit: float, knots: int) -> float:
    """The time that the slowest gate of one qubit takes, us.

    Rotations about z by pi need ``limit * T >= sqrt(3) pi`` (sub-Riemannian geodesics of SU(2); Boozer, PRA 85, 012317), and the
    spline's area is the share M / (M + 3) of the limit's.
    """
    return np.sqrt(3) * np.pi / limit * (knots + 3) / knots if limit > 0 and knots > 0 else 0.0


def qubit(
    gate_time: float = 0.1, limit: float = 20 * MHZ, detuning: float = 0.0, knots: int = 8, slices: int = 22
) -> PulseSystem:
    """``H = (detuning sigma_z + u_x sigma_x + u_y sigma_y) / 2``.

    Args:
        gate_time: us.
        limit: greatest Rabi frequency, rad/us.
        detuning: of the drive, rad/us.
        knots: M.
        slices: N.

    Returns:
        The system.

    Raises:
        ValueError: for numbers that are not finite, no amplitude, or a time below the speed limit.
    """
    system = PulseSystem(
        "qubit", detuning * PAULI[2] / 2, PAULI[:2] / 2, PAULI[2] / 2, (0, 1), gate_time, limit, ((slices, knots),)
    )
    least = _least_time(limit, knots)
    return _checked(
        system,
        least,
        f"sqrt(3) pi over the amplitude bound of {limit:g} rad/us, times the spline's {1 + 3 / max(knots, 1):.3g}",
    )


def transmon(
    gate_time: float = 0.06,
    limit: float = 40 * MHZ,
    anharmonicity: float = -300 * MHZ,
    knots: int = 24,
    slices: int = 60,
) -> PulseSystem:
    """Three levels: ``H = (anharmonicity / 2) n (n - 1) + (u_x (a + a') + u_y i (a' - a)) / 2``.

    Args:
        gate_time: us.
        limit: greatest Rabi frequency of the lowest transition, rad/us.
        anharmonicity: of the third level, rad/us.
        knots: M.
        slices: N.

    Returns:
        The system; gates act on the two lowest levels.

    Raises:
        ValueError: for numbers that are not finite, no amplitude, or a time below the speed limit.
    """
    down = np.diag(np.sqrt([1.0, 2.0]), 1).astype(complex)
    up, number = down.T, np.diag([0.0, 1.0, 2.0]).astype(complex)
    # The level above is +1/2: a detuning of the drive, up to a phase of all.
    controls = np.stack([up + down, 1j * (up - down)]) / 2
    drift = anharmonicity / 2 * (number @ number - number)
    system = PulseSystem("transmon", drift, controls, -number, (0, 1), gate_time, limit, ((slices, knots),))
    least = _least_time(limit, knots)
    system = _checked(
        system,
        least,
        f"sqrt(3) pi over the amplitude bound of {limit:g} rad/us, times the spline's {1 + 3 / max(knots, 1):.3g}",
    )
    return _tabulated(system, [[0, 1, 2]])


_COUPLINGS = ("zz", "exchange")


def two_qubits(
    gate_time: float | None = None,
    limit: float = 100 * MHZ,
    coupling: float = 5 * MHZ,
    kind: str = "zz",
    sections: tuple[tuple[int, int], ...] = ((14, 9), (62, 17), (14, 9)),
) -> PulseSystem:
    """Two qubits with a fixed coupling, each with its own drive.

        zz:        H0 = (coupling / 2) sigma_z sigma_z
        exchange:  H0 = (coupling / 2) (sigma_x sigma_x + sigma_y sigma_y)

    Args:
        gate_time: us; by default 1.5 times what SWAP, the slowest class, needs.
        limit: greatest Rabi frequency of each drive, rad/us.
        coupling: rad/us.
        kind: ``zz`` or ``exchange``.
        sections: of the pulse; by default two short ones, for gates of the single qubits, around a long one.

    Returns:
        The system.

    Raises:
        ValueError: for an unknown kind, numbers that are not finite, no amplitude or coupling, or a time below the speed limit.
    """
    if kind not in _COUPLINGS:
        raise unknown_name("kind of coupling", kind, _COUPLINGS)
    if not coupling:
        raise ValueError(
            "The coupling is 0; without one there is no gate between two qubits. Give another number, in rad/us."
        )
    pairs = PAULI[2:] if kind == "zz" else PAULI[:2]
    drift = coupling / 2 * np.sum([np.kron(p, p) for p in pairs], axis=0)
    one = np.eye(2)
    controls = (
        np.stack([np.kron(PAULI[0], one), np.kron(PAULI[1], one), np.kron(one, PAULI[0]), np.kron(one, PAULI[1])]) / 2
    )
    detuning = (np.kron(PAULI[2], one) + np.kron(one, PAULI[2])) / 2
    # SWAP needs interactions of pi/4 along all three axes, and a pair gives coupling / 2 per us along one (Vidal, Hammerer,
    # Cirac, PRL 88, 237902).
    least = 3 * np.pi / 4 / (abs(coupling) / 2 * len(pairs))
    time = 1.5 * least if gate_time is None else gate_time
    system = PulseSystem("two_qubit", drift, controls, detuning, (0, 1, 2, 3), time, limit, sections)
    system = _checked(system, least, f"three interactions of pi/4 at a coupling of {coupling:g} rad/us")
    return _tabulated(system, [[0, 0, 1, 1], [0, 1, 0, 1]]) if kind == "zz" else system
