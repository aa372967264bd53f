"""Models made of models: ensembles, the simulator as a model, and stacks of Inverters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from invlearn_jax.data import Dataset, fit_normalizer, window_store
from invlearn_jax.learn.forward_model import Source, ensemble_state, ensemble_update, forward_model_update
from invlearn_jax.learn.inverter import InverterTraining, inverter_state, inverter_update, problem_sampler
from invlearn_jax.learn.loop import default_optimizer, train
from invlearn_jax.models import EnsembleModel, SequenceModel, SimulatorModel
from invlearn_jax.objectives import reach, weighted_sum
from invlearn_jax.planners import InversePlanner, LevelModel, LevelParams, MlpInverter, PlannerParams, Stack
from invlearn_jax.refine import gradient
from invlearn_jax.tasks.maze2d.environment import Maze2d
from invlearn_jax.types import Problem, Result

KEY = jax.random.key(0)


class Glider:
    """``x' = x + 0.1 a`` in the plane; a forward model without parameters. State ``[x, y, vx, vy]``, the velocity idle."""

    dt, gradient = 0.1, "reverse"

    def init(self, key):
        return ()

    def unroll(self, params, state, actions):
        moves = jnp.concatenate([jnp.zeros((1, 2)), jnp.cumsum(0.1 * actions, axis=0)])
        return jnp.concatenate([state[:2] + moves, jnp.tile(state[2:], (moves.shape[0], 1))], axis=1)


class Greedy:
    """Moves straight towards the goal, as far as it can: the best motor level for ``Glider``."""

    horizon = 5

    def init(self, key):
        return ()

    def propose(self, params, key, problem, num):
        step = jnp.clip((problem.goal - problem.state[:2]) / (0.1 * self.horizon), -1, 1)
        return jnp.tile(step, (num, self.horizon, 1))


def rows(count=2000):
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (count, 2)).astype(np.float32)
    moves = np.cumsum(0.1 * actions, axis=0) - 0.1 * actions
    states = np.concatenate([moves, np.zeros((count, 2))], axis=1).astype(np.float32)
    return Dataset(states, actions, np.arange(count) % 200 == 199)


def test_an_ensemble_learns_and_its_spread_grows_off_the_data():
    data, single = rows(), SequenceModel(4, 2, 0.1, chunk=2, hidden=(16,))
    optimizer = default_optimizer(3e-3, 300)
    update = ensemble_update(forward_model_update(single, optimizer, [Source(window_store(data, 4), 1.0)], 32, 4))
    state = train(update, ensemble_state(single, optimizer, KEY, data, fit_normalizer(data), 3), 300, 100)
    model = EnsembleModel(single, 3)
    actions = jax.random.uniform(KEY, (4, 2), minval=-1, maxval=1)
    predicted = model.unroll(state.params, jnp.asarray(data.states[50]), actions)
    np.testing.assert_allclose(predicted, Glider().unroll((), jnp.asarray(data.states[50]), actions), atol=0.02)
    near = model.spread(state.params, jnp.asarray(data.states[50]), actions)
    far = model.spread(state.params, jnp.full((4,), 50.0), actions)
    assert near.shape == (5,)
    assert near[0] == 0.0
    assert far[-1] > 3 * near[-1]


def test_ensemble_members_differ_and_average():
    model = EnsembleModel(SequenceModel(4, 2, 0.1, chunk=2, hidden=(8,)), 2)
    params = model.init(KEY)
    members = model.unroll_members(params, jnp.ones(4), jnp.ones((4, 2)))
    assert members.shape == (2, 5, 4)
    assert not np.allclose(members[0], members[1])
    np.testing.assert_allclose(model.unroll(params, jnp.ones(4), jnp.ones((4, 2))), members.mean(0), rtol=1e-6)


def test_an_ensemble_of_one_is_refused():
    with pytest.raises(ValueError, match="ensemble of 1"):
        EnsembleModel(SequenceModel(4, 2, 0.1), 1)


def test_the_simulator_is_a_model(umaze):
    model, begin = SimulatorModel(umaze), jnp.array([2.0, 3.0, 1.0, -0.5])
    actions = jnp.array([[0.3, -0.2], [1.0, 0.4], [-2.0, 0.0]])
    states = jax.jit(model.unroll)((), begin, actions)
    state, step = umaze.reset_to(begin, umaze.goal), jax.jit(umaze.step)
    for index, action in enumerate(actions):
        state = step(state, action)
        np.testing.assert_allclose(states[index + 1], state.obs, rtol=1e-6, atol=1e-7)
    assert model.gradient == "forward"


def test_one_solver_iteration_has_a_reverse_gradient(umaze):
    model = SimulatorModel(Maze2d(umaze.spec, solver_iterations=1))
    assert model.gradient == "reverse"
    begin, actions = jnp.array([2.0, 3.0, 0.0, 0.0]), jnp.full((3, 2), 0.1)
    slope = jax.jit(jax.grad(lambda a: model.unroll((), begin, a)[-1, 0]))(actions)
    # In free space x moves by h^2 100 / (m + h) for a force one step before the end, a little over twice that two before.
    unit = 0.01**2 * 100 / (4.1887902 + 0.01)
    np.testing.assert_allclose(slope[2], [unit, 0.0], rtol=1e-4, atol=1e-8)
    assert 1.9 * unit < slope[1, 0] < 2.0 * unit


def level(reach_=1.0):
    return LevelModel(Greedy(), Glider(), 2, reach_)


def test_a_level_is_a_forward_model():
    model = level()
    assert model.horizon == 5
    assert model.dt == pytest.approx(0.5)
    subgoals = jnp.array([[0.4, 0.0], [1.0, -0.3]])
    states = model.unroll(LevelParams((), ()), jnp.zeros(4), subgoals)
    # 0.4 m is reached; 1 m is not: five steps of 0.1 m.
    np.testing.assert_allclose(states[:, :2], [[0, 0], [0.4, 0], [0.9, -0.3]], atol=1e-6)
    actions, fine = model.expand(LevelParams((), ()), jnp.zeros(4), subgoals)
    assert actions.shape == (10, 2)
    np.testing.assert_allclose(fine[::5], states, atol=1e-6)
    np.testing.assert_allclose(fine, Glider().unroll((), jnp.zeros(4), actions), atol=1e-6)


def test_three_levels():
    outer = LevelModel(MlpInverter(4, 2, 3, hidden=(8,), octaves=0), level(), 2, 2.0)
    params = LevelParams(MlpInverter(4, 2, 3, hidden=(8,), octaves=0).init(KEY), LevelParams((), ()))
    actions, states = outer.expand(params, jnp.zeros(4), jnp.array([[0.5, 0.5], [-0.5, 1.0]]))
    assert actions.shape == (2 * 3 * 5, 2)
    np.testing.assert_allclose(states, Glider().unroll((), jnp.zeros(4), actions), atol=1e-5)


def test_a_stack_learns_to_reach_beyond_the_motor_horizon():
    model, objective = level(), weighted_sum(reach=(1.0, reach(2)))
    inverter, params = MlpInverter(4, 2, 3, hidden=(32,), octaves=0), LevelParams((), ())
    draw = problem_sampler(jnp.array([[0.0, 0.0], [1.0, 0.5], [0.7, -0.8], [-0.9, 0.9]]), jnp.ones(2))
    optimizer = default_optimizer(1e-2, 300)
    settings = InverterTraining(batch=32, advance=(1, 2), reset_share=0.5)
    update = inverter_update(inverter, model, objective, params, (), optimizer, draw, settings, jnp.ones(4))
    trained = train(update, inverter_state(optimizer, inverter.init(KEY), KEY, draw, 32), 300, 100).params
    stack = Stack(InversePlanner(inverter, model, objective, gradient(optax.adam(0.1)), 0), execute_steps=5)
    far = Problem(jnp.zeros(4), jnp.array([1.0, 0.5]))
    plan = jax.jit(stack.plan)(PlannerParams(trained, params, ()), KEY, far)
    assert plan.actions.shape == (15, 2)
    assert plan.states.shape == (16, 4)
    assert np.linalg.norm(plan.states[-1, :2] - far.goal) < 0.15
    assert plan.result == Result.OK


def test_a_stack_never_emits_nan():
    stack = Stack(InversePlanner(Greedy(), level(), weighted_sum(reach=(1.0, reach(2)))), execute_steps=5)
    plan = stack.plan(PlannerParams((), LevelParams((), ()), ()), KEY, Problem(jnp.full((4,), jnp.nan), jnp.ones(2)))
    assert plan.result == Result.NON_FINITE
    np.testing.assert_array_equal(plan.actions, 0.0)


def test_a_stack_needs_a_level():
    with pytest.raises(ValueError, match="LevelModel"):
        Stack(InversePlanner(Greedy(), Glider(), weighted_sum(reach=(1.0, reach(2)))), execute_steps=5)
