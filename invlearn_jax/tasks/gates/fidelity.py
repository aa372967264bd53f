"""How far a unitary is from a gate, without cancellation: 1e-14 is readable in float64.

With ``M = P V' U P`` (V the gate on d levels, P their projector), ``F = |tr M|^2 / d^2``. Let ``E = M exp(-i arg tr M) - 1`` and
``l = sum |what leaves the levels|^2``. Then ``|tr M| = d - s`` with ``s = (|E|^2 + l) / 2``, and

    1 - F = s (2 d - s) / d^2,

a sum of squares of small numbers. A global phase does not count; leakage does.
"""

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from invlearn_jax.tasks.gates.gates import small_product
from invlearn_jax.tasks.gates.systems import PulseSystem


def _parts(system: PulseSystem, unitary: Array, gate: Array) -> tuple[Array, Array]:
    """``(E [d, d], what leaves the levels [D - d, d])``."""
    levels = list(system.levels)
    others = [i for i in range(system.dimension) if i not in levels]
    inside = unitary[..., levels, :][..., levels] if others else unitary
    m = small_product(jnp.conj(jnp.swapaxes(gate, -1, -2)), inside)
    trace = jnp.trace(m, axis1=-2, axis2=-1)
    size = jnp.abs(trace)
    phase = jnp.where(size > 0, jnp.conj(trace) / jnp.where(size > 0, size, 1.0), 1.0)
    error = m * phase[..., None, None] - jnp.eye(system.gate_dimension, dtype=m.dtype)
    return error, unitary[..., others, :][..., levels]


def infidelity(
    system: PulseSystem, unitary: Complex[Array, "*b D D"], gate: Complex[Array, "*b d d"]
) -> Float[Array, "*b"]:
    """``1 - |tr(V' U)|^2 / d^2`` over the gate's levels; leakage counts (Pedersen et al., Phys. Lett. A 367, 47)."""
    error, lost = _parts(system, unitary, gate)
    s = (_square(error) + _square(lost)) / 2
    d = system.gate_dimension
    return s * (2 * d - s) / d**2


def leakage(system: PulseSystem, unitary: Complex[Array, "*b D D"]) -> Float[Array, "*b"]:
    """The mean probability to end outside the gate's levels."""
    return (
        _square(_parts(system, unitary, jnp.eye(system.gate_dimension, dtype=unitary.dtype))[1]) / system.gate_dimension
    )


def gate_residual(
    system: PulseSystem, unitary: Complex[Array, "D D"], gate: Complex[Array, "d d"]
) -> Float[Array, " R"]:
    """What a correction has to bring to 0: the d^2 - 1 directions in which M is no identity, and what leaves the levels.

    To first order ``1 - F`` is its square over d. R = d^2 - 1 + 2 d (D - d).
    """
    error, lost = _parts(system, unitary, gate)
    d = system.gate_dimension
    # The anti-hermitian part of E; its trace is 0 by the choice of phase, so one diagonal entry follows from the others.
    diagonal = jnp.diagonal(error).imag
    bases = [jnp.sqrt(1.0 / (k * (k + 1))) * (diagonal[:k].sum() - k * diagonal[k]) for k in range(1, d)]
    rows, columns = jnp.triu_indices(d, 1)
    above = (error[rows, columns] - jnp.conj(error[columns, rows])) / jnp.sqrt(2.0)
    parts = [jnp.stack(bases), above.real, above.imag, lost.real.ravel(), lost.imag.ravel()]
    return jnp.concatenate([p.astype(error.real.dtype) for p in parts])


def _square(x: Array) -> Array:
    return (x.real**2 + x.imag**2).sum((-2, -1))
