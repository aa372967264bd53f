"""The control tasks: accelerations against the equations of motion, kinematics, costs, and that what is set can be done."""

import tomllib

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
import scipy.linalg
from conftest import ROOT

import invlearn_jax as il
from invlearn_jax.tasks import control
from invlearn_jax.tasks.task import Episodes

NAMES = sorted(control.tasks())
SWINGUPS = [name for name in NAMES if "swingup" in name]
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


def episode(task, act, seconds, goal=None, seed=0):
    """One closed loop on C MuJoCo under ``act(state)``."""
    problem = jax.jit(task.draw_problem)(jax.random.key(seed))
    goal = np.asarray(problem.goal) if goal is None else goal
    states, actions, simulator = [np.asarray(problem.state, np.float64)], [], task.simulator()
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


@pytest.mark.parametrize("name", NAMES)
def test_both_engines_take_the_same_step(name, made):
    task = made[name]
    states = np.asarray(jax.vmap(task.draw_state)(jax.random.split(jax.random.key(0), 8)))
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


def test_the_pendulum_needs_several_swings_and_gets_up(made):
    task = made["pendulum-swingup"]
    inertia, weight = 0.254, 1.0 * G * 0.5

    def act(state):
        # Energy shaping from hanging, a PD controller near the top.
        phi, rate = (state[0] + np.pi) % (2 * np.pi) - np.pi, state[1]
        lacking = weight - (0.5 * inertia * rate**2 + weight * np.cos(phi))
        near = abs(phi) < 0.25 and abs(rate) < 1.5
        return np.array([-(weight + 5.0) * phi - 1.5 * rate if near else np.sign(rate + 1e-9) * 3.0 * lacking])

    episodes = episode(task, act, 10.0)
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
    for state in np.asarray(jax.vmap(task.draw_state)(jax.random.split(jax.random.key(0), 5))):
        first, second = state[0], state[0] + state[1]
        place = 0.4 * np.array([np.cos(first), np.sin(first)]) + 0.3 * np.array([np.cos(second), np.sin(second)])
        np.testing.assert_allclose(task.achieved(jnp.asarray(state)), place, atol=1e-6)


def test_the_two_links_reach_every_goal(made):
    # The elbow's angle by the law of cosines.
    task = made["two-link-reach"]
    goals = np.asarray(jax.vmap(task.draw_goal)(jax.random.split(jax.random.key(0), 500)))
    radius = np.linalg.norm(goals, axis=1)
    elbow = np.arccos((radius**2 - 0.4**2 - 0.3**2) / (2 * 0.4 * 0.3))
    assert np.isfinite(elbow).all()
    assert elbow.max() < task.mj_model.joint("elbow").range[1]
    assert radius.max() > 0.68


def test_the_models_are_among_the_packages_files():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "invlearn_jax"
    ]
    package = ROOT / "invlearn_jax"
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    assert {path for path in package.rglob("*.xml")} <= packed
