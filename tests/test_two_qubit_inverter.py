"""The Pulse Inverter of two qubits: its sections, symmetries, the systems it takes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import apart, haar

from invlearn_jax.tasks.gates import systems, weyl
from invlearn_jax.tasks.gates.propagators import propagate
from invlearn_jax.tasks.gates.pulse_inverter import TwoQubitInverter, TwoQubitParams
from invlearn_jax.tasks.gates.systems import MHZ
from invlearn_jax.tasks.gates.waveform import pulse_slices

TWO = systems.two_qubits(limit=60 * MHZ, sections=((8, 4), (8, 5), (8, 4)))


@functools.cache
def two_qubit_inverter(share=0.25):
    inverter = TwoQubitInverter(TWO, (8,), (8,), share)
    return inverter, inverter.init(jax.random.key(4))


def test_sections_that_make_their_targets_make_the_gate():
    inverter, _ = two_qubit_inverter()

    @jax.jit
    def targets(gate):
        parts = weyl.decompose(gate)
        first = inverter.local_target(parts.before.swapaxes(-1, -2)).T
        return first, inverter.interaction_target(parts.interaction), inverter.local_target(parts.after), parts.after

    for gate in haar(3, 3, 4):
        with jax.enable_x64(True):
            first, middle, last, after = map(np.asarray, targets(jnp.asarray(gate)))
        assert apart(last @ middle @ first, gate) < 1e-10
        # The coupling that passes beside the single qubits' gates has a share in it.
        assert apart(last, np.kron(*after)) > 1e-2


def test_the_share_of_the_coupling_is_what_passes_without_drives():
    inverter, _ = two_qubit_inverter(share=1.0)
    local = inverter.local_system
    still = jax.jit(lambda: propagate(local, jnp.zeros((local.slices, 4))))()
    one = jnp.broadcast_to(jnp.eye(2, dtype=jnp.complex64), (2, 2, 2))
    assert apart(still, inverter.local_target(one)) < 1e-5
    assert apart(still, np.eye(4)) > 1e-2


def test_the_pulse_of_two_qubits_is_that_of_its_sections():
    inverter, params = two_qubit_inverter()
    local, between = inverter.local_system, inverter.interaction_system

    @jax.jit
    def found(gate):
        parts = weyl.decompose(gate)
        pulse = inverter.latent(params, gate)
        first, middle, last = jnp.split(pulse, [4, 9])
        transposed = inverter.local_latent(params.local, parts.before.swapaxes(-1, -2))
        wanted = (transposed, inverter.interaction_latent(params.interaction, parts.interaction))
        wanted += (inverter.local_latent(params.local, parts.after),)
        # The sections for single qubits are one system, whose program is compiled once.
        alone = jax.lax.map(lambda z: propagate(local, pulse_slices(local, z)), jnp.stack([first, last, transposed]))
        made = (*alone, propagate(between, pulse_slices(between, middle)))
        return pulse, wanted, made, propagate(TWO, pulse_slices(TWO, pulse))

    pulse, wanted, made, whole = found(jnp.asarray(haar(5, 1, 4)[0], jnp.complex64))
    assert pulse.shape == (TWO.knots, 4) == (inverter.parametrisation.length, 4)
    first, middle, last = np.split(pulse, [4, 9])
    np.testing.assert_allclose(first, wanted[0][::-1] * np.array([1.0, -1.0, 1.0, -1.0]), atol=1e-6)
    np.testing.assert_allclose(middle, wanted[1], atol=1e-6)
    np.testing.assert_allclose(last, wanted[2], atol=1e-6)
    # Each section makes what it makes alone, the first the transpose of its mirror image.
    begin, end, mirrored, interaction = map(np.asarray, made)
    assert apart(begin, mirrored.T) < 1e-5
    assert apart(whole, end @ interaction @ begin) < 1e-5


def test_two_qubit_pulses_know_no_phase_and_turn_with_their_gates():
    inverter, params = two_qubit_inverter()
    latent = jax.jit(lambda pair: inverter.local_latent(params.local, pair))
    pair = haar(1, 2, 2).astype(np.complex64)
    pulse = latent(pair)
    turned = latent(np.array([-1.0, 1j], np.complex64)[:, None, None] * pair)
    np.testing.assert_allclose(turned, pulse, atol=1e-5)
    frame = np.diag(np.exp([0, 0.8j])).astype(np.complex64)
    turned = latent(np.stack([pair[0], frame @ pair[1] @ frame.conj()]))
    np.testing.assert_allclose(turned[:, :2], pulse[:, :2], atol=1e-5)
    signal = (pulse[:, 2] + 1j * pulse[:, 3]) * np.exp(0.8j)
    np.testing.assert_allclose(turned[:, 2] + 1j * turned[:, 3], signal, atol=1e-5)
    assert isinstance(params, TwoQubitParams)


def test_systems_without_the_sections_of_two_qubits_are_refused():
    for system in (
        systems.two_qubits(kind="exchange"),
        systems.two_qubits(sections=((30, 12),)),
        systems.two_qubits(sections=((14, 9), (62, 17), (15, 9))),
    ):
        with pytest.raises(
            ValueError, match="takes a ZZ coupling and three sections, the first as the last; two_qubit has"
        ):
            TwoQubitInverter(system, (8,), (8,), 0.25)
