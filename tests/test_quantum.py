"""The physics of pulses: systems and propagators against SciPy and QuTiP, fidelity, splines, symmetries, Weyl's chamber."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.interpolate import BSpline
from scipy.linalg import expm

from invlearn_jax.quantum import gates, propagators, systems, weyl
from invlearn_jax.quantum.fidelity import gate_residual, infidelity, leakage
from invlearn_jax.quantum.jacobian import latent_jacobian, latent_residual
from invlearn_jax.quantum.propagators import propagate, propagation
from invlearn_jax.quantum.pulse_inverter import canonical
from invlearn_jax.quantum.slice_table import tabulated_steps
from invlearn_jax.quantum.systems import MHZ
from invlearn_jax.quantum.waveform import bounded, occupied_bandwidth, pulse_slices, spline_basis

# Few slices: the compiler's time grows with them. Both pairs of qubits have the same number, and share their programs.
SYSTEMS = {
    "qubit": systems.qubit(slices=11),
    "detuned": systems.qubit(detuning=2 * MHZ, slices=11),
    "transmon": systems.transmon(slices=12, knots=6),
    "zz": systems.two_qubits(limit=40 * MHZ, sections=((12, 6),)),
    "exchange": systems.two_qubits(limit=40 * MHZ, kind="exchange", sections=((12, 6),)),
}
# Excitation numbers of each drive: turning its controls turns the frame by them.
NUMBERS = {
    "qubit": [[0, 1]],
    "detuned": [[0, 1]],
    "transmon": [[0, 1, 2]],
    "zz": [[0, 0, 1, 1], [0, 1, 0, 1]],
    "exchange": [[0, 1, 1, 2]],
}
every_system = pytest.mark.parametrize("name", SYSTEMS)
both_precisions = pytest.mark.parametrize(("double", "tolerance"), [(True, 1e-12), (False, 1e-5)])


@pytest.fixture
def matmul_apart(monkeypatch):
    """Products compiled once for each size, to be run without an outer jit: fused Taylor sums take a minute to compile."""
    monkeypatch.setattr(propagators, "_matmul", jax.jit(propagators._matmul))


def random_slices(system, seed):
    """Amplitudes within the limit, in any direction, without any smoothness."""
    rng = np.random.default_rng(seed)
    shape = (system.slices, len(system.controls) // 2)
    signal = system.limit * rng.uniform(0, 1, shape) * np.exp(2j * np.pi * rng.uniform(size=shape))
    return np.stack([signal.real, signal.imag], axis=-1).reshape(system.slices, -1)


def reference(system, slices, detuning=0.0, scale=1.0):
    """``[N+1, D, D]`` by SciPy's exponential."""
    hamiltonian = system.drift + detuning * system.detuning + scale * np.einsum("nc,cij->nij", slices, system.controls)
    path = [np.eye(system.dimension, dtype=complex)]
    for step in expm(-1j * system.dt * hamiltonian):
        path.append(step @ path[-1])
    return np.stack(path)


def apart(found, wanted):
    """The greatest difference of matrices ``[*b, D, D]`` but for a phase of each."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    overlap = np.einsum("...ij,...ij->...", wanted.conj(), found)
    phase = overlap / np.abs(overlap)
    return np.abs(found - wanted * phase[..., None, None]).max()


def haar(seed, num, dimension):
    """Unitaries of NumPy, in double precision."""
    rng = np.random.default_rng(seed)
    parts = rng.normal(size=(2, num, dimension, dimension))
    q, r = np.linalg.qr(parts[0] + 1j * parts[1])
    diagonal = np.diagonal(r, axis1=1, axis2=2)
    return q * (diagonal / np.abs(diagonal))[:, None, :]


@both_precisions
@every_system
def test_propagators_are_products_of_exponentials(matmul_apart, name, double, tolerance):
    system = SYSTEMS[name]
    slices = random_slices(system, 0)
    erring = [(3.0, 1.0), (0.0, 0.93), (-7.0, 1.06)]
    # One qubit is a few operations, which compile fast together.
    of_system = [functools.partial(f, system) for f in (propagate, propagation)]
    whole_of, path_of = map(jax.jit, of_system) if system.dimension == 2 else of_system
    with jax.enable_x64(double):
        given_slices = jnp.asarray(slices, float)
        assert given_slices.dtype == (jnp.float64 if double else jnp.float32)
        whole, path = np.asarray(whole_of(given_slices)), np.asarray(path_of(given_slices))
        assert whole.dtype == path.dtype == (np.complex128 if double else np.complex64)
        erred = [np.asarray(whole_of(given_slices, *map(jnp.asarray, e))) for e in erring]
    known = reference(system, slices)
    assert apart(whole, known[-1]) < tolerance
    assert apart(path, known) < tolerance
    np.testing.assert_array_equal(path[0], np.eye(system.dimension))
    assert apart(path[-1], whole) < tolerance
    for (detuning, scale), found in zip(erring, erred, strict=True):
        assert apart(found, reference(system, slices, detuning, scale)[-1]) < tolerance
        assert apart(found, known[-1]) > 1e-3
    for unitary in (whole, *path, *erred):
        assert np.abs(np.conj(unitary.T) @ unitary - np.eye(system.dimension)).max() < tolerance


@pytest.mark.parametrize("name", ["transmon", "zz"])
def test_tabulated_slices_equal_the_exponentials(matmul_apart, name):
    system = SYSTEMS[name]
    slices = random_slices(system, 1)
    slices[:4] = 0.0
    slices[:3, 0], slices[3, 1] = system.limit * np.array([1.0, -1.0, 1e-4]), system.limit
    with jax.enable_x64(True):
        real, imag = map(np.asarray, tabulated_steps(system.table, jnp.asarray(slices / system.limit)))
        series = tuple(map(np.asarray, propagators._exponentials(system, jnp.asarray(slices), 0.0, 1.0)))
    np.testing.assert_allclose(real + 1j * imag, series[0] + 1j * series[1], atol=3e-14)
    # Not up to a phase: it is that of the drift with its energies around 0.
    exact = expm(-1j * system.dt * (system.centred_drift + np.einsum("nc,cij->nij", slices, system.controls)))
    np.testing.assert_allclose(np.moveaxis(real + 1j * imag, -1, 0), exact, atol=3e-14)


def test_tables_and_coupled_systems_hold_in_their_usual_sizes():
    for system in (systems.transmon(), systems.two_qubits()):
        slices = random_slices(system, 2)[:20]
        with jax.enable_x64(True):
            real, imag = map(np.asarray, tabulated_steps(system.table, jnp.asarray(slices / system.limit)))
        exact = expm(-1j * system.dt * (system.centred_drift + np.einsum("nc,cij->nij", slices, system.controls)))
        np.testing.assert_allclose(np.moveaxis(real + 1j * imag, -1, 0), exact, atol=3e-14)


def test_a_constant_drive_turns_the_bloch_sphere_by_its_area():
    system = SYSTEMS["qubit"]
    angle = 0.8 * np.pi
    for axis in range(2):
        slices = np.zeros((system.slices, 2), np.float32)
        slices[:, axis] = angle / system.gate_time
        np.testing.assert_allclose(
            propagate(system, jnp.asarray(slices)), gates.axis_angle(tuple(np.eye(3)[axis].tolist()), angle), atol=1e-6
        )
    still = jnp.zeros((system.slices, 2))
    np.testing.assert_array_equal(propagate(system, still), np.eye(2))
    turned = propagate(system, still, jnp.asarray(angle / system.gate_time, jnp.float32))
    np.testing.assert_allclose(turned, gates.axis_angle((0.0, 0.0, 1.0), angle), atol=1e-6)


def test_without_drives_the_coupling_makes_its_interaction(matmul_apart):
    for name, direction in (("zz", [0, 0, 1]), ("exchange", [1, 1, 0])):
        system = SYSTEMS[name]
        with jax.enable_x64(True):
            found = np.asarray(propagate(system, jnp.zeros((system.slices, 4))))
            wanted = weyl.interaction(jnp.array(direction, float) * (5 * MHZ / 2 * system.gate_time))
        assert apart(found, wanted) < 1e-12


def test_a_transmon_is_a_qubit_with_a_level_more():
    system = systems.transmon()
    np.testing.assert_allclose(system.controls[:, :2, :2], systems.qubit().controls, atol=1e-15)
    np.testing.assert_allclose(np.abs(system.controls[:, 1, 2]), np.sqrt(2) / 2)
    np.testing.assert_allclose(np.diag(system.drift), [0, 0, -300 * MHZ], atol=1e-9)
    np.testing.assert_allclose(np.diff(np.diag(system.detuning)[:2]), [-1])  # as of sigma_z / 2


@pytest.mark.parametrize("name", ["detuned", "transmon"])
def test_fidelity_agrees_with_the_solver_of_qutip(name):
    qutip = pytest.importorskip("qutip")
    system = SYSTEMS[name]
    rng = np.random.default_rng(3)
    with jax.enable_x64(True):
        slices = pulse_slices(system, jnp.asarray(rng.normal(size=(system.knots, 2))))
        unitary = propagate(system, slices)
    if name == "detuned":
        drift, drives = 2 * MHZ * qutip.sigmaz() / 2, [qutip.sigmax() / 2, qutip.sigmay() / 2]
    else:
        a = qutip.destroy(3)
        drift = -300 * MHZ / 2 * a.dag() * a.dag() * a * a
        drives = [(a + a.dag()) / 2, 1j * (a.dag() - a) / 2]
    # The last amplitude holds from the last slice's beginning on; a step never crosses an edge unseen.
    times = np.linspace(0, system.gate_time, system.slices + 1)
    held = np.concatenate([slices, slices[-1:]])
    hamiltonian = qutip.QobjEvo([drift, *([d, u] for d, u in zip(drives, held.T, strict=True))], tlist=times, order=0)
    options = {"atol": 1e-10, "rtol": 1e-9, "nsteps": 100_000, "max_step": system.dt / 10, "progress_bar": ""}
    columns = [
        qutip.sesolve(hamiltonian, qutip.basis(system.dimension, level), times, options=options).states[-1].full()[:, 0]
        for level in system.levels
    ]
    for gate in haar(4, 3, 2):
        overlap = sum(gate[:, j].conj() @ column[:2] for j, column in enumerate(columns))
        with jax.enable_x64(True):
            found = infidelity(system, unitary, jnp.asarray(gate))
        assert float(found) == pytest.approx(1 - abs(overlap) ** 2 / 4, abs=1e-6)


def cost_of(name):
    """The infidelity over latents and errors: ``(latent, gate, detuning, scale)``."""
    system = SYSTEMS[name]

    def cost(latent, gate, *errors):
        return infidelity(system, propagate(system, pulse_slices(system, latent), *errors), gate)

    return cost


@pytest.mark.parametrize("name", ["qubit", "transmon", "zz", "exchange"])
def test_gradients_equal_finite_differences(matmul_apart, name):
    system = SYSTEMS[name]
    rng = np.random.default_rng(5)
    latent = rng.normal(size=(system.knots, len(system.controls)))
    gate = haar(6, 1, system.gate_dimension)[0]
    erring = () if system.table else (2.0, 0.97)
    function = jax.value_and_grad(cost_of(name))
    with jax.enable_x64(True):
        errors = tuple(map(jnp.asarray, erring))
        given_gate = jnp.asarray(gate)
        # Taylor sums are compiled product by product, see matmul_apart.
        function = function if name == "exchange" else jax.jit(function)
        value, gradient = (np.asarray(x) for x in function(jnp.asarray(latent), given_gate, *errors))
        for direction in rng.normal(size=(3, *latent.shape)):
            ahead, behind = (
                float(function(jnp.asarray(latent + s * 1e-5 * direction), given_gate, *errors)[0]) for s in (1, -1)
            )
            assert (gradient * direction).sum() == pytest.approx((ahead - behind) / 2e-5, rel=1e-6, abs=1e-8)
        slices = np.asarray(pulse_slices(system, jnp.asarray(latent)))
    assert np.abs(gradient).max() > 1e-3
    inside = reference(system, slices, *erring)[-1][: len(gate), : len(gate)]
    assert value == pytest.approx(1 - abs(np.trace(gate.conj().T @ inside)) ** 2 / len(gate) ** 2, abs=1e-12)


def test_the_gradient_of_a_pulse_of_zeros_is_finite():
    system, x = SYSTEMS["qubit"], gates.named_gate("sqrt_x")
    with jax.enable_x64(True):
        gradient = np.asarray(jax.jit(jax.grad(cost_of("qubit")))(jnp.zeros((system.knots, 2)), jnp.asarray(x)))
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 1e-3


@pytest.mark.parametrize("name", ["qubit", "transmon", "zz"])
@given(seed=st.integers(0, 2**32 - 1), phase=st.floats(0, 6.3))
def test_infidelity_is_one_minus_the_trace_and_no_phase_counts(name, seed, phase):
    system = SYSTEMS[name]
    d = system.gate_dimension
    unitary, gate = haar(seed, 1, system.dimension)[0], haar(seed ^ 1, 1, d)[0]
    naive = 1 - abs(np.trace(gate.conj().T @ unitary[:d, :d])) ** 2 / d**2
    with jax.enable_x64(True):
        found = infidelity(system, jnp.asarray(unitary), jnp.asarray(gate))
        turned = infidelity(system, jnp.asarray(np.exp(1j * phase) * unitary), jnp.asarray(gate))
    np.testing.assert_allclose([found, turned], naive, atol=1e-13)


def near(gate, dimension, seed, size):
    """The gate, padded with 1, times ``exp(-i size G)``, G of a unit of variance, without trace over the gate's levels."""
    d = len(gate)
    whole = np.eye(dimension, dtype=complex)
    whole[:d, :d] = gate
    draw = haar(seed, 1, dimension)[0]
    g = draw + draw.conj().T
    g[:d, :d] -= np.trace(g[:d, :d]) / d * np.eye(d)
    # What 1 - F grows by: within the levels, and out of them.
    g /= np.sqrt((np.abs(g[:, :d]) ** 2).sum() / d)
    return whole @ expm(-1j * size * g)


@pytest.mark.parametrize("name", ["qubit", "transmon", "zz"])
@pytest.mark.parametrize("size", [1e-2, 1e-5, 1e-9, 1e-13])
def test_infidelity_does_not_cancel_and_is_the_square_of_the_residual(name, size):
    system = SYSTEMS[name]
    d, levels = system.gate_dimension, system.dimension
    gate = haar(7, 1, d)[0]
    with jax.enable_x64(True):
        for seed in range(5):
            unitary = jnp.asarray(np.exp(0.3j) * near(gate, levels, seed, size))
            found = float(infidelity(system, unitary, jnp.asarray(gate)))
            residual = np.asarray(gate_residual(system, unitary, jnp.asarray(gate)))
            assert found == pytest.approx(size**2, rel=0.03)
            assert residual.shape == (d**2 - 1 + 2 * d * (levels - d),)
            assert (residual**2).sum() / d == pytest.approx(found, rel=0.03)


@pytest.mark.parametrize("name", ["detuned", "transmon", "zz"])
def test_jacobians_from_the_slices_are_those_of_reverse_passes(name):
    system = SYSTEMS[name]
    passes = jax.jit(jax.jacrev(lambda z, gate: latent_residual(system, z, gate)))
    own = jax.jit(functools.partial(latent_jacobian, system))
    drawn = jax.random.normal(jax.random.key(1), (3, system.knots, len(system.controls)))
    wanted = gates.haar_gates(jax.random.key(2), 3, system.gate_dimension)
    for size, direction, gate in zip((0.0, 0.5, 2.0), drawn, wanted, strict=True):
        np.testing.assert_allclose(own(size * direction, gate), passes(size * direction, gate), atol=3e-4)


def test_leakage_counts():
    system = SYSTEMS["transmon"]
    angle = 0.3
    unitary = np.eye(3, dtype=complex)
    unitary[1:, 1:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    with jax.enable_x64(True):
        one = jnp.eye(2, dtype=complex)
        found, lost = infidelity(system, jnp.asarray(unitary), one), leakage(system, jnp.asarray(unitary))
    assert float(found) == pytest.approx(1 - (1 + np.cos(angle)) ** 2 / 4, abs=1e-14)
    assert float(lost) == pytest.approx(np.sin(angle) ** 2 / 2, abs=1e-14)
    # What happens to the level above alone is not asked for.
    above = np.diag([1, 1, np.exp(1j)])
    assert float(infidelity(system, jnp.asarray(above), jnp.eye(2, dtype=complex))) == 0.0
    two = SYSTEMS["zz"]
    assert float(leakage(two, jnp.asarray(haar(8, 1, 4)[0]))) == 0.0


@pytest.mark.parametrize("system", [systems.qubit(), systems.transmon(), systems.two_qubits()], ids=lambda s: s.name)
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
    system = SYSTEMS["qubit"]
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


@pytest.mark.parametrize("system", [systems.qubit(), systems.transmon(), systems.two_qubits()], ids=lambda s: s.name)
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


@every_system
def test_turning_the_controls_turns_the_gate(matmul_apart, name):
    system, numbers = SYSTEMS[name], np.array(NUMBERS[name])
    slices = random_slices(system, 10)
    drives = slices[:, ::2] + 1j * slices[:, 1::2]
    angles = np.array([0.9, -2.1])[: len(numbers)]
    turned = drives * np.exp(1j * angles)
    turned = np.stack([turned.real, turned.imag], axis=-1).reshape(slices.shape)
    frame = np.exp(1j * angles @ numbers)
    with jax.enable_x64(True):
        before, after = (np.asarray(propagate(system, jnp.asarray(s))) for s in (slices, turned))
    assert apart(after, frame[:, None] * before * frame.conj()) < 1e-12
    assert apart(after, before) > 1e-2


@every_system
def test_a_reversed_pulse_with_y_turned_round_makes_the_transposed_gate(matmul_apart, name):
    system = SYSTEMS[name]
    slices = random_slices(system, 11)
    flip = np.tile([1.0, -1.0], len(system.controls) // 2)
    with jax.enable_x64(True):
        before, after = (np.asarray(propagate(system, jnp.asarray(s))) for s in (slices, slices[::-1] * flip))
    assert apart(after, before.T) < 1e-12
    assert apart(after, before) > 1e-2


@functools.cache
def canonical_jitted():
    return jax.jit(jax.vmap(canonical))


def canonical_of_many(drawn):
    """Forms ``(features, turn)`` in double precision."""
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, canonical_jitted()(jnp.asarray(drawn)))


def test_canonical_forms_know_no_phase_and_hold_the_whole_gate():
    drawn = haar(12, 400, 2)
    features, turn = canonical_of_many(drawn)
    others = [canonical_of_many(drawn * np.exp(1j * phase)) for phase in (np.pi, 0.7, -2.5)]
    for other in others:
        np.testing.assert_allclose(other.features, features, atol=1e-12)
        np.testing.assert_allclose(other.turn, turn, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(turn, axis=1), 1, atol=1e-12)
    assert features[:, [0, 2]].min() >= 0
    a, b = features[:, 0] + 1j * features[:, 1], features[:, 2] * (turn[:, 0] + 1j * turn[:, 1])
    rebuilt = np.stack([np.stack([a, -b.conj()], -1), np.stack([b, a.conj()], -1)], -2)
    assert apart(rebuilt, drawn) < 1e-12


def test_canonical_forms_are_continuous_and_turn_with_the_gate():
    drawn, step = haar(13, 400, 2), 1e-6
    nudged = drawn @ expm(-1j * step * gates.PAULI[0])
    turned = gates.axis_angle((0.0, 0.0, 1.0), 0.4) @ drawn @ gates.axis_angle((0.0, 0.0, 1.0), -0.4)
    here, there, elsewhere = (canonical_of_many(g) for g in (drawn, nudged, turned))
    # The edges are Re a = 0, where a gate has two forms, and b = 0, where any turn does.
    inside = (here.features[:, 0] > 1e-3) & (here.features[:, 2] > 1e-2)
    assert inside.mean() > 0.9
    assert np.abs(there.features - here.features)[inside].max() < 2 * step
    assert np.abs(there.turn - here.turn)[inside].max() < 2 * step / 1e-2
    np.testing.assert_allclose(elsewhere.features, here.features, atol=1e-12)
    angle = np.angle((elsewhere.turn[:, 0] + 1j * elsewhere.turn[:, 1]) / (here.turn[:, 0] + 1j * here.turn[:, 1]))
    np.testing.assert_allclose(angle, 0.4, atol=1e-9)
    # Gates about z have a form too.
    form = canonical(jnp.asarray(gates.named_gate("t")))
    np.testing.assert_allclose(form.features, [np.cos(np.pi / 8), -np.sin(np.pi / 8), 0], atol=1e-6)
    np.testing.assert_array_equal(form.turn, [1, 0])


def rebuilt(parts):
    return weyl.local(parts.after) @ weyl.interaction(parts.interaction) @ weyl.local(parts.before)


def decompose_and_rebuild(gate):
    parts = weyl.decompose(gate)
    return parts, rebuilt(parts)


@functools.cache
def decompose_jitted():
    return jax.jit(jax.vmap(decompose_and_rebuild))


def decompose_many(drawn, double=True):
    """Decompositions with their products."""
    with jax.enable_x64(double):
        return jax.tree.map(np.asarray, decompose_jitted()(jnp.asarray(drawn, complex)))


@both_precisions
def test_weyl_decompositions_rebuild_their_gates(double, tolerance):
    drawn = np.concatenate([haar(15, 4000, 4), [np.kron(*haar(16, 2, 2))]])
    parts, product = decompose_many(drawn, double)
    assert apart(product, drawn) < tolerance
    x, y, z = parts.interaction.T
    slack = 1e-6
    assert (z <= np.pi / 4 + slack).all()
    assert (z >= x - slack).all()
    assert (x >= np.abs(y) - slack).all()
    for pair in (parts.after, parts.before):
        assert np.abs(np.conj(pair.swapaxes(-1, -2)) @ pair - np.eye(2)).max() < tolerance


def test_weyl_decompositions_survive_eigenvalues_that_meet_in_one_mixture():
    """Of ``cos p Re + sin p Im`` two eigenvalues meet where their angles sum to 2 p, and each p has gates of which this holds."""
    signs = np.stack([np.diag(m).real for m in (weyl._MAGIC.conj().T @ p @ weyl._MAGIC for p in weyl._PAIRS)])
    drawn = []
    for seed, p in enumerate([np.arctan(1 / 0.6180339887), *np.linspace(0, np.pi, 29)]):
        rng = np.random.default_rng(seed)
        point = rng.uniform(-0.7, 0.7, 3)
        for i, j in ((0, 1), (1, 2), (0, 3)):
            both = signs[:, i] + signs[:, j]
            # The angles of the squares' eigenvalues are -2 point.signs.
            at = point - both * (both @ point + p) / (both @ both)
            first, second = (np.kron(*haar(100 * seed + k, 2, 2)) for k in (0, 1))
            drawn.append(first @ np.asarray(expm(-1j * np.tensordot(at, weyl._PAIRS, 1))) @ second)
    _, product = decompose_many(np.stack(drawn))
    assert apart(product, np.stack(drawn)) < 1e-12


@pytest.mark.parametrize(
    ("name", "quarters"),
    [("identity", (0, 0, 0)), ("cnot", (0, 0, 1)), ("cz", (0, 0, 1)), ("iswap", (1, 0, 1)), ("swap", (1, 1, 1))],
)
def test_weyl_coordinates_of_known_gates(name, quarters):
    gate = np.eye(4) if name == "identity" else gates.named_gate(name)
    dressed = np.kron(*haar(17, 2, 2)) @ gate @ np.kron(*haar(18, 2, 2))
    given_gates = np.stack([gate, np.exp(0.4j) * gate, dressed]).astype(complex)
    parts, product = decompose_many(given_gates)
    assert apart(product, given_gates) < 1e-12
    # On the face z = pi/4 both signs of y are one gate.
    np.testing.assert_allclose(np.abs(parts.interaction), np.broadcast_to(quarters, (3, 3)) * np.pi / 4, atol=2e-8)


def test_weyl_decompositions_are_the_same_under_jit_and_vmap():
    drawn = haar(19, 3, 4)
    together, _ = decompose_many(drawn)
    with jax.enable_x64(True):
        alone = [jax.tree.map(np.asarray, weyl.decompose(jnp.asarray(gate))) for gate in drawn]
    for i, parts in enumerate(alone):
        np.testing.assert_allclose(together.interaction[i], parts.interaction, atol=1e-10)
        # Gates of single qubits are unique but for a sign of each.
        assert apart(together.after[i], parts.after) < 1e-9
        assert apart(together.before[i], parts.before) < 1e-9


def test_interactions_to_learn_from_fill_the_chamber():
    x, y, z = np.asarray(weyl.training_interactions(jax.random.key(0), 2000)).T
    assert ((z >= x) & (x >= np.abs(y))).all()
    assert 0.7 < z.max() <= 1.02 * np.pi / 4 + 1e-6
    assert 0.45 < (y < 0).mean() < 0.55


@pytest.mark.parametrize("dimension", [2, 4])
def test_haar_gates_are_unitary_and_even(dimension):
    drawn = np.asarray(jax.jit(gates.haar_gates, static_argnums=(1, 2))(jax.random.key(0), 20_000, dimension))
    assert np.abs(np.conj(drawn.swapaxes(1, 2)) @ drawn - np.eye(dimension)).max() < 1e-5
    trace = np.trace(drawn, axis1=1, axis2=2)
    # Of the Haar measure: E tr = E tr^2 = 0, E |tr|^2 = 1, E |tr|^4 = 2.
    assert abs(trace.mean()) < 0.03
    assert abs((trace**2).mean()) < 0.05
    assert (np.abs(trace) ** 2).mean() == pytest.approx(1, abs=0.04)
    assert (np.abs(trace) ** 4).mean() == pytest.approx(2, abs=0.15)
    # A fixed gate before them changes nothing.
    moved = np.trace(haar(20, 1, dimension)[0] @ drawn, axis1=1, axis2=2)
    assert (np.abs(moved) ** 2).mean() == pytest.approx(1, abs=0.04)


def test_training_gates_are_unitary_and_reach_rare_corners():
    drawn = np.asarray(jax.jit(gates.training_gates, static_argnums=1)(jax.random.key(0), 2001))
    assert drawn.shape == (2001, 2, 2)
    assert np.abs(np.conj(drawn.swapaxes(1, 2)) @ drawn - np.eye(2)).max() < 1e-5
    # |b| < 0.1 has a share of 1 % under the Haar measure.
    assert (np.abs(drawn[:, 1, 0]) < 0.1).mean() > 0.025


def test_named_gates_are_the_known_ones():
    for name, gate in gates.GATES.items():
        assert np.abs(gate.conj().T @ gate - np.eye(len(gate))).max() < 1e-12, name
        assert gates.named_gate(name) is gate
    sqrt_x, hadamard, t, s = (gates.named_gate(n) for n in ("sqrt_x", "hadamard", "t", "s"))
    assert apart(sqrt_x @ sqrt_x, gates.named_gate("x")) < 1e-12
    assert apart(hadamard @ gates.named_gate("x") @ hadamard, gates.named_gate("z")) < 1e-12
    np.testing.assert_allclose(t @ t, s, atol=1e-12)
    np.testing.assert_allclose(1j * gates.named_gate("x") @ gates.named_gate("z"), gates.named_gate("y"), atol=1e-12)
    on_target = np.kron(np.eye(2), hadamard)
    np.testing.assert_allclose(on_target @ gates.named_gate("cz") @ on_target, gates.named_gate("cnot"), atol=1e-12)
    with pytest.raises(ValueError, match="Unknown gate 'hadamar'. Nearest known: hadamard"):
        gates.named_gate("hadamar")


def test_axis_angle_is_the_exponential():
    axis, angle = np.array([1.0, -2.0, 0.5]), 2.2
    n = axis / np.linalg.norm(axis)
    np.testing.assert_allclose(
        gates.axis_angle(tuple(axis.tolist()), angle), expm(-0.5j * angle * np.tensordot(n, gates.PAULI, 1)), atol=1e-12
    )
    assert apart(gates.axis_angle((1.0, 0.0, 1.0), np.pi), gates.named_gate("hadamard")) < 1e-12
    assert apart(gates.axis_angle((0.0, 0.0, 3.0), np.pi / 4), gates.named_gate("t")) < 1e-12
    for bad in (((0.0, 0.0, 0.0), 1.0), ((1.0, np.nan, 0.0), 1.0), ((1.0, 0.0, 0.0), np.inf)):
        with pytest.raises(ValueError, match="give three finite numbers, not all 0, and a finite angle"):
            gates.axis_angle(*bad)


def test_bloch_vectors():
    states = np.array([[1, 0, 0], [0, 1, 0], [np.sqrt(0.5), np.sqrt(0.5), 0], [np.sqrt(0.5), 1j * np.sqrt(0.5), 0]])
    vectors = gates.bloch_vector(jnp.asarray(states, complex))
    np.testing.assert_allclose(vectors, [[0, 0, 1], [0, 0, -1], [1, 0, 0], [0, 1, 0]], atol=1e-6)


def test_matrices_that_are_no_gates_are_refused():
    x = gates.named_gate("x")
    checked = gates.check_gate(x.real, 2)
    assert checked.dtype == complex
    np.testing.assert_array_equal(checked, x)
    gates.check_gate(x * (1 + 1e-8), 2)
    with pytest.raises(ValueError, match=r"the largest entry of \|G' G - 1\| is 0.21, allowed is 1e-06"):
        gates.check_gate(1.1 * x, 2)
    with pytest.raises(ValueError, match=r"shape \(2, 2\); this system takes \(4, 4\)"):
        gates.check_gate(x, 4)
    for number in (np.nan, np.inf):
        with pytest.raises(ValueError, match="holds NaN or infinite numbers; give a unitary matrix"):
            gates.check_gate(x * number if np.isnan(number) else np.array([[number, 0], [0, 1]]), 2)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: systems.qubit(limit=0.0), "amplitude bound of qubit is 0.0 rad/us; without a drive there is no gate"),
        (lambda: systems.transmon(limit=-1.0), "amplitude bound of transmon is -1.0"),
        (lambda: systems.two_qubits(limit=0.0), "amplitude bound of two_qubit is 0.0"),
        (lambda: systems.qubit(gate_time=np.nan), "qubit was given NaN or infinite parameters; give finite numbers"),
        (lambda: systems.qubit(limit=np.nan), "qubit was given NaN or infinite"),
        (lambda: systems.qubit(detuning=np.nan), "qubit was given NaN or infinite"),
        (lambda: systems.transmon(anharmonicity=np.nan), "transmon was given NaN or infinite"),
        (lambda: systems.two_qubits(coupling=np.nan), "two_qubit was given NaN or infinite"),
        (lambda: systems.two_qubits(coupling=0.0), "coupling is 0; without one there is no gate between two qubits"),
        (lambda: systems.two_qubits(kind="exchanges"), "Unknown kind of coupling 'exchanges'. Nearest known: exchange"),
        (lambda: systems.qubit(0.03), "0.03 us is below the speed limit of 0.05954 us for all gates of qubit"),
        (lambda: systems.qubit(-0.1), "-0.1 us is below the speed limit"),
        (
            lambda: systems.transmon(0.02, knots=12),
            "0.02 us is below the speed limit of 0.02706 us for all gates of transmon",
        ),
        (lambda: systems.two_qubits(0.14), "0.14 us is below the speed limit of 0.15 us for all gates of two_qubit"),
        (
            lambda: systems.two_qubits(0.07, kind="exchange"),
            "speed limit of 0.075 us .* Give more time, or a larger bound",
        ),
        (lambda: systems.qubit(knots=3), "given 3 spline coefficients on 22 slices; give at least 4"),
        (lambda: systems.qubit(slices=10), "8 spline coefficients on 10 slices; give .* at least 11 slices"),
    ],
)
def test_systems_that_cannot_work_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        bad()


def test_a_system_describes_its_pulse():
    system = systems.two_qubits()
    assert system.gate_time == pytest.approx(0.225)
    assert (system.slices, system.knots, system.dimension, system.gate_dimension) == (90, 35, 4, 4)
    assert system.dt == pytest.approx(0.0025)
    assert system.bandwidth == pytest.approx(12 / (14 * 0.0025))
    middle = system.section(1)
    assert (middle.slices, middle.knots) == (62, 17)
    assert middle.dt == pytest.approx(system.dt)
    assert systems.transmon().gate_dimension == 2
