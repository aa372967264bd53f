"""The forward model: what a pulse does. Exact for slices of constant amplitude, differentiable, in the pulse's precision.

    U = prod_n exp(-i dt (H0 + sum_c u_nc H_c))

Two levels are quaternions in closed form; more are Taylor sums of order 15 with squarings, exact to rounding. The
products over slices are a tree, so that depth grows with log N. Arrays keep the slices last: the compiler makes vectors of them.
"""

import functools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from invlearn_jax.tasks.gates.gates import PAULI
from invlearn_jax.tasks.gates.slice_table import Parts, SliceTable, tabulated_steps
from invlearn_jax.tasks.gates.systems import PulseSystem

# Up to here the remainder of order 15, norm^16 / 16!, is below 2e-17.
_NORM = 0.6

Quaternion = tuple[Array, Array, Array, Array]
_Steps = TypeVar("_Steps", Quaternion, Parts)


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
        return _matrix(_product(_times, _spin(_turns(system, slices, detuning, scale))))
    real, imag = _product(_matmul, _steps(system, slices, detuning, scale))
    return real + 1j * imag


def propagation(system: PulseSystem, slices: Float[Array, "N C"]) -> Complex[Array, "N1 D D"]:
    """``[N+1, D, D]``: the unitary from the beginning to the end of each slice, the first being 1. By a parallel scan."""
    if system.dimension == 2:
        path = _matrix(_path(_times, _spin(_turns(system, slices, 0.0, 1.0))))
    else:
        real, imag = _path(_matmul, _steps(system, slices, 0.0, 1.0))
        path = real + 1j * imag
    return jnp.concatenate([jnp.eye(system.dimension, dtype=path.dtype)[None], jnp.moveaxis(path, -1, 0)])


def quaternion_of(
    system: PulseSystem, slices: Float[Array, "N C"], detuning: Array | float = 0.0, scale: Array | float = 1.0
) -> Quaternion:
    """``(w, x, y, z)`` of a qubit's ``U = w - i (x sigma_x + y sigma_y + z sigma_z)``."""
    return _product(_times, _spin(_turns(system, slices, detuning, scale)))


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
    path = _path(_times, steps)
    # The first slice finds the identity before it.
    first = (1.0, 0.0, 0.0, 0.0)
    w, *p = (jnp.concatenate([jnp.full_like(q[:1], q0), q[:-1]]) for q, q0 in zip(path, first, strict=True))
    square = _dot(v, v)
    small = square < 1e-12
    safe = jnp.where(small, 1.0, square)
    s = jnp.where(small, 1.0, _dot(v, sine) / safe)
    rest = jnp.where(small, 2.0 / 3.0, (1.0 - s * cosine) / safe)
    kept = w * w - _dot(p, p)
    generators = []
    for control in system.controls:
        dv = [system.dt * x for x in _along(control)]
        inner = rest * _dot(v, dv)
        turn = _cross(v, dv)
        g = [s * cosine * d + inner * x - s * s * t for d, x, t in zip(dv, v, turn, strict=True)]
        inner = _dot(p, g)
        turn = _cross(p, g)
        generators.append(jnp.stack([kept * x + 2 * (inner * y - w * t) for x, y, t in zip(g, p, turn, strict=True)]))
    return _matrix(_at(path, -1)), jnp.stack(generators, axis=1)


def generators(system: PulseSystem, slices: Float[Array, "N C"]) -> tuple[Array, Parts]:
    """The same for any number of levels: amplitude c of slice n changes U by ``U g[:, :, c, n]`` for each rad/us.

    With ``E_n`` a slice's own propagator and ``P_n = E_{n-1} .. E_1``, ``g = P_n' E_n' dE_n P_n``.

    Args:
        system: with a table of its slices.
        slices: ``[N, C]`` amplitudes, rad/us.

    Returns:
        ``U [D, D]``, and real and imaginary part of ``g [D, D, C, N]``.
    """
    amplitudes, table = slices / system.limit, _table(system)
    steps = tabulated_steps(table, amplitudes)
    path = _path(_matmul, steps)
    one = jnp.eye(system.dimension, dtype=slices.dtype)[..., None]
    before: Parts = jax.tree.map(
        lambda start, p: jnp.concatenate([start, p[..., :-1]], axis=-1), (one, jnp.zeros_like(one)), path
    )
    found = []
    for c in range(len(system.controls)):
        along = jnp.zeros_like(slices).at[:, c].set(1 / system.limit)
        change = jax.jvp(lambda u: tabulated_steps(table, u), (amplitudes,), (along,))[1]
        found.append(_matmul(_matmul(_dagger(before), _matmul(_dagger(steps), change)), before))
    real, imag = zip(*found, strict=True)
    return path[0][..., -1] + 1j * path[1][..., -1], (jnp.stack(real, axis=2), jnp.stack(imag, axis=2))


def _table(system: PulseSystem) -> SliceTable:
    table = system.checked_table()
    if table is None:
        raise ValueError(f"{system.name} has no table of its slices; take the reverse passes of ``jacobian``.")
    return table


def _steps(system: PulseSystem, slices: Array, detuning: Array | float, scale: Array | float) -> Parts:
    """The propagators of the slices ``[D, D, N]``."""
    # Python's 0 is a detuning that is known now to be none; the table holds no detuning.
    table = system.checked_table() if isinstance(detuning, float) and detuning == 0.0 else None
    if table is not None:
        return tabulated_steps(table, scale * slices / system.limit)
    return _exponentials(system, slices, detuning, scale)


def _dagger(p: Parts) -> Parts:
    return p[0].swapaxes(0, 1), -p[1].swapaxes(0, 1)


def _sum(parts: Iterable[Array]) -> Array:
    return functools.reduce(operator.add, parts)


def _dot(a: Sequence[Array], b: Sequence[Array | float]) -> Array:
    return _sum(x * y for x, y in zip(a, b, strict=True))


def _cross(a: Sequence[Array], b: Sequence[Array | float]) -> list[Array]:
    return [a[i - 2] * b[i - 1] - a[i - 1] * b[i - 2] for i in range(3)]


def _along(matrix: np.ndarray) -> list[float]:
    """The vector v of ``v.sigma``, by the traces with each sigma; Python's numbers leave the pulse's precision as it is."""
    return (np.einsum("kij,ji->k", PAULI, matrix).real / 2).tolist()


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
    square = _dot(v, v)
    # sin(r) / r has a smooth value at 0, its formula has not.
    safe = jnp.where(square > 1e-30, square, 1.0)
    r = jnp.sqrt(safe)
    ratio = jnp.where(square > 1e-30, jnp.sin(r) / r, 1.0)
    x, y, z = v
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


def _at(steps: _Steps, index: int | slice) -> _Steps:
    return jax.tree.map(lambda s: s[..., index], steps)


def _product(times: Callable[[_Steps, _Steps], _Steps], steps: _Steps) -> _Steps:
    """The product of all steps, the last on the left."""
    while (count := steps[0].shape[-1]) > 1:
        pairs = times(_at(steps, slice(1, count, 2)), _at(steps, slice(0, count - 1, 2)))
        if count % 2:
            last = _at(steps, slice(-1, None))
            pairs = jax.tree.map(lambda p, s: jnp.concatenate([p, s], axis=-1), pairs, last)
        steps = pairs
    return _at(steps, 0)


def _path(times: Callable[[_Steps, _Steps], _Steps], steps: _Steps) -> _Steps:
    """The products of the first steps, of all numbers of them from 1 on."""
    return jax.lax.associative_scan(lambda earlier, later: times(later, earlier), steps, axis=-1)


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

    def block(first: int) -> Parts:
        weights = [1.0 / math.factorial(first + i) for i in range(4)]
        real, imag = (_dot(parts, weights) for parts in zip(*powers, strict=True))
        return real, imag

    total = block(12)
    for first in (8, 4, 0):
        total = jax.tree.map(operator.add, block(first), _matmul(fourth, total))
    for _ in range(squarings):
        total = _matmul(total, total)
    return total


def _matmul(p: Parts, q: Parts) -> Parts:
    """Products of matrices ``[D, D, N]``, given and returned as real and imaginary parts."""

    def product(x: Array, y: Array) -> Array:
        return _sum(x[:, k, None] * y[None, k] for k in range(x.shape[1]))

    (a, b), (c, d) = p, q
    return product(a, c) - product(b, d), product(a, d) + product(b, c)
