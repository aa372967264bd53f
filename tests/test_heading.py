"""The heading frame of a walking robot: what models and Inverters say in it turns with the robot and moves with it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invlearn_jax.data import Dataset, fit_normalizer, split, window_store
from invlearn_jax.frames import HeadingFrame
from invlearn_jax.inverters.network import NetworkInverter
from invlearn_jax.learn.behaviour_cloning import hindsight_store, sample_hindsight
from invlearn_jax.learn.forward_model import Source, forward_model_state, forward_model_update, open_loop_errors
from invlearn_jax.learn.loop import default_optimizer, train
from invlearn_jax.models.chunked import ChunkedModel
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Inverter, Problem

SIZE, ACTIONS = 15, 2  # a body with one joint: 8 positions, 7 rates
FRAME = HeadingFrame(SIZE)


class Body(Task):
    """A floating body, whose networks see all but its place."""

    name, dt, horizon, state_size, action_size, goal_size = "body", 0.1, 5, SIZE, ACTIONS, 2
    frame = FRAME

    def features(self, state):
        return state[2:]

    def goal_features(self, state, goal):
        return self.frame.point(goal, self.frame.reference(state))


def random_states(count, seed=0):
    """Bodies anywhere, facing and leaning anyhow but not upside down."""
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(count, SIZE))
    yaw, tilt = rng.uniform(-np.pi, np.pi, count), rng.uniform(0, 2.0, count)
    axis = rng.uniform(-np.pi, np.pi, count)
    twist = np.stack([np.cos(yaw / 2), 0 * yaw, 0 * yaw, np.sin(yaw / 2)], 1)
    lean = np.stack([np.cos(tilt / 2), np.sin(tilt / 2) * np.cos(axis), np.sin(tilt / 2) * np.sin(axis), 0 * yaw], 1)
    states[:, 3:7] = product(twist, lean)
    return jnp.asarray(states, jnp.float32)


def product(p, q):
    """Of quaternions (w, x, y, z)."""
    a, b = np.asarray(p, float).T, np.asarray(q, float).T
    w = a[0] * b[0] - (a[1:] * b[1:]).sum(0)
    return np.concatenate([w[None], a[0] * b[1:] + b[0] * a[1:] + np.cross(a[1:].T, b[1:].T).T]).T


def moved(states, angle, offset):
    """The same bodies in a world that is turned about z and shifted."""
    states = np.array(states, float)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    half = np.broadcast_to([np.cos(angle / 2), 0, 0, np.sin(angle / 2)], states[..., 3:7].reshape(-1, 4).shape)
    states[..., 3:7] = product(half, states[..., 3:7].reshape(-1, 4)).reshape(states[..., 3:7].shape)
    states[..., :2] = states[..., :2] @ turn.T + offset
    at = (SIZE + 1) // 2
    states[..., at : at + 2] = states[..., at : at + 2] @ turn.T
    return jnp.asarray(states, jnp.float32)


def same_pose(a, b):
    """Equal states, a quaternion and its negative being the same pose."""
    a, b = np.array(a), np.array(b)
    sign = np.sign((a[..., 3:7] * b[..., 3:7]).sum(-1, keepdims=True))
    b[..., 3:7] *= sign
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@jax.jit
def local(states):
    return FRAME.local(states, FRAME.reference(states))


@given(st.floats(-7, 7), st.floats(-30, 30))
def test_a_local_state_does_not_depend_on_place_and_heading(angle, offset):
    states = random_states(8)
    here, there = local(states), local(moved(states, angle, offset))
    np.testing.assert_allclose(here, there, atol=3e-5)
    np.testing.assert_allclose(here[:, jnp.array([0, 1, 6])], 0.0, atol=3e-5)
    same_pose(jax.jit(FRAME.world)(here, FRAME.reference(states)), states)


def test_a_quaternion_and_its_negative_are_one_pose():
    states = random_states(8)
    np.testing.assert_allclose(local(states), local(states.at[:, 3:7].multiply(-1.0)), atol=1e-6)


def test_upside_down_is_finite_with_a_finite_gradient():
    state = jnp.zeros(SIZE).at[4].set(1.0)
    assert jnp.isfinite(local(state)).all()
    assert jnp.isfinite(jax.jit(jax.jacrev(local))(state)).all()


@pytest.mark.parametrize("chunk", [1, 3])
def test_predictions_turn_with_the_body(chunk):
    model = ChunkedModel(Body(), chunk, (32,))
    params = model.init(jax.random.key(0))
    # A fresh model's outputs are near zero; these are not.
    params = params._replace(net=jax.tree.map(lambda x: x + 0.1, params.net))
    states, actions = random_states(4), jax.random.uniform(jax.random.key(1), (4, 6, ACTIONS), minval=-1.0)
    unroll = jax.jit(jax.vmap(model.unroll, in_axes=(None, 0, 0)))
    here = unroll(params, states, actions)
    there = unroll(params, moved(states, 2.0, 5.0), actions)
    assert here.shape == (4, 7, SIZE)
    assert float(jnp.abs(here[:, -1] - here[:, 0]).max()) > 0.1
    same_pose(there, moved(here, 2.0, 5.0))


def test_proposals_turn_with_the_body():
    inverter = NetworkInverter(Body(), (32,))
    assert isinstance(inverter, Inverter)
    params = inverter.init(jax.random.key(0))
    params = params._replace(net=jax.tree.map(lambda x: x + 0.1, params.net))
    state, goal = random_states(1)[0], jnp.array([0.5, -0.7])
    placed = jnp.zeros(SIZE).at[3].set(1.0).at[:2].set(goal)
    other = moved(jnp.stack([state, placed]), 1.0, -3.0)
    propose = jax.jit(lambda problem: inverter.propose(params, jax.random.key(1), problem, 3))
    here, there = propose(Problem(state, goal)), propose(Problem(other[0], other[1, :2]))
    assert here.shape == (3, 5, ACTIONS)
    np.testing.assert_allclose(here, there, atol=1e-5)
    assert float(jnp.abs(propose(Problem(state, -goal)) - here).max()) > 1e-3


def driven(episodes, length, seed=0):
    """A cart: action 0 drives it along its heading, action 1 turns it; the joint lags behind."""
    rng = np.random.default_rng(seed)
    actions = rng.uniform(-1, 1, (episodes, length, ACTIONS)).astype(np.float32)
    yaw, states = rng.uniform(-np.pi, np.pi, episodes), np.zeros((episodes, length, SIZE), np.float32)
    place, joint = rng.uniform(-20, 20, (episodes, 2)), np.zeros(episodes)
    for t in range(length):
        states[:, t, :2], states[:, t, 7] = place, joint
        states[:, t, 3], states[:, t, 6] = np.cos(yaw / 2), np.sin(yaw / 2)
        place = place + 0.3 * actions[:, t, :1] * np.stack([np.cos(yaw), np.sin(yaw)], 1)
        yaw = yaw + 0.4 * actions[:, t, 1]
        joint = 0.8 * joint + 0.2 * actions[:, t, 0]
    ends = np.zeros((episodes, length), bool)
    ends[:, -1] = True
    return Dataset(states.reshape(-1, SIZE), actions.reshape(-1, ACTIONS), ends.ravel())


def test_a_cart_is_learned_from_any_heading():
    main, held = split(driven(200, 40), 0.1)
    task = Body()
    model, optimizer = ChunkedModel(task, 1, (64,)), default_optimizer(3e-3, 300)
    features = np.asarray(jax.vmap(task.local_features)(jnp.asarray(main.states)))
    scales = fit_normalizer(main._replace(states=features))
    state = forward_model_state(model, optimizer, jax.random.key(0), main, scales)
    update = forward_model_update(model, optimizer, [Source(window_store(main, 5), 1.0)], 64, 5)
    state = train(update, state, 300, 300)
    error = open_loop_errors(task, model, state.params, held, 10, count=512)["achieved"]
    # Ten steps go up to 3 m, in the root mean square half a metre.
    assert error[0] == 0.0
    assert error[1] < 0.03
    assert error[-1] < 0.15


def test_near_hindsight_goals_are_near():
    data = driven(20, 40)
    data = data._replace(states=data.states.copy())
    data.states[:, 0] = np.arange(len(data.states))
    store = hindsight_store(data, 3)
    near, _ = sample_hindsight(store, jax.random.key(0), 500, 3, lambda state: state[:1], within=4)
    anywhere, _ = sample_hindsight(store, jax.random.key(0), 500, 3, lambda state: state[:1])
    ahead = np.asarray(near.goal - near.state[:, :1]).ravel()
    assert set(ahead) == {1, 2, 3, 4}
    assert np.asarray(anywhere.goal - anywhere.state[:, :1]).max() > 10
