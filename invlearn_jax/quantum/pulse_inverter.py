"""The Pulse Inverter: a gate in, its pulse out, in one forward pass.

One qubit's gates (of two or more levels, in the frame of the drift's own phases) have a symmetry that is used exactly. Turning
both controls of the drive by an angle turns the gate about z by it, so up to that turn and a global phase a gate

    V = exp(i g) [[a, -b*], [b, a*]]  ->  (a, |b|),  Re a >= 0,

is a point on a quarter of a sphere. The network maps that to a pulse, which is turned by ``arg b``. There is no cut: U and -U
are the same point, and a quarter of a sphere can be mapped without a tear, while all gates together cannot (any continuous map
from SO(3) to pulses leaves some gates unmade, as SO(3) has no section over the contractible space of pulses).
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from invlearn_jax.networks import mlp
from invlearn_jax.quantum.systems import PulseSystem
from invlearn_jax.types import Key, Params, Problem


class Canonical(NamedTuple):
    """A gate up to its symmetry.

    Attributes:
        features: ``[3]`` Re a, Im a, |b|.
        turn: ``[2]`` cosine and sine of the angle by which the pulse is turned.
    """

    features: Float[Array, "3"]
    turn: Float[Array, "2"]


def canonical(gate: Complex[Array, "2 2"]) -> Canonical:
    """The canonical form of one qubit's gate."""
    det = gate[0, 0] * gate[1, 1] - gate[0, 1] * gate[1, 0]
    special = gate / jnp.sqrt(det)
    a, b = special[0, 0], special[1, 0]
    sign = jnp.where(a.real < 0, -1.0, 1.0)
    size = jnp.abs(b)
    # Where b = 0 the gate turns about z, and any angle does.
    turn = jnp.where(size > 0, sign * b / jnp.where(size > 0, size, 1.0), 1.0)
    return Canonical(jnp.stack([sign * a.real, sign * a.imag, size]), jnp.stack([turn.real, turn.imag]))


class QubitInverter:
    """Pulses of one drive for gates of one qubit, as latents ``[M, 2]`` of spline coefficients (see ``waveform.bounded``)."""

    def __init__(self, system: PulseSystem, hidden: Sequence[int]) -> None:
        """Describes it: the system, and the widths of the network."""
        self.system, self.horizon = system, system.knots
        self._net = mlp(3, hidden, 2 * system.knots, final_scale=0.1, activation=jnp.tanh)

    def init(self, key: Key) -> Params:
        """Fresh parameters. The key is consumed."""
        return self._net.init(key)

    def latent(self, params: Params, gate: Complex[Array, "2 2"]) -> Float[Array, "M 2"]:
        """One pulse for one gate."""
        form = canonical(gate)
        pulse = self._net.apply(params, form.features).reshape(-1, 2)
        cos, sin = form.turn
        x, y = pulse.T
        return jnp.stack([cos * x - sin * y, sin * x + cos * y], axis=1)

    def propose(self, params: Params, key: Key, problem: Problem, num: int) -> Float[Array, "K M 2"]:
        """The pulse, ``num`` times: there is one answer to a gate. The key is not used."""
        return jnp.broadcast_to(self.latent(params, problem.goal), (num, self.horizon, 2))
