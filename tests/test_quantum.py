"""The physics of pulses: systems and propagators against SciPy and QuTiP, fidelity, symmetries, Weyl's chamber."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import apart, haar
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm

from invlearn_jax.refine import by_latents
from invlearn_jax.tasks.gates import gates, propagators, systems, weyl
from invlearn_jax.tasks.gates.fidelity import gate_residual, infidelity, leakage
from invlearn_jax.tasks.gates.jacobian import pulse_jacobian
from invlearn_jax.tasks.gates.propagators import propagate, propagation
from invlearn_jax.tasks.gates.slice_table import tabulated_steps
from invlearn_jax.tasks.gates.systems import MHZ
from invlearn_jax.tasks.gates.waveform import pulse_slices

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


@pytest.fixture
def matmul_apart(monkeypatch):
    """Products compiled once for each size, to be run without an outer jit: fused Taylor sums take a minute to compile."""
    monkeypatch.setattr(propagators, "_matmul", jax.jit(propagators._matmul))


@functools.cache
def infidelity_of(name):
    """Jitted, of one unitary."""
    return jax.jit(functools.partial(infidelity, SYSTEMS[name]))


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


# In single precision one system of each way: quaternions, and more levels.
@pytest.mark.parametrize(
    ("name", "double", "tolerance"),
    [*((name, True, 1e-12) for name in SYSTEMS), ("qubit", False, 1e-5), ("transmon", False, 1e-5)],
)
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


@pytest.mark.parametrize(
    "change", [{"gate_time": 0.05}, {"limit": 3.0}, {"sections": ((80, 6),)}, {"drift": np.diag([0.0, 0.0, 9.0])}]
)
def test_a_table_of_another_system_is_refused_and_none_is_exact(change):
    changed = systems.transmon(slices=12, knots=6)._replace(**change)
    slices = 0.3 * changed.limit * np.ones((changed.slices, 2))
    with pytest.raises(ValueError, match="keeps the table of a system of another drift, limit or slice"):
        propagators.propagate(changed, jnp.asarray(slices))
    with jax.enable_x64(True):
        found = propagators.propagate(changed._replace(table=None), jnp.asarray(slices))
    exact = expm(-1j * changed.dt * (changed.drift + np.einsum("nc,cij->nij", slices, changed.controls)))
    assert apart(np.asarray(found), np.linalg.multi_dot(exact[::-1])) < 1e-10


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
        unitary = jax.jit(lambda u: propagate(system, u))(slices)
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
            found = infidelity_of(name)(unitary, jnp.asarray(gate))
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
        found = infidelity_of(name)(unitary, gate)
        turned = infidelity_of(name)(np.exp(1j * phase) * unitary, gate)
    np.testing.assert_allclose([found, turned], naive, atol=1e-13)


@functools.cache
def residual_of(name):
    """Jitted, of one unitary."""
    return jax.jit(functools.partial(gate_residual, SYSTEMS[name]))


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
            unitary = np.exp(0.3j) * near(gate, levels, seed, size)
            found, residual = float(infidelity_of(name)(unitary, gate)), np.asarray(residual_of(name)(unitary, gate))
            assert found == pytest.approx(size**2, rel=0.03)
            assert residual.shape == (d**2 - 1 + 2 * d * (levels - d),)
            assert (residual**2).sum() / d == pytest.approx(found, rel=0.03)


@pytest.mark.parametrize("name", ["detuned", "transmon", "zz"])
def test_jacobians_from_the_slices_are_the_derivatives(name):
    # Two drives in fewer slices, with which the compiler's time grows.
    system = systems.two_qubits(limit=40 * MHZ, sections=((8, 5),)) if name == "zz" else SYSTEMS[name]
    decode = functools.partial(pulse_slices, system)

    @jax.jit
    def both(z, gate, directions):
        own = by_latents(decode, z, pulse_jacobian(system, decode(z), gate))
        change = jax.linearize(lambda z: gate_residual(system, propagate(system, decode(z)), gate), z)[1]
        return jnp.tensordot(directions, own, ((1, 2), (1, 2))), jax.lax.map(change, directions)

    drawn = jax.random.normal(jax.random.key(1), (3, system.knots, len(system.controls)))
    directions = jax.random.normal(jax.random.key(3), (8, *drawn.shape[1:])) / system.knots**0.5
    wanted = gates.haar_gates(jax.random.key(2), 3, system.gate_dimension)
    for size, direction, gate in zip((0.0, 0.5, 2.0), drawn, wanted, strict=True):
        own, change = both(size * direction, gate, directions)
        assert np.abs(change).max() > 1e-2
        np.testing.assert_allclose(own, change, atol=5e-4)


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
