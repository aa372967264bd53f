"""Latents to actions and back: boxes, splines; frames there and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invlearn_jax.frames import Frame, HeadingFrame, WorldFrame
from invlearn_jax.parametrisation import Box, Parametrisation, Spline

LOW, HIGH = np.array([-1.0, 0.5, -20.0]), np.array([3.0, 0.75, -5.0])
seeds = st.integers(0, 10_000)


def latents(seed, length, size=3):
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, (length, size)), jnp.float32)


@given(seed=seeds, horizon=st.sampled_from([1, 7]))
def test_a_box_goes_there_and_back(seed, horizon):
    box = Box(LOW, HIGH, horizon)
    u = latents(seed, horizon)
    actions = np.asarray(box.decode(u))
    assert (actions >= LOW - 1e-5).all()
    assert (actions <= HIGH + 1e-5).all()
    np.testing.assert_allclose(box.encode(jnp.asarray(actions)), u, atol=1e-4)
    np.testing.assert_allclose(box.decode(jnp.sign(u)), np.where(u < 0, LOW, HIGH), rtol=1e-6)


@given(seed=seeds, horizon=st.sampled_from([4, 24]), knots=st.sampled_from([4, 9]))
def test_a_spline_keeps_the_box_and_comes_back(seed, horizon, knots):
    knots = min(knots, horizon)
    spline = Spline(LOW, HIGH, horizon, knots)
    u = latents(seed, knots)
    actions = np.asarray(spline.decode(u))
    assert actions.shape == (horizon, 3)
    assert (actions >= LOW - 1e-5).all()
    assert (actions <= HIGH + 1e-5).all()
    # Coefficients may be told apart badly by few steps; the actions that they give are the same.
    inner = 0.3 * u
    again = spline.decode(spline.encode(spline.decode(inner)))
    assert np.abs((again - spline.decode(inner)) / (HIGH - LOW)).max() < 0.02


def test_a_splines_weights_sum_to_one():
    for horizon, knots in ((4, 4), (32, 8), (9, 9)):
        held = Spline(LOW, HIGH, horizon, knots).decode(jnp.full((knots, 3), 0.3))
        np.testing.assert_allclose(held, np.tile((LOW + HIGH) / 2 + 0.15 * (HIGH - LOW), (horizon, 1)), rtol=1e-5)


def test_a_spline_is_nearest_in_the_sense_of_least_squares():
    spline = Spline(-np.ones(1), np.ones(1), 24, 6)
    # Coefficients that stay in the box, and a rest that no spline has.
    wanted = 0.2 * jnp.sin(jnp.arange(24.0) / 4)[:, None] + 0.02 * (-1.0) ** jnp.arange(24)[:, None]
    left = wanted - np.asarray(spline.decode(spline.encode(wanted)))
    assert np.abs(left).max() > 0.01
    basis = np.asarray(jax.jacobian(lambda u: spline.decode(u)[:, 0])(jnp.zeros((6, 1))))[..., 0]
    np.testing.assert_allclose(basis.T @ left[:, 0], 0, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Box(HIGH, LOW, 4), "low below high"),
        (lambda: Box(LOW, np.full(3, np.inf), 4), "finite bounds"),
        (lambda: Box(LOW, HIGH[:2], 4), "finite bounds"),
        (lambda: Spline(LOW, HIGH, 8, 3), "knots is 3; a cubic spline over 8 steps takes 4 to 8"),
        (lambda: Spline(LOW, HIGH, 8, 9), "knots is 9"),
    ],
)
def test_nonsense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_they_are_parametrisations():
    assert isinstance(Box(LOW, HIGH, 4), Parametrisation)
    assert isinstance(Spline(LOW, HIGH, 4, 4), Parametrisation)


# --- frames ---


def floating(seed, batch=()):
    """A free body with one joint: 8 positions, 7 rates."""
    state = np.random.default_rng(seed).normal(size=(*batch, 15))
    state[..., 3:7] /= np.linalg.norm(state[..., 3:7], axis=-1, keepdims=True)
    return jnp.asarray(state, jnp.float32)


@given(seed=seeds)
def test_the_heading_frame_goes_there_and_back(seed):
    frame, state, other = HeadingFrame(15), floating(seed), floating(seed + 1)
    for reference in (frame.reference(state), frame.reference(other)):
        there = frame.local(state, reference)
        np.testing.assert_allclose(frame.world(there, reference), state, atol=1e-5)
    own = frame.local(state, frame.reference(state))
    # Seen from itself a body stands at the origin and faces ahead.
    np.testing.assert_allclose([own[0], own[1], own[6]], 0, atol=1e-5)


@given(seed=seeds, angle=st.floats(-3, 3))
def test_what_is_seen_does_not_depend_on_place_and_heading(seed, angle):
    frame, state = HeadingFrame(15), floating(seed)
    c, s = np.cos(angle / 2), np.sin(angle / 2)
    w, x, y, z = state[3:7]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = state.at[:2].set(turn @ state[:2] + 3.0).at[8:10].set(turn @ state[8:10])
    turned = turned.at[3:7].set(jnp.stack([c * w - s * z, c * x - s * y, c * y + s * x, c * z + s * w]))
    seen, seen_turned = (np.array(frame.local(q, frame.reference(q))) for q in (state, turned))
    # A quaternion and its negative are one orientation.
    sign = np.sign(seen[3:7] @ seen_turned[3:7])
    seen_turned[3:7] *= sign
    np.testing.assert_allclose(seen_turned, seen, atol=2e-3)
    point = jnp.array([0.3, -1.0, 2.0])
    moved = jnp.append(turn @ point[:2] + 3.0, 2.0)
    np.testing.assert_allclose(
        frame.point(moved, frame.reference(turned)), frame.point(point, frame.reference(state)), atol=2e-3
    )


def test_upside_down_gives_numbers():
    frame = HeadingFrame(15)
    state = floating(0).at[3:7].set(jnp.array([0.0, 1.0, 0.0, 0.0]))
    slope = jax.jacobian(lambda q: frame.local(q, frame.reference(q)))(state)
    assert np.isfinite(slope).all()


def test_they_are_frames():
    state = floating(0)
    assert isinstance(HeadingFrame(15), Frame)
    world = WorldFrame()
    assert isinstance(world, Frame)
    np.testing.assert_array_equal(world.local(state, world.reference(state)), state)
