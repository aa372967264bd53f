"""Pulse Inverters and their planner: symmetries, the planner's contract, refinement, training, costs, files, bad input."""

import dataclasses
import functools
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import count_compilations
from hypothesis import given
from hypothesis import strategies as st

from invlearn_jax.io.planners import load_planner, save_planner
from invlearn_jax.learn.loop import default_optimizer, train
from invlearn_jax.learn.pulse_inverter import pulse_state, pulse_update
from invlearn_jax.quantum import gates, systems, weyl
from invlearn_jax.quantum.build import PulseConfig, build_pulse_planner, build_system
from invlearn_jax.quantum.fidelity import infidelity, leakage
from invlearn_jax.quantum.objective import Errors, PulseObjective, error_grid, infidelities
from invlearn_jax.quantum.planner import PulsePlanner
from invlearn_jax.quantum.propagators import propagate
from invlearn_jax.quantum.pulse_inverter import QubitInverter, TwoQubitInverter, TwoQubitParams
from invlearn_jax.quantum.systems import MHZ
from invlearn_jax.quantum.waveform import pulse_slices
from invlearn_jax.refine import ResidualCost, gauss_newton, gradient, refine
from invlearn_jax.types import Problem, Result

QUBIT = systems.qubit(slices=11)
INVERTER = QubitInverter(QUBIT, (16,))
STEPS = 12  # enough from an Inverter as drawn; one number for all tests, which share the program
TWO = systems.two_qubits(limit=60 * MHZ, sections=((8, 4), (8, 5), (8, 4)))


def planner_of(steps):
    return PulsePlanner(QUBIT, INVERTER, refiner=gauss_newton(), refine_steps=steps)


@functools.cache
def planning(steps):
    """The jitted planner of one qubit and its parameters."""
    planner = planner_of(steps)
    return jax.jit(planner.plan), planner.init(jax.random.key(0))


@functools.cache
def drawn_gates(num=8):
    return np.asarray(gates.haar_gates(jax.random.key(1), num, 2))


def problem(gate, start=None):
    return Problem(jnp.eye(2, dtype=jnp.complex64) if start is None else jnp.asarray(start), jnp.asarray(gate))


def apart(found, wanted):
    """The greatest difference but for a phase."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    overlap = (wanted.conj() * found).sum()
    return np.abs(found - wanted * overlap / np.abs(overlap)).max()


def test_a_plan_is_a_pulse_with_its_evidence():
    plan, params = planning(STEPS)
    gate = drawn_gates()[0]
    out = plan(params, jax.random.key(0), problem(gate))
    assert out.actions.shape == (QUBIT.slices, 2)
    assert out.states.shape == (QUBIT.slices + 1, 2, 2)
    assert out.refine_trace.shape == (STEPS,)
    assert np.linalg.norm(out.actions, axis=1).max() <= QUBIT.limit * (1 + 1e-6)
    np.testing.assert_array_equal(out.states[0], np.eye(2))
    assert apart(out.states[-1], propagate(QUBIT, out.actions)) < 1e-5
    naive = 1 - abs(np.trace(gate.conj().T @ out.states[-1])) ** 2 / 4
    assert float(out.cost) == pytest.approx(float(naive), abs=1e-5)
    assert set(out.cost_terms) == {"infidelity"}
    assert out.cost == out.cost_terms["infidelity"]
    assert Result(int(out.result)) == Result.OK


def test_zero_refine_steps_are_the_proposal():
    plan, params = planning(0)
    gate = jnp.asarray(drawn_gates()[1])
    out = plan(params, jax.random.key(0), problem(gate))
    proposed = pulse_slices(QUBIT, INVERTER.latent(params.inverter, gate))
    np.testing.assert_allclose(out.actions, proposed, rtol=1e-5, atol=1e-4)
    assert out.cost == out.proposal_cost
    assert out.refine_trace.shape == (0,)
    assert Result(int(out.result)) == Result.OK


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.01, 30.0))
def test_refinement_is_never_worse_than_the_proposal(seed, scale):
    plan, params = planning(STEPS)
    params = jax.tree.map(lambda x: scale * x, params)
    gate = gates.haar_gates(jax.random.key(seed), 8, 2)[0]
    out = plan(params, jax.random.key(0), problem(gate))
    # The plan's own cost is computed once more, which rounds.
    assert out.cost <= out.proposal_cost * (1 + 1e-5) + 1e-12
    assert (np.diff([out.proposal_cost, *out.refine_trace]) <= 0).all()
    np.testing.assert_allclose(out.cost, out.refine_trace[-1], rtol=2e-3, atol=1e-12)
    assert Result(int(out.result)) in (Result.OK, Result.NO_IMPROVEMENT)


def test_refinement_reaches_the_gate():
    plan, params = planning(STEPS)
    for gate in drawn_gates()[:4]:
        out = plan(params, jax.random.key(0), problem(gate))
        assert out.proposal_cost > 1e-3
        assert out.cost < 1e-11
        assert infidelity(QUBIT, propagate(QUBIT, out.actions), jnp.asarray(gate)) < 1e-10


def test_the_start_is_honoured():
    plan, params = planning(STEPS)
    start, gate = drawn_gates()[:2]
    out = plan(params, jax.random.key(0), problem(gate, start))
    assert infidelity(QUBIT, propagate(QUBIT, out.actions), jnp.asarray(gate @ start.conj().T)) < 1e-10
    assert infidelity(QUBIT, propagate(QUBIT, out.actions) @ start, jnp.asarray(gate)) < 1e-10


def test_jit_equals_no_jit():
    plan, params = planning(0)
    asked = problem(drawn_gates()[2])
    plain = planner_of(0).plan(params, jax.random.key(0), asked)
    chex.assert_trees_all_close(plan(params, jax.random.key(0), asked), plain, rtol=1e-4, atol=1e-4)


def test_vmap_equals_loop_and_no_second_compilation():
    plan, params = planning(STEPS)
    batch = problem(drawn_gates()[:4])._replace(state=jnp.broadcast_to(jnp.eye(2, dtype=jnp.complex64), (4, 2, 2)))
    together = jax.jit(jax.vmap(plan, in_axes=(None, None, 0)))(params, jax.random.key(0), batch)
    key = jax.random.key(0)
    singles = [problem(gate) for gate in drawn_gates()[:4]]
    alone = [plan(params, key, singles[0])]
    with count_compilations() as compilations:
        alone += [plan(params, key, single) for single in singles[1:]]
    assert compilations == []
    for i, one in enumerate(alone):
        chex.assert_trees_all_close(jax.tree.map(lambda x, i=i: x[i], together), one, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("steps", [0, STEPS])
@pytest.mark.parametrize("field", ["state", "goal"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_gates_that_are_not_finite_get_no_pulse(steps, field, value):
    plan, params = planning(steps)
    asked = problem(drawn_gates()[0])
    asked = asked._replace(**{field: getattr(asked, field).at[0, 1].set(value)})
    out = plan(params, jax.random.key(0), asked)
    assert Result(int(out.result)) == Result.NON_FINITE
    np.testing.assert_array_equal(out.actions, np.zeros((QUBIT.slices, 2)))
    assert not any(jnp.isnan(x).any() for x in jax.tree.leaves(out))


def test_broken_parameters_never_give_nan_actions():
    plan, params = planning(0)
    out = plan(jax.tree.map(lambda x: x * jnp.nan, params), jax.random.key(0), problem(drawn_gates()[0]))
    assert Result(int(out.result)) == Result.NON_FINITE
    np.testing.assert_array_equal(out.actions, np.zeros((QUBIT.slices, 2)))


def test_problems_are_checked():
    planner = planner_of(0)
    asked = planner.problem(gates.named_gate("x"))
    np.testing.assert_array_equal(asked.state, np.eye(2))
    np.testing.assert_array_equal(asked.goal, gates.named_gate("x"))
    np.testing.assert_array_equal(planner.problem(np.eye(2), gates.named_gate("z")).state, gates.named_gate("z"))
    for bad in (1.1 * np.eye(2), np.eye(3), np.full((2, 2), np.nan)):
        for pair in ((bad,), (np.eye(2), bad)):
            with pytest.raises(ValueError, match="The gate"):
                planner.problem(*pair)
    params = planner.init(jax.random.key(0))
    for shape in ((4, 4), (5, 2, 2), (4,)):
        with pytest.raises(ValueError, match=r"this planner takes \(2, 2\). Give one, and use jax.vmap for a batch"):
            planner.plan(params, jax.random.key(0), problem(np.zeros(shape, np.complex64)))


def test_planners_that_cannot_work_are_refused():
    for steps, refiner in ((-1, gauss_newton()), (1, None)):
        with pytest.raises(ValueError, match=f"refine_steps is {steps}; give 0 or more, and a refiner for more than 0"):
            PulsePlanner(QUBIT, INVERTER, refiner=refiner, refine_steps=steps)
    with pytest.raises(ValueError, match="candidates is 0; give at least 1"):
        PulsePlanner(QUBIT, INVERTER, candidates=0)


class Several:
    """Proposes its parameters."""

    horizon = QUBIT.knots

    def init(self, key):
        return jax.random.normal(key, (5, QUBIT.knots, 2))

    def propose(self, params, key, problem, num):
        return params[:num]


def test_the_best_of_several_proposals_is_taken():
    planner = PulsePlanner(QUBIT, Several(), candidates=5)
    params = planner.init(jax.random.key(2))
    gate = jnp.asarray(drawn_gates()[3])
    out = jax.jit(planner.plan)(params, jax.random.key(0), problem(gate))
    pulses = [pulse_slices(QUBIT, latent) for latent in params.inverter]
    costs = [float(infidelity(QUBIT, propagate(QUBIT, pulse), gate)) for pulse in pulses]
    np.testing.assert_allclose(out.actions, pulses[np.argmin(costs)], rtol=1e-5, atol=1e-4)
    assert float(out.cost) == pytest.approx(min(costs), rel=1e-4)


def test_the_precision_is_that_of_the_gate():
    planner = planner_of(3)
    params = planner.init(jax.random.key(0))
    with jax.enable_x64(True):
        asked = planner.problem(gates.named_gate("hadamard"))
        out = jax.eval_shape(planner.plan, params, jax.random.key(0), asked)
        assert asked.goal.dtype == jnp.complex128
        assert (out.actions.dtype, out.states.dtype, out.cost.dtype) == (jnp.float64, jnp.complex128, jnp.float64)
    out = jax.eval_shape(planner.plan, params, jax.random.key(0), planner.problem(gates.named_gate("hadamard")))
    assert (out.actions.dtype, out.states.dtype, out.cost.dtype) == (jnp.float32, jnp.complex64, jnp.float32)


def test_a_gate_has_one_pulse_whatever_its_phase_and_turns_with_it():
    params = INVERTER.init(jax.random.key(3))
    latent = jax.jit(INVERTER.latent)
    for gate in drawn_gates():
        pulse = latent(params, jnp.asarray(gate))
        for phase in (np.pi, 0.5):
            np.testing.assert_allclose(
                latent(params, jnp.asarray(np.complex64(np.exp(1j * phase)) * gate)), pulse, atol=1e-5
            )
        frame = np.diag(np.exp([0, 0.8j])).astype(np.complex64)
        turned = latent(params, jnp.asarray(frame @ gate @ frame.conj()))
        signal = (pulse[:, 0] + 1j * pulse[:, 1]) * np.exp(0.8j)
        np.testing.assert_allclose(turned[:, 0] + 1j * turned[:, 1], signal, atol=1e-5)
    proposed = INVERTER.propose(params, jax.random.key(0), problem(drawn_gates()[0]), 3)
    assert proposed.shape == (3, QUBIT.knots, 2)
    np.testing.assert_array_equal(proposed[0], proposed[2])


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
    assert pulse.shape == (TWO.knots, 4) == (inverter.horizon, 4)
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
    pair = jnp.asarray(drawn_gates()[:2])
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


def linear(seed, rows=3, double=False):
    """A residual ``A a - b`` with its cost, and what NumPy says is the nearest solution to a point."""
    rng = np.random.default_rng(seed)
    matrix, wanted, start = rng.normal(size=(rows, 10)), rng.normal(size=rows), 0.1 * rng.normal(size=(5, 2))
    nearest = start + (np.linalg.pinv(matrix) @ (wanted - matrix @ start.ravel())).reshape(5, 2)

    def residual(actions):
        return jnp.asarray(matrix, actions.dtype) @ actions.ravel() - jnp.asarray(wanted, actions.dtype)

    return ResidualCost(lambda a: (residual(a) ** 2).sum(), residual), start, nearest


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_gauss_newton_solves_a_linear_problem_in_one_step(rows):
    cost, start, nearest = linear(0, rows)
    with jax.enable_x64(True):
        out = refine(gauss_newton(longest=100.0), jax.random.key(0), cost, jnp.asarray(start)[None], 1)
        assert float(out.cost) < 1e-24
        np.testing.assert_allclose(out.actions, nearest, atol=1e-11)


def test_gauss_newton_keeps_to_its_length_and_its_damping():
    cost, start, nearest = linear(1)
    way = nearest - start
    candidates = jnp.asarray(start, jnp.float32)[None]
    short = gauss_newton(longest=0.1 * np.linalg.norm(way)).update(jax.random.key(0), cost, candidates)[0][0]
    np.testing.assert_allclose(short - start, 0.1 * way, rtol=1e-3, atol=1e-5)
    damped = gauss_newton(damping=1.0, longest=100.0).update(jax.random.key(0), cost, candidates)[0][0]
    assert 0.1 * np.linalg.norm(way) < np.linalg.norm(damped - start) < 0.95 * np.linalg.norm(way)


def test_gauss_newton_squares_the_error_of_a_smooth_residual():
    cost, start, nearest = linear(2)

    def residual(actions):
        straight = cost.residual(actions)
        return straight + 0.3 * jnp.sin(straight) * straight

    curved = ResidualCost(lambda a: (residual(a) ** 2).sum(), residual)
    with jax.enable_x64(True):
        begin = jnp.asarray(nearest + 0.3 * start)[None]
        out = refine(gauss_newton(longest=100.0), jax.random.key(0), curved, begin, 3)
        errors = np.sqrt([float(out.proposal_cost), *map(float, out.trace)])
    assert errors[0] > 1e-3
    for before, after in zip(errors[:3], errors[1:], strict=False):
        assert after < max(2 * before**2, 1e-14)


@functools.cache
def run_rough():
    """Gauss-Newton on a residual for which it is a poor guide: ``(matrix, candidates) -> Refined``."""

    def run(matrix, candidates):
        residual = lambda a: jnp.sin(3 * matrix @ a.ravel()) + 0.3  # noqa: E731
        return refine(
            gauss_newton(), jax.random.key(0), ResidualCost(lambda a: (residual(a) ** 2).sum(), residual), candidates, 5
        )

    return jax.jit(run)


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-3, 30.0))
def test_gauss_newton_is_never_worse_than_the_proposal(seed, scale):
    rng = np.random.default_rng(seed)
    matrix, candidates = scale * rng.normal(size=(4, 10)), rng.normal(size=(3, 5, 2))
    out = run_rough()(*(jnp.asarray(x, jnp.float32) for x in (matrix, candidates)))
    costs = ((np.sin(3 * np.float32(matrix) @ np.float32(candidates).reshape(3, 10).T) + 0.3) ** 2).sum(0)
    np.testing.assert_allclose(out.proposal_cost, costs.min(), rtol=1e-2, atol=1e-3)
    assert out.trace[0] <= out.proposal_cost
    assert (np.diff(out.trace) <= 0).all()
    assert out.cost == out.trace[-1]


def test_a_candidate_without_a_finite_step_stays_and_a_good_one_wins():
    cost, start, _ = linear(3)
    candidates = jnp.asarray(np.stack([np.full((5, 2), np.nan), start]), jnp.float32)
    out = refine(gauss_newton(longest=100.0), jax.random.key(0), cost, candidates, 2)
    assert jnp.isfinite(out.actions).all()
    assert out.cost < 1e-9
    flat = ResidualCost(lambda a: 1.0 + 0 * a.sum(), lambda a: 0 * a.ravel()[:2] + 1.0)
    out = refine(gauss_newton(), jax.random.key(0), flat, candidates[1:], 2)
    np.testing.assert_array_equal(out.actions, candidates[1])


def test_gauss_newton_refuses_what_it_cannot_use():
    with pytest.raises(ValueError, match="needs the cost with its residual, as a ResidualCost"):
        refine(gauss_newton(), jax.random.key(0), lambda a: (a**2).sum(), jnp.zeros((1, 5, 2)), 1)
    for settings in ({"damping": -1.0}, {"longest": 0.0}, {"damping": np.nan}, {"longest": np.nan}):
        with pytest.raises(ValueError, match="give 0 or more, and more than 0"):
            gauss_newton(**settings)


def test_lbfgs_minimises_a_quadratic_without_bounds():
    rng = np.random.default_rng(6)
    root, centre = jnp.asarray(rng.normal(size=(6, 6)), jnp.float32), jnp.asarray(rng.normal(0, 3, (3, 2)), jnp.float32)

    def cost(actions):
        return ((root @ (actions - centre).ravel()) ** 2).sum() + 0.1 * ((actions - centre) ** 2).sum()

    refiner = gradient(optax.lbfgs(), limit=float("inf"))
    out = jax.jit(lambda c: refine(refiner, jax.random.key(0), cost, c, 25))(jnp.zeros((2, 3, 2)))
    assert out.cost < 1e-6 * out.proposal_cost
    np.testing.assert_allclose(out.actions, centre, atol=1e-2)
    assert jnp.abs(out.actions).max() > 1


def test_the_objective_is_the_mean_over_errors():
    gate = jnp.asarray(gates.named_gate("sqrt_x"), jnp.complex64)
    slices = pulse_slices(QUBIT, jnp.asarray(np.random.default_rng(7).normal(size=(QUBIT.knots, 2)), jnp.float32))
    errors = error_grid(5 * MHZ, 0.05, (3, 2))
    assert errors.detuning.shape == errors.scale.shape == (6,)
    np.testing.assert_allclose(np.unique(errors.detuning), [-5 * MHZ, 0, 5 * MHZ], atol=1e-12)
    np.testing.assert_allclose(np.unique(errors.scale), [0.95, 1.05])
    found = infidelities(QUBIT, slices, gate, errors)
    for detuning, scale, one in zip(*errors, found, strict=True):
        alone = infidelity(QUBIT, propagate(QUBIT, slices, float(detuning), float(scale)), gate)
        assert float(one) == pytest.approx(float(alone), rel=1e-3, abs=1e-6)
    assert np.ptp(found) > 1e-2
    terms = PulseObjective(errors, worst=2.0)(QUBIT, slices, gate)
    assert float(terms["infidelity"]) == pytest.approx(float(found.mean()), rel=1e-5)
    assert float(terms["worst"]) == pytest.approx(2 * float(found.max()), rel=1e-5)


def test_an_error_alone_is_borne_too():
    gate = jnp.asarray(gates.named_gate("sqrt_x"), jnp.complex64)
    slices = pulse_slices(QUBIT, jnp.asarray(np.random.default_rng(8).normal(size=(QUBIT.knots, 2)), jnp.float32))
    terms = PulseObjective(Errors(np.array([5 * MHZ]), np.array([1.05])))(QUBIT, slices, gate)
    alone = infidelity(QUBIT, propagate(QUBIT, slices, 5 * MHZ, 1.05), gate)
    assert float(terms["infidelity"]) == pytest.approx(float(alone), rel=1e-3, abs=1e-6)


def test_the_terms_of_the_objective_are_what_they_say():
    system = systems.transmon(slices=12, knots=6)
    gate = jnp.asarray(gates.named_gate("x"), jnp.complex64)
    slices = pulse_slices(system, jnp.asarray(np.random.default_rng(9).normal(size=(6, 2)), jnp.float32))
    plain = PulseObjective()(system, slices, gate)
    assert set(plain) == {"infidelity"}
    terms = PulseObjective(worst=3.0, leakage=0.5, energy=2.0, smoothness=0.1)(system, slices, gate)
    unitary, relative = propagate(system, slices), np.asarray(slices) / system.limit
    np.testing.assert_allclose(terms["infidelity"], infidelity(system, unitary, gate), rtol=1e-5)
    np.testing.assert_allclose(terms["worst"], 3 * terms["infidelity"], rtol=1e-5)
    np.testing.assert_allclose(terms["leakage"], 0.5 * leakage(system, unitary), rtol=1e-4)
    np.testing.assert_allclose(terms["energy"], 2 * (relative**2).sum() / 12, rtol=1e-5)
    steps = np.diff(np.concatenate([np.zeros((1, 2)), relative, np.zeros((1, 2))]), axis=0)
    np.testing.assert_allclose(terms["smoothness"], 0.1 * (steps**2).sum(), rtol=1e-5)
    assert len(terms) == 5


@pytest.mark.parametrize("bad", [(-1.0, 0.0), (np.nan, 0.0), (1.0, -0.1), (1.0, 1.0), (1.0, 0.1, (0, 3))])
def test_errors_that_make_no_sense_are_refused(bad):
    with pytest.raises(
        ValueError, match="give finite ones of 0 or more, the second below 1, and at least one point of each"
    ):
        error_grid(*bad)


@pytest.mark.slow
def test_training_through_the_propagator_learns_all_gates():
    """A few hundred updates invert a qubit; a few Gauss-Newton steps from there are exact."""
    system = systems.qubit(slices=16)
    inverter = QubitInverter(system, (48, 48))

    def loss(params, gate):
        return infidelity(system, propagate(system, pulse_slices(system, inverter.latent(params, gate))), gate)

    optimizer = default_optimizer(1e-2, 600, last=1e-2)
    state = pulse_state(optimizer, inverter.init(jax.random.key(0)), jax.random.key(1))
    seen = []
    update = pulse_update(loss, gates.training_gates, optimizer, 128)
    state = train(update, state, 600, 300, lambda _, metrics: seen.append(metrics))
    assert set(seen[-1]) == {"infidelity", "worst_infidelity"}
    assert seen[-1]["infidelity"] < seen[-1]["worst_infidelity"]
    assert seen[-1]["infidelity"] < 0.1 * seen[0]["infidelity"]
    fresh = gates.haar_gates(jax.random.key(2), 500, 2)
    planner = PulsePlanner(system, inverter, refiner=gauss_newton(), refine_steps=3)
    params = planning(0)[1]._replace(inverter=state.params)

    def costs(gate):
        out = planner.plan(params, jax.random.key(0), problem(gate))
        return out.proposal_cost, out.cost, infidelity(system, propagate(system, out.actions), gate)

    proposed, refined, made = map(np.asarray, jax.jit(jax.vmap(costs))(fresh))
    assert np.median(proposed) < 1e-3
    assert proposed.max() > refined.max()
    assert refined.max() < 1e-11
    # The pulse itself, in single precision.
    assert made.max() < 1e-10


def test_updates_draw_fresh_targets_and_repeat_with_their_key():
    draws = []

    def draw(key, num):
        draws.append(num)
        return jax.random.normal(key, (num,))

    update = jax.jit(pulse_update(lambda params, target: (params - target) ** 2, draw, optax.sgd(0.1), 16))
    state = pulse_state(optax.sgd(0.1), jnp.array(3.0), jax.random.key(0))
    (first, metrics), (again, _) = update(state), update(state)
    second, later = update(first)
    assert set(draws) == {16}
    assert (int(first.step), int(second.step)) == (1, 2)
    assert first.params == again.params
    assert metrics["infidelity"] < metrics["worst_infidelity"]
    targets = jax.random.normal(jax.random.split(jax.random.key(0))[1], (16,))
    np.testing.assert_allclose(metrics["infidelity"], ((3.0 - targets) ** 2).mean(), rtol=1e-5)
    np.testing.assert_allclose(first.params, 3.0 - 0.2 * (3.0 - targets).mean(), rtol=1e-5)
    assert later["infidelity"] != metrics["infidelity"]


SMALL = PulseConfig(slices=(11,), hidden=(8,))


def test_planners_come_back_from_disk(tmp_path):
    planner = build_pulse_planner(SMALL)
    params = planner.init(jax.random.key(5))
    save_planner(tmp_path, SMALL, params)
    assert json.loads((tmp_path / "planner.json").read_text())["kind"] == "pulse"
    loaded, read = load_planner(tmp_path)
    chex.assert_trees_all_equal(read, params)
    assert loaded.system.name == "qubit"
    asked = planner.problem(gates.named_gate("t"))
    before, after = (jax.jit(p.plan)(q, jax.random.key(0), asked) for p, q in ((planner, params), (loaded, read)))
    np.testing.assert_array_equal(before.actions, after.actions)
    assert jnp.abs(before.actions).max() > 0
    for refiner in (None, "gauss_newton", "lbfgs", "adam"):
        assert load_planner(tmp_path, 3, refiner=refiner)[0].refine_steps == 3
    assert load_planner(tmp_path, execute_steps=11)[0].execute_steps == 11
    with pytest.raises(ValueError, match="Unknown refiner of pulses 'lbgfs'. Nearest known: lbfgs"):
        load_planner(tmp_path, refiner="lbgfs")
    with pytest.raises(ValueError, match="execute_steps is 5; a pulse is played whole, 11 slices. Leave it out"):
        load_planner(tmp_path, execute_steps=5)
    with pytest.raises(ValueError, match="Unknown dial"):
        load_planner(tmp_path, temperature=0.5)


def test_each_system_is_built_as_described():
    built = build_system(dataclasses.replace(SMALL, drift=2.0))
    assert (built.gate_time, built.limit, built.sections) == (0.1, 20 * MHZ, ((11, 8),))
    np.testing.assert_allclose(built.drift, 2 * MHZ / 2 * np.diag([1, -1]))
    transmon = build_system(PulseConfig("transmon", 0.06, 40.0, -250.0, (60,), (12,)))
    np.testing.assert_allclose(np.diag(transmon.drift), [0, 0, -250 * MHZ], atol=1e-9)
    two = PulseConfig("two_qubit", 0.225, 60.0, 5.0, (8, 12, 8), (4, 5, 4), (8,), (8,))
    planner = build_pulse_planner(two)
    assert planner.system.sections == ((8, 4), (12, 5), (8, 4))
    assert isinstance(planner.inverter, TwoQubitInverter)
    np.testing.assert_allclose(planner.system.drift, 5 * MHZ / 2 * np.diag([1, -1, -1, 1]))
    assert isinstance(planner.init(jax.random.key(0)).inverter, TwoQubitParams)
    with pytest.raises(ValueError, match="Unknown system 'transom'. Nearest known: transmon"):
        build_system(PulseConfig("transom"))
    with pytest.raises(ValueError, match="below the speed limit"):
        build_pulse_planner(PulseConfig(gate_time=0.03))


def test_errors_to_bear_are_refined_by_descent_on_their_mean():
    config = dataclasses.replace(SMALL, detuning_error=5.0, amplitude_error=0.05)
    planner = build_pulse_planner(config, 1)
    assert len(planner.objective.errors.scale) == 15
    assert np.abs(planner.objective.errors.detuning).max() == pytest.approx(5 * MHZ)
    cost = lambda a: (a**2).sum()  # noqa: E731
    planner.refiner.init(cost, jnp.ones((1, 8, 2)))  # which Gauss-Newton, the default without errors, refuses
    with pytest.raises(ValueError, match="ResidualCost"):
        build_pulse_planner(SMALL, 1).refiner.init(cost, jnp.ones((1, 8, 2)))
