"""Made antmaze data: D4RL's recipe row by row, its grid planner, the goal policy and its files, and broad data."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT

from invlearn_jax import data
from invlearn_jax.keys import indexed
from invlearn_jax.tasks.antmaze import generator, goal_policy
from invlearn_jax.tasks.antmaze import model as ant
from invlearn_jax.tasks.antmaze import specs as antmaze_specs
from invlearn_jax.tasks.antmaze.files import read_ant
from invlearn_jax.tasks.antmaze.generator import COLLECTIONS, Collection, navigated, navigator, starts_and_goals
from invlearn_jax.tasks.antmaze.goal_policy import GoalPolicy, Linear
from invlearn_jax.tasks.antmaze.simulator import MujocoAntmaze

UMAZE, DIVERSE = antmaze_specs.spec("antmaze-umaze-v2"), antmaze_specs.spec("antmaze-umaze-diverse-v2")
MEDIUM = antmaze_specs.spec("antmaze-medium-play-v2").layout
ROWS = 3 * 1001 + 100
KEY = jax.random.key(0)
SHARED_POLICY = ROOT.parent / "shared" / "data" / "ant_goal_policy.npz"


def drawn_policy(seed=0, hidden=(16, 12)):
    """A policy with weights as drawn."""
    rng, sizes = np.random.default_rng(seed), (29, *hidden)

    def layer(inputs, outputs):
        return Linear(
            *(jnp.asarray(rng.normal(0, 0.3, shape), jnp.float32) for shape in ((outputs, inputs), (outputs,)))
        )

    layers = tuple(layer(*pair) for pair in zip(sizes, sizes[1:], strict=False))
    return GoalPolicy(layers, layer(sizes[-1], 8), layer(sizes[-1], 8))


@pytest.fixture(scope="module")
def made():
    return generator.antmaze_data(DIVERSE, drawn_policy(), KEY, ROWS, streams=2)


@pytest.fixture(scope="module")
def broad():
    return generator.random_ant_data(drawn_policy(), KEY, 128 * 100, length=100, streams=128)


def follow(rows, ends, simulator, count=300):
    """The largest differences between recorded and simulated next states of some rows."""
    chosen = np.flatnonzero(~ends)[:: max(1, len(ends) // count)]
    after = simulator.step(rows["observations"][chosen], rows["actions"][chosen])
    return np.abs(after - rows["observations"][chosen + 1]).max(1)


# ---- D4RL's data


def test_made_data_have_d4rls_keys(made):
    widths = {"observations": 29, "actions": 8, "infos/goal": 2, "infos/qpos": 15, "infos/qvel": 14}
    assert {key: array.shape for key, array in made.items()} == {
        **{key: (ROWS, width) for key, width in widths.items()},
        **dict.fromkeys(("rewards", "terminals", "timeouts"), (ROWS,)),
    }
    for key, array in made.items():
        assert array.dtype == (bool if key in ("terminals", "timeouts") else np.float32), key


def test_episodes_have_1001_rows_and_a_goal_each(made):
    np.testing.assert_array_equal(np.flatnonzero(made["timeouts"]), [1000, 2001, 3002])
    changed = (np.diff(made["infos/goal"], axis=0) != 0).any(1)
    np.testing.assert_array_equal(np.flatnonzero(changed), [1000, 2001, 3002])
    # Upright, slow, within U(0, 1) of a free cell's centre.
    first = made["observations"][::1001]
    np.testing.assert_allclose(first[:, 2], 0.75, atol=0.1)
    assert (np.abs(first[:, 15:]) < 0.5).all()
    assert (first[:, :2] % 4 <= 1).all()


def test_rows_follow_each_other_and_infos_are_those_after_the_step(made):
    after = np.concatenate([made["infos/qpos"], made["infos/qvel"]], axis=1)
    inside = np.flatnonzero(~made["timeouts"][:-1])
    np.testing.assert_array_equal(after[inside], made["observations"][inside + 1])
    assert (after[1000] != made["observations"][1001]).any()
    simulator = MujocoAntmaze(DIVERSE, threads=1)
    apart = follow(made, made["timeouts"][:-1], simulator)
    end = simulator.step(made["observations"][[1000]], made["actions"][[1000]])[0]
    simulator.close()
    # Rows are rounded to single precision; some begin a contact the other way.
    assert np.median(apart) < 1e-4
    np.testing.assert_allclose(after[1000], end, atol=1e-2)


def test_rewards_and_terminals_test_the_state_after_the_step(monkeypatch):
    # An ant that stays at the goal is rewarded in row after row.
    goal = jnp.array([0.2, 0.1])
    monkeypatch.setattr("invlearn_jax.tasks.antmaze.generator.goal_near", lambda key, centre: goal)
    rows = generator.antmaze_data(UMAZE, drawn_policy(), KEY, 50, noise=0.0)
    distance = np.linalg.norm(rows["infos/qpos"][:, :2] - goal, axis=1)
    np.testing.assert_array_equal(rows["rewards"], distance <= 0.5)
    np.testing.assert_array_equal(rows["terminals"], distance <= 0.5)
    assert rows["rewards"][:2].all()


def test_made_data_are_repeatable(made):
    again = generator.antmaze_data(DIVERSE, drawn_policy(), KEY, ROWS - 900, streams=2)
    for key, array in again.items():
        np.testing.assert_array_equal(array, made[key][: ROWS - 900], err_msg=key)
    other = generator.antmaze_data(DIVERSE, drawn_policy(), jax.random.key(1), 20)
    assert (other["observations"][:20] != made["observations"][:20]).any(1).all()


def test_actions_are_bounded_and_noisy(made):
    assert np.abs(made["actions"]).max() <= 1
    assert 0.01 < (np.abs(made["actions"]) == 1).mean() < 0.9


# Starts and goals of the six variants: whether all start at the origin, and the goals' cells.
ANY = "any free cell"
VARIANTS = {
    "umaze": (True, {(3, 1)}),
    "umaze-diverse": (False, ANY),
    "medium-play": (False, {(2, 6), (5, 1), (6, 5)}),
    "medium-diverse": (False, ANY),
    "large-play": (False, {(1, 6), (3, 5), (3, 10), (5, 2), (7, 4), (7, 6), (7, 9)}),
    "large-diverse": (False, ANY),
}


@pytest.mark.parametrize("stem", VARIANTS)
def test_starts_and_goals_of_each_variant(stem):
    origin, goal_cells = VARIANTS[stem]
    spec = antmaze_specs.spec(f"antmaze-{stem}-v2")
    starts, goals = starts_and_goals(spec, COLLECTIONS[spec.name], KEY, 1000)
    free = set(map(tuple, spec.layout.free.tolist()))
    found = (np.floor(goals / 4).astype(int) + 1)[:, ::-1]
    assert set(map(tuple, found.tolist())) == (free if goal_cells == ANY else goal_cells)
    assert (goals % 4).max() <= 1.5
    assert (goals % 4).max() > 1.4
    if origin:
        assert np.abs(starts[:, :2]).max() <= 0.1
        assert starts[:, :2].min() < -0.09
    else:
        cells = (np.floor(starts[:, :2] / 4).astype(int) + 1)[:, ::-1]
        assert set(map(tuple, cells.tolist())) == free - (set() if goal_cells == ANY else goal_cells)
        assert (starts[:, :2] % 4).max() <= 1
        assert (starts[:, :2] % 4).mean() == pytest.approx(0.5, abs=0.02)
    ant.check_ant_states(starts)


def test_a_collection_of_ones_own():
    starts, goals = starts_and_goals(DIVERSE, Collection(goals=tuple(map(tuple, DIVERSE.layout.free[1:]))), KEY, 50)
    assert ((starts[:, :2] >= 0) & (starts[:, :2] <= 1)).all()  # in the one cell left
    assert (np.abs(goals).max(1) >= 4).all()


# ---- the grid planner


def next_cell(walls, goal, here):
    """D4RL's search: from the goal outwards; the first cell beside which ``here`` lies."""
    if goal == here:
        return goal
    visited, to_visit = set(), [goal]
    while to_visit:
        following = []
        for row, column in to_visit:
            visited.add((row, column))
            for cell in ((row, column - 1), (row, column + 1), (row + 1, column), (row - 1, column)):
                if cell == here:
                    return row, column
                inside = 0 <= cell[0] < walls.shape[0] and 0 <= cell[1] < walls.shape[1]
                if inside and not walls[cell] and cell not in visited:
                    following.append(cell)
        to_visit = following
    return None


def test_the_planner_is_d4rls():
    guide, columns = navigator(MEDIUM), MEDIUM.walls.shape[1]
    for goal in map(tuple, MEDIUM.free.tolist()):
        for here in np.ndindex(MEDIUM.walls.shape):
            expected = next_cell(MEDIUM.walls, goal, here)
            following = int(guide.following[goal[0] * columns + goal[1], here[0] * columns + here[1]])
            # From a wall among walls there is no way, and D4RL fails.
            assert divmod(following, columns) == (here if expected is None else expected), (goal, here)


@pytest.mark.parametrize(
    ("position", "cell"),
    [
        ((0.0, 0.0), (1, 1)),
        ((3.99, 0.5), (1, 1)),  # 2 m into the corridor of the next cell
        ((4.0, 0.0), (1, 2)),
        ((-1.9, 8.0), (3, 1)),
        ((8.0, -1.5), (1, 3)),
        ((9.0, 7.9), (2, 3)),
        ((99.0, 99.0), (4, 4)),
    ],
)
def test_positions_are_in_the_cells_that_d4rl_says(position, cell):
    assert divmod(int(navigator(UMAZE.layout).cell_of(jnp.array(position))), 5) == cell


def test_waypoints_are_drawn_anew_each_time_and_end_at_the_goal():
    guide = navigator(UMAZE.layout)
    position, goal = jnp.tile(jnp.array([0.2, 0.3]), (500, 1)), jnp.tile(jnp.array([0.4, 8.9]), (500, 1))
    points = np.asarray(guide.waypoint(KEY, position, goal))
    # The next cell is (1, 2), its centre (4, 0).
    assert (points >= [4, 0]).all()
    assert (points <= [5, 1]).all()
    assert np.ptp(points, axis=0).min() > 0.95
    assert (np.asarray(guide.waypoint(jax.random.key(1), position, goal)) != points).all(1).all()
    near = jnp.tile(jnp.array([0.0, 8.0]), (500, 1))
    np.testing.assert_array_equal(guide.waypoint(KEY, near, goal), goal)


def test_navigating_adds_noise_to_the_policys_action(made):
    policy = drawn_policy()
    quiet = policy._replace(log_std=Linear(0 * policy.log_std.w, policy.log_std.b - 30))
    starts, goals = made["observations"][::1001], made["infos/goal"][::1001]
    states, actions = navigated(DIVERSE, quiet, KEY, starts, goals, 40, noise=0.0)
    np.testing.assert_array_equal(states[:, 0], starts)
    assert (states.shape, actions.shape) == ((4, 41, 29), (4, 40, 8))
    noisy = navigated(DIVERSE, quiet, KEY, starts, goals, 40, noise=0.01)[1][:, 0]
    assert 0 < np.abs(noisy - actions[:, 0]).max() < 0.05
    wild = navigated(DIVERSE, quiet, KEY, starts, goals, 40, noise=9.0)[1]
    assert (np.abs(wild) == 1).mean() > 0.8


# ---- the policy and its file


def test_the_policys_equation(tmp_path):
    policy = drawn_policy()
    rng = np.random.default_rng(1)
    obs, goal = rng.normal(size=(5, 29)), rng.normal(size=(5, 2))
    way = goal - obs[:, :2]
    x = np.concatenate([obs[:, 2:], 10 * way / np.linalg.norm(way, axis=1, keepdims=True)], axis=1)
    for layer in policy.hidden:
        x = np.maximum(x @ np.asarray(layer.w).T + np.asarray(layer.b), 0)
    mean, log_std = (x @ np.asarray(head.w).T + np.asarray(head.b) for head in policy[1:])
    obs, goal = jnp.asarray(obs, jnp.float32), jnp.asarray(goal, jnp.float32)
    np.testing.assert_allclose(policy.act(None, obs, goal), np.tanh(mean), atol=1e-5)
    quiet = np.abs(mean) + 4 * np.exp(log_std) < 4  # where tanh keeps its digits
    assert quiet.sum() > 10
    many = jax.jit(jax.vmap(lambda key: policy.act(key, obs, goal)))(jax.random.split(KEY, 4000))
    before = np.arctanh(np.asarray(many, np.float64)[:, quiet])
    np.testing.assert_allclose(np.log(before.std(0)), log_std[quiet], atol=0.06)
    # Where the goal is, any direction will do.
    assert np.isfinite(policy.act(None, obs, obs[:, :2])).all()
    np.testing.assert_allclose(policy.act(None, obs[0], goal[0]), policy.act(None, obs, goal)[0], atol=1e-6)


def test_a_policy_is_read_as_it_was_written(tmp_path):
    policy, path = drawn_policy(hidden=(7, 5, 6)), tmp_path / "policy.npz"
    goal_policy.write_goal_policy(path, policy)
    with np.load(path) as file:
        assert file["actor.fc0.w"].shape == (7, 29)
        assert file["actor.last_fc_log_std.b"].shape == (8,)
    read = goal_policy.read_goal_policy(path)
    assert jax.tree.structure(read) == jax.tree.structure(policy)
    jax.tree.map(np.testing.assert_array_equal, read, policy)


def test_bad_policy_files_say_what_is_wrong(tmp_path):
    path = tmp_path / "policy.npz"
    with pytest.raises(
        FileNotFoundError, match=r"policy.npz: there is no policy here \(looked for .*write_goal_policy"
    ):
        goal_policy.read_goal_policy(path)
    path.write_bytes(b"no npz")
    with pytest.raises(ValueError, match="truncated, or not an npz"):
        goal_policy.read_goal_policy(path)
    goal_policy.write_goal_policy(path, drawn_policy())
    with np.load(path) as file:
        arrays = dict(file)
    for changed, message in (
        (
            {key: x for key, x in arrays.items() if key != "actor.last_fc.b"},
            "no array 'actor.last_fc.b'. The keys are: actor",
        ),
        (arrays | {"actor.fc1.b": np.full(12, np.nan)}, "'actor.fc1.b' holds NaN"),
        (
            arrays | {"actor.fc0.w": np.zeros((16, 113))},
            r"'actor.fc0' has w of shape \(16, 113\).*needed are \(16, 29\)",
        ),
        (arrays | {"actor.last_fc.w": np.zeros((6, 12))}, "29 inputs, 8 actions"),
    ):
        np.savez(path, **changed)
        with pytest.raises(ValueError, match=f"(?s){message}"):
            goal_policy.read_goal_policy(path)


def test_shipped_policies_have_names_and_files_come_first(tmp_path, monkeypatch):
    assert goal_policy.goal_policy_names() == ["ant-v1"]
    monkeypatch.chdir(tmp_path)
    shipped = goal_policy.read_goal_policy("ant-v1")
    with pytest.raises(FileNotFoundError, match=r"ant-v2: there is no policy here .*by its name \(ant-v1\)"):
        goal_policy.read_goal_policy("ant-v2")
    goal_policy.write_goal_policy(tmp_path / "ant-v1", drawn_policy())
    assert goal_policy.read_goal_policy("ant-v1").mean.w.shape != shipped.mean.w.shape


@pytest.mark.parametrize("name", [SHARED_POLICY, "ant-v1"], ids=lambda name: Path(name).stem)
def test_policies_that_make_data_walk(name):
    if isinstance(name, Path) and not name.is_file():
        pytest.skip(f"{name} is not there.")
    policy, simulator = goal_policy.read_goal_policy(name), MujocoAntmaze(threads=2)
    obs = np.zeros((16, 29))
    obs[:, 2:4] = 0.75, 1.0
    angle = np.arange(16) * np.pi / 8
    goals = jnp.asarray(100 * np.stack([np.cos(angle), np.sin(angle)], axis=1), jnp.float32)
    act, path = jax.jit(GoalPolicy.act), []
    for step in range(80):
        path.append(obs[:, :2])
        obs = simulator.step(obs, np.asarray(act(policy, indexed(KEY, step), jnp.asarray(obs, jnp.float32), goals)))
    simulator.close()
    towards = ((path[-1] - path[20]) * np.asarray(goals) / 100).sum(1) / (len(path) - 21)
    assert 0.15 < np.median(towards) < 0.22
    assert (towards > 0.12).mean() > 0.7


# ---- files


def test_antmaze_files_are_read_as_they_were_made(tmp_path, made):
    path = tmp_path / "ant.hdf5"
    data.write_d4rl(path, made)
    rows = read_ant(path)
    # infos are one row late, so the observations are the states.
    np.testing.assert_array_equal(rows.states, made["observations"])
    np.testing.assert_array_equal(rows.actions, made["actions"])
    np.testing.assert_array_equal(rows.ends[:-1], (made["timeouts"] | made["terminals"])[:-1])


def test_data_of_another_robot_are_refused(tmp_path, made):
    path, rows = tmp_path / "rows.npz", np.zeros(9, bool)
    data.write_ogbench(path, data.Dataset(np.zeros((9, 4), np.float32), np.zeros((9, 2), np.float32), rows))
    with pytest.raises(ValueError, match="rows.npz has states and actions of 4 and 2 numbers; an ant has 29 and 8"):
        read_ant(path)
    data.write_ogbench(path, data.Dataset(np.zeros((9, 29), np.float32), np.zeros((9, 8), np.float32), rows))
    with pytest.raises(ValueError, match="The states in .*rows.npz hold no unit quaternion.*row 0"):
        read_ant(path)


# ---- broad data


def test_broad_data_have_the_rows_asked_for(broad):
    some = generator.random_ant_data(None, KEY, 350, length=100)
    assert {key: array.shape for key, array in some.items()} == {
        "observations": (350, 29),
        "actions": (350, 8),
        **dict.fromkeys(("rewards", "terminals", "timeouts"), (350,)),
    }
    np.testing.assert_array_equal(np.flatnonzero(some["timeouts"]), [99, 199, 299])
    for array in broad.values():
        assert np.isfinite(array).all()
    assert broad["timeouts"].sum() == 128
    assert not broad["terminals"].any()
    ant.check_ant_states(broad["observations"])


def test_broad_data_follow_the_physics(broad):
    simulator = MujocoAntmaze(threads=1)
    assert np.median(follow(broad, broad["timeouts"], simulator)) < 1e-4
    simulator.close()


def test_broad_data_begin_in_any_posture_and_are_noisy_in_many_ways(broad):
    first = broad["observations"][::100]
    w, x, y, z = first[:, 3:7].T
    dropped, upright = first[:, 2] == 1.25, 1 - 2 * (x**2 + y**2)
    assert 0.08 < dropped.mean() < 0.35
    assert (upright[~dropped] > 0.9).all()
    assert upright[dropped].min() < -0.5
    assert np.abs(first[~dropped, :2]).max() <= 0.1
    actions = broad["actions"].reshape(128, 100, 8)
    assert np.abs(actions).max() == 1
    jumps = np.abs(np.diff(actions, axis=1)).mean((1, 2))
    assert jumps.min() < 0.25
    assert jumps.max() > 0.7


def test_broad_data_in_a_maze_begin_in_its_corridors():
    rows = generator.random_ant_data(None, KEY, 64 * 2, DIVERSE, length=2, streams=64)
    column_row = np.round(rows["observations"][::2, :2] / 4).astype(int) + 1
    assert set(map(tuple, column_row[:, ::-1].tolist())) == set(map(tuple, DIVERSE.layout.free.tolist()))
