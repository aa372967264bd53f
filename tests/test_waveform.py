"""Pulses of splines: a partition that is zero at both ends, bounded, limited in bandwidth."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.interpolate import BSpline

from invlearn_jax.tasks.gates import systems
from invlearn_jax.tasks.gates.waveform import bounded, occupied_bandwidth, pulse_slices, spline_basis

every_system = pytest.mark.parametrize(
    "system", [systems.qubit(), systems.transmon(), systems.two_qubits()], ids=lambda system: system.name
)


@every_system
def test_splines_are_a_partition_that_is_zero_at_both_ends(system):
    basis = spline_basis(system)
    assert basis.shape == (system.slices, system.knots)
    assert basis.min() >= 0
    assert basis.sum(1).max() <= 1 + 1e-12
    at_slice = at_knot = 0
    for slices, knots in system.sections:
        part = basis[at_slice : at_slice + slices, at_knot : at_knot + knots]
        h = slices / (knots + 3)
        times = (np.arange(slices) + 0.5) / h
        for m in range(knots):
            cardinal = BSpline.basis_element(np.arange(m, m + 5.0), extrapolate=False)(times)
            np.testing.assert_allclose(part[:, m], np.nan_to_num(cardinal), atol=1e-12)
        np.testing.assert_allclose(part[0].sum(), (0.5 / h) ** 3 / 6, atol=1e-12)
        np.testing.assert_allclose(part[-1].sum(), (0.5 / h) ** 3 / 6, atol=1e-12)
        inside = (times >= 3) & (times <= knots)
        np.testing.assert_allclose(part[inside].sum(1), 1, atol=1e-12)
        at_slice, at_knot = at_slice + slices, at_knot + knots
    assert basis.sum() == pytest.approx(
        sum(slices * knots / (knots + 3) for slices, knots in system.sections), rel=1e-2
    )


@given(
    latent=arrays(np.float32, (8, 2), elements=st.floats(-(2.0**110), 2.0**110, width=32)),
    size=st.sampled_from([1e-20, 1.0]),
)
def test_no_latent_drives_beyond_the_limit(latent, size):
    system = systems.qubit(slices=11)
    latent = latent * np.float32(size)
    slices = np.asarray(pulse_slices(system, jnp.asarray(latent)))
    assert np.linalg.norm(slices, axis=1).max() <= system.limit * (1 + 1e-6)
    coefficients = np.asarray(bounded(jnp.asarray(latent), system.limit))
    assert np.linalg.norm(coefficients, axis=1).max() <= system.limit * (1 + 1e-6)


def test_the_limit_is_reached_and_each_drive_has_its_own():
    system = systems.two_qubits()
    latent = np.zeros((system.knots, 4), np.float32)
    latent[:, 0], latent[:, 3] = 600.0, -800.0
    slices = np.asarray(pulse_slices(system, jnp.asarray(latent)))
    assert slices[:, 0].max() == pytest.approx(system.limit, rel=1e-5)
    assert slices[:, 3].min() == pytest.approx(-system.limit, rel=1e-5)
    assert (slices[:, 1:3] == 0).all()
    small = bounded(jnp.array([[3e-3, 4e-3]]), 2.0)
    np.testing.assert_allclose(small, [[6e-3, 8e-3]], rtol=1e-4)


@every_system
def test_random_pulses_keep_within_the_bandwidth(system):
    rng = np.random.default_rng(9)
    for scale in (0.3, 1.0, 10.0):
        for latent in scale * rng.normal(size=(10, system.knots, len(system.controls))):
            slices = np.asarray(pulse_slices(system, jnp.asarray(latent, jnp.float32)))
            assert occupied_bandwidth(slices, system.dt) < system.bandwidth


def test_the_occupied_bandwidth_of_a_tone_is_its_frequency():
    times = np.arange(4000) * 1e-3
    for frequency in (10.0, -80.0):
        tone = np.hanning(len(times)) * np.exp(2j * np.pi * frequency * times)
        slices = np.stack([tone.real, tone.imag], axis=1)
        assert occupied_bandwidth(slices, 1e-3) == pytest.approx(abs(frequency), abs=1.0)
