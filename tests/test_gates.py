"""Gates: canonical forms, Weyl's chamber, the Haar measure, names, Bloch vectors, what is no gate."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import apart, haar
from scipy.linalg import expm

from invlearn_jax.tasks.gates import gates, weyl
from invlearn_jax.tasks.gates.pulse_inverter import canonical

both_precisions = pytest.mark.parametrize(("double", "tolerance"), [(True, 1e-12), (False, 1e-5)])


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


def decompose_many(drawn, double=True, width=256):
    """Decompositions with their products, in padded batches of one width, so that they are compiled once."""
    batches = -(-len(drawn) // width)
    padded = np.resize(drawn, (batches, width, 4, 4))
    with jax.enable_x64(double):
        found = [jax.tree.map(np.asarray, decompose_jitted()(jnp.asarray(batch, complex))) for batch in padded]
    return jax.tree.map(lambda *parts: np.concatenate(parts)[: len(drawn)], *found)


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


def test_weyl_decompositions_are_the_same_one_by_one():
    drawn = haar(19, 3, 4)
    together, _ = decompose_many(drawn)
    with jax.enable_x64(True):
        decompose = jax.jit(weyl.decompose)
        alone = [jax.tree.map(np.asarray, decompose(jnp.asarray(gate))) for gate in drawn]
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
