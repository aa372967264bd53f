"""One contract for every planner, on a linear world; the Inverter's training; export."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import REACH_WITH_LITTLE_EFFORT, count_compilations, double_integrator
from small_tasks import Ball

from invlearn_jax.evaluate.episodes import run_mjx, run_mujoco
from invlearn_jax.inverters.network import NetworkInverter
from invlearn_jax.learn.inverter import InverterTraining, advance_problems, inverter_state, inverter_update
from invlearn_jax.learn.loop import train
from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.planners.shooting import Shooting, ShootingPlanner
from invlearn_jax.refine import gradient, mppi
from invlearn_jax.types import Inverter, Planner, PlanOutput, Problem, Result

T, S, A = 6, 4, 2
MODEL = double_integrator(2, dt=0.5)

# Refiner, steps K, candidates.
PLANNERS = {
    "pass": (None, 0, 1),
    "best_of_4": (None, 0, 4),
    "adam_of_4": (gradient(optax.adam(0.1)), 3, 4),
    "mppi": (mppi(16), 3, 1),
}
every_planner = pytest.mark.parametrize("name", PLANNERS)


EDGE = 1.1  # of the data


def network(hidden=(8,), horizon=T, octaves=2, spread=0.3):
    return NetworkInverter(Ball(), hidden, octaves, spread=spread, horizon=horizon)


@functools.cache
def build(name):
    return InversePlanner(network(), MODEL, REACH_WITH_LITTLE_EFFORT, *PLANNERS[name])


@functools.cache
def compiled(name):
    """The planner's jitted plan, and its parameters."""
    planner = build(name)
    params = jax.jit(planner.init)(jax.random.key(0))
    state, goal = (
        scales._replace(low=0 * scales.low - EDGE, high=0 * scales.high + EDGE) for scales in params.inverter[1:]
    )
    return jax.jit(planner.plan), params._replace(inverter=params.inverter._replace(state=state, goal=goal))


def problem(seed=0, batch=()):
    rng = np.random.default_rng(seed)
    state, goal = (jnp.asarray(rng.uniform(-1, 1, (*batch, size)), jnp.float32) for size in (S, 2))
    return Problem(state, goal)


@every_planner
def test_a_plan_carries_its_evidence(name):
    planner, (plan, params) = build(name), compiled(name)
    assert isinstance(planner, Planner)
    assert isinstance(planner.inverter, Inverter)
    given = problem()
    out = plan(params, jax.random.key(1), given)
    assert isinstance(out, PlanOutput)
    assert (out.actions.shape, out.states.shape) == ((T, A), (T + 1, S))
    assert out.refine_trace.shape == (PLANNERS[name][1],)
    assert out.cost.shape == out.proposal_cost.shape == out.result.shape == ()
    assert np.array_equal(out.states[0], given.state)
    assert jnp.abs(out.actions).max() <= 1
    np.testing.assert_allclose(out.states, MODEL.unroll(params.model, given.state, out.actions), rtol=1e-5, atol=1e-5)
    assert set(out.cost_terms) == {"reach", "effort"}
    np.testing.assert_allclose(sum(out.cost_terms.values()), out.cost, rtol=1e-4)
    np.testing.assert_allclose(planner.score(params, given, out.actions).cost, out.cost, rtol=1e-4)
    np.testing.assert_allclose(out.cost_terms["reach"], ((out.states[-1, :2] - given.goal) ** 2).sum(), rtol=1e-4)
    assert Result(int(out.result)) == Result.OK


@every_planner
def test_refinement_never_hurts(name):
    plan, params = compiled(name)
    for seed in range(20):
        out = plan(params, jax.random.key(seed), problem(seed))
        trace = np.concatenate([[out.proposal_cost], out.refine_trace])
        assert (np.diff(trace) <= 0).all()
        assert out.cost == trace[-1]
    if PLANNERS[name][1]:
        assert out.cost < out.proposal_cost


def test_without_refinement_the_plan_is_the_best_proposal():
    for name, num in (("pass", 1), ("best_of_4", 4)):
        planner, (plan, params) = build(name), compiled(name)
        key = jax.random.key(3)
        out = plan(params, key, problem())
        propose = jax.jit(planner.inverter.propose, static_argnums=3)
        proposals = propose(params.inverter, jax.random.split(key)[0], problem(), num)
        score = jax.jit(jax.vmap(planner.score, in_axes=(None, None, 0)))
        costs = score(params, problem(), proposals).cost
        np.testing.assert_allclose(out.actions, proposals[int(np.argmin(costs))], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(out.proposal_cost, min(costs), rtol=1e-5)
        assert out.cost == out.proposal_cost


@every_planner
@pytest.mark.parametrize("value", [jnp.nan, jnp.inf, -jnp.inf])
@pytest.mark.parametrize("field", ["state", "goal"])
def test_a_problem_that_is_not_finite_gets_zero_actions(name, value, field):
    plan, params = compiled(name)
    broken = problem()
    broken = broken._replace(**{field: getattr(broken, field).at[1].set(value)})
    out = plan(params, jax.random.key(0), broken)
    assert Result(int(out.result)) == Result.NON_FINITE
    assert np.array_equal(out.actions, np.zeros((T, A)))
    assert not any(jnp.isnan(x).any() for x in jax.tree.leaves(out))


@every_planner
def test_broken_parameters_never_give_nan_actions(name):
    plan, params = compiled(name)
    broken = params._replace(inverter=jax.tree.map(lambda x: x * jnp.nan, params.inverter))
    out = plan(broken, jax.random.key(0), problem())
    assert Result(int(out.result)) == Result.NON_FINITE
    assert np.array_equal(out.actions, np.zeros((T, A)))


@every_planner
def test_a_model_that_leaves_the_finite_numbers_is_reported(name):
    plan, params = compiled(name)
    out = plan(params._replace(model=jax.tree.map(lambda x: x * jnp.nan, params.model)), jax.random.key(0), problem())
    assert Result(int(out.result)) == Result.NON_FINITE
    assert jnp.isfinite(out.actions).all()


def test_jit_equals_no_jit():
    name = "pass"
    plan, params = compiled(name)
    jitted = plan(params, jax.random.key(5), problem(5))
    with jax.disable_jit():
        plain = build(name).plan(params, jax.random.key(5), problem(5))
    chex.assert_trees_all_close(jitted, plain, rtol=1e-4, atol=1e-5)


@every_planner
def test_vmap_equals_loop_and_no_second_compilation(name):
    plan, params = compiled(name)
    batch, keys = problem(6, batch=(4,)), jax.random.split(jax.random.key(6), 4)
    together = jax.jit(jax.vmap(plan, in_axes=(None, 0, 0)))(params, keys, batch)
    singles = [(keys[i], Problem(batch.state[i], batch.goal[i])) for i in range(4)]
    plan(params, *singles[0])
    with count_compilations() as compilations:
        alone = [plan(params, *single) for single in singles]
    assert compilations == []
    for i, out in enumerate(alone):
        chex.assert_trees_all_close(jax.tree.map(lambda x, i=i: x[i], together), out, rtol=1e-4, atol=1e-5)


def test_the_compilation_counter_counts():
    with count_compilations() as compilations:
        jax.jit(lambda x: x + 2)(jnp.zeros(3))
    assert compilations


# --- results ---


class Given:
    """An Inverter that proposes its parameters."""

    horizon = T

    def init(self, key):
        return jnp.zeros((T, A))

    def propose(self, params, key, problem, num):
        return jnp.tile(params, (num, 1, 1))


def results(planner, sequences, given):
    """The results for several proposed sequences."""
    params = planner.init(jax.random.key(0))

    def result(actions):
        return planner.plan(params._replace(inverter=actions), jax.random.key(0), given).result

    return [Result(code) for code in jax.jit(jax.vmap(result))(jnp.stack(sequences)).tolist()]


def test_result_codes():
    half, signs = jnp.full((T, A), 0.5), jnp.where(jnp.arange(T)[:, None] % 2, 1.0, -1.0) * jnp.ones((T, A))
    one_pass = InversePlanner(Given(), MODEL, REACH_WITH_LITTLE_EFFORT)
    found = results(one_pass, [half, signs, signs.at[0, 0].set(0.9)], problem())
    assert found == [Result.OK, Result.BOUND_SATURATED, Result.OK]
    # Standing on the goal: doing nothing cannot be bettered, doing something can.
    refined = InversePlanner(Given(), MODEL, REACH_WITH_LITTLE_EFFORT, gradient(optax.sgd(0.01)), 2)
    found = results(refined, [0 * half, half], Problem(jnp.zeros(S), jnp.zeros(2)))
    assert found == [Result.NO_IMPROVEMENT, Result.OK]


def test_results_decode_to_sentences():
    sentences = [Result(code).describe() for code in range(7)]
    assert len(set(sentences)) == 7
    assert all(sentence.endswith(".") and len(sentence) > 20 for sentence in sentences)
    with pytest.raises(ValueError, match="7"):
        Result(7)


@every_planner
@pytest.mark.parametrize("field", ["state", "goal"])
def test_a_problem_outside_the_data_is_reported(name, field):
    plan, params = compiled(name)
    there = problem()
    inside = plan(params, jax.random.key(0), there._replace(**{field: getattr(there, field).at[0].set(1.05)}))
    outside = plan(params, jax.random.key(0), there._replace(**{field: getattr(there, field).at[0].set(-1.2)}))
    assert Result(int(inside.result)) == Result.OK
    assert Result(int(outside.result)) == Result.OUTSIDE_DATA
    assert jnp.isfinite(outside.actions).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Problem(jnp.zeros(3), jnp.zeros(2)), r"The state has shape \(3,\); this Inverter takes \(4,\)"),
        (Problem(jnp.zeros(4), jnp.zeros(3)), r"The goal has shape \(3,\); this Inverter takes \(2,\)"),
        (Problem(jnp.zeros((5, 4)), jnp.zeros((5, 2))), "use jax.vmap for a batch"),
    ],
)
def test_a_problem_of_the_wrong_size_is_refused(given, message):
    plan, params = compiled("pass")
    with pytest.raises(ValueError, match=message):
        plan(params, jax.random.key(0), given)


# --- constructors ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"refine_steps": -1}, "refine_steps is -1; give 0"),
        ({"refine_steps": 3}, "refine_steps is 3, but no refiner was given"),
        ({"candidates": 0}, "candidates is 0; give at least 1"),
        ({"execute_steps": 0}, "execute_steps is 0; allowed are 1 to the horizon, 6"),
        ({"execute_steps": 7}, "execute_steps is 7; allowed are 1 to the horizon, 6"),
    ],
)
def test_bad_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        InversePlanner(network(), MODEL, REACH_WITH_LITTLE_EFFORT, **arguments)


def test_half_of_a_plan_is_executed_by_default():
    assert build("pass").execute_steps == T // 2
    inverter = network()
    assert InversePlanner(inverter, MODEL, REACH_WITH_LITTLE_EFFORT, execute_steps=T).execute_steps == T


# --- the Inverter ---


@pytest.mark.parametrize("horizon", [1, 20])
def test_proposals(horizon):
    """The network's own sequence first, then noisy copies, all in bounds; equal keys, equal copies."""
    inverter = network(horizon=horizon, spread=0.5)
    params = jax.jit(inverter.init)(jax.random.key(0))
    propose = jax.jit(inverter.propose, static_argnums=3)
    one = propose(params, jax.random.key(1), problem(), 1)
    many = propose(params, jax.random.key(1), problem(), 5)
    assert (one.shape, many.shape) == ((1, horizon, A), (5, horizon, A))
    np.testing.assert_allclose(one[0], jnp.tanh(jax.jit(inverter.logits)(params, problem())), rtol=1e-5, atol=1e-6)
    assert np.allclose(many[0], one[0], rtol=1e-6)
    assert jnp.abs(many).max() <= 1
    assert np.abs(many[1:] - many[0]).max(axis=(1, 2)).min() > 0.05
    assert np.array_equal(many, propose(params, jax.random.key(1), problem(), 5))
    assert not np.array_equal(many, propose(params, jax.random.key(2), problem(), 5))


def test_a_fresh_inverter_is_near_zero_and_sees_state_and_goal():
    inverter = network(hidden=(32,))
    params = jax.jit(inverter.init)(jax.random.key(0))
    logits = jax.jit(inverter.logits)(params, problem())
    assert np.abs(logits).max() < 0.5
    slope = jax.jit(jax.jacobian(lambda p: inverter.logits(params, p)))(problem())
    for field in ("state", "goal"):
        assert np.abs(getattr(slope, field)).max(axis=(0, 1)).min() > 1e-4


def draw(key):
    state_key, goal_key = jax.random.split(key)
    return Problem(
        0.5 * jax.random.normal(state_key, (S,)), jax.random.uniform(goal_key, (2,), minval=-1.0, maxval=1.0)
    )


def test_training_the_inverter_lowers_its_cost():
    """On the linear world the mean cost falls well below that of doing nothing, on problems not trained on."""
    inverter = network(hidden=(32, 32), octaves=1)
    settings = InverterTraining(batch=64, advance=(1, 2, 3))
    params, optimizer = jax.jit(inverter.init)(jax.random.key(0)), optax.adam(3e-3)
    model_params = MODEL.init(jax.random.key(0))
    update = inverter_update(
        inverter, MODEL, REACH_WITH_LITTLE_EFFORT, model_params, (), optimizer, draw, settings, jnp.ones(S)
    )
    state = inverter_state(optimizer, params, jax.random.key(1), draw, settings.batch)
    seen = []
    trained = train(update, state, 400, block=100, on_block=lambda _, metrics: seen.append(metrics))
    assert set(seen[0]) == {"cost", "logit_penalty", "gradient_norm", "reach", "effort"}
    assert seen[-1]["cost"] < 0.5 * seen[0]["cost"]
    planner = InversePlanner(inverter, MODEL, REACH_WITH_LITTLE_EFFORT)
    fresh = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(99), 200))
    plan = jax.jit(jax.vmap(planner.plan, in_axes=(None, None, 0)))
    before, after = (
        plan(PlannerParams(p, model_params, ()), jax.random.key(0), fresh).cost.mean() for p in (params, trained.params)
    )
    assert after < 0.3 * before
    assert jnp.isfinite(trained.extra.state).all()


def test_imagined_problems_advance_along_their_plans():
    count = 500
    problems = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), count))
    # Where each state stands tells its problem and its step.
    states = 10.0 * jnp.arange(1, count + 1)[:, None, None] + jnp.arange(T + 1.0)[None, :, None] * jnp.ones((1, 1, S))
    states = states.at[0].set(jnp.nan)
    settings = InverterTraining(batch=count, advance=(2, 5), reset_share=0.2, goal_share=0.3, state_noise=0.0)
    advance = jax.jit(lambda key: advance_problems(key, problems, states, draw, settings, jnp.ones(S)))
    moved = advance(jax.random.key(1))
    step = np.asarray(moved.state[:, 0]) - 10.0 * np.arange(1, count + 1)
    kept = np.isin(step, [2, 5])
    regoaled = (np.asarray(moved.goal) != np.asarray(problems.goal)).any(1)
    assert not kept[0]
    assert jnp.isfinite(moved.state).all()
    assert 0.72 < kept.mean() < 0.88
    assert 0.4 < (step[kept] == 2).mean() < 0.6
    assert np.abs(np.asarray(moved.state)[~kept]).max() < 4
    # Who is reset gets a new goal; of the others 30 %.
    assert regoaled[~kept].all()
    assert 0.2 < regoaled[kept].mean() < 0.4


# --- export ---


def test_export_with_a_symbolic_batch_round_trips():
    name = "adam_of_4"
    pytest.importorskip("flatbuffers")
    planner, (plan, params) = build(name), compiled(name)

    def actions_and_cost(seeds, states, goals):
        keys = jax.vmap(jax.random.key)(seeds)
        out = jax.vmap(planner.plan, in_axes=(None, 0, 0))(params, keys, Problem(states, goals))
        return out.actions, out.cost

    scope = jax.export.SymbolicScope()
    shapes = [
        jax.ShapeDtypeStruct(jax.export.symbolic_shape(shape, scope=scope), dtype)
        for shape, dtype in (("b", jnp.uint32), (f"b, {S}", jnp.float32), ("b, 2", jnp.float32))
    ]
    blob = jax.export.export(jax.jit(actions_and_cost))(*shapes).serialize()
    restored = jax.export.deserialize(blob)
    for count in (1, 3):
        batch, seeds = problem(7, batch=(count,)), jnp.arange(count, dtype=jnp.uint32)
        actions, cost = restored.call(seeds, batch.state, batch.goal)
        assert actions.shape == (count, T, A)
        for i in range(count):
            out = plan(params, jax.random.key(i), Problem(batch.state[i], batch.goal[i]))
            np.testing.assert_allclose(actions[i], out.actions, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(cost[i], out.cost, rtol=1e-4, atol=1e-5)


# --- shooting ---


def test_shooting_proposes_the_guess_then_random_sequences():
    shooting = Shooting(T, A, knots=3)
    guess = jnp.linspace(-0.5, 0.5, T * A).reshape(T, A)
    found = shooting.propose((), jax.random.key(0), problem()._replace(guess=guess), 5)
    assert np.array_equal(found[0], guess)
    assert np.array_equal(shooting.propose((), jax.random.key(0), problem(), 1), np.zeros((1, T, A)))
    assert np.array_equal(found[1:, 0::2], found[1:, 1::2])  # six steps, three values
    assert len(np.unique(found[1:, 0, 0])) == 4
    assert jnp.abs(found).max() <= 1


def test_random_shooting_takes_the_best_candidate():
    costs = []
    for candidates in (1, 8, 64):
        planner = InversePlanner(Shooting(T, A), MODEL, REACH_WITH_LITTLE_EFFORT, candidates=candidates)
        out = jax.jit(planner.plan)(planner.init(jax.random.key(0)), jax.random.key(1), problem(8))
        costs.append(float(out.cost))
    assert costs[0] > costs[1] > costs[2]


class Counting:
    """A planner that adds 0.1 to each action of its guess."""

    horizon, execute_steps = 4, 3

    def init(self, key):
        return ()

    def first_guess(self):
        return jnp.zeros((4, 2))

    def next_guess(self, actions):
        return ShootingPlanner.next_guess(self, actions)

    def plan(self, params, key, problem):
        actions = problem.guess + 0.1 * jnp.arange(1, 5)[:, None]
        zero = jnp.zeros(())
        return PlanOutput(actions, jnp.zeros((5, 4)), zero, {}, zero, jnp.zeros(0), jnp.int32(0))


def test_the_rest_of_a_plan_starts_the_next(umaze_task):
    problems = Problem(np.array([[2.0, 3.0, 0, 0]]), np.array([[1.0, 1.0]]))
    for run in (run_mujoco, run_mjx):
        episodes = run(Counting(), (), umaze_task, jax.random.key(0), problems, steps=6)
        # The fourth action is all that is left of the first plan, and is held.
        np.testing.assert_allclose(episodes.actions[0, :, 0], [0.1, 0.2, 0.3, 0.5, 0.6, 0.7], rtol=1e-6)
