"""Models made of models: ensembles, and the simulator as a model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_tasks import Ball

from invlearn_jax.data import Dataset, fit_normalizer, window_store
from invlearn_jax.learn.forward_model import Source, ensemble_state, ensemble_update, forward_model_update
from invlearn_jax.learn.loop import default_optimizer, train
from invlearn_jax.models import EnsembleModel, SimulatorModel
from invlearn_jax.models.chunked import ChunkedModel

KEY = jax.random.key(0)


class Glider:
    """``x' = x + 0.1 a`` in the plane; a forward model without parameters. State ``[x, y, vx, vy]``, the velocity idle."""

    dt, gradient = 0.1, "reverse"

    def init(self, key):
        return ()

    def unroll(self, params, state, actions):
        moves = jnp.concatenate([jnp.zeros((1, 2)), jnp.cumsum(0.1 * actions, axis=0)])
        return jnp.concatenate([state[:2] + moves, jnp.tile(state[2:], (moves.shape[0], 1))], axis=1)


def rows(count=2000):
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (count, 2)).astype(np.float32)
    moves = np.cumsum(0.1 * actions, axis=0) - 0.1 * actions
    states = np.concatenate([moves, np.zeros((count, 2))], axis=1).astype(np.float32)
    return Dataset(states, actions, np.arange(count) % 200 == 199)


def test_an_ensemble_learns_and_its_spread_grows_off_the_data():
    data, single = rows(), ChunkedModel(Ball(), 2, (16,))
    optimizer = default_optimizer(3e-3, 800)
    update = ensemble_update(forward_model_update(single, optimizer, [Source(window_store(data, 4), 1.0)], 32, 4))
    state = train(update, ensemble_state(single, optimizer, KEY, data, fit_normalizer(data), 3), 800, 100)
    model = EnsembleModel(single, 3)
    actions = jax.random.uniform(KEY, (4, 2), minval=-1, maxval=1)
    predicted = jax.jit(model.unroll)(state.params, jnp.asarray(data.states[50]), actions)
    np.testing.assert_allclose(predicted, Glider().unroll((), jnp.asarray(data.states[50]), actions), atol=0.02)
    spread = jax.jit(model.spread)
    near = spread(state.params, jnp.asarray(data.states[50]), actions)
    far = spread(state.params, jnp.full((4,), 50.0), actions)
    assert near.shape == (5,)
    assert near[0] == 0.0
    assert far[-1] > 3 * near[-1]


def test_ensemble_members_differ_and_average():
    model = EnsembleModel(ChunkedModel(Ball(), 2, (8,)), 2)
    params = model.init(KEY)
    members = model.unroll_members(params, jnp.ones(4), jnp.ones((4, 2)))
    assert members.shape == (2, 5, 4)
    assert not np.allclose(members[0], members[1])
    np.testing.assert_allclose(model.unroll(params, jnp.ones(4), jnp.ones((4, 2))), members.mean(0), rtol=1e-6)


def test_an_ensemble_of_one_is_refused():
    with pytest.raises(ValueError, match="ensemble of 1"):
        EnsembleModel(ChunkedModel(Ball()), 1)


def test_the_simulator_is_a_model(umaze_task, umaze):
    model, begin = SimulatorModel(umaze_task), jnp.array([2.0, 3.0, 1.0, -0.5])
    actions = jnp.array([[0.3, -0.2], [1.0, 0.4], [-2.0, 0.0]])
    states = jax.jit(model.unroll)((), begin, actions)
    state, step = umaze.reset_to(begin, umaze.goal), jax.jit(umaze.step)
    for index, action in enumerate(actions):
        state = step(state, action)
        np.testing.assert_allclose(states[index + 1], state.obs, rtol=1e-6, atol=1e-7)
    assert model.gradient == "forward"


def test_one_solver_iteration_has_a_reverse_gradient(umaze_task):
    model = SimulatorModel(umaze_task.differentiable())
    assert model.gradient == "reverse"
    begin, actions = jnp.array([2.0, 3.0, 0.0, 0.0]), jnp.full((3, 2), 0.1)
    slope = jax.jit(jax.grad(lambda a: model.unroll((), begin, a)[-1, 0]))(actions)
    # In free space x moves by h^2 100 / (m + h) for a force one step before the end, a little over twice that two before.
    unit = 0.01**2 * 100 / (4.1887902 + 0.01)
    np.testing.assert_allclose(slope[2], [unit, 0.0], rtol=1e-4, atol=1e-8)
    assert 1.9 * unit < slope[1, 0] < 2.0 * unit
