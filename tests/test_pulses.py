"""Pulse Inverters and their planner: symmetries, refinement, training, costs, bad input."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import count_compilations
from hypothesis import given
from hypothesis import strategies as st

from invlearn_jax.learn.loop import default_optimizer, train
from invlearn_jax.planners import PlannerParams
from invlearn_jax.refine import gauss_newton
from invlearn_jax.tasks.gates import gates, systems
from invlearn_jax.tasks.gates.fidelity import infidelity, leakage
from invlearn_jax.tasks.gates.objective import Errors, PulseObjective, error_grid, infidelities
from invlearn_jax.tasks.gates.planner import gate_problem, pulse_planner
from invlearn_jax.tasks.gates.propagators import propagate
from invlearn_jax.tasks.gates.pulse_inverter import PulseInverter, QubitInverter
from invlearn_jax.tasks.gates.systems import MHZ
from invlearn_jax.tasks.gates.training import pulse_state, pulse_update
from invlearn_jax.tasks.gates.waveform import pulse_slices
from invlearn_jax.types import Problem, Result

QUBIT = systems.qubit(slices=11)
INVERTER = QubitInverter(QUBIT, (16,))
STEPS = 12  # enough from an Inverter as drawn; one number for all tests, which share the program


def planner_of(steps):
    return pulse_planner(INVERTER, refiner=gauss_newton(), refine_steps=steps)


@functools.cache
def planning(steps):
    """The jitted planner of one qubit and its parameters."""
    planner = planner_of(steps)
    return jax.jit(planner.plan), planner.init(jax.random.key(0))


@jax.jit
def left_over(slices, gate, detuning=0.0, scale=1.0):
    """``1 - F`` of a pulse, by its whole propagator."""
    return infidelity(QUBIT, propagate(QUBIT, slices, detuning, scale), jnp.asarray(gate))


@functools.cache
def drawn_gates(num=8):
    return np.asarray(gates.haar_gates(jax.random.key(1), num, 2))


def problem(gate, start=None):
    return Problem(jnp.eye(2, dtype=jnp.complex64) if start is None else jnp.asarray(start), jnp.asarray(gate))


def test_a_plan_is_a_pulse_with_its_evidence():
    plan, params = planning(STEPS)
    gate = drawn_gates()[0]
    out = plan(params, jax.random.key(0), problem(gate))
    assert out.actions.shape == (QUBIT.slices, 2)
    assert out.states.shape == (QUBIT.slices + 1, 2, 2)
    assert out.refine_trace.shape == (STEPS,)
    assert np.linalg.norm(out.actions, axis=1).max() <= QUBIT.limit * (1 + 1e-6)
    np.testing.assert_array_equal(out.states[0], np.eye(2))
    assert left_over(out.actions, out.states[-1]) < 1e-9
    naive = 1 - abs(np.trace(gate.conj().T @ out.states[-1])) ** 2 / 4
    assert float(out.cost) == pytest.approx(float(naive), abs=1e-5)
    assert set(out.cost_terms) == {"infidelity"}
    np.testing.assert_allclose(out.cost, out.cost_terms["infidelity"], rtol=2e-3, atol=1e-12)
    assert Result(int(out.result)) == Result.OK


def test_zero_refine_steps_are_the_proposal():
    plan, params = planning(0)
    gate = jnp.asarray(drawn_gates()[1])
    out = plan(params, jax.random.key(0), problem(gate))
    proposed = jax.jit(lambda p, g: pulse_slices(QUBIT, INVERTER.latent(p, g)))(params.inverter, gate)
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
        assert left_over(out.actions, gate) < 1e-10


def test_the_start_is_honoured():
    plan, params = planning(STEPS)
    start, gate = drawn_gates()[:2]
    out = plan(params, jax.random.key(0), problem(gate, start))
    assert left_over(out.actions, gate @ start.conj().T) < 1e-10
    np.testing.assert_array_equal(out.states[0], start)
    assert infidelity(QUBIT, out.states[-1], jnp.asarray(gate)) < 1e-10


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
    asked = gate_problem(QUBIT, gates.named_gate("x"))
    np.testing.assert_array_equal(asked.state, np.eye(2))
    np.testing.assert_array_equal(asked.goal, gates.named_gate("x"))
    np.testing.assert_array_equal(gate_problem(QUBIT, np.eye(2), gates.named_gate("z")).state, gates.named_gate("z"))
    for bad in (1.1 * np.eye(2), np.eye(3), np.full((2, 2), np.nan)):
        for pair in ((bad,), (np.eye(2), bad)):
            with pytest.raises(ValueError, match="The gate"):
                gate_problem(QUBIT, *pair)
    params = planner.init(jax.random.key(0))
    for shape in ((4, 4), (5, 2, 2), (4,)):
        with pytest.raises(ValueError, match=r"this planner takes \(2, 2\). Give one, and use jax.vmap for a batch"):
            planner.plan(params, jax.random.key(0), problem(np.zeros(shape, np.complex64)))


def test_planners_that_cannot_work_are_refused():
    for steps, refiner in ((-1, gauss_newton()), (1, None)):
        with pytest.raises(ValueError, match=f"refine_steps is {steps}"):
            pulse_planner(INVERTER, refiner=refiner, refine_steps=steps)
    with pytest.raises(ValueError, match="candidates is 0; give at least 1"):
        pulse_planner(INVERTER, candidates=0)


class Several(PulseInverter):
    """Proposes its parameters."""

    def init(self, key):
        return jax.random.normal(key, (5, QUBIT.knots, 2))

    def latents(self, params, key, problem, num):
        return params[:num]


def test_the_best_of_several_proposals_is_taken():
    planner = pulse_planner(Several(QUBIT), candidates=5)
    params = planner.init(jax.random.key(2))
    gate = jnp.asarray(drawn_gates()[3])
    out = jax.jit(planner.plan)(params, jax.random.key(0), problem(gate))
    pulses = [pulse_slices(QUBIT, latent) for latent in params.inverter]
    costs = [float(left_over(pulse, gate)) for pulse in pulses]
    np.testing.assert_allclose(out.actions, pulses[np.argmin(costs)], rtol=1e-5, atol=1e-4)
    assert float(out.cost) == pytest.approx(min(costs), rel=1e-4)


def test_the_precision_is_that_of_the_gate():
    planner = planner_of(3)
    params = planner.init(jax.random.key(0))
    with jax.enable_x64(True):
        asked = gate_problem(QUBIT, gates.named_gate("hadamard"))
        out = jax.eval_shape(planner.plan, params, jax.random.key(0), asked)
        assert asked.goal.dtype == jnp.complex128
        assert (out.actions.dtype, out.states.dtype, out.cost.dtype) == (jnp.float64, jnp.complex128, jnp.float64)
    out = jax.eval_shape(planner.plan, params, jax.random.key(0), gate_problem(QUBIT, gates.named_gate("hadamard")))
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
    assert proposed.shape == (3, QUBIT.slices, 2)
    np.testing.assert_array_equal(proposed[0], proposed[2])


def test_the_objective_is_the_mean_over_errors():
    gate = jnp.asarray(gates.named_gate("sqrt_x"), jnp.complex64)
    slices = pulse_slices(QUBIT, jnp.asarray(np.random.default_rng(7).normal(size=(QUBIT.knots, 2)), jnp.float32))
    errors = error_grid(5 * MHZ, 0.05, (3, 2))
    assert errors.detuning.shape == errors.scale.shape == (6,)
    np.testing.assert_allclose(np.unique(errors.detuning), [-5 * MHZ, 0, 5 * MHZ], atol=1e-12)
    np.testing.assert_allclose(np.unique(errors.scale), [0.95, 1.05])
    found = jax.jit(lambda u: infidelities(QUBIT, u, gate, errors))(slices)
    for detuning, scale, one in zip(*errors, found, strict=True):
        alone = left_over(slices, gate, detuning, scale)
        assert float(one) == pytest.approx(float(alone), rel=1e-3, abs=1e-6)
    assert np.ptp(found) > 1e-2
    terms = jax.jit(lambda u: PulseObjective(errors, worst=2.0)(QUBIT, u, gate))(slices)
    assert float(terms["infidelity"]) == pytest.approx(float(found.mean()), rel=1e-5)
    assert float(terms["worst"]) == pytest.approx(2 * float(found.max()), rel=1e-5)


def test_an_error_alone_is_borne_too():
    gate = jnp.asarray(gates.named_gate("sqrt_x"), jnp.complex64)
    slices = pulse_slices(QUBIT, jnp.asarray(np.random.default_rng(8).normal(size=(QUBIT.knots, 2)), jnp.float32))
    objective = PulseObjective(Errors(np.array([5 * MHZ]), np.array([1.05])))
    terms = jax.jit(lambda u: objective(QUBIT, u, gate))(slices)
    alone = left_over(slices, gate, 5 * MHZ, 1.05)
    assert float(terms["infidelity"]) == pytest.approx(float(alone), rel=1e-3, abs=1e-6)


def test_the_terms_of_the_objective_are_what_they_say():
    system = systems.transmon(slices=12, knots=6)
    gate = jnp.asarray(gates.named_gate("x"), jnp.complex64)
    slices = pulse_slices(system, jnp.asarray(np.random.default_rng(9).normal(size=(6, 2)), jnp.float32))
    assert set(jax.eval_shape(lambda u: PulseObjective()(system, u, gate), slices)) == {"infidelity"}
    objective = PulseObjective(worst=3.0, leakage=0.5, energy=2.0, smoothness=0.1)
    terms = jax.jit(lambda u: objective(system, u, gate))(slices)
    unitary, relative = jax.jit(lambda u: propagate(system, u))(slices), np.asarray(slices) / system.limit
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


def test_training_through_the_propagator_learns_all_gates():
    """A few hundred updates invert a qubit; a few Gauss-Newton steps from there are exact."""
    inverter = QubitInverter(QUBIT, (48, 48))

    def loss(params, gate):
        return infidelity(QUBIT, propagate(QUBIT, pulse_slices(QUBIT, inverter.latent(params, gate))), gate)

    optimizer = default_optimizer(1e-2, 400, last=1e-2)
    state = pulse_state(optimizer, inverter.init(jax.random.key(0)), jax.random.key(1))
    seen = []
    update = pulse_update(loss, gates.training_gates, optimizer, 128)
    state = train(update, state, 400, 200, lambda _, metrics: seen.append(metrics))
    assert set(seen[-1]) == {"infidelity", "worst_infidelity"}
    assert seen[-1]["infidelity"] < seen[-1]["worst_infidelity"]
    assert seen[-1]["infidelity"] < 0.1 * seen[0]["infidelity"]
    planner = pulse_planner(inverter, refiner=gauss_newton(), refine_steps=3)
    params = PlannerParams(state.params, (), ())

    def costs(gate):
        out = planner.plan(params, jax.random.key(0), problem(gate))
        return out.proposal_cost, out.cost, infidelity(QUBIT, propagate(QUBIT, out.actions), gate)

    fresh = gates.haar_gates(jax.random.key(2), 200, 2)
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
