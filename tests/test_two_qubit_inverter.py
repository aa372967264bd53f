"""The Pulse Inverter of two qubits: its sections, symmetries, the systems it takes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import apart

from invlearn_jax.tasks.gates import gates, systems, weyl
from invlearn_jax.tasks.gates.propagators import propagate
from invlearn_jax.tasks.gates.pulse_inverter import TwoQubitInverter, TwoQubitParams
from invlearn_jax.tasks.gates.systems import MHZ
from invlearn_jax.tasks.gates.waveform import pulse_slices

TWO = systems.two_qubits(limit=60 * MHZ, sections=((8, 4), (8, 5), (8, 4)))


@functools.cache
def two_qubit_inverter(share=0.25):
    inverter = TwoQubitInverter(TWO, (8,), (8,), share)
    return inverter, inverter.init(jax.random.key(4))


def four_by_four(seed):
    return np.asarray(gates.haar_gates(jax.random.key(seed), 1, 4))[0]


def test_sections_that_make_their_targets_make_the_gate():
    inverter, _ = two_qubit_inverter()
    decompose = jax.jit(weyl.decompose)
    for seed in range(3):
        with jax.enable_x64(True):
            gate = jnp.asarray(four_by_four(seed), complex)
            gate = jnp.linalg.qr(gate)[0]
            parts = decompose(gate)
            last = np.asarray(inverter.local_target(parts.after))
            first = np.asarray(inverter.local_target(parts.before.swapaxes(-1, -2))).T
            middle = np.asarray(inverter.interaction_target(parts.interaction))
            gate = np.asarray(gate)
        assert apart(last @ middle @ first, gate) < 1e-10
        # The coupling that passes beside the single qubits' gates has a share in it.
        assert apart(last, np.kron(*np.asarray(parts.after))) > 1e-2


def test_the_share_of_the_coupling_is_what_passes_without_drives():
    inverter, _ = two_qubit_inverter(share=1.0)
    local = inverter.local_system
    still = propagate(local, jnp.zeros((local.slices, 4)))
    one = jnp.broadcast_to(jnp.eye(2, dtype=jnp.complex64), (2, 2, 2))
    assert apart(still, inverter.local_target(one)) < 1e-5
    assert apart(still, np.eye(4)) > 1e-2


def test_the_pulse_of_two_qubits_is_that_of_its_sections():
    inverter, params = two_qubit_inverter()
    gate = jnp.asarray(four_by_four(5))
    parts = weyl.decompose(gate)
    pulse = inverter.latent(params, gate)
    assert pulse.shape == (TWO.knots, 4) == (inverter.parametrisation.length, 4)
    first, middle, last = jnp.split(pulse, [4, 9])
    np.testing.assert_array_equal(last, inverter.local_latent(params.local, parts.after))
    np.testing.assert_array_equal(middle, inverter.interaction_latent(params.interaction, parts.interaction))
    transposed = inverter.local_latent(params.local, parts.before.swapaxes(-1, -2))
    np.testing.assert_array_equal(first, transposed[::-1] * jnp.array([1.0, -1.0, 1.0, -1.0]))
    # Each section makes what it makes alone, the first the transpose of its mirror image.
    local, between = inverter.local_system, inverter.interaction_system
    made = [
        propagate(system, pulse_slices(system, latent))
        for system, latent in ((local, first), (between, middle), (local, last), (local, transposed))
    ]
    assert apart(made[0], made[3].T) < 1e-5
    whole = propagate(TWO, pulse_slices(TWO, pulse))
    assert apart(whole, made[2] @ made[1] @ made[0]) < 1e-5


def test_two_qubit_pulses_know_no_phase_and_turn_with_their_gates():
    inverter, params = two_qubit_inverter()
    pair = gates.haar_gates(jax.random.key(1), 8, 2)[:2]
    pulse = inverter.local_latent(params.local, pair)
    turned = inverter.local_latent(params.local, jnp.array([-1.0, 1j])[:, None, None] * pair)
    np.testing.assert_allclose(turned, pulse, atol=1e-5)
    frame = np.diag(np.exp([0, 0.8j])).astype(np.complex64)
    turned = inverter.local_latent(params.local, pair.at[1].set(frame @ pair[1] @ frame.conj()))
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
