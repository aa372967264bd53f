"""The control tasks: accelerations against the equations of motion, kinematics, costs, and that what is set can be done."""

import functools
import tomllib

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
import scipy.linalg
from conftest import ROOT

import invlearn_jax as il
from invlearn_jax.report.figures import canvas, encode, style
from invlearn_jax.tasks import control
from invlearn_jax.tasks.control.drawing import places
from invlearn_jax.tasks.control.swing_up import SwingUp
from invlearn_jax.tasks.exploration import random_rows
from invlearn_jax.tasks.task import Episodes

NAMES = sorted(control.tasks())
SWINGUPS = [name for name in NAMES if "swingup" in name]
# MJX takes a minute to compile a step of a long chain of joints.
LONG = ("seven-joint-reach", "walker-speed")
# One of each kind: angles, a tree with a free joint, contacts.
COMPARED = ("cartpole-swingup", "quadrotor-pose", "planar-push")
G = 9.81


@pytest.fixture(scope="module")
def made():
    return {name: il.make_task(name) for name in NAMES}


def accelerations(task, qpos, qvel, control):
    """C MuJoCo's, in float64."""
    data = mujoco.MjData(task.mj_model)
    data.qpos[:], data.qvel[:], data.ctrl[:] = qpos, qvel, control
    mujoco.mj_forward(task.mj_model, data)
    return data.qacc.copy()


def drawn(function, count):
    """What a function of a key gives, many times."""
    return np.asarray(jax.jit(jax.vmap(function))(jax.random.split(jax.random.key(0), count)))


def episode(task, act, seconds, goal):
    """One closed loop on C MuJoCo under ``act(state)``."""
    return episode_from(task, np.asarray(task.reset(jax.random.key(0)), np.float64), act, seconds, goal)


def episode_from(task, state, act, seconds, goal):
    states, actions, simulator = [state], [], task.simulator()
    for _ in range(round(seconds / task.dt)):
        actions.append(np.clip(act(states[-1]), task.action_low, task.action_high))
        states.append(simulator.step(states[-1][None], actions[-1][None])[0])
    simulator.close()
    return Episodes(goal[None], np.stack(states)[None], np.stack(actions)[None], np.zeros(0), np.zeros(0, int))


# --- physics ---


def test_the_pendulum_turns_as_its_equation_says(made):
    # (I + m l^2) phi'' = m g l sin(phi) - d phi' + u
    for phi, rate, torque in np.random.default_rng(0).normal(size=(20, 3)) * [2.0, 3.0, 0.5]:
        expected = (1.0 * G * 0.5 * np.sin(phi) - 0.02 * rate + torque) / (0.004 + 1.0 * 0.5**2)
        np.testing.assert_allclose(accelerations(made["pendulum-swingup"], phi, rate, torque), expected, rtol=1e-12)


def test_the_cartpole_moves_as_its_equations_say(made):
    # (M + m) x'' + m l cos(phi) phi'' = F + m l sin(phi) phi'^2 - d x'
    # m l cos(phi) x'' + (I + m l^2) phi'' = m g l sin(phi) - b phi'
    cart, pole, length, inertia, drag, friction = 1.0, 0.2, 0.3, 0.006, 0.1, 0.002
    for x, phi, speed, rate, force in np.random.default_rng(0).normal(size=(20, 5)) * [0.3, 2.0, 1.0, 3.0, 4.0]:
        across = pole * length * np.cos(phi)
        masses = [[cart + pole, across], [across, inertia + pole * length**2]]
        forces = [
            force + pole * length * np.sin(phi) * rate**2 - drag * speed,
            pole * G * length * np.sin(phi) - friction * rate,
        ]
        found = accelerations(made["cartpole-swingup"], [x, phi], [speed, rate], force)
        np.testing.assert_allclose(found, np.linalg.solve(masses, forces), rtol=1e-10, atol=1e-10)


def test_the_acrobot_moves_as_its_equations_say(made):
    # Spong's: M(q) q'' + C(q, q') q' = gravity - d q' + (0, u), with angles from the upward vertical.
    m, length, drag = 0.5, 0.5, 0.02  # the first rod's length, the second being twice as long
    for a, b, p, q, torque in np.random.default_rng(0).normal(size=(20, 5)) * [2.0, 2.0, 2.0, 2.0, 1.0]:
        bend = m * length * length  # the second rod's middle is one length from the elbow
        far = 0.0416667 + m * length**2
        masses = [
            [0.0104167 + m * (length / 2) ** 2 + far + m * length**2 + 2 * bend * np.cos(b), far + bend * np.cos(b)],
            [far + bend * np.cos(b), far],
        ]
        second = m * G * length * np.sin(a + b)
        forces = [
            1.5 * m * G * length * np.sin(a) + second + bend * np.sin(b) * (2 * p * q + q * q) - drag * p,
            second - bend * np.sin(b) * p * p - drag * q + torque,
        ]
        found = accelerations(made["acrobot-swingup"], [a, b], [p, q], torque)
        np.testing.assert_allclose(found, np.linalg.solve(masses, forces), rtol=1e-8, atol=1e-8)


def test_the_double_cartpole_keeps_its_energy(made):
    # Without damping and force; in flight between the rail's ends.
    model = made["double-cartpole-swingup"].mj_model.__copy__()
    model.dof_damping[:] = 0
    model.opt.timestep, model.opt.integrator = 0.0005, mujoco.mjtIntegrator.mjINT_RK4
    model.opt.enableflags |= int(mujoco.mjtEnableBit.mjENBL_ENERGY)
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = [0.0, 1.0, 0.5], [0.2, -1.0, 2.0]
    mujoco.mj_forward(model, data)
    before = data.energy.sum()
    for _ in range(2000):
        mujoco.mj_step(model, data)
    assert np.abs(data.qpos[0]) < 2
    assert data.energy.sum() == pytest.approx(before, abs=1e-6)


@pytest.mark.parametrize("name", COMPARED)
def test_both_engines_take_the_same_step(name, made):
    task = made[name]
    states = drawn(task.draw_state, 8)
    share = np.random.default_rng(0).uniform(size=(8, task.action_size)).astype(np.float32)
    actions = task.action_low + share * (task.action_high - task.action_low)
    simulator = task.simulator()
    truth = simulator.step(states, actions)
    simulator.close()
    np.testing.assert_allclose(jax.jit(jax.vmap(task.step))(states, actions), truth, rtol=2e-4, atol=2e-4)


# --- swing-ups ---


@pytest.mark.parametrize("name", SWINGUPS)
def test_a_swingup_begins_hanging_and_costs_nothing_upright(name, made):
    task = made[name]
    start = jax.jit(task.reset)(jax.random.key(0))
    assert (jnp.cos(task.tilts(start)) < -0.97).all()
    assert not task.success(start, jnp.zeros(0))
    at_rest = jnp.zeros(task.state_size)
    np.testing.assert_allclose(list(task.cost(at_rest, jnp.zeros(1), jnp.zeros(0)).values()), 0.0, atol=1e-7)
    assert task.success(at_rest, jnp.zeros(0))
    # All angles are seen by cosine and sine: once round is the same place.
    round_once = start.at[task.mj_model.nq - 1].add(2 * np.pi)
    np.testing.assert_allclose(task.local_features(round_once), task.local_features(start), atol=1e-5)
    terms = [task.cost(s, jnp.ones(1), jnp.zeros(0)) for s in (start, round_once)]
    np.testing.assert_allclose(list(terms[0].values()), list(terms[1].values()), atol=1e-5)


@pytest.mark.parametrize("name", ["double-cartpole-swingup", "acrobot-swingup"])
def test_half_of_what_hard_swingups_learn_from_lies_near_rest(name, made):
    task = made[name]
    parts = task.data(2000, jax.random.key(0))
    anywhere, near = parts["anywhere"], parts["near rest"]
    assert anywhere.share == near.share == task.near_share
    starts = near.rows.states[np.concatenate([[0], np.flatnonzero(near.rows.ends)[:-1] + 1])]
    size = np.sqrt((starts**2).mean(1))
    usual = np.median(np.sqrt((anywhere.rows.states**2).mean(1)))
    # Sizes are log-uniform over two decades and a half.
    assert 0.2 < (size < 0.1 * usual).mean() < 0.9
    assert size.min() < 0.03 * usual
    draw = jax.jit(jax.vmap(lambda key: task.problem_sampler(anywhere.rows)(key).state))
    drawn_size = np.sqrt((np.asarray(draw(jax.random.split(jax.random.key(1), 400))) ** 2).mean(1))
    assert 0.1 < (drawn_size < 0.1 * usual).mean() < 0.5


def test_hard_swing_ups_see_what_is_off_rest_enlarged(made):
    task = made["acrobot-swingup"]
    plain = super(SwingUp, task).features(jnp.zeros(4)).size
    seen = [np.asarray(task.features(jnp.array([angle, 0.0, 0.0, 0.0])))[plain:] for angle in (0.0, 0.01, 1.0)]
    # Both links lean, the elbow stays straight: what is off comes ten times as large, and saturates.
    np.testing.assert_allclose(seen[0], 0, atol=1e-6)
    np.testing.assert_allclose(seen[1], np.tanh([0.1, 0.1, 0, 0, 0]), atol=1e-4)
    np.testing.assert_allclose(seen[2], [1, 1, 0, 0, 0], atol=1e-6)
    assert made["cartpole-swingup"].features(jnp.zeros(4)).size == 5


def test_the_pendulum_needs_several_swings_and_gets_up(made):
    task = made["pendulum-swingup"]
    inertia, weight = 0.254, 1.0 * G * 0.5

    def act(state):
        # Energy shaping from hanging, a PD controller near the top.
        phi, rate = (state[0] + np.pi) % (2 * np.pi) - np.pi, state[1]
        lacking = weight - (0.5 * inertia * rate**2 + weight * np.cos(phi))
        near = abs(phi) < 0.25 and abs(rate) < 1.5
        return np.array([-(weight + 5.0) * phi - 1.5 * rate if near else np.sign(rate + 1e-9) * 3.0 * lacking])

    episodes = episode(task, act, 10.0, np.zeros(0))
    rates = episodes.states[0, :, 1]
    found = task.metrics(episodes)
    assert found["upright_share"] == 1.0
    assert 2.0 < found["upright_after_s"] < 8.0
    assert (np.diff(np.sign(rates[rates != 0][:150])) != 0).sum() >= 3  # it turns back several times


@pytest.mark.parametrize("name", SWINGUPS)
def test_a_swingup_can_be_balanced(name, made):
    # From 3 degrees off, by the linear-quadratic regulator of the linearised physics.
    task = made[name]
    model, size = task.mj_model, task.state_size
    step, push = np.zeros((size, size)), np.zeros((size, 1))
    mujoco.mjd_transitionFD(model, mujoco.MjData(model), 1e-6, True, step, push, None, None)
    push = sum(np.linalg.matrix_power(step, i) for i in range(task.substeps)) @ push
    step = np.linalg.matrix_power(step, task.substeps)
    value = scipy.linalg.solve_discrete_are(step, push, np.eye(size), 0.1 * np.eye(1))
    gain = np.linalg.solve(0.1 * np.eye(1) + push.T @ value @ push, push.T @ value @ step)
    states = np.zeros((20, size))
    tilts = slice(int(task.on_cart), model.nq)
    states[:, tilts] = np.deg2rad(np.random.default_rng(0).uniform(-3, 3, states[:, tilts].shape))
    simulator = task.simulator()
    for _ in range(250):
        states = simulator.step(states, -states @ gain.T)
    simulator.close()
    assert np.abs(states).max() < 0.02


# --- arms ---


def test_the_two_links_reach_where_geometry_says(made):
    task = made["two-link-reach"]
    for state in drawn(task.draw_state, 5):
        first, second = state[0], state[0] + state[1]
        place = 0.4 * np.array([np.cos(first), np.sin(first)]) + 0.3 * np.array([np.cos(second), np.sin(second)])
        np.testing.assert_allclose(task.achieved(jnp.asarray(state)), place, atol=1e-6)


def test_the_two_links_reach_every_goal(made):
    # The elbow's angle by the law of cosines.
    task = made["two-link-reach"]
    goals = drawn(task.draw_goal, 500)
    radius = np.linalg.norm(goals, axis=1)
    elbow = np.arccos((radius**2 - 0.4**2 - 0.3**2) / (2 * 0.4 * 0.3))
    assert np.isfinite(elbow).all()
    assert elbow.max() < task.mj_model.joint("elbow").range[1]
    assert radius.max() > 0.68


def test_the_two_links_get_there_in_a_second(made):
    # A PD controller on the angles of the inverse kinematics.
    task = made["two-link-reach"]

    def towards(target, state):
        return np.array([25.0, 3.0]) * (target - state[:2] - np.array([0.16, 0.13]) * state[2:])

    found = []
    for seed in range(5):
        goal = np.asarray(task.draw_goal(jax.random.key(seed)), np.float64)
        bend = np.arccos((goal @ goal - 0.4**2 - 0.3**2) / (2 * 0.4 * 0.3))
        first = np.arctan2(goal[1], goal[0]) - np.arctan2(0.3 * np.sin(bend), 0.4 + 0.3 * np.cos(bend))
        target = np.array([(first + np.pi) % (2 * np.pi) - np.pi, bend])
        found.append(task.metrics(episode(task, functools.partial(towards, target), 3.0, goal)))
    assert all(f["tip_error_median"] < 0.005 for f in found)
    assert np.mean([f["near_share"] for f in found]) > 0.95


@pytest.mark.slow
def test_the_seven_joints_reach_their_goals_and_hold_them(made):
    # The servos are told the angles that a goal was drawn by.
    task = made["seven-joint-reach"]
    angles = drawn(task.draw_state, 4)[:, :7].astype(np.float64)
    goals = places(task.mj_model, angles, ["tip"])[:, 0]
    states, simulator = [drawn(task.reset, 4).astype(np.float64)], task.simulator()
    for _ in range(100):
        states.append(simulator.step(states[-1], angles))
    simulator.close()
    states = np.stack(states, axis=1)
    episodes = Episodes(goals, states, np.repeat(angles[:, None], 100, axis=1), np.zeros(0), np.zeros(0, int))
    assert task.metrics(episodes)["tip_error_median"] < 0.002
    assert np.abs(states[:, :, 7:]).max() < 12  # rad/s
    goals = drawn(task.draw_goal, 100)
    assert goals[:, 2].min() > 0.1
    assert np.linalg.norm(goals[:, :2], axis=1).min() > 0.25


# --- the quadrotor ---


def test_the_quadrotor_hovers_and_turns_as_newton_says(made):
    task = made["quadrotor-pose"]
    assert 4 * task.hover == pytest.approx(0.5 * G)
    still, at_rest = task.home.astype(np.float64), np.zeros(6)
    np.testing.assert_allclose(accelerations(task, still, at_rest, np.full(4, task.hover)), 0.0, atol=1e-12)
    left, front, way = np.array([1, -1, -1, 1]), np.array([1, 1, -1, -1]), np.array([1, -1, 1, -1])
    for change, expected in (
        (np.ones(4), [0, 0, 4 / 0.5, 0, 0, 0]),
        (left, [0, 0, 0, 4 * 0.1 / 0.0025, 0, 0]),
        (-front, [0, 0, 0, 0, 4 * 0.1 / 0.0025, 0]),
        (way, [0, 0, 0, 0, 0, 4 * 0.016 / 0.004]),
    ):
        found = accelerations(task, still, at_rest, task.hover + 0.1 * change)
        np.testing.assert_allclose(found, 0.1 * np.array(expected), atol=1e-12)


def test_a_quadrotor_at_its_goal_costs_nothing(made):
    task = made["quadrotor-pose"]
    half = 0.7
    state = jnp.array([1.0, 2.0, 3.0, np.cos(half), 0, 0, np.sin(half), *np.zeros(6)])
    goal = jnp.array([1.0, 2.0, 3.0, np.cos(2 * half), np.sin(2 * half)])
    np.testing.assert_allclose(task.achieved(state), goal, atol=1e-5)
    terms = task.cost(state, jnp.full(4, task.hover), goal)
    np.testing.assert_allclose(list(terms.values()), 0.0, atol=1e-6)
    assert task.success(state, goal)
    # Half a turn the other way round is the same rotation; so is what networks see.
    for function in (task.local_features, lambda s: task.goal_features(s, goal)):
        np.testing.assert_allclose(function(state.at[3:7].multiply(-1)), function(state), atol=1e-6)
    np.testing.assert_allclose(task.goal_features(state, goal), [0, 0, 0, 1, 0], atol=1e-5)


def test_drawn_quadrotors_lean_up_to_their_tilt(made):
    task = made["quadrotor-pose"]
    quaternions = drawn(task.draw_state, 400)[:, 3:7]
    np.testing.assert_allclose(np.linalg.norm(quaternions, axis=1), 1, rtol=1e-5)
    lean = np.arccos(1 - 2 * (quaternions[:, 1] ** 2 + quaternions[:, 2] ** 2))
    assert task.tilt - 0.05 < lean.max() <= task.tilt + 1e-3
    assert lean.min() < 0.05


def test_exploration_of_the_quadrotor_is_kept_level(made):
    task = made["quadrotor-pose"]
    rows = random_rows(task, 2000, jax.random.key(0))
    up = 1 - 2 * (rows.states[:, 4:6] ** 2).sum(1)
    assert np.quantile(up, 0.02) > 0
    assert (rows.actions >= task.action_low).all()
    assert (rows.actions <= task.action_high).all()
    assert np.abs(rows.states[:, 10:]).max() < 40
    # The rows' actions are those that were taken.
    simulator = task.simulator()
    np.testing.assert_allclose(simulator.step(rows.states[:1], rows.actions[:1])[0], rows.states[1], atol=1e-4)
    simulator.close()


# --- the walker ---


def test_the_walker_stands_on_its_servos(made):
    task = made["walker-speed"]
    still = np.zeros(1)
    episodes = episode(task, lambda state: task.home[3:], 3.0, still)
    found = task.metrics(episodes)
    assert found["fall_rate"] == 0
    assert found["speed_error_mean"] < 0.05
    assert bool(task.success(jnp.asarray(episodes.states[0, -1], jnp.float32), jnp.zeros(1)))
    fallen = task.metrics(episode(task, lambda state: np.array([1.6, -0.05, 0.7, 1.6, -0.05, 0.7]), 3.0, still))
    assert fallen["fall_rate"] == 1


def test_drawn_walkers_touch_the_floor_at_most(made):
    task = made["walker-speed"]
    feet = places(task.mj_model, drawn(task.draw_state, 50), ["right heel", "right toe", "left heel", "left toe"])[
        ..., 2
    ]
    assert feet.min() > 0.04 - 1e-5
    assert feet.min(1).max() < 0.091


def test_a_walker_at_its_speed_costs_nothing(made):
    task = made["walker-speed"]
    state = jnp.concatenate([jnp.asarray(task.home), jnp.zeros(9).at[0].set(0.8)])
    np.testing.assert_allclose(list(task.cost(state, state[3:9], jnp.array([0.8])).values()), 0.0, atol=1e-6)
    far = state.at[0].set(7.0)
    np.testing.assert_allclose(task.local_features(far), task.local_features(state))


def test_exploration_of_the_walker_ends_where_it_falls(made):
    task = made["walker-speed"]
    rows = task.data(3000, jax.random.key(0))
    assert jax.jit(jax.vmap(task.stands))(jnp.asarray(rows.states)).all()
    lengths = np.diff(np.concatenate([[-1], np.flatnonzero(rows.ends)]))
    assert lengths.max() == 48
    assert lengths.min() < 24


def test_problems_of_the_walker_are_also_starts_of_episodes(made):
    task = made["walker-speed"]
    draw = task.problem_sampler(random_rows(task, 100, jax.random.key(0)))
    states = drawn(lambda key: draw(key).state, 200)
    near = (np.abs(states[:, :9] - task.home) <= task.reset_noise + 1e-6).all(1)
    assert 0.2 < near.mean() < 0.5


# --- pushing ---


def test_the_box_rests_until_it_is_pushed(made):
    task = made["planar-push"]
    start = np.array([-0.2, 0.0, 0.0, 0.0, 0.3, *np.zeros(5)])
    goal = np.array([0.3, 0.0])
    rest = episode_from(task, start, lambda state: np.array([-2.0, 0.0]), 2.0, goal)
    np.testing.assert_allclose(rest.states[0, -1, 2:5], start[2:5], atol=1e-5)
    start[4] = 0.0
    pushed = episode_from(task, start, lambda state: np.array([3.0 if state[2] < 0.28 else -1.0, 0.0]), 4.0, goal)
    assert task.metrics(pushed)["near_share"] == 1.0
    np.testing.assert_allclose(pushed.states[0, -1, 3:5], 0.0, atol=1e-3)


def test_no_pusher_is_drawn_within_its_box(made):
    task = made["planar-push"]
    states = drawn(task.draw_state, 500)
    apart = np.linalg.norm(states[:, :2] - states[:, 2:4], axis=1)
    assert apart.min() > 0.05 * np.sqrt(2) + 0.03
    assert (apart < 0.15).mean() > 0.2
    assert np.abs(states[:, :2]).max() < 0.6
    goal = jnp.asarray(states[0, 2:4])
    assert task.success(jnp.asarray(states[0]), goal)
    assert float(task.cost(jnp.asarray(states[0]), jnp.zeros(2), goal)["place"]) == pytest.approx(0, abs=1e-7)


def test_exploration_of_the_pusher_moves_the_box(made):
    states = random_rows(made["planar-push"], 8000, jax.random.key(0)).states.reshape(-1, 128, 10)
    moved = np.linalg.norm(states[:, 16:, 2:4] - states[:, :-16, 2:4], axis=-1)
    assert (moved > 0.01).mean() > 0.25


# --- all ---


@pytest.mark.parametrize("name", sorted({*NAMES} - {*LONG}))
def test_episodes_are_drawn_and_summed_up(name, made):
    task = made[name]
    steps = 110
    starts, goals = drawn(task.draw_state, 2), drawn(task.draw_goal, 2)
    states = np.repeat(starts[:, None], steps + 1, axis=1)
    episodes = Episodes(goals, states, np.zeros((2, steps, task.action_size)), np.zeros(0), np.zeros(0, int))
    assert all(value is None or np.isfinite(value) for value in task.metrics(episodes).values())
    with style():
        figure, axes = canvas(1, 1, 3.0, 3.0)
        task.draw(axes[0, 0], episodes)
        assert len(encode(figure)[0]) > 1000


def test_the_models_are_among_the_packages_files():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "invlearn_jax"
    ]
    package = ROOT / "invlearn_jax"
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    assert {path for path in package.rglob("*.xml")} <= packed
