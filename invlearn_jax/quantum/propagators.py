"""The forward model: what a pulse does. Exact for slices of constant amplitude, differentiable, in the pulse's precision.

    U = prod_n exp(-i dt (H0 + sum_c u_nc H_c))

Two levels are quaternions in closed form; more are Taylor sums of order 15 with squarings, exact to rounding. The
products over slices are a tree, so that depth grows with log N. Arrays keep the slices last: the compiler makes vectors of them.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from invlearn_jax.quantum.gates import PAULI
from invlearn_jax.quantum.slice_table import Parts, tabulated_steps
from invlearn_jax.quantum.systems import PulseSystem

# Up to here the remainder of order 15, norm^16 / 16!, is below 2e-17.
_NORM = 0.6

Quaternion = tuple[Array, Array, Array, Array]


def propagate(
    system: PulseSystem,
    slices: Float[Array, "N C"],
    detuning: Float[Array, ""] | float = 0.0,
    scale: Float[Array, ""] | float = 1.0,
) -> Complex[Array, "D D"]:
    """The unitary of a whole pulse.

    Args:
        system: which.
        slices: ``[N, C]`` amplitudes, rad/us, float32 or float64.
        detuning: an error of the frame's frequency, rad/us.
        scale: a factor on all amplitudes.

    Returns:
        U.
    """
    if system.dimension == 2:
        return _matrix(_product(_spins(system, slices, detuning, scale)))
    # Python's 0 is a detuning that is known now to be none; the table holds no detuning.
    plain = isinstance(detuning, float) and detuning == 0.0 and system.table is not None
    if plain:
        steps = tabulated_steps(system.table, scale * slices / system.limit)
    else:
        steps = _exponentials(system, slices, detuning, scale)
    real, imag = _product_of_parts(steps)
    return real + 1j * imag


def propagation(system: PulseSystem, slices: Float[Array, "N C"]) -> Complex[Array, "N1 D D"]:
    """``[N+1, D, D]``: the unitary from the beginning to the end of each slice, the first being 1. By a parallel scan."""
    real, imag = _exponentials(system, slices, 0.0, 1.0)
    steps = jnp.moveaxis(real + 1j * imag, -1, 0)
    path = jax.lax.associative_scan(lambda earlier, later: later @ earlier, steps)
    return jnp.concatenate([jnp.eye(system.dimension, dtype=path.dtype)[None], path])


def quaternion_of(
    system: PulseSystem, slices: Float[Array, "N C"], detuning: Array | float = 0.0, scale: Array | float = 1.0
) -> Quaternion:
    """``(w, x, y, z)`` of a qubit's ``U = w - i (x sigma_x + y sigma_y + z sigma_z)``."""
    return _product(_spins(system, slices, detuning, scale))


def _spins(system: PulseSystem, slices: Array, detuning: Array | float, scale: Array | float) -> Quaternion:
    # H = v.sigma, by the traces of H with each sigma; constants are folded now.
    def along(operator: np.ndarray) -> np.ndarray:
        return np.einsum("kij,ji->k", PAULI, operator).real / 2

    # Python's numbers leave the pulse's precision as it is.
    drift, off, drives = (
        along(system.drift).tolist(),
        along(system.detuning).tolist(),
        [along(c).tolist() for c in system.controls],
    )
    x, y, z = (
        system.dt
        * (drift[k] + detuning * off[k] + scale * sum(d[k] * slices[:, c] for c, d in enumerate(drives) if d[k]))
        * jnp.ones_like(slices[:, 0])
        for k in range(3)
    )
    square = x * x + y * y + z * z
    # sin(r) / r has a smooth value at 0, its formula has not.
    safe = jnp.where(square > 1e-30, square, 1.0)
    r = jnp.sqrt(safe)
    ratio = jnp.where(square > 1e-30, jnp.sin(r) / r, 1.0)
    return jnp.where(square > 1e-30, jnp.cos(r), 1.0), ratio * x, ratio * y, ratio * z


def _times(p: Quaternion, q: Quaternion) -> Quaternion:
    """The quaternion of ``P Q``."""
    a, b, c, d = p
    w, x, y, z = q
    return (
        a * w - b * x - c * y - d * z,
        a * x + b * w + c * z - d * y,
        a * y - b * z + c * w + d * x,
        a * z + b * y - c * x + d * w,
    )


def _product(steps: Quaternion) -> Quaternion:
    while (count := steps[0].shape[-1]) > 1:
        pairs = _times(tuple(s[..., 1:count:2] for s in steps), tuple(s[..., 0 : count - 1 : 2] for s in steps))
        odd = count % 2
        steps = tuple(
            jnp.concatenate([p, s[..., -odd:]], axis=-1) if odd else p for p, s in zip(pairs, steps, strict=True)
        )
    return tuple(s[..., 0] for s in steps)


def _matrix(q: Quaternion) -> Array:
    w, x, y, z = q
    return jnp.stack([jnp.stack([w - 1j * z, -1j * x - y]), jnp.stack([-1j * x + y, w + 1j * z])])


def _exponentials(system: PulseSystem, slices: Array, detuning: Array | float, scale: Array | float) -> Parts:
    kind = jnp.result_type(slices, jnp.complex64)
    drift = system.centred_drift
    reach = np.linalg.norm(drift, 2) + system.limit * sum(np.linalg.norm(c, 2) for c in system.controls[::2]) * np.sqrt(
        2
    )
    squarings = max(0, int(np.ceil(np.log2(reach * system.dt / _NORM))))
    h = jnp.asarray(drift, kind)[..., None] + scale * jnp.einsum(
        "nc,cij->ijn", slices, jnp.asarray(system.controls, kind)
    )
    h = h + jnp.asarray(detuning * jnp.asarray(system.detuning, kind))[..., None]
    a = (system.dt / 2**squarings * h.imag, -system.dt / 2**squarings * h.real)
    # Paterson and Stockmeyer: 6 products for the Taylor sum of order 15.
    square = _matmul(a, a)
    one = jnp.broadcast_to(jnp.eye(system.dimension, dtype=slices.dtype)[..., None], a[0].shape)
    powers = [(one, jnp.zeros_like(one)), a, square, _matmul(square, a)]
    fourth = _matmul(square, square)
    total = None
    for block in (12, 8, 4, 0):
        weights = [1.0 / math.factorial(block + i) for i in range(4)]
        part = tuple(sum(w * p for w, p in zip(weights, parts, strict=True)) for parts in zip(*powers, strict=True))
        total = part if total is None else tuple(p + q for p, q in zip(part, _matmul(fourth, total), strict=True))
    for _ in range(squarings):
        total = _matmul(total, total)
    return total


def _matmul(p: Parts, q: Parts) -> Parts:
    """Products of matrices ``[D, D, N]``, given and returned as real and imaginary parts."""

    def product(x: Array, y: Array) -> Array:
        return sum(x[:, k, None] * y[None, k] for k in range(x.shape[1]))

    (a, b), (c, d) = p, q
    return product(a, c) - product(b, d), product(a, d) + product(b, c)


def _product_of_parts(steps: Parts) -> Parts:
    while (count := steps[0].shape[-1]) > 1:
        pairs = _matmul(tuple(s[..., 1:count:2] for s in steps), tuple(s[..., 0 : count - 1 : 2] for s in steps))
        steps = tuple(
            jnp.concatenate([p, s[..., -1:]], axis=-1) if count % 2 else p for p, s in zip(pairs, steps, strict=True)
        )
    return tuple(s[..., 0] for s in steps)
