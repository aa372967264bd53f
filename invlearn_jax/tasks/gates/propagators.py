"""The forward model: what a pulse does. Exact for slices of constant amplitude, differentiable, in the pulse's precision.

    U = prod_n exp(-i dt (H0 + sum_c u_nc H_c))

Two levels are quaternions in closed form; more are Taylor sums of order 15 with squarings, exact to rounding. The
products over slices are a tree, so that depth grows with log N. Arrays keep the slices last: the compiler makes vectors of them.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from invlearn_jax.tasks.gates.gates import PAULI
from invlearn_jax.tasks.gates.slice_table import Parts, tabulated_steps
from invlearn_jax.tasks.gates.systems import PulseSystem

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
        return _matrix(_product(_spin(_turns(system, slices, detuning, scale))))
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
    return _product(_spin(_turns(system, slices, detuning, scale)))


def qubit_generators(system: PulseSystem, slices: Float[Array, "N C"]) -> tuple[Array, Float[Array, "3 C N"]]:
    """How each amplitude turns a qubit; see ``jacobian`` for the equations.

    Args:
        system: of two levels.
        slices: ``[N, C]`` amplitudes, rad/us.

    Returns:
        ``U [2, 2]``, and ``g [3, C, N]``: amplitude c of slice n changes U by ``-i U g[:, c, n].sigma`` for each rad/us.
    """
    v = _turns(system, slices, 0.0, 1.0)
    steps = cosine, *sine = _spin(v)
    # Prefix products; the first slice finds the identity before it.
    path = jax.lax.associative_scan(lambda earlier, later: _times(later, earlier), steps, axis=-1)
    first = (1.0, 0.0, 0.0, 0.0)
    w, *p = (jnp.concatenate([jnp.full_like(q[:1], q0), q[:-1]]) for q, q0 in zip(path, first, strict=True))
    square = sum(x * x for x in v)
    small = square < 1e-12
    safe = jnp.where(small, 1.0, square)
    s = jnp.where(small, 1.0, sum(x * y for x, y in zip(v, sine, strict=True)) / safe)
    rest = jnp.where(small, 2.0 / 3.0, (1.0 - s * cosine) / safe)
    kept = w * w - sum(x * x for x in p)
    generators = []
    for operator in system.controls:
        dv = [system.dt * x for x in _along(operator)]
        inner = rest * sum(x * y for x, y in zip(v, dv, strict=True))
        turn = _cross(v, dv)
        g = [s * cosine * d + inner * x - s * s * t for d, x, t in zip(dv, v, turn, strict=True)]
        inner = sum(x * y for x, y in zip(p, g, strict=True))
        turn = _cross(p, g)
        generators.append(jnp.stack([kept * x + 2 * (inner * y - w * t) for x, y, t in zip(g, p, turn, strict=True)]))
    return _matrix(tuple(q[-1] for q in path)), jnp.stack(generators, axis=1)


def generators(system: PulseSystem, slices: Float[Array, "N C"]) -> tuple[Array, Parts]:
    """The same for any number of levels: amplitude c of slice n changes U by ``U g[:, :, c, n]`` for each rad/us.

    With ``E_n`` a slice's own propagator and ``P_n = E_{n-1} .. E_1``, ``g = P_n' E_n' dE_n P_n``.

    Args:
        system: with a table of its slices.
        slices: ``[N, C]`` amplitudes, rad/us.

    Returns:
        ``U [D, D]``, and real and imaginary part of ``g [D, D, C, N]``.
    """
    amplitudes = slices / system.limit
    steps = tabulated_steps(system.table, amplitudes)
    path = jax.lax.associative_scan(lambda earlier, later: _matmul(later, earlier), steps, axis=-1)
    one = np.eye(system.dimension)[..., None]
    first = jnp.asarray(one, slices.dtype), jnp.zeros_like(one, slices.dtype)
    before = tuple(jnp.concatenate([start, p[..., :-1]], axis=-1) for start, p in zip(first, path, strict=True))
    found = []
    for c in range(len(system.controls)):
        along = jnp.zeros_like(slices).at[:, c].set(1 / system.limit)
        change = jax.jvp(lambda u: tabulated_steps(system.table, u), (amplitudes,), (along,))[1]
        found.append(_matmul(_matmul(_dagger(before), _matmul(_dagger(steps), change)), before))
    return path[0][..., -1] + 1j * path[1][..., -1], tuple(jnp.stack(part, axis=2) for part in zip(*found, strict=True))


def _dagger(p: Parts) -> Parts:
    return p[0].swapaxes(0, 1), -p[1].swapaxes(0, 1)


def _cross(a: Sequence[Array | float], b: Sequence[Array | float]) -> list[Array]:
    return [a[i - 2] * b[i - 1] - a[i - 1] * b[i - 2] for i in range(3)]


def _along(operator: np.ndarray) -> list[float]:
    """The vector v of ``v.sigma``, by the traces with each sigma; Python's numbers leave the pulse's precision as it is."""
    return (np.einsum("kij,ji->k", PAULI, operator).real / 2).tolist()


def _turns(system: PulseSystem, slices: Array, detuning: Array | float, scale: Array | float) -> list[Array]:
    """``dt H`` of each slice as a vector ``[3, N]``; constants are folded now."""
    drift, off, drives = _along(system.drift), _along(system.detuning), [_along(c) for c in system.controls]
    return [
        system.dt
        * (drift[k] + detuning * off[k] + scale * sum(d[k] * slices[:, c] for c, d in enumerate(drives) if d[k]))
        * jnp.ones_like(slices[:, 0])
        for k in range(3)
    ]


def _spin(v: list[Array]) -> Quaternion:
    """``exp(-i v.sigma)``."""
    square = sum(x * x for x in v)
    # sin(r) / r has a smooth value at 0, its formula has not.
    safe = jnp.where(square > 1e-30, square, 1.0)
    r = jnp.sqrt(safe)
    ratio = jnp.where(square > 1e-30, jnp.sin(r) / r, 1.0)
    return jnp.where(square > 1e-30, jnp.cos(r), 1.0), *(ratio * x for x in v)


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
