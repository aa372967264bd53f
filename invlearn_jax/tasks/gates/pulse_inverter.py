"""Pulse Inverters: a gate in, its pulse out, in one forward pass.

No continuous map can turn every gate into a pulse that makes it: followed by the pulses' propagation it would be the identity on
the gates, yet pass through the pulses, a space without holes, while the gates of a qubit, SO(3), have one. A network whose input
holds all gates therefore fails somewhere. These Inverters ask it only about a part without holes, and reach the rest by exact
symmetries:

- Turning a drive's controls by an angle turns the gate about z by it, whatever the drift that commutes with that.
- A reversed pulse with y turned round makes the transposed gate.
"""

import abc
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float

from invlearn_jax.inputs import Numbers, as_array, usable
from invlearn_jax.networks import mlp
from invlearn_jax.tasks.gates.gates import departure, small_product
from invlearn_jax.tasks.gates.systems import PulseSystem
from invlearn_jax.tasks.gates.waveform import PulseSpline
from invlearn_jax.tasks.gates.weyl import decompose, interaction, local
from invlearn_jax.types import Key, Params, Problem

# Largest entry of |G' G - 1| of a gate, in single and in double precision.
_TOLERANCE = {4: 1e-4, 8: 1e-6}


def as_gate(gate: Numbers) -> Complex[Array, "..."]:
    """A gate as a complex array, whatever numbers it was given in."""
    array = as_array("gate", gate)
    return array.astype(jnp.result_type(array.dtype, jnp.complex64))


class Canonical(NamedTuple):
    """A gate up to its symmetry.

    Attributes:
        features: ``[3]`` Re a, Im a, |b|: a point on a quarter of a sphere.
        turn: ``[2]`` cosine and sine of the angle by which the pulse is turned.
    """

    features: Float[Array, "3"]
    turn: Float[Array, "2"]


def canonical(gate: Complex[Array, "2 2"]) -> Canonical:
    """``V = exp(i g) [[a, -b*], [b, a*]]`` with ``Re a >= 0``, turned about z until b is real; U and -U are the same gate."""
    det = gate[0, 0] * gate[1, 1] - gate[0, 1] * gate[1, 0]
    # Half the phase of the determinant, up to the sign that does not count; the square root of complex numbers is slow.
    half = jnp.where(det.real >= 0, 1.0 + det, 1j * (1.0 - det))
    a, b = gate[0, 0] * jnp.conj(half), gate[1, 0] * jnp.conj(half)
    x, y = jnp.where(a.real < 0, -1.0, 1.0) * jnp.stack([a, b]) / jnp.sqrt(half.real**2 + half.imag**2)
    size = jnp.sqrt(y.real**2 + y.imag**2)
    # Where b = 0 the gate turns about z itself, and any angle does.
    turn = jnp.where(size > 0, y / jnp.where(size > 0, size, 1.0), 1.0)
    return Canonical(jnp.stack([x.real, x.imag, size]), jnp.stack([turn.real, turn.imag]))


def _turned(pulse: Float[Array, "M 2"], turn: Float[Array, "2"]) -> Float[Array, "M 2"]:
    x, y = pulse.T
    return jnp.stack([turn[0] * x - turn[1] * y, turn[1] * x + turn[0] * y], axis=1)


class PulseInverter(abc.ABC):
    """What all Inverters of gates share: the precision is the gate's.

    The networks keep their own precision; what follows has the gate's: complex128 (with JAX's ``jax_enable_x64``) is float64.
    """

    def __init__(self, system: PulseSystem) -> None:
        """For the pulses of a system."""
        self.system, self.horizon = system, system.slices
        self.parametrisation = PulseSpline(system)

    @abc.abstractmethod
    def init(self, key: Key) -> Params:
        """Fresh parameters. The key is consumed."""

    @abc.abstractmethod
    def latents(self, params: Params, key: Key, problem: Problem, num: int) -> Float[Array, "K M C"]:
        """``num`` latent pulses of the gate ``goal`` after ``state``. The key is consumed."""

    def read(self, params: Params, problem: Problem) -> tuple[Problem, Bool[Array, ""], Bool[Array, ""]]:
        """Start and gate in a complex type, whose precision is the gate's; see ``types.ReadsProblems``.

        Raises:
            ValueError: for a start or a gate of the wrong shape, or of what are no numbers.
        """
        size = self.system.gate_dimension
        goal = as_gate(problem.goal)
        start = as_array("start", problem.state, goal.dtype)
        for name, matrix in (("start", start), ("gate", goal)):
            if matrix.shape != (size, size):
                raise ValueError(
                    f"The {name} has shape {matrix.shape}; this planner takes ({size}, {size}). Give one, and use jax.vmap for a "
                    "batch."
                )
        safe, finite = usable(Problem(start, goal))
        unitary = jnp.maximum(departure(safe.state), departure(safe.goal)) <= _TOLERANCE[goal.real.dtype.itemsize]
        one = jnp.eye(size, dtype=goal.dtype)
        return jax.tree.map(lambda x: jnp.where(finite & unitary, x, one), safe), finite, unitary

    def propose(self, params: Params, key: Key, problem: Problem, num: int) -> Float[Array, "K N C"]:
        """``num`` pulses' slices. The key is consumed."""
        return jax.vmap(self.parametrisation.decode)(self.latents(params, key, problem, num))


class LearnedPulses(PulseInverter):
    """Inverters of which a gate has one answer."""

    @abc.abstractmethod
    def latent(self, params: Params, gate: Complex[Array, "d d"]) -> Float[Array, "M C"]:
        """The pulse of one gate."""

    def latents(self, params: Params, key: Key, problem: Problem, num: int) -> Float[Array, "K M C"]:
        """The pulse, ``num`` times. The key is not used."""
        goal = as_gate(problem.goal)
        gate = small_product(goal, jnp.conj(as_array("start", problem.state, goal.dtype).T))
        kind = jax.tree.leaves(params)[0].dtype
        latent = self.latent(params, gate.astype(jnp.result_type(kind, jnp.complex64))).astype(gate.real.dtype)
        return jnp.broadcast_to(latent, (num, *latent.shape))


class QubitInverter(LearnedPulses):
    """Pulses of one drive for gates on its two lowest levels: latents ``[M, 2]`` of spline coefficients (see ``waveform``)."""

    def __init__(self, system: PulseSystem, hidden: Sequence[int]) -> None:
        """Describes it: the system, and the widths of the network."""
        super().__init__(system)
        self._net = mlp(3, hidden, 2 * system.knots, final_scale=0.1, activation=jnp.tanh)

    def init(self, key: Key) -> Params:
        """Fresh parameters. The key is consumed."""
        return self._net.init(key)

    def latent(self, params: Params, gate: Complex[Array, "2 2"]) -> Float[Array, "M 2"]:
        """The pulse of one gate."""
        form = canonical(gate)
        return _turned(self._net.apply(params, form.features).reshape(-1, 2), form.turn)


class TwoQubitParams(NamedTuple):
    """Parameters of the two networks."""

    local: Params
    interaction: Params


class TwoQubitInverter(LearnedPulses):
    """Pulses of two drives for gates of two qubits with a fixed ZZ coupling, in three sections.

    By Cartan's decomposition, all factors of ZZ commuting with the interaction,

        V = [(A1 x B1) Z] [Z^-1 exp(-i (x XX + y YY + z ZZ)) Z^-1] [Z (A2 x B2)],   Z = exp(-i zeta ZZ).

    One network makes the gates of the single qubits while ``zeta`` of the coupling passes, the last section, and by transposition
    the first; the other makes the interaction. Each is asked about a part of the gates without holes.
    """

    def __init__(
        self, system: PulseSystem, local_hidden: Sequence[int], interaction_hidden: Sequence[int], share: float
    ) -> None:
        """Describes it.

        Args:
            system: with three sections, the first as the last.
            local_hidden: widths of the network for gates of single qubits.
            interaction_hidden: widths of the network for interactions.
            share: of the coupling that passes in a section for single qubits, which counts as interaction.

        Raises:
            ValueError: for a system without such sections or without a ZZ coupling.
        """
        if len(system.sections) != 3 or system.sections[0] != system.sections[2] or system.table is None:
            raise ValueError(
                f"The Inverter of two qubits takes a ZZ coupling and three sections, the first as the last; {system.name} has "
                f"{system.sections}."
            )
        super().__init__(system)
        self.local_system, self.interaction_system = system.section(0), system.section(1)
        self._zeta = share * float(system.drift[0, 0].real) * self.local_system.gate_time
        self._local = mlp(6, local_hidden, 4 * self.local_system.knots, final_scale=0.5, activation=jnp.tanh)
        self._interaction = mlp(
            3, interaction_hidden, 4 * self.interaction_system.knots, final_scale=0.5, activation=jnp.tanh
        )

    def init(self, key: Key) -> TwoQubitParams:
        """Fresh parameters. The key is consumed."""
        return TwoQubitParams(self._local.init(key), self._interaction.init(key))

    def local_target(self, pair: Complex[Array, "2 2 2"]) -> Complex[Array, "4 4"]:
        """What the last section is to make of ``A, B``."""
        return local(pair) @ self._passed(1.0, pair.real.dtype)

    def interaction_target(self, coordinates: Float[Array, "3"]) -> Complex[Array, "4 4"]:
        """What the middle section is to make of ``x, y, z``."""
        passed = self._passed(-1.0, coordinates.dtype)
        return passed @ interaction(coordinates) @ passed

    def local_latent(self, params: Params, pair: Complex[Array, "2 2 2"]) -> Float[Array, "m 4"]:
        """The last section of ``A, B``."""
        forms = [canonical(gate) for gate in pair]
        pulses = self._local.apply(params, jnp.concatenate([f.features for f in forms])).reshape(-1, 4)
        return jnp.concatenate([_turned(pulses[:, :2], forms[0].turn), _turned(pulses[:, 2:], forms[1].turn)], axis=1)

    def interaction_latent(self, params: Params, coordinates: Float[Array, "3"]) -> Float[Array, "m 4"]:
        """The middle section of ``x, y, z``."""
        return self._interaction.apply(params, coordinates * (4 / np.pi)).reshape(-1, 4)

    def latent(self, params: TwoQubitParams, gate: Complex[Array, "4 4"]) -> Float[Array, "M 4"]:
        """The pulse of one gate."""
        parts = decompose(gate)
        transposed = self.local_latent(params.local, parts.before.swapaxes(-1, -2))
        first = transposed[::-1] * jnp.array([1.0, -1.0, 1.0, -1.0], transposed.dtype)
        middle = self.interaction_latent(params.interaction, parts.interaction)
        return jnp.concatenate([first, middle, self.local_latent(params.local, parts.after)])

    def _passed(self, sign: float, kind: jnp.dtype) -> Array:
        return interaction(jnp.array([0.0, 0.0, sign * self._zeta], kind))
