"""One slice's propagator as a power series of its amplitudes, tabulated once.

Where each drive has an excitation number ``n_d`` that the drift leaves alone, turning the drive's controls by ``phi`` is
the same as turning the frame by ``exp(i phi n_d)``. With ``z_d = (u_x + i u_y) / limit`` and ``m_d = n_d[j] - n_d[k]``,
entry (j, k) is

    E_jk = sum_t c_jkt prod_d |z_d|^(2 t_d) z_d^(m_d)        (conj(z_d)^(-m_d) for m_d < 0)

and the coefficients follow from a Fourier transform of ``exp(-i dt H)`` over a circle of complex amplitudes. The series is
entire, a few terms reach rounding, and it costs a fiftieth of an exponential and its gradient.
"""

import itertools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Float

Parts = tuple[Array, Array]  # real and imaginary

# Smaller coefficients than this are rounding of the transform.
_ROUNDING = 2e-16


class SliceTable(NamedTuple):
    """The series of a system.

    Attributes:
        powers: ``[terms, drives]`` t, of ``|z_d|^2``.
        real: ``[D, D, terms]`` of c.
        imag: ``[D, D, terms]``.
        shifts: ``[drives, D, D]`` m.
        drift: ``[D, D]`` H0 that it was tabulated for, rad/us.
        drives: ``[drives, D, D]`` and the x control of each at the limit, rad/us.
        dt: and the duration of a slice, us.
    """

    powers: np.ndarray
    real: np.ndarray
    imag: np.ndarray
    shifts: np.ndarray
    drift: np.ndarray
    drives: np.ndarray
    dt: float

    def holds_for(self, drift: np.ndarray, drives: np.ndarray, dt: float) -> bool:
        """Whether a system of these numbers is the one that was tabulated."""
        pairs = (self.drift, drift), (self.drives, drives), (np.array(self.dt), np.array(dt))
        return all(a.shape == b.shape and np.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in pairs)


def tabulate(drift: np.ndarray, drives: np.ndarray, numbers: np.ndarray, dt: float) -> SliceTable:
    """Makes the table.

    Args:
        drift: ``[D, D]`` H0, rad/us.
        drives: ``[drives, D, D]`` the x control of each at the limit, rad/us.
        numbers: ``[drives, D]`` the levels' excitation numbers.
        dt: us.

    Returns:
        The table.
    """
    # As many points as the highest power that is not rounding, and some: what is beyond folds back onto the lowest.
    reach = dt * max(np.linalg.norm(d, 2) for d in drives)
    points = 2 * int(np.ceil(10 + 2.5 * reach))
    circle = np.exp(2j * np.pi * np.arange(points) / points)
    grid = np.empty((points,) * len(drives) + drift.shape, complex)
    for at in itertools.product(range(points), repeat=len(drives)):
        grid[at] = scipy.linalg.expm(-1j * dt * (drift + np.tensordot(circle[list(at)], drives, 1)))
    series = np.fft.fftn(grid, axes=range(len(drives))) / points ** len(drives)
    shifts = numbers[:, :, None] - numbers[:, None, :]
    powers, found = [], []
    for power in itertools.product(range(points // 2), repeat=len(drives)):
        at = 2 * np.array(power)[:, None, None] + np.abs(shifts)
        inside = (at < points).all(0)
        rows, columns = np.indices(drift.shape)
        entries = np.where(inside, series[(*np.where(inside, at, 0), rows, columns)], 0.0)
        if np.abs(entries).max() > _ROUNDING:
            powers.append(power)
            found.append(entries)
    table = np.stack(found, axis=-1)
    return SliceTable(np.array(powers), table.real.copy(), table.imag.copy(), shifts, drift, drives, dt)


def tabulated_steps(table: SliceTable, amplitudes: Float[Array, "N C"]) -> Parts:
    """``[D, D, N]`` propagators of slices whose amplitudes are given in units of the limit."""
    z = [(amplitudes[:, c], amplitudes[:, c + 1]) for c in range(0, amplitudes.shape[1], 2)]
    kind = amplitudes.dtype
    monomials = jnp.ones((len(table.powers), len(amplitudes)), kind)
    for (x, y), wanted in zip(z, table.powers.T, strict=True):
        square = x * x + y * y
        rising = [jnp.ones_like(square)]
        for _ in range(int(wanted.max())):
            rising.append(rising[-1] * square)
        monomials = monomials * jnp.stack(rising)[wanted]
    steps = jnp.asarray(table.real, kind) @ monomials, jnp.asarray(table.imag, kind) @ monomials
    for drive, shifts in zip(z, table.shifts, strict=True):
        steps = _times(_powers(drive, shifts), steps)
    return steps


def _times(a: Parts, b: Parts) -> Parts:
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def _powers(z: Parts, shifts: np.ndarray) -> Parts:
    """``z^m``, for negative m of the conjugate: ``[D, D, N]`` for shifts m ``[D, D]``."""
    rising = [(jnp.ones_like(z[0]), jnp.zeros_like(z[0]))]
    for _ in range(int(np.abs(shifts).max())):
        rising.append(_times(rising[-1], z))
    real, imag = (jnp.stack(part)[np.abs(shifts)] for part in zip(*rising, strict=True))
    return real, imag * np.sign(shifts)[..., None].astype(z[0].dtype)
