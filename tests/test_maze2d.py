"""maze2d against its closed form, D4RL's own XML on C MuJoCo and gymnasium-robotics' PointMaze."""

import importlib
import warnings

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
import scipy.stats
from helpers import count_compilations, held_actions

from invlearn_jax.tasks import layouts
from invlearn_jax.tasks.d4rl import dense_reward, sparse_reward
from invlearn_jax.tasks.layouts import parse_layout
from invlearn_jax.tasks.maze2d import model as ball
from invlearn_jax.tasks.maze2d.environment import inside_maze, maze2d_spec
from invlearn_jax.tasks.maze2d.simulator import MujocoMaze2d
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.types import Environment, Problem

MASS = 4.1887902  # kg, as D4RL's compiled model has it


def free_motion(obs, action):
    """``v' = v + h (100 a - v) / (m + h)``, ``x' = x + h v'``, after both clips."""
    position, velocity = np.asarray(obs, np.float64)[..., :2], np.clip(np.asarray(obs, np.float64)[..., 2:], -5, 5)
    velocity = velocity + 0.01 * (100 * np.clip(action, -1, 1) - velocity) / (MASS + 0.01)
    return np.concatenate([position + 0.01 * velocity, velocity], -1)


def margin_rule():
    """How the installed MuJoCo joins two geoms' margins: ``max`` (up to 3.x, what D4RL was made with) or ``sum``."""
    model = mujoco.MjModel.from_xml_string(
        '<mujoco><worldbody><geom type="sphere" size="0.1" margin="0.002"/><body pos="0 0 0.19"><freejoint/>'
        '<geom type="sphere" size="0.1" margin="0.002"/></body></worldbody></mujoco>'
    )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return {0.002: "max", 0.004: "sum"}[round(float(data.contact[0].includemargin), 6)]


def d4rl_model(rows):
    """The model as D4RL's ``point_maze`` writes it, its margin halved where the two geoms' margins add."""
    margin = {"max": 0.002, "sum": 0.001}[margin_rule()]
    walls = "".join(
        f'<geom type="box" size="0.5 0.5 0.2" pos="{i + 1.0} {j + 1.0} 0" contype="2" conaffinity="1"/>'
        for i, row in enumerate(rows)
        for j, cell in enumerate(row)
        if cell == "#"
    )
    return mujoco.MjModel.from_xml_string(f"""
<mujoco model="pointmaze">
  <compiler inertiafromgeom="true" angle="radian"/>
  <option timestep="0.01" gravity="0 0 0" iterations="20" integrator="Euler"/>
  <default>
    <joint damping="1" limited="false"/>
    <geom friction=".5 .1 .1" density="1000" margin="{margin}" condim="1" contype="2" conaffinity="1"/>
  </default>
  <worldbody>
    <geom name="ground" type="plane" size="40 40 0.25" pos="0 0 -0.1" contype="1" conaffinity="0"/>
    <body name="particle" pos="1.2 1.2 0">
      <geom name="particle_geom" type="sphere" size="0.1" contype="1"/>
      <joint name="ball_x" type="slide" pos="0 0 0" axis="1 0 0"/>
      <joint name="ball_y" type="slide" pos="0 0 0" axis="0 1 0"/>
    </body>
    {walls}
  </worldbody>
  <actuator>
    <motor joint="ball_x" ctrlrange="-1.0 1.0" ctrllimited="true" gear="100.0"/>
    <motor joint="ball_y" ctrlrange="-1.0 1.0" ctrllimited="true" gear="100.0"/>
  </actuator>
</mujoco>""")


def run(simulator, start, actions):
    """``[steps + 1, N, 4]`` on C MuJoCo."""
    states = [np.asarray(start, np.float64)]
    for action in actions:
        states.append(simulator.step(states[-1], action))
    return np.stack(states)


def starts_in(spec, count, seed):
    rng = np.random.default_rng(seed)
    cells = spec.layout.free[rng.integers(len(spec.layout.free), size=count)]
    return np.concatenate([cells + rng.uniform(-0.1, 0.1, (count, 2)), rng.normal(0, 0.1, (count, 2))], 1), rng


@pytest.fixture(scope="module")
def umaze_rows(umaze, umaze_simulator):
    """Long random rollouts on C MuJoCo: states before, actions, states after."""
    start, rng = starts_in(umaze.spec, 16, 0)
    actions = held_actions(rng, 16, 800)
    states = run(umaze_simulator, start, actions)
    return states[:-1].reshape(-1, 4), actions.reshape(-1, 2), states[1:].reshape(-1, 4)


def test_environment_meets_the_contract(umaze):
    assert isinstance(umaze, Environment)
    assert (umaze.dt, umaze.observation_size, umaze.action_size, umaze.episode_length) == (0.01, 4, 2, 300)
    assert umaze.mj_model.nq == umaze.mj_model.nv == 2
    assert umaze.mj_model.body("particle").mass == pytest.approx(MASS, rel=1e-8)


# --- free motion ---


def free_states(count=200):
    """States in umaze's corridor of row 3 and column 3 that no wall touches within a step."""
    rng = np.random.default_rng(1)
    position = np.array([3.0, 2.0]) + rng.uniform([-0.5, -0.8], [0.1, 0.8], (count, 2))
    velocity = rng.uniform(-6, 6, (count, 2))
    velocity[np.abs(position[:, 0] - 2.8) > 0.3, 0] *= 0.1
    return np.concatenate([position, velocity], 1), rng.uniform(-1.5, 1.5, (count, 2))


def test_free_motion_on_mujoco_follows_the_closed_form(umaze_simulator):
    obs, action = free_states()
    np.testing.assert_allclose(umaze_simulator.step(obs, action), free_motion(obs, action), rtol=0, atol=1e-9)


def test_free_motion_on_mjx_follows_the_closed_form(umaze_batch):
    obs, action = (x.astype(np.float32) for x in free_states())
    states, _ = umaze_batch(obs, action)
    np.testing.assert_allclose(states[:, :2], free_motion(obs, action)[:, :2], rtol=0, atol=1e-6)
    np.testing.assert_allclose(states[:, 2:], free_motion(obs, action)[:, 2:], rtol=1e-6, atol=1e-6)


def test_first_step_from_rest_adds_the_measured_speed(umaze_batch, umaze_simulator):
    obs, action = np.array([[3.0, 2.0, 0, 0]]), np.array([[1.0, -1.0]])
    np.testing.assert_allclose(umaze_simulator.step(obs, action)[0, 2:], [0.238164, -0.238164], rtol=0, atol=5e-7)
    np.testing.assert_allclose(umaze_batch(obs, action)[0][0, 2:], [0.238164, -0.238164], rtol=0, atol=1e-6)


def test_actions_and_velocities_are_clipped_before_the_step(umaze_batch, umaze_simulator):
    obs = np.array([[3.0, 2.0, 0, 0], [3.0, 2.0, 0, 0], [3.0, 2.0, 0, 9.0], [3.0, 2.0, 0, 5.0]])
    action = np.array([[0, 7.0], [0, 1.0], [0, 1.0], [0, 1.0]])
    for states in (umaze_batch(obs, action)[0], umaze_simulator.step(obs, action)):
        assert np.array_equal(states[0], states[1])
        assert np.array_equal(states[2], states[3])
        # The clip comes first, so the speed may read beyond 5.
        assert states[2, 3] == pytest.approx(5 + 0.01 * (100 - 5) / (MASS + 0.01), rel=1e-6)


# --- walls ---

PUSHES = [((-1, 0), 0, 0.40137), ((0, -1), 1, 0.40137), ((1, 0), 0, 1.19863), ((0, 1), 1, 3.19863)]


@pytest.mark.parametrize(("action", "axis", "rest"), PUSHES)
def test_a_pushed_ball_rests_at_d4rls_distance_from_the_wall(umaze_simulator, action, axis, rest):
    states = run(umaze_simulator, [[1.0, 1.0, 0, 0]], np.tile(action, (300, 1, 1)))
    assert states[-1, 0, axis] == pytest.approx(rest, abs=1e-5)
    assert states[-1, 0, 2 + axis] == pytest.approx(0, abs=1e-6)


def test_mjx_rests_where_mujoco_does(umaze_batch):
    obs = np.tile([1.0, 1.0, 0, 0], (4, 1))
    actions = np.array([push[0] for push in PUSHES])
    for _ in range(300):
        obs, _ = umaze_batch(obs, actions)
    found = [obs[i, axis] for i, (_, axis, _) in enumerate(PUSHES)]
    np.testing.assert_allclose(found, [rest for *_, rest in PUSHES], rtol=0, atol=2e-5)


def test_a_fast_hit_penetrates_a_few_centimetres(umaze_simulator):
    """The surface lies at 0.4 m. How deep a ball of 5 m/s goes depends on where its last free step ends."""
    start = np.stack([1.0 + np.linspace(0, 0.05, 11), np.ones(11), np.full(11, -5.0), np.zeros(11)], axis=1)
    states = run(umaze_simulator, start, np.tile([-1.0, 0], (50, 11, 1)))
    assert 0.345 < states[:, :, 0].min() < 0.36


@pytest.mark.parametrize("name", ["UMAZE", "LARGE"])
def test_motion_equals_that_of_d4rls_own_xml(name):
    """Our XML has no margins and no floor contact, D4RL's has. Each step starts from ours: corners amplify rounding."""
    rows = getattr(layouts, name)
    spec = maze2d_spec(rows)
    model = d4rl_model(rows)
    count, steps = 6, 2000
    start, rng = starts_in(spec, count, 2)
    actions = held_actions(rng, count, steps)
    simulator = MujocoMaze2d(spec, threads=1)
    ours = run(simulator, start, actions)
    simulator.close()
    theirs, hits = np.zeros_like(ours[1:]), 0
    for i in range(count):
        data = mujoco.MjData(model)
        for t in range(steps):
            data.qpos[:], data.qvel[:] = ours[t, i, :2], np.clip(ours[t, i, 2:], -5, 5)
            data.ctrl[:] = np.clip(actions[t, i], -1, 1)
            mujoco.mj_step(model, data)
            hits += any(0 not in contact.geom for contact in data.contact)
            theirs[t, i] = np.concatenate([data.qpos, data.qvel])
    np.testing.assert_allclose(ours[1:], theirs, rtol=0, atol=1e-11)
    assert hits > 1000


def test_trajectories_stay_with_d4rls_own_xml(umaze_simulator):
    """The same free-running, its velocity clip, solver warm start and all."""
    start, rng = starts_in(umaze_simulator.spec, 6, 2)
    actions = held_actions(rng, 6, 500)
    ours = run(umaze_simulator, start, actions)
    model = d4rl_model(layouts.UMAZE)
    for i in range(6):
        data = mujoco.MjData(model)
        data.qpos, data.qvel = start[i, :2], start[i, 2:]
        for t in range(500):
            data.qvel[:] = np.clip(data.qvel, -5, 5)
            data.ctrl[:] = np.clip(actions[t, i], -1, 1)
            mujoco.mj_step(model, data)
        np.testing.assert_allclose(ours[-1, i], np.concatenate([data.qpos, data.qvel]), rtol=0, atol=1e-9)


def test_margins_of_two_geoms_join_in_a_known_way():
    version = tuple(int(part) for part in mujoco.__version__.split(".")[:2])
    assert margin_rule() == ("max" if version < (4, 0) else "sum")


def check_one_step_agreement(batch, before, actions, after):
    """MJX's float32 step from C MuJoCo's states; bounds lie about twice above the errors met."""
    states, _ = batch(before, actions)
    error = np.abs(states - after)
    met_wall = np.abs(after - free_motion(before, actions)).max(-1) > 1e-6
    assert met_wall.mean() > 0.1
    assert error[:, :2].max() < 1e-5
    assert error[:, 2:].max() < 1e-3
    assert np.median(error[met_wall, 2:].max(-1)) < 1e-5


def test_mjx_agrees_with_mujoco_step_by_step_in_umaze(umaze_batch, umaze_rows):
    check_one_step_agreement(umaze_batch, *umaze_rows)


def test_mjx_agrees_with_mujoco_step_by_step_in_large(large, large_batch):
    start, rng = starts_in(large.spec, 32, 3)
    actions = held_actions(rng, 32, 100)
    simulator = MujocoMaze2d(large.spec, threads=1)
    states = run(simulator, start, actions)
    simulator.close()
    check_one_step_agreement(large_batch, states[:-1].reshape(-1, 4), actions.reshape(-1, 2), states[1:].reshape(-1, 4))


def test_visited_positions_are_inside_the_maze(umaze, umaze_rows):
    layout = umaze.spec.layout
    assert inside_maze(layout, umaze_rows[2][:, :2]).all()
    # One-cell corridors span [c - 0.6, c + 0.2].
    corridor = np.array([[3 - 0.6, 2], [3 + 0.2, 2], [3 - 0.7, 2], [3 + 0.3, 2], [2, 1], [-5, 1], [9, 9]])
    assert inside_maze(layout, corridor, slack=0.01).tolist() == [True, True, False, False, False, False, False]


# --- gymnasium-robotics ---


@pytest.fixture(scope="module")
def point_env():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for package in ("gymnasium", "gymnasium_robotics"):
            pytest.importorskip(package)
        gymnasium = importlib.import_module("gymnasium")
        gymnasium.register_envs(importlib.import_module("gymnasium_robotics"))
        env = gymnasium.make("PointMaze_UMaze-v3")
        env.reset(seed=0)
        yield env.unwrapped.point_env
        env.close()


def test_motion_equals_pointmazes_after_a_change_of_axes(point_env, umaze_simulator):
    """Their x runs along our columns, their y against our rows, and their ball is centred on its cell.

    So ``ours = (H/2 - 0.5 - y, x + W/2 - 0.5) - 0.2`` with H = W = 5. Their margins of 2 mm join by the rule of the
    installed MuJoCo; where they add, the walls begin 2 mm earlier than ours.
    """
    if margin_rule() == "sum":
        pytest.skip("PointMaze's walls begin 2 mm earlier under this MuJoCo")
    shift = np.array([2.0, 2.0]) - 0.2
    _, rng = starts_in(umaze_simulator.spec, 1, 4)
    actions = held_actions(rng, 1, 1500)[:, 0]
    ours = np.array([[1.0, 1.0, 0.3, -0.2]])
    x, y = ours[0, 1] - shift[1], shift[0] - ours[0, 0]
    point_env.set_state(np.array([x, y]), np.array([ours[0, 3], -ours[0, 2]]))
    hits = 0
    for step, action in enumerate(actions):
        free = free_motion(ours, action)
        ours = umaze_simulator.step(ours, action[None])
        hits += np.abs(ours - free).max() > 1e-6
        obs = point_env.step(np.array([action[1], -action[0]]))[0]
        theirs = np.array([shift[0] - obs[1], obs[0] + shift[1], -obs[3], obs[2]])
        np.testing.assert_allclose(ours[0], theirs, rtol=0, atol=1e-8, err_msg=f"step {step}")
    assert hits > 100


# --- reset and reward ---


def test_resets_are_drawn_as_d4rl_draws_them(umaze):
    count = 4096
    state = jax.jit(jax.vmap(umaze.reset))(jax.random.split(jax.random.key(0), count))
    obs = np.asarray(state.obs)
    cells = np.rint(obs[:, :2]).astype(int)
    offset = obs[:, :2] - cells
    found, counts = np.unique(cells, axis=0, return_counts=True)
    assert found.tolist() == umaze.spec.layout.free.tolist()
    assert scipy.stats.chisquare(counts).pvalue > 1e-3
    assert np.abs(offset).max() <= 0.1 + 1e-6
    assert scipy.stats.kstest(offset.ravel(), "uniform", (-0.1, 0.2)).pvalue > 1e-3
    assert scipy.stats.kstest(obs[:, 2:].ravel(), "norm", (0, 0.1)).pvalue > 1e-3
    assert abs(np.corrcoef(obs.T) - np.eye(4))[2:].max() < 0.1
    assert np.array_equal(state.info["goal"], np.tile([1.0, 1.0], (count, 1)))
    assert not np.asarray(state.done).any()


def test_random_goals_are_drawn_as_d4rl_draws_them(large):
    goals = np.asarray(jax.jit(jax.vmap(large.random_goal))(jax.random.split(jax.random.key(1), 4096)))
    cells = np.rint(goals).astype(int)
    found, counts = np.unique(cells, axis=0, return_counts=True)
    assert found.tolist() == large.spec.layout.free.tolist()
    assert scipy.stats.chisquare(counts).pvalue > 1e-3
    assert scipy.stats.kstest((goals - cells).ravel(), "uniform", (-0.1, 0.2)).pvalue > 1e-3


def test_same_key_same_start(umaze):
    reset = jax.jit(umaze.reset)
    first, second, other = (np.asarray(reset(jax.random.key(seed)).obs) for seed in (5, 5, 6))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_rewards_by_hand():
    goal = jnp.array([1.0, 1.0])
    positions = jnp.array([[1.0, 1.0], [1.5, 1.0], [1.0, 1.51], [1.0, 4.0]])
    assert sparse_reward(positions, goal).tolist() == [1, 1, 0, 0]
    np.testing.assert_allclose(dense_reward(positions, goal), np.exp([0, -0.5, -0.51, -3]), rtol=1e-6)


def test_reward_is_that_of_the_state_after_the_step(umaze_batch):
    entering, leaving = [1.0, 1.52, 0, -4.0], [1.0, 1.48, 0, 4.0]
    states, rewards = umaze_batch(np.array([entering, leaving]), np.zeros((2, 2)))
    distance = np.linalg.norm(states[:, :2] - [1, 1], axis=-1)
    assert (distance < 0.5).tolist() == [True, False]
    assert rewards.tolist() == [1, 0]


def test_dense_environments_pay_exp_of_the_distance():
    env = make_task("maze2d-umaze-dense-v1").environment
    state = env.reset_to(jnp.array([3.0, 2.0, 0, 0]), env.goal)
    assert float(state.reward) == pytest.approx(np.exp(-np.sqrt(5)), rel=1e-6)
    assert float(state.metrics["distance"]) == pytest.approx(np.sqrt(5), rel=1e-6)


# --- one step under jit and vmap ---


def test_step_state_and_no_second_compilation(umaze, umaze_step):
    state = jax.jit(umaze.reset)(jax.random.key(2))
    state = umaze_step(state, jnp.array([1.0, 0.5]))
    with count_compilations() as compilations:
        following = umaze_step(state, jnp.array([-1.0, 0.0]))
    assert compilations == []
    assert jax.tree.structure(following) == jax.tree.structure(state)
    assert np.array_equal(following.obs, np.concatenate([following.data.qpos, following.data.qvel]))
    assert np.array_equal(following.info["goal"], umaze.goal)
    problem = umaze.problem(following, jax.random.key(0))
    assert isinstance(problem, Problem)
    assert np.array_equal(problem.state, following.obs)
    assert np.array_equal(problem.goal, umaze.goal)


def test_vmap_equals_loop(umaze, umaze_step, umaze_batch, umaze_rows):
    met_wall = np.abs(umaze_rows[2] - free_motion(*umaze_rows[:2])).max(-1) > 1e-6
    chosen = np.concatenate([np.flatnonzero(met_wall)[:20], np.flatnonzero(~met_wall)[:20]])
    before, actions = (x[chosen].astype(np.float32) for x in umaze_rows[:2])
    batched, rewards = umaze_batch(before, actions)
    for obs, action, together, reward in zip(before, actions, batched, rewards, strict=True):
        alone = umaze_step(umaze.reset_to(jnp.asarray(obs), umaze.goal), jnp.asarray(action))
        np.testing.assert_allclose(alone.obs, together, rtol=1e-5, atol=1e-5)
        assert float(alone.reward) == reward


def test_balls_of_a_batch_do_not_touch_each_other(umaze_batch, umaze_rows):
    before, actions = umaze_rows[0][:200], umaze_rows[1][:200]
    together, _ = umaze_batch(before, actions)
    others = before[::-1].copy()
    others[7] = before[7]
    other_actions = actions[::-1].copy()
    other_actions[7] = actions[7]
    alone, _ = umaze_batch(others, other_actions)
    assert np.array_equal(alone[7], together[7])
    assert not np.array_equal(alone[8], together[8])


# --- threads, numbers ---


def test_simulator_threads_do_not_change_the_motion(umaze, umaze_simulator):
    obs, rng = starts_in(umaze.spec, 33, 5)
    action = rng.uniform(-1, 1, (33, 2))
    simulator = MujocoMaze2d(umaze.spec, threads=2)
    assert np.array_equal(simulator.step(obs, action), umaze_simulator.step(obs, action))
    simulator.close()


def test_model_numbers_are_d4rls():
    assert pytest.approx(MASS, rel=1e-8) == ball.MASS
    assert (ball.GEAR, ball.DAMPING, ball.MAX_SPEED, ball.TIMESTEP) == (100, 1, 5, 0.01)
    assert (ball.FREE_LOW, ball.FREE_HIGH) == (pytest.approx(-0.6), pytest.approx(0.2))
    layout = parse_layout(layouts.LARGE)
    model = mujoco.MjModel.from_xml_string(ball.maze2d_xml(layout))
    assert model.ngeom == layout.walls.sum() + 2
    corner = model.geom("wall_8_11")
    np.testing.assert_allclose(corner.pos, [9.0, 12.0, 0.0])
