"""Inverse dynamics: what it recovers, and that its mixture tells where actions cannot be known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

import invlearn_jax as il
from invlearn_jax.data.dataset import Dataset, window_store
from invlearn_jax.learn.forward_model import Source
from invlearn_jax.learn.inverse_dynamics import inverse_dynamics_state, inverse_dynamics_update
from invlearn_jax.learn.loop import default_optimizer, train
from invlearn_jax.models import InverseDynamics


def mass(mixing, rows=8000, limit=np.inf, wall=np.inf):
    """Rows of a damped mass under white actions that enter by ``mixing @ a``; state: position, velocity.

    Its speed is clipped to the limit before each step, and it stops at the wall, at this position.
    """
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (rows, len(mixing)))
    states, state = [], np.zeros(2)
    for force in actions @ np.asarray(mixing):
        states.append(state)
        velocity = 0.9 * np.clip(state[1], -limit, limit) + 0.5 * force
        position = 0.8 * state[0] + 0.1 * velocity
        state = np.array([position, velocity] if position < wall else [wall, 0.0])
    return Dataset(np.float32(states), np.float32(actions), np.arange(rows) % 100 == 99)


def task_of(state_size, action_size, limits=None, fourier_size=0):
    """A task of these sizes, of which inverse dynamics needs no more."""
    task = il.Task()
    task.state_size, task.action_size, task.fourier_size = state_size, action_size, fourier_size
    task.state_limits = limits
    return task


def learn(data, updates=600, limits=None, **settings):
    model = InverseDynamics(task_of(2, data.actions.shape[1], limits), hidden=(32,), **settings)
    optimizer = default_optimizer(1e-2, updates)
    state = inverse_dynamics_state(model, optimizer, jax.random.key(0), data)
    update = inverse_dynamics_update(model, optimizer, [Source(window_store(data, model.gap), 1.0)], 128)
    return model, train(update, state, updates, 200).params


def pairs(data, gap=1):
    """First states, last states and first actions of all windows of ``gap`` steps within episodes."""
    inside = np.arange(len(data.states) - gap) % 100 < 100 - gap
    return data.states[:-gap][inside], data.states[gap:][inside], data.actions[:-gap][inside]


def rmse(model, params, first, last, action):
    found = jax.jit(jax.vmap(model, in_axes=(None, 0, 0)))(params, first, last)
    return np.sqrt(((found - action) ** 2).mean())


@functools.cache
def redundant(components):
    data = mass([1.0, 1.0])
    return data, *learn(data, components=components)


def test_regression_recovers_the_action():
    data = mass([1.0])
    assert rmse(*learn(data), *pairs(data)) < 0.01


@pytest.mark.parametrize("components", [1, 2])
def test_the_clip_of_the_environment_is_no_obstacle_once_told(components):
    data = mass([1.0], limit=0.5)
    assert rmse(*learn(data, components=components, limits=np.array([np.inf, 0.5])), *pairs(data)) < 0.01
    assert rmse(*learn(data, components=components), *pairs(data)) > 0.02


@pytest.mark.parametrize("components", [1, 2])
def test_what_lies_beyond_the_limits_does_not_count(components):
    task = task_of(3, 2, np.array([np.inf, 2.0, 5.0]), fourier_size=2)
    model = InverseDynamics(task, components=components, hidden=(8,))
    params = model.init(jax.random.key(0))._replace(mean=jnp.array([0.1, 0.2, 0.3]), delta=jnp.array([0.1, 0.2, 0.3]))
    following = jnp.array([0.1, 0.2, 5.3])  # which the environment has not clipped yet
    at_the_limits = model(params, jnp.array([9.0, 2.0, -5.0]), following)
    np.testing.assert_array_equal(model(params, jnp.array([9.0, 2.1, -5.2]), following), at_the_limits)
    for state, after in (
        ([9.1, 2.0, -5.0], following),
        ([9.0, 1.9, -5.0], following),
        ([9.0, 2.0, -5.0], following + 1),
    ):
        assert np.abs(model(params, jnp.array(state), after) - at_the_limits).max() > 1e-4


def test_pairs_without_an_answer_do_not_disturb_the_regression_of_the_others():
    data = mass([1.0], wall=0.15)
    first, last, action = pairs(data)
    stopped = last[:, 0] == np.float32(0.15)
    assert 0.03 < stopped.mean() < 0.3
    model, params = learn(data)
    assert rmse(model, params, first[stopped], last[stopped], action[stopped]) > 0.3
    assert rmse(model, params, first[~stopped], last[~stopped], action[~stopped]) < 0.01


def test_redundant_actuators_are_answered_by_their_mean_and_told_by_the_ambiguity():
    """Two forces act alike, so only their sum ``c`` shows: each is then uniform, of standard deviation (2 - |c|) / sqrt(12)."""
    data, model, params = redundant(4)
    first, last, action = pairs(data)
    known = (2 - np.abs(action.sum(1))) / np.sqrt(12)
    ambiguity = np.asarray(jax.jit(jax.vmap(model.ambiguity, in_axes=(None, 0, 0)))(params, first, last))
    np.testing.assert_allclose(ambiguity.mean(0), known.mean(), rtol=0.1)
    assert stats.spearmanr(ambiguity[:, 0], known).statistic > 0.9
    # One actuator alone is known, whatever the kind of model.
    single = mass([1.0])
    model, params = learn(single, components=2)
    ambiguity = jax.jit(jax.vmap(model.ambiguity, in_axes=(None, 0, 0)))(params, *pairs(single)[:2])
    assert np.median(ambiguity) < 0.05
    _, model, params = redundant(1)
    found = jax.jit(jax.vmap(model, in_axes=(None, 0, 0)))(params, first, last)
    assert np.abs(found - action.mean(1, keepdims=True)).mean() < 0.03


def test_the_ambiguity_grows_with_the_gap():
    """Over more steps the first action shows less."""
    data, spread = mass([1.0]), []
    for gap in (1, 4, 10):  # two would still do: as many numbers are seen as are asked for
        model, params = learn(data, components=2, gap=gap)
        ambiguity = jax.jit(jax.vmap(model.ambiguity, in_axes=(None, 0, 0)))(params, *pairs(data, gap)[:2])
        spread.append(float(np.median(ambiguity)))
    assert spread[0] < 0.05
    assert 0.2 < spread[1] < spread[2] < 0.6


def test_the_mixture_is_a_density():
    _, model, params = redundant(4)
    state, following = jnp.array([0.1, 0.2]), jnp.array([0.1, 0.3])
    grid = jnp.linspace(-3, 3, 301)
    actions = jnp.stack(jnp.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
    density = jnp.exp(
        jax.jit(jax.vmap(model.log_likelihood, in_axes=(None, None, None, 0)))(params, state, following, actions)
    )
    cell = float(grid[1] - grid[0]) ** 2
    assert float(density.sum()) * cell == pytest.approx(1, abs=0.02)
    centre = (density[:, None] * actions).sum(0) * cell
    spread = jnp.sqrt((density[:, None] * (actions - centre) ** 2).sum(0) * cell)
    np.testing.assert_allclose(spread, model.ambiguity(params, state, following), rtol=0.05)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="gap is 0, components is 1; give at least 1 of each"):
        InverseDynamics(task_of(2, 1), gap=0)
    for limits in ((1.0,), (np.inf, 0.0), (np.inf, np.nan)):
        with pytest.raises(ValueError, match="give 2 numbers above 0, infinity where nothing is clipped"):
            InverseDynamics(task_of(2, 1, np.array(limits)))
    model = InverseDynamics(task_of(2, 1), hidden=(4,))
    with pytest.raises(ValueError, match="is a regression; give components=2"):
        model.ambiguity(model.init(jax.random.key(0)), jnp.zeros(2), jnp.zeros(2))
    data = mass([1.0], rows=300)
    with pytest.raises(ValueError, match="horizon is 200 steps, but the longest episode has 99"):
        inverse_dynamics_update(model, optax.sgd(0.1), [Source(window_store(data, 200), 1.0)], 8)
