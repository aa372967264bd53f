"""antmaze: its model against gymnasium's and OGBench's ant, MJX against C MuJoCo, goals and rewards, bad states."""

import importlib.util
import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from invlearn_jax.tasks.antmaze import model as ant
from invlearn_jax.tasks.antmaze import specs as antmaze_specs
from invlearn_jax.tasks.antmaze.simulator import MujocoAntmaze
from invlearn_jax.tasks.maze2d import specs as maze2d_specs
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.types import Environment, Problem

UMAZE, LARGE = antmaze_specs.spec("antmaze-umaze-v2"), antmaze_specs.spec("antmaze-large-play-v2")
LANES = 64


@pytest.fixture(scope="module")
def umaze_ant():
    return make_task("antmaze-umaze-v2").environment


@pytest.fixture(scope="module")
def mjx_step(umaze_ant):
    """64 ants, one step on MJX: the one program with physics here, since it takes long to compile."""
    step = jax.jit(jax.vmap(lambda obs, goal, action: umaze_ant.step(umaze_ant.reset_to(obs, goal), action)))

    def call(obs, actions, goals=None):
        goals = np.zeros((LANES, 2)) if goals is None else goals
        return step(*(jnp.asarray(x, jnp.float32) for x in (obs, goals, actions)))

    return call


@pytest.fixture(scope="module")
def simulator():
    simulator = MujocoAntmaze(UMAZE, threads=2)
    yield simulator
    simulator.close()


def starts(count, seed=0):
    """D4RL's starts at the origin."""
    rng = np.random.default_rng(seed)
    state = np.zeros((count, 29))
    state[:, 2:4] = 0.75, 1.0
    state[:, :15] += rng.uniform(-0.1, 0.1, (count, 15))
    state[:, 3:7] /= np.linalg.norm(state[:, 3:7], axis=1, keepdims=True)
    state[:, 15:] = rng.normal(0, 0.1, (count, 14))
    return state, rng


def touched(model, states, steep=0.83):
    """Whether an ant touches a wall, and whether a capsule steeper than 56 degrees touches the floor; both ``[N]``."""
    data, found = mujoco.MjData(model), []
    wall = model.geom_type == mujoco.mjtGeom.mjGEOM_BOX
    capsule = model.geom_type == mujoco.mjtGeom.mjGEOM_CAPSULE
    for state in states:
        data.qpos[:] = state[:15]
        mujoco.mj_fwdPosition(model, data)
        pairs = data.contact.geom
        on_floor = pairs[~wall[pairs].any(1)].max(1)
        steeply = capsule[on_floor] & (np.abs(data.geom_xmat[on_floor, 8]) > steep)
        found.append((wall[pairs].any(), steeply.any()))
    return np.array(found).T


# --- the model ---


def test_environment_meets_the_contract(umaze_ant):
    assert isinstance(umaze_ant, Environment)
    assert (umaze_ant.dt, umaze_ant.observation_size, umaze_ant.action_size) == (pytest.approx(0.1), 29, 8)
    assert umaze_ant.gradient == "forward"
    assert UMAZE.ends_at_goal
    assert not maze2d_specs.spec("maze2d-umaze-v1").ends_at_goal


def test_model_numbers_are_d4rls(simulator):
    model = simulator.model
    assert (model.nq, model.nv, model.nu) == (15, 14, 8)
    assert model.body_mass.sum() == pytest.approx(0.91088, abs=5e-6)
    assert model.opt.timestep == 0.02
    assert model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4
    joints = [model.joint(i).name for i in range(1, 9)]
    assert joints == [f"{part}_{leg}" for leg in (1, 2, 3, 4) for part in ("hip", "ankle")]
    ankles = ((30, 70), (-70, -30), (-70, -30), (30, 70))
    degrees = [limit for ankle in ankles for limit in ((-30, 30), ankle)]
    np.testing.assert_allclose(np.rad2deg(model.jnt_range[1:]), degrees)
    assert [model.joint(int(i)).name for i in model.actuator_trnid[:, 0]] == list(ant.MOTORS)
    assert ant.MOTORS == ("hip_4", "ankle_4", "hip_1", "ankle_1", "hip_2", "ankle_2", "hip_3", "ankle_3")
    np.testing.assert_array_equal(model.actuator_ctrlrange, [[-30, 30]] * 8)
    np.testing.assert_array_equal(model.actuator_gear[:, 0], 1)
    # Whether the installed MuJoCo takes the larger margin or the sum, the floor's is 1 cm.
    ants = model.geom_bodyid > 0
    assert set(model.geom_margin[ants]) == {0}
    assert model.geom("floor").margin == ant.MARGIN == 0.01


def same_ant(model, other, scale=1.0):
    """Masses, joints, contacts and motors of two models' ants; ``scale`` is what the other's gear does to its control."""
    for name in ("body_mass", "body_inertia", "body_ipos", "body_pos"):
        np.testing.assert_allclose(getattr(model, name)[1:], getattr(other, name)[1:], atol=1e-12, err_msg=name)
    for name in (
        "geom_type",
        "geom_size",
        "geom_pos",
        "geom_condim",
        "geom_contype",
        "geom_conaffinity",
        "geom_friction",
    ):
        ours, theirs = (getattr(m, name)[m.geom_bodyid > 0] for m in (model, other))
        np.testing.assert_allclose(ours, theirs, atol=1e-12, err_msg=name)
    for name in ("jnt_type", "jnt_range", "jnt_axis", "jnt_limited", "dof_armature", "dof_damping", "actuator_trnid"):
        np.testing.assert_allclose(getattr(model, name), getattr(other, name), atol=1e-12, err_msg=name)
    force = scale * other.actuator_gear[:, :1] * other.actuator_ctrlrange
    np.testing.assert_allclose(model.actuator_gear[:, :1] * model.actuator_ctrlrange, force)


def gymnasium_ant():
    """gymnasium's ant.xml, its path."""
    gymnasium = pytest.importorskip("gymnasium")
    return Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "ant.xml"


def test_the_ant_is_gymnasiums(simulator):
    other = mujoco.MjModel.from_xml_path(str(gymnasium_ant()))
    same_ant(simulator.model, other, scale=30 / 150)
    assert other.opt.integrator == simulator.model.opt.integrator


def test_the_ant_is_ogbenchs(simulator):
    found = importlib.util.find_spec("ogbench")
    if found is None:
        pytest.skip("ogbench is not installed (pip install ogbench).")
    path = Path(found.origin).parent / "locomaze" / "assets" / "ant.xml"
    other = mujoco.MjModel.from_xml_path(str(path))
    same_ant(simulator.model, other)
    for name in ("geom_solref", "geom_solimp"):
        ours, theirs = (getattr(m, name)[m.geom_bodyid > 0] for m in (simulator.model, other))
        np.testing.assert_allclose(ours, theirs, err_msg=name)
    assert other.opt.timestep == simulator.model.opt.timestep


def d4rl_model(layout):
    """The model as D4RL's ``maze_env`` writes it, from gymnasium's ant with D4RL's numbers."""
    text = gymnasium_ant().read_text().replace('timestep="0.01"', 'timestep="0.02"').replace('coordinate="local"', "")
    text = text.replace('margin="0.01" rgba', 'margin="0.01" solref=".02 1" solimp=".8 .8 .01" rgba', 1)
    text = text.replace('ctrlrange="-1.0 1.0"', 'ctrlrange="-30 30"').replace('gear="150"', 'gear="1"')
    walls = "".join(
        f'<geom type="box" size="2 2 1" pos="{4 * column - 4} {4 * row - 4} 1" contype="1" conaffinity="1"/>'
        for row, column in np.argwhere(layout.walls)
    )
    return mujoco.MjModel.from_xml_string(text.replace("</worldbody>", walls + "</worldbody>"))


def advance(model, state, action):
    """One step of 0.1 s of one ant."""
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:], data.ctrl[:] = state[:15], state[15:], 30 * np.clip(action, -1, 1)
    mujoco.mj_step(model, data, 5)
    return np.concatenate([data.qpos, data.qvel])


def test_the_motion_is_that_of_d4rls_xml(simulator, rows_at_walls):
    states, actions, following = rows_at_walls
    theirs = d4rl_model(UMAZE.layout)
    error = np.abs([advance(theirs, *row) for row in zip(states, actions, strict=True)] - following)
    # On the floor alone it is the same motion. Contacts with walls act 5 mm nearer to the ant.
    at_wall = touched(theirs, states)[0] | touched(theirs, following)[0]
    untouched = ~at_wall & (np.abs(states[:, 1] + 2) > 1.4)
    assert at_wall.sum() > 20
    assert untouched.sum() > 20
    assert error[untouched].max() < 1e-9
    assert np.median(error[at_wall, :15].max(1)) < 0.003
    assert error[at_wall, :15].max() < 0.05


# --- the maze ---


def test_rows_are_y_and_columns_are_x(simulator):
    centre = ant.cell_centre(UMAZE.layout, np.array([[1, 1], [1, 3], [3, 1]]))
    np.testing.assert_array_equal(centre, [[0, 0], [8, 0], [0, 8]])
    model = simulator.model
    assert (model.geom_type == mujoco.mjtGeom.mjGEOM_BOX).sum() == UMAZE.layout.walls.sum() == 18
    np.testing.assert_allclose(model.geom("wall_2_1").pos, [0, 4, 1])
    np.testing.assert_allclose(model.geom("wall_0_4").pos, [12, -4, 1])
    np.testing.assert_allclose(model.geom("wall_2_1").size, [2.01, 2.01, 1.01])
    np.testing.assert_allclose(model.body("torso").pos, [0, 0, 0.75])


# --- starts, goals, rewards ---


def test_random_goals_lie_in_all_free_cells(umaze_ant):
    goals = np.asarray(jax.jit(jax.vmap(umaze_ant.random_goal))(jax.random.split(jax.random.key(1), 500)))
    column_row = np.floor(goals / 4).astype(int) + 1
    assert set(map(tuple, column_row[:, ::-1])) == set(map(tuple, UMAZE.layout.free))
    assert (goals % 4 <= 1.5).all()


def test_reaching_the_goal_pays_and_ends(umaze_ant, mjx_step):
    state = umaze_ant.reset_to(jnp.asarray(starts(1)[0][0], jnp.float32), jnp.array([0.3, 0.3]))
    assert (float(state.reward), float(state.done)) == (1, 1)
    problem = umaze_ant.problem(state, jax.random.key(0))
    assert isinstance(problem, Problem)
    np.testing.assert_array_equal(problem.state, state.obs)
    # Of the state after the step: into the disc, and out of it.
    obs, _ = starts(LANES)
    obs[:, :2], obs[:, 15:17] = [0.0, 0.0], [3.0, 0.0]
    goals = np.tile([[0.55, 0.0], [-0.45, 0.0]], (LANES // 2, 1))
    state = mjx_step(obs, np.zeros((LANES, 8)), goals)
    assert np.asarray(state.reward).tolist() == np.asarray(state.done).tolist() == [1, 0] * (LANES // 2)
    np.testing.assert_array_equal(state.info["goal"], goals.astype(np.float32))
    np.testing.assert_allclose(
        state.metrics["distance"], np.linalg.norm(np.asarray(state.obs)[:, :2] - goals, axis=1), rtol=1e-5
    )


# --- MJX and C MuJoCo ---


def explored(simulator, state, rng, steps):
    """States before, actions, states after, each ``[steps, N, ...]``, under random actions held for 0.5 s."""
    drawn = np.repeat(rng.uniform(-1, 1, (-(-steps // 5), len(state), 8)), 5, axis=0)[:steps]
    states = list(itertools.accumulate(drawn, simulator.step, initial=state))
    return np.array(states[:-1]), drawn, np.array(states[1:])


@pytest.fixture(scope="module")
def rows_at_walls(simulator):
    """Rows of ants that are thrown at the wall y = -2 of their corridor; states, actions, states after."""
    state, rng = starts(32, seed=1)
    state[:, 0], state[:, 1], state[:, 16] = rng.uniform(3, 5, 32), rng.uniform(-1.0, 0.0, 32), -3.0
    return [rows.reshape(-1, rows.shape[-1]) for rows in explored(simulator, state, rng, 12)]


def errors(mjx_step, rows):
    """Largest error of positions and velocities of each row after one step on MJX."""
    states, actions, following = (x[: len(x) // LANES * LANES].reshape(-1, LANES, x.shape[-1]) for x in rows)
    found = [np.asarray(mjx_step(s, a).obs) for s, a in zip(states, actions, strict=True)]
    error = np.abs(np.array(found) - following).reshape(-1, 29)
    return error[:, :15].max(1), error[:, 15:].max(1)


def test_mjx_moves_like_c_mujoco_on_the_floor(mjx_step, simulator):
    state, rng = starts(LANES)
    rows = [x.reshape(-1, x.shape[-1]) for x in explored(simulator, state, rng, 12)]
    position, velocity = errors(mjx_step, rows)
    steep = touched(simulator.model, rows[0])[1] | touched(simulator.model, rows[2])[1]
    assert (~steep).sum() > 200
    # Steep legs may have touched the floor between two states.
    assert np.percentile(position[~steep], 80) < 2e-5
    assert np.percentile(velocity[~steep], 80) < 2e-4
    # Where they did, friction is bounded by a pyramid turned another way.
    assert np.median(position) < 2e-3
    assert position.max() < 0.1


def test_mjx_moves_like_c_mujoco_at_a_wall(mjx_step, simulator, rows_at_walls):
    position, velocity = errors(mjx_step, rows_at_walls)
    at_wall, steep = touched(simulator.model, rows_at_walls[0]) | touched(simulator.model, rows_at_walls[2])
    assert (at_wall & ~steep).sum() > 30
    assert np.percentile(position[at_wall & ~steep], 70) < 1e-4
    assert np.percentile(velocity[at_wall & ~steep], 70) < 1e-3
    assert position[at_wall].max() < 0.1


def test_they_stay_together_over_half_a_second(mjx_step, simulator):
    state, rng = starts(LANES, seed=2)
    _, actions, following = explored(simulator, state, rng, 5)
    for action in actions:
        state = np.asarray(mjx_step(state, action).obs)
    apart = np.linalg.norm((state - following[-1])[:, :3], axis=1)
    assert np.median(apart) < 0.03
    assert apart.max() < 0.2


def test_actions_are_clipped_and_nan_free(mjx_step, simulator):
    state, rng = starts(LANES, seed=3)
    wild = rng.normal(0, 5, (LANES, 8))
    np.testing.assert_array_equal(mjx_step(state, wild).obs, mjx_step(state, np.clip(wild, -1, 1)).obs)
    np.testing.assert_array_equal(simulator.step(state, wild), simulator.step(state, np.clip(wild, -1, 1)))
    assert np.isfinite(mjx_step(state, wild).obs).all()


# --- C MuJoCo ---


def test_an_action_moves_its_own_joint(simulator):
    state = np.repeat(starts(1)[0], 8, axis=0)
    state[:, 2] = 3.0  # in the air
    state[:, 7:15] = np.deg2rad([0, 50, 0, -50, 0, -50, 0, 50])  # far from the joints' limits
    rest = simulator.step(state, np.zeros((8, 8)))
    pushed = simulator.step(state, np.eye(8))[:, 21:] - rest[:, 21:]
    joints = [f"{part}_{leg}" for leg in (1, 2, 3, 4) for part in ("hip", "ankle")]
    assert [joints[i] for i in pushed.argmax(1)] == list(ant.MOTORS)
    # 30 N m on an armature of 1 kg m^2 and a damping of 1 for 0.1 s.
    np.testing.assert_allclose(pushed.max(1), 30 * (1 - np.exp(-0.1)), rtol=0.1)


def test_threads_do_not_change_the_motion_and_nothing_is_hidden(simulator):
    state, rng = starts(33, seed=4)
    states, actions, following = explored(simulator, state, rng, 6)
    single = MujocoAntmaze(UMAZE, threads=1)
    np.testing.assert_array_equal(single.step(states[3], actions[3]), following[3])
    single.close()
    # MuJoCo's own loop keeps its solver's last solution, and here is one that does not.
    for one in range(4):
        data = mujoco.MjData(simulator.model)
        data.qpos[:], data.qvel[:] = state[one, :15], state[one, 15:]
        for action in actions[:, one]:
            data.ctrl[:] = 30 * action
            mujoco.mj_step(simulator.model, data, 5)
        np.testing.assert_allclose(np.concatenate([data.qpos, data.qvel]), following[-1, one], rtol=0, atol=1e-8)


def test_walls_hold(simulator):
    state, rng = starts(16, seed=5)
    state[:, 0], state[:, 16] = np.linspace(-1, 8, 16), -8.0  # thrown at the wall y = -2
    assert explored(simulator, state, rng, 20)[2][..., 1].min() > -2.0
    floor = MujocoAntmaze(threads=1)
    assert explored(floor, state, rng, 20)[2][-1, :, 1].max() < -2.0
    floor.close()


# --- states that are none ---


def bad_states():
    good, _ = starts(3)
    not_finite, zero, order = good.copy(), good.copy(), good.copy()
    not_finite[1, 20] = np.nan
    zero[2, 3:7] = 0
    order[1, 3:7] = [0, 0, 0.5, 0.5]
    return [
        (not_finite, "NaN or infinity, first in row 1"),
        (zero, "no unit quaternion in entries 3 to 6.*row 2.*length is 0, allowed is 1 within 0.12"),
        (order, "row 1: its length is 0.707"),
        (good[:, :27], r"shape \(3, 27\); an ant's state has 29"),
        (np.zeros((3, 4)), "an ant's state has 29"),
    ]


@pytest.mark.parametrize(("states", "message"), bad_states())
def test_states_that_are_no_ants_are_refused(states, message, simulator):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        ant.check_ant_states(states)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        simulator.step(states, np.zeros((3, 8)))


def test_the_quaternions_of_d4rls_resets_are_accepted_and_rescaled(simulator):
    state, rng = starts(200)
    unscaled = state.copy()
    unscaled[:, 3:7] = [1, 0, 0, 0] + rng.uniform(-0.1, 0.1, (200, 4))
    ant.check_ant_states(unscaled)
    state[:, 3:7] = unscaled[:, 3:7] / np.linalg.norm(unscaled[:, 3:7], axis=1, keepdims=True)
    after = simulator.step(unscaled, np.zeros((200, 8)))
    np.testing.assert_allclose(after, simulator.step(state, np.zeros((200, 8))), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(after[:, 3:7], axis=1), 1, atol=1e-12)
