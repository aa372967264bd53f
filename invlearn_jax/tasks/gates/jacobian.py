"""The residual of a gate, by pulse, and its Jacobian: what Gauss-Newton needs.

For two levels the Jacobian is exact and costs about as much as the pulse itself. With ``Q_n = exp(-i v_n.sigma)``,
``P_n = Q_{n-1} .. Q_1`` and ``U = P_{N+1}``,

    U' dU = -i g.sigma,    g = sum_n R(P_n)^T J(v_n) dv_n
    J(v) dv = s c dv + (1 - s c) v (v.dv) / r^2 - s^2 v x dv,    r = |v|, s = sin(r) / r, c = cos(r)

(R the rotation of a unitary, J the right Jacobian of SU(2) with ``s c`` for ``sin(2 r) / 2 r``). More levels do the same with
matrices (``propagators.generators``), or without a table of their slices by R reverse passes. All is in single precision: a
step that is a little wrong brings a residual near 0 nearer by as many digits as the Jacobian has.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from invlearn_jax.tasks.gates.fidelity import gate_residual
from invlearn_jax.tasks.gates.propagators import generators, propagate, qubit_generators
from invlearn_jax.tasks.gates.systems import PulseSystem


def pulse_jacobian(
    system: PulseSystem, slices: Float[Array, "N C"], gate: Complex[Array, "d d"]
) -> Float[Array, "R N C"]:
    """The Jacobian of ``gate_residual`` by the slices of a pulse, in float32."""
    slices, gate = slices.astype(jnp.float32), gate.astype(jnp.complex64)
    if system.dimension != 2 and system.table is None:
        return jax.jacrev(lambda u: gate_residual(system, propagate(system, u), gate))(slices)
    if system.dimension != 2:
        unitary, parts = generators(system, slices)
        residual, pull = jax.vjp(lambda u: gate_residual(system, u, gate), unitary)
        # dr = Re sum w dU for the cotangents w of a real r, and dU = U g.
        by_entry = jnp.einsum("ik,rij->rkj", unitary, jax.vmap(pull)(jnp.eye(residual.size, dtype=jnp.float32))[0])
        turns = jnp.stack([parts[0], -parts[1]])
        weights = jnp.stack([by_entry.real, by_entry.imag], axis=1).reshape(residual.size, -1)
        change = weights @ turns.reshape(weights.shape[1], -1)
        return change.reshape(residual.size, *turns.shape[-2:]).swapaxes(-1, -2)
    unitary, turns = qubit_generators(system, slices)
    # The residual is -sqrt(2) (m_z, m_y, m_x) of the quaternion m of what is left, whose w is positive.
    m = -gate_residual(system, unitary, gate)[::-1] / 2**0.5
    w = jnp.sqrt(jnp.maximum(1 - (m**2).sum(), 0.0))
    change = jnp.stack([w * turns[k] + m[k - 2] * turns[k - 1] - m[k - 1] * turns[k - 2] for k in (2, 1, 0)])
    return -(2**0.5) * change.swapaxes(-1, -2)
