"""Forward models, networks, the training loop and coverage, each against something known."""

import collections
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import held_actions, scrambled
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads
from small_tasks import Ball

from invlearn_jax.data.dataset import Dataset, fit_normalizer, window_store
from invlearn_jax.learn.forward_model import Source, forward_model_state, forward_model_update, model_loss
from invlearn_jax.learn.loop import TrainState, apply_gradients, default_optimizer, train
from invlearn_jax.models.chunked import ChunkedModel
from invlearn_jax.models.coverage import CELLS, distance_to_data, interpolate
from invlearn_jax.networks import fourier_features, fourier_size, mlp, parameter_count
from invlearn_jax.rollout import unroll_steps
from invlearn_jax.types import ForwardModel

every_chunk = pytest.mark.parametrize("chunk", [1, 4, 8])


def small_model(chunk, hidden=(16,), octaves=3):
    return ChunkedModel(Ball(), chunk, hidden, octaves)


def random_inputs(horizon, seed=1):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=4), jnp.float32), jnp.asarray(rng.uniform(-1, 1, (horizon, 2)), jnp.float32)


# --- the model in chunks ---


@every_chunk
def test_unroll_is_chained_prediction(chunk):
    model = small_model(chunk)
    assert isinstance(model, ForwardModel)
    params = scrambled(jax.jit(model.init)(jax.random.key(0)))
    state, actions = random_inputs(8)
    states = jax.jit(model.unroll)(params, state, actions)
    assert states.shape == (9, 4)
    assert np.array_equal(states[0], state)
    predict, expected, here = jax.jit(model.predict), [], state
    for begin in range(0, 8, chunk):
        predicted = predict(params, here, actions[begin : begin + chunk])
        assert predicted.shape == (chunk, 4)
        expected.append(predicted)
        here = predicted[-1]
    np.testing.assert_allclose(states[1:], jnp.concatenate(expected), rtol=1e-5, atol=1e-5)
    assert np.abs(np.diff(states, axis=0)).min() > 1e-4


def test_one_step_model_unrolls_like_any_step_function():
    model = small_model(1)
    params = scrambled(jax.jit(model.init)(jax.random.key(0)))
    state, actions = random_inputs(5)
    step = lambda p, x, u: model.predict(p, x, u[None])[0]  # noqa: E731
    stepped = jax.jit(lambda *inputs: unroll_steps(step, *inputs))(params, state, actions)
    np.testing.assert_allclose(jax.jit(model.unroll)(params, state, actions), stepped, rtol=1e-5, atol=1e-5)


@every_chunk
def test_later_actions_do_not_change_earlier_chunks(chunk):
    model = small_model(chunk)
    params = scrambled(jax.jit(model.init)(jax.random.key(0)))
    state, actions = random_inputs(16)
    unroll = jax.jit(model.unroll)
    states, other = (unroll(params, state, a) for a in (actions, actions.at[8:].add(0.5)))
    assert np.array_equal(states[:9], other[:9])
    assert not np.array_equal(states[9:], other[9:])


def test_a_horizon_that_is_no_multiple_raises():
    model = small_model(4)
    params = jax.jit(model.init)(jax.random.key(0))
    with pytest.raises(ValueError, match="horizon is 6 steps; this model predicts in chunks of 4, give a multiple"):
        model.unroll(params, *random_inputs(6))


def test_a_chunk_below_one_raises():
    with pytest.raises(ValueError, match="chunk is 0; give at least 1"):
        small_model(0)


@pytest.mark.parametrize("chunk", [1, 4])
def test_model_gradients_match_finite_differences(chunk):
    with jax.enable_x64(True):
        model = small_model(chunk)
        params = jax.tree.map(lambda x: x.astype(jnp.float64), scrambled(jax.jit(model.init)(jax.random.key(0))))
        state, actions = (x.astype(jnp.float64) for x in random_inputs(8))

        def loss(net, state, actions):
            return (model.unroll(params._replace(net=net), state, actions) ** 2).mean()

        assert loss(params.net, state, actions).dtype == jnp.float64
        check_grads(jax.jit(loss), (params.net, state, actions), order=1, modes=["rev"], atol=1e-6, rtol=1e-6, eps=1e-6)


def damped_masses(episodes=24, length=60):
    """Data of a linear system: two damped masses under random forces."""
    rng = np.random.default_rng(0)
    actions = held_actions(rng, episodes, length, hold=4).astype(np.float32)
    state = rng.normal(size=(episodes, 4))
    states = []
    for action in actions:
        states.append(state)
        velocity = 0.9 * state[:, 2:] + 0.5 * action
        state = np.concatenate([state[:, :2] + 0.1 * velocity, velocity], axis=1)
    ends = np.zeros((length, episodes), bool)
    ends[-1] = True
    rows = (np.stack(states).astype(np.float32), actions, ends)
    return Dataset(*(x.swapaxes(0, 1).reshape(length * episodes, *x.shape[2:]) for x in rows))


@pytest.mark.parametrize("chunk", [1, 4])
def test_a_linear_system_is_learned(chunk):
    data = damped_masses()
    held_out = damped_masses(episodes=4)
    model = small_model(chunk, (32,))
    optimizer, horizon = default_optimizer(1e-2, 400), 8
    update = forward_model_update(model, optimizer, [Source(window_store(data, horizon), 1.0)], 64, horizon)
    state = forward_model_state(model, optimizer, jax.random.key(0), data, fit_normalizer(data))
    losses = []
    trained = train(update, state, 400, block=100, on_block=lambda _, metrics: losses.append(metrics["model_loss"]))
    assert losses[-1] < 0.05 * losses[0]
    predicted = jax.jit(model.unroll)(
        trained.params, jnp.asarray(held_out.states[0]), jnp.asarray(held_out.actions[:horizon])
    )
    error = np.abs(predicted - held_out.states[: horizon + 1]).max()
    change = np.abs(held_out.states[: horizon + 1] - held_out.states[0]).max()
    assert error < 0.05 * change


class Overshooting:
    """Adds up actions, and predicts a tenth too much of every change."""

    chunk, dt, gradient = 1, 1.0, "reverse"

    def init(self, key):
        return Scales(jnp.array([[1.0, 2.0]]))

    def unroll(self, params, state, actions):
        return state + 1.1 * jnp.concatenate([jnp.zeros_like(state)[None], jnp.cumsum(actions, axis=0)])

    def seen(self, state, reference):
        return state - reference


Scales = collections.namedtuple("Scales", "delta")


def test_errors_relative_to_the_change_count_alike_in_small_and_large_motions():
    model = Overshooting()
    actions = np.random.default_rng(0).normal(size=(5, 6, 2)) * [1.0, 2.0]

    def loss(size, floor):
        moved = np.cumsum(size * actions, axis=1)
        states = 3.0 + np.concatenate([np.zeros((5, 1, 2)), moved], axis=1)
        inputs = model.init(jax.random.key(0)), jnp.asarray(states), jnp.asarray(size * actions)
        return float(jax.jit(functools.partial(model_loss, model, change_floor=floor))(*inputs))

    assert loss(0.1, 1e-3) == pytest.approx(loss(1.0, 1e-3), rel=0.01)
    # Changes far below the floor count for little.
    assert loss(0.1, 10.0) < 0.02 * loss(1.0, 10.0)
    # Without a floor all errors have the unit of the scales: Huber's loss of a tenth of the change.
    for size in (0.1, 1.0):
        error = 0.1 * np.abs(np.cumsum(size * actions, axis=1) / [1.0, 2.0])
        huber = np.where(error <= 0.1, 0.5 * error**2, 0.1 * (error - 0.05))
        assert loss(size, 0.0) == pytest.approx(10 * huber.mean(), rel=1e-4)


def test_stages_that_differ_in_their_data_alone_are_compiled_once():
    # Values that no earlier run can have left in the compilation cache.
    data = np.random.default_rng().normal(size=(2, 500)).astype(np.float32)
    optimizer, events = optax.sgd(0.5), []

    def trained(values):
        values = jnp.asarray(values)

        def update(state):
            gradient = state.params - values.mean()
            return apply_gradients(state, optimizer, gradient, state.params, state.key, ()), {"loss": gradient}

        params = jnp.zeros(())
        state = TrainState(jnp.zeros((), jnp.int32), jax.random.key(0), params, optimizer.init(params), ())
        return train(update, state, 30).params

    def listen(event, **_):
        events.append(event)

    assert trained(data[0]) == pytest.approx(data[0].mean(), abs=1e-5)
    jax.monitoring.register_event_listener(listen)
    try:
        assert trained(data[1]) == pytest.approx(data[1].mean(), abs=1e-5)
    finally:
        jax.monitoring.unregister_event_listener(listen)
    assert "/jax/compilation_cache/cache_hits" in events
    assert "/jax/compilation_cache/cache_misses" not in events


# --- networks ---


@given(st.integers(0, 6), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_fourier_features_are_sines_and_cosines(octaves, size, seed):
    x = np.random.default_rng(seed).uniform(-1, 1, (5, size)).astype(np.float32)
    features = jax.jit(fourier_features, static_argnums=1)(jnp.asarray(x), octaves)
    angles = [np.pi * 2**j * x.astype(np.float64) for j in range(octaves)]
    direct = np.concatenate([x, *(f(angle) for angle in angles for f in (np.sin, np.cos))], axis=-1)
    assert features.shape == (5, fourier_size(size, octaves))
    np.testing.assert_allclose(features, direct, atol=1e-4)


def test_mlp_starts_near_zero_and_its_skip_is_linear():
    net = mlp(3, (8, 8), 2, final_scale=1e-4, skip=True)
    params, apply = jax.jit(net.init)(jax.random.key(0)), jax.jit(net.apply)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(20, 3)), jnp.float32)
    assert np.abs(apply(params, x)).max() < 0.05
    assert parameter_count(params) == (3 * 8 + 8) + (8 * 8 + 8) + (8 * 2 + 2) + 3 * 2
    skip = next(name for name in params if params[name]["kernel"].shape == (3, 2))
    matrix = jnp.arange(6.0).reshape(3, 2)
    moved = params | {skip: {"kernel": matrix}}
    np.testing.assert_allclose(apply(moved, x) - apply(params, x), x @ matrix, rtol=1e-5, atol=1e-5)


# --- the training loop ---


def test_training_in_parts_repeats_the_unbroken_run():
    data = damped_masses(episodes=4)
    model, optimizer = small_model(2, (8,)), optax.adam(1e-3)
    update = forward_model_update(model, optimizer, [Source(window_store(data, 4), 1.0)], 8, 4)
    fresh = forward_model_state(model, optimizer, jax.random.key(0), data, fit_normalizer(data))
    whole = train(update, fresh, 12, block=4)
    parts = train(update, train(update, fresh, 8, block=4), 12, block=4)
    assert int(whole.step) == int(parts.step) == 12
    chex.assert_trees_all_equal(whole._replace(key=()), parts._replace(key=()))
    assert jnp.array_equal(jax.random.key_data(whole.key), jax.random.key_data(parts.key))
    assert int(fresh.step) == 0


def test_blocks_of_a_resumed_run_end_where_the_unbroken_runs_do():
    def update(state):
        return state._replace(step=state.step + 1, params=state.params + state.step), {"step": state.step}

    def run(begin, steps):
        seen = []
        fresh = TrainState(jnp.asarray(begin, jnp.int32), jax.random.key(0), jnp.zeros((), jnp.int32), (), ())
        done = train(
            update, fresh, steps, block=4, on_block=lambda state, metrics: seen.append((int(state.step), metrics))
        )
        return int(done.params), seen

    total, seen = run(0, 10)
    assert total == sum(range(10))
    assert seen == [(4, {"step": 1.5}), (8, {"step": 5.5}), (10, {"step": 8.5})]
    total, seen = run(6, 10)
    assert total == 6 + 7 + 8 + 9
    assert [step for step, _ in seen] == [8, 10]
    assert run(10, 10) == (0, [])


# --- where the data were ---


def test_distance_to_data_is_the_largest_over_the_axes():
    places = np.array([[0.0, 0.0], [2.0, 4.0]])
    centre, half = places.mean(0), np.array([1.0, 2.0])
    distance = distance_to_data(places, centre, half)
    axes = [c + 1.1 * h * (2 * (np.arange(CELLS) + 0.5) / CELLS - 1) for c, h in zip(centre, half, strict=True)]
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    expected = np.abs(cells[:, :, None] - places).max(-1).min(-1)
    np.testing.assert_allclose(distance, expected, atol=1e-6)
    # A table that is linear comes back exactly, between cells too, and is flat beyond the box.
    position, scale = jnp.array([0.3, 3.1]), (jnp.asarray(centre), jnp.asarray(half))
    table = jnp.asarray(cells[..., 0] + 2 * cells[..., 1])
    np.testing.assert_allclose(interpolate(table, position, *scale), 0.3 + 2 * 3.1, rtol=1e-4)
    np.testing.assert_allclose(interpolate(table, jnp.array([9.0, 9.0]), *scale), table[-1, -1], rtol=1e-6)
