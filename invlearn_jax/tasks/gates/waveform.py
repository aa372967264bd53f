"""Pulses as cubic B-splines: smooth, zero at both ends, limited in amplitude and bandwidth by construction.

    u(t) = sum_m c_m B_3(t / h - m)

B-splines are not negative and sum to at most 1, so a pulse whose coefficients keep within the disc of radius ``limit`` keeps
within it at all times; and its spectrum is that of the coefficients times ``sinc^4(f h)``.
"""

import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Float

from invlearn_jax.tasks.gates.systems import PulseSystem


def spline_basis(system: PulseSystem) -> np.ndarray:
    """``[N, M]``: the splines of each section at the middle of its slices, knots being h = (section's time) / (M + 3) apart."""
    return scipy.linalg.block_diag(*(_section_basis(slices, knots) for slices, knots in system.sections))


def _section_basis(slices: int, knots: int) -> np.ndarray:
    middle = (np.arange(slices) + 0.5) / slices
    edges = np.pad(np.linspace(0.0, 1.0, knots + 4), 3, mode="edge")
    # Of the clamped basis, those that are zero at both ends.
    return scipy.interpolate.BSpline.design_matrix(middle, edges, 3).toarray()[:, 3:-3]


def bounded(latent: Float[Array, "M C"], limit: float) -> Float[Array, "M C"]:
    """``limit z / sqrt(1 + |z|^2)`` for each pair (x, y): any latent becomes coefficients within the disc."""
    pairs = latent.reshape(*latent.shape[:-1], -1, 2)
    size = jnp.sqrt(1 + (pairs**2).sum(-1, keepdims=True))
    return (limit * pairs / size).reshape(latent.shape)


def pulse_slices(system: PulseSystem, latent: Float[Array, "M C"]) -> Float[Array, "N C"]:
    """The pulse of a latent, rad/us."""
    # Of many pulses this is one product of matrices.
    return (bounded(latent, system.limit).T @ jnp.asarray(spline_basis(system).T, latent.dtype)).T


class PulseSpline:
    """A system's pulses as a ``parametrisation.Parametrisation``: latents of any size, bounded coefficients, slices."""

    limit = np.inf

    def __init__(self, system: PulseSystem) -> None:
        """For the pulses of a system."""
        self.system, self.length, self.size = system, system.knots, len(system.controls)
        self._inverse = np.linalg.pinv(spline_basis(system))

    def decode(self, latents: Float[Array, "M C"]) -> Float[Array, "N C"]:
        """The pulse, rad/us."""
        return pulse_slices(self.system, latents)

    def encode(self, actions: Float[Array, "N C"]) -> Float[Array, "M C"]:
        """The latent whose pulse is nearest in the sense of least squares, with coefficients short of the limit."""
        pairs = (jnp.asarray(self._inverse, actions.dtype) @ actions).reshape(self.length, -1, 2) / self.system.limit
        size = jnp.sqrt((pairs**2).sum(-1, keepdims=True))
        pairs = pairs * jnp.minimum(1.0, 0.999 / jnp.maximum(size, 1e-30))
        return (pairs / jnp.sqrt(1 - (pairs**2).sum(-1, keepdims=True))).reshape(self.length, self.size)


def occupied_bandwidth(slices: np.ndarray, dt: float, share: float = 0.999) -> float:
    """The frequency below which ``share`` of a pulse's energy lies, MHz.

    Args:
        slices: ``[N, C]`` with pairs (x, y) as real and imaginary part.
        dt: us per slice.
        share: of the energy.

    Returns:
        The frequency, by a Fourier transform padded eightfold.
    """
    slices = np.asarray(slices, float)
    signal = slices[:, ::2] + 1j * slices[:, 1::2]
    power = (np.abs(np.fft.fft(signal, 8 * len(signal), axis=0)) ** 2).sum(1)
    frequency = np.abs(np.fft.fftfreq(len(power), dt))
    order = np.argsort(frequency)
    within = np.cumsum(power[order]) >= share * power.sum()
    return float(frequency[order][np.argmax(within)])
