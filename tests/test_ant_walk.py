"""The ant's motor level as a task: what it draws, what it counts, and planners for it, learned and from the first edition."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import FILE, problems

from invlearn_jax import objectives
from invlearn_jax.data import Dataset
from invlearn_jax.data.kept import read_rows
from invlearn_jax.io.command import given_config
from invlearn_jax.methods.fitting import fit, method_settings
from invlearn_jax.methods.saved import load_planner, load_task
from invlearn_jax.tasks.antmaze import walk as walk_module
from invlearn_jax.tasks.antmaze.drawing import ant_gif, limbs
from invlearn_jax.tasks.antmaze.environment import random_start
from invlearn_jax.tasks.antmaze.locomotion import Locomotion, walk_openly
from invlearn_jax.tasks.antmaze.maze import AntmazeTask
from invlearn_jax.tasks.antmaze.rows import under_way, upright_rows, uprightness
from invlearn_jax.tasks.antmaze.simulator import MujocoAntmaze
from invlearn_jax.tasks.antmaze.specs import spec
from invlearn_jax.tasks.antmaze.walk import AntWalk, WalkSettings
from invlearn_jax.tasks.check import check_task
from invlearn_jax.tasks.exploration import usable_rows
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.tasks.task import Episodes
from invlearn_jax.types import Problem

KEY = jax.random.key(0)
NONE = jnp.zeros((0, 8))  # actions, where they do not matter
TINY = {
    "data.rows": 600,
    "model.hidden": (8,),
    "model.steps": 2,
    "model.one_step": 2,
    "model.batch": 4,
    "model.horizon": 4,
    "net.hidden": (8,),
    "cloning.steps": 2,
    "cloning.batch": 8,
    "inverter.steps": 2,
    "inverter.batch": 4,
    "correction.rounds": 1,
    "correction.robots": 4,
    "correction.steps": 20,
    "correction.model_steps": 2,
    "correction.inverter_steps": 2,
    "block": 2,
    "checkpoint_every": 2,
}


@pytest.fixture(scope="module")
def walk():
    return make_task("ant-walk")


def test_the_task_keeps_its_contract(walk):
    check_task(walk)
    states = jax.jit(jax.vmap(walk.draw_state))(jax.random.split(KEY, 50))
    assert (uprightness(np.asarray(states)) > 0.999).all()
    goals = jax.jit(jax.vmap(walk.draw_goal_from))(jax.random.split(KEY, 50), states.at[:, :2].add(7.0))
    distance = np.linalg.norm(goals - states[:, :2] - 7.0, axis=1)
    assert distance.min() >= 0.29
    assert distance.max() <= 5.01


def test_what_networks_see_moves_and_turns_with_the_ant(walk):
    start, goal, angle = walk.draw_state(KEY), jnp.array([1.0, 2.0]), 0.7
    shift = jnp.array([3.0, -4.0])
    moved = walk.goal_features(start.at[:2].add(shift), goal + shift)
    np.testing.assert_allclose(walk.goal_features(start, goal), moved, atol=1e-5)
    c, s = np.cos(angle), np.sin(angle)
    way = np.array([[c, -s], [s, c]]) @ np.asarray(goal - start[:2])
    w, x, y, z = start[3:7]
    ch, sh = np.cos(angle / 2), np.sin(angle / 2)
    turned = start.at[3:7].set(jnp.array([ch * w - sh * z, ch * x - sh * y, ch * y + sh * x, ch * z + sh * w]))
    np.testing.assert_allclose(walk.goal_features(start, goal), walk.goal_features(turned, start[:2] + way), atol=1e-5)
    # Beyond the reach of 4 m a goal is a direction.
    far = [walk.goal_features(start, start[:2] + distance * jnp.array([0.6, 0.8])) for distance in (5.0, 50.0)]
    np.testing.assert_allclose(far[0], far[1], atol=1e-4)


def test_problems_start_among_the_rows_and_fallen_ants_are_left_out(walk):
    states = np.array(jax.jit(jax.vmap(walk.draw_state))(jax.random.split(KEY, 3)))
    states[1, 3:7] = [0, 1, 0, 0]
    rows = usable_rows(walk, Dataset(states, np.zeros((3, 8), np.float32), np.array([False, False, True])))
    np.testing.assert_array_equal(rows.states, states[[0, 2]])
    drawn = jax.vmap(walk.problem_sampler(rows))(jax.random.split(KEY, 20)).state
    assert (np.asarray(drawn[:, :2]) == 0).all()
    assert {tuple(x) for x in np.asarray(drawn[:, 2:])} == {tuple(x) for x in states[[0, 2], 2:]}


def test_metrics_count_metres_and_flips(walk):
    states = np.zeros((2, 51, 29), np.float32)
    states[..., 3] = 1
    states[:, :, 1] = 0.1 * np.arange(51)
    states[1, 30:, 3:7] = [0, 1, 0, 0]
    goals = np.tile([0.0, 100.0], (2, 1))
    found = walk.metrics(Episodes(goals, states, np.zeros((2, 50, 8)), np.zeros((2, 0, 17, 29)), np.zeros((2, 0))))
    assert found["metres_per_step"] == pytest.approx(0.1, abs=1e-5)
    assert found["flipped_at_end"] == 0.5
    assert found["flips_per_1000_steps"] == pytest.approx(1000 / 98)


def test_a_motor_level_is_learned_by_the_common_recipe(tmp_path):
    walk = AntWalk()
    walk.settings.data.policy, walk.settings.data.broad_rows, walk.horizon = "none", 0, 4
    planner, params = fit(walk, workdir=tmp_path, settings=TINY | {"inverter.advance": (1, 2)})
    out = jax.jit(planner.plan)(params, KEY, Problem(walk.draw_state(KEY), jnp.array([2.0, 1.0])))
    assert out.actions.shape == (4, 8)
    assert np.isfinite(out.actions).all()
    assert set(out.cost_terms) == {"off_pace", "tilt"}
    assert (uprightness(read_rows(tmp_path / "data" / "executed_1.npz").states) >= 0.2).all()
    assert load_task(tmp_path / "planner").settings.data.policy == "none"


@pytest.mark.slow
@pytest.mark.parametrize("refine_steps", [0, 2])
def test_the_shipped_motor_level_acts_as_it_did(refine_steps):
    planner, params = load_planner("ant-motor", refine_steps=refine_steps)
    plan, record = jax.jit(planner.plan), dict(np.load(FILE))[f"ant-motor/{refine_steps}"]
    for i, problem in enumerate(problems("ant-motor")):
        out = plan(params, jax.random.key(i), problem)
        np.testing.assert_allclose(out.actions, record[i], rtol=0, atol=1e-4 if refine_steps else 1e-6)
        assert int(out.result) == 0


# ---- costs


def test_off_pace_is_the_distance_from_a_point_that_goes_straight_to_the_goal():
    rng = np.random.default_rng(0)
    for goal, pace in (([3.0, -4.0], 0.2), ([0.3, 0.4], 0.2)):
        states = rng.normal(size=(7, 5))
        goal = np.array(goal) + states[0, :2]
        way = goal - states[0, :2]
        length = np.linalg.norm(way)
        distances = [
            np.linalg.norm(states[t, :2] - states[0, :2] - min(pace * t, length) * way / length) for t in range(1, 7)
        ]
        term = objectives.off_pace(pace, 2)
        found = term((), jnp.asarray(states, jnp.float32), NONE, jnp.asarray(goal, jnp.float32))
        np.testing.assert_allclose(found, np.mean(distances), rtol=1e-3)


def test_off_pace_has_a_finite_gradient_at_the_goal():
    term = objectives.off_pace(0.2, 2)
    gradient = jax.grad(lambda states: term((), states, NONE, jnp.zeros(2)))(jnp.zeros((4, 3)))
    assert jnp.isfinite(gradient).all()


def test_tilt_counts_what_leans_further_than_allowed():
    angles = np.array([0.0, 0.2, 1.0, np.pi])
    states = np.zeros((5, 29), np.float32)
    states[:, 3] = 1.0
    states[1:, 3], states[1:, 4] = np.cos(angles / 2), np.sin(angles / 2)
    found = objectives.tilt(0.9)((), jnp.asarray(states), NONE, jnp.zeros(2))
    np.testing.assert_allclose(found, np.maximum(0.9 - np.cos(angles), 0).mean(), atol=1e-5)
    np.testing.assert_allclose(uprightness(states[1:]), np.cos(angles), atol=1e-6)


# ---- rows and locomotion


def lying(rows):
    states = np.zeros((len(rows), 29), np.float32)
    states[:, 3], states[:, 4] = np.where(rows, 0, 1), np.where(rows, 1, 0)
    states[:, 0] = np.arange(len(rows))
    return states


def test_episodes_are_cut_where_the_robot_lies():
    down = np.array([0, 0, 1, 1, 0, 0, 0, 1], bool)
    ends = np.array([0, 0, 0, 0, 0, 1, 0, 1], bool)
    rows = upright_rows(Dataset(lying(down), np.zeros((8, 8), np.float32), ends, np.arange(8.0)))
    np.testing.assert_array_equal(rows.states[:, 0], [0, 1, 4, 5, 6])
    np.testing.assert_array_equal(rows.ends, [False, True, False, True, True])
    np.testing.assert_array_equal(rows.rewards, [0, 1, 4, 5, 6])
    with pytest.raises(ValueError, match="No row is upright"):
        upright_rows(Dataset(lying(np.ones(3, bool)), np.zeros((3, 8), np.float32), np.ones(3, bool)))


def test_a_robot_is_under_way_where_it_gets_away_in_time():
    states = lying(np.zeros(8, bool))
    states[:, 0] = [0, 1, 2, 3, 3, 3, 7, 8]
    ends = np.arange(8) % 4 == 3
    rows = Dataset(states, np.zeros((8, 8), np.float32), ends)
    # In the last row of an episode nothing is known of what came next.
    np.testing.assert_array_equal(under_way(rows, 2.0, steps=2), [1, 1, 0, 0, 1, 1, 0, 0])


def test_a_maze_is_learned_from_its_own_rows_alone(monkeypatch):
    """Motor level and sub-goals get the same rows, nothing broad is made, and nothing is executed."""
    states = lying(np.zeros(40, bool))
    states[20:, 0] = states[19, 0]
    rows = Dataset(states, np.zeros((40, 8), np.float32), np.arange(40) == 39)
    monkeypatch.setattr(walk_module, "walking_rows", lambda *_: rows)
    monkeypatch.setattr(walk_module, "random_ant_data", lambda *_: pytest.fail("broad data are made"))
    walk, maze = AntWalk(), AntmazeTask("antmaze-umaze-v2")
    walk.settings.data.alone = maze.settings.data.alone = True
    parts, places = walk.data(40, KEY), maze.data(40, KEY)
    assert parts["walking"].share == 0.475
    assert [len(part.rows.states) for part in parts.values()] == [19, 21]
    assert list(places) == ["walking"]
    np.testing.assert_array_equal(places["walking"].rows.states, parts["walking"].rows.states)
    motor, upper = method_settings(walk, "inverter"), method_settings(maze, "hierarchy")
    assert motor.correction.rounds == 0
    assert (upper.lower, upper.level.kind) == ("", "data")
    walk.settings.data.under_way = 100.0
    with pytest.raises(ValueError, match="no row is of an ant that gets so far in a second"):
        walk.data(40, KEY)


def test_a_truth_value_may_be_given_by_its_name_alone(monkeypatch):
    for words in (["--task_config.data.alone", "--method=inverter"], ["--task_config.data.alone=true"]):
        argv = ["run", *words]
        monkeypatch.setattr("sys.argv", argv)
        assert given_config(WalkSettings(), argv, "task_config").data.alone


def test_locomotion_counts_falls_and_rises():
    upright = np.ones((40, 2))
    upright[10:, 0] = -1
    upright[5:8, 1] = -1
    summary = Locomotion(np.full((40, 2), 0.1), upright).summary()
    assert summary["flips_per_1000_steps"] == pytest.approx(1000 * 2 / 78)
    assert summary["recovered_share"] == 0.5
    assert summary["flipped_at_end"] == 0.5
    assert summary["metres_per_step"] == pytest.approx(0.1)
    assert Locomotion(np.zeros((30, 2)), np.ones((30, 2))).summary()["recovered_share"] is None


def test_ants_walk_the_way_they_are_sent():
    starts, seen = np.asarray(jax.jit(jax.vmap(random_start))(jax.random.split(KEY, 3))), []

    def act(step, states, goals):
        seen.append((states, goals))
        return np.zeros((len(states), 8))

    walk = walk_openly(act, starts, seed=0, steps=22, hold=3, threads=1)
    simulator = MujocoAntmaze(None, threads=1)
    for t, (states, goals) in enumerate(seen):
        ahead = (goals - states[:, :2]) / 10
        np.testing.assert_allclose(np.linalg.norm(ahead, axis=1), 1)
        after = simulator.step(states, np.zeros((3, 8)))
        np.testing.assert_allclose(walk.progress[t], ((after - states)[:, :2] * ahead).sum(1), atol=1e-9)
    simulator.close()
    with pytest.raises(ValueError, match="steps is 20"):
        walk_openly(act, starts, seed=0, steps=20)
    directions = [(goals - states[:, :2]) / 10 for states, goals in seen]
    np.testing.assert_allclose(directions[0], directions[2])
    assert np.abs(directions[3] - directions[2]).max() > 0.1


# ---- pictures


def test_limbs_turn_with_the_ant():
    state = np.array(random_start(KEY), float)
    state[:2], state[3:7] = (3.0, -2.0), (1, 0, 0, 0)
    turned = state.copy()
    turned[3:7] = np.cos(0.5), 0, 0, np.sin(0.5)
    ends, after = limbs(np.stack([state, turned])) - [3.0, -2.0]
    assert ends.shape == (12, 2, 2)
    turn = np.array([[np.cos(1.0), -np.sin(1.0)], [np.sin(1.0), np.cos(1.0)]])
    np.testing.assert_allclose(after, ends @ turn.T, atol=1e-6)
    # Each leg reaches further out than the torso.
    assert np.abs(ends).max() > 0.4


def test_a_gif_has_a_frame_for_every_stride():
    from PIL import Image  # noqa: PLC0415

    states = np.repeat(np.asarray(random_start(KEY))[None, None], 2, axis=0).repeat(10, axis=1)
    states[1, :, 0] += np.arange(10)
    gif = ant_gif(spec("antmaze-umaze-v2").layout, states, np.array([[0.0, 8.0], [1.0, 9.0]]), stride=4, dpi=30)
    assert Image.open(io.BytesIO(gif)).n_frames == 3
