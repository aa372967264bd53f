"""Made data: D4RL's recipe row by row, its controller and grid planner, and the broad random data."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from invlearn_jax.tasks import layouts
from invlearn_jax.tasks.layouts import parse_layout
from invlearn_jax.tasks.maze2d import generator
from invlearn_jax.tasks.maze2d import generator as maze2d_generator
from invlearn_jax.tasks.maze2d.environment import Maze2d, inside_maze
from invlearn_jax.tasks.maze2d.generator import WaypointController, next_cells
from invlearn_jax.tasks.maze2d.model import FREE_HIGH, FREE_LOW

STREAMS, STEPS = 64, 1500
ROWS = STREAMS * STEPS
UMAZE, MEDIUM = parse_layout(layouts.UMAZE), parse_layout(layouts.MEDIUM)


@pytest.fixture(scope="module")
def noisy(umaze):
    return generator.controller_data(umaze, jax.random.key(0), ROWS, 0.5, STREAMS)


@pytest.fixture(scope="module")
def broad(umaze):
    return generator.random_data(umaze, jax.random.key(0), 3 * 64 * 64, streams=64)


def ends_of(rows):
    """The rows that end a segment, without the streams' last rows, which are marked as well."""
    ends = rows["timeouts"].copy()
    ends[STEPS - 1 :: STEPS] = False
    return np.flatnonzero(ends)


def truth_of(rows):
    return np.concatenate([rows["infos/qpos"], rows["infos/qvel"]], axis=1)


def check_rewards(env, rows):
    distance = np.linalg.norm(rows["observations"][:, :2] - np.asarray(env.goal), axis=-1)
    clear = np.abs(distance - 0.5) > 1e-6
    np.testing.assert_array_equal(rows["rewards"][clear], (distance <= 0.5)[clear].astype(np.float32))
    assert 0 < rows["rewards"].mean() < 0.5


# ---- the controller's data


def test_controller_data_have_d4rls_keys(noisy):
    widths = {"observations": 4, "actions": 2, "infos/goal": 2, "infos/qpos": 2, "infos/qvel": 2}
    assert {key: array.shape for key, array in noisy.items()} == {
        **{key: (ROWS, width) for key, width in widths.items()},
        **dict.fromkeys(("rewards", "terminals", "timeouts"), (ROWS,)),
    }
    for key, array in noisy.items():
        assert array.dtype == (bool if key in ("terminals", "timeouts") else np.float32), key
    assert not noisy["terminals"].any()
    assert noisy["timeouts"][STEPS - 1 :: STEPS].all()


def test_rows_per_goal_are_those_of_the_released_data(noisy):
    # The released file has about 80.
    assert 76 < ROWS / len(ends_of(noisy)) < 88


def test_without_noise_goals_are_reached_sooner(umaze, noisy):
    steady = generator.controller_data(umaze, jax.random.key(0), ROWS, 0.0, STREAMS)
    assert len(ends_of(steady)) > 1.05 * len(ends_of(noisy))


def test_observations_repeat_after_a_goal_while_the_true_state_moves_on(noisy, umaze_batch):
    ends, observations, truth = ends_of(noisy), noisy["observations"], truth_of(noisy)
    np.testing.assert_array_equal(observations[ends + 1], observations[ends])
    assert (truth[ends + 1] != truth[ends]).any(1).all()
    elsewhere = np.ones(ROWS, bool)
    elsewhere[ends + 1] = False
    np.testing.assert_array_equal(observations[elsewhere], truth[elsewhere])
    after, _ = umaze_batch(truth[ends], noisy["actions"][ends])
    np.testing.assert_allclose(truth[ends + 1], after, rtol=0, atol=1e-3)


def test_goals_are_kept_until_they_are_reached(noisy):
    ends, goal = ends_of(noisy), noisy["infos/goal"]
    changed = (np.diff(goal, axis=0) != 0).any(1)
    # Where a stream begins, too.
    np.testing.assert_array_equal(changed, noisy["timeouts"][:-1])
    cell = np.round(goal).astype(int)
    assert np.abs(goal - cell).max() <= 0.1 + 1e-6
    assert not UMAZE.walls[tuple(cell.T)].any()
    assert len(np.unique(cell, axis=0)) == len(UMAZE.free)
    lengths = np.diff(np.flatnonzero(noisy["timeouts"]), prepend=-1)
    reached = ends[lengths[np.isin(np.flatnonzero(noisy["timeouts"]), ends)] <= 300]
    assert len(reached) > 0.9 * len(ends)
    assert np.linalg.norm(noisy["observations"][reached, :2] - cell[reached], axis=-1).max() < 0.1
    # A goal in the cell it has just reached is reached again at once.
    again = ends[np.isin(ends - 1, ends)]
    assert len(again) > 0.05 * len(ends)
    np.testing.assert_array_equal(cell[again], cell[again - 1])


def test_rewards_are_those_of_the_rows_own_observation(umaze, noisy):
    check_rewards(umaze, noisy)


def test_the_controllers_actions_are_bounded_and_often_at_the_bound(noisy):
    size = np.abs(noisy["actions"])
    assert size.max() == 1
    assert 0.24 < (size == 1).mean() < 0.38


def test_the_controller_stays_inside_the_maze_and_goes_everywhere(noisy):
    assert inside_maze(UMAZE, noisy["infos/qpos"], slack=0.1).all()
    cells = np.round(noisy["infos/qpos"]).astype(int)
    assert set(map(tuple, UMAZE.free)) <= set(map(tuple, cells))


def test_controller_data_are_repeatable_and_cut_to_any_number_of_rows(umaze, noisy):
    # 37 rows fewer are the same streams of 1500 steps, cut.
    rows = ROWS - 37
    again = generator.controller_data(umaze, jax.random.key(0), rows, 0.5, STREAMS)
    for key, array in again.items():
        np.testing.assert_array_equal(array, noisy[key][:rows], err_msg=key)
    other = generator.controller_data(umaze, jax.random.key(1), rows, 0.5, STREAMS)
    assert len(other["actions"]) == rows
    assert not (other["infos/qpos"] == noisy["infos/qpos"][:rows]).all(1).any()


class Held(Maze2d):
    """A ball that never moves, so that the time limit alone ends a segment."""

    def reset(self, key):
        return self.reset_to(jnp.array([3.09, 3.09, 0.0, 0.0]), self.goal)

    def step(self, state, action):
        return state


def test_at_the_time_limit_a_segment_has_one_row_more(umaze):
    held = Held(umaze.spec._replace(episode_length=5))
    rows = generator.controller_data(held, jax.random.key(0), 40, 0.5, 2)
    ends = [5, 11, 17, 19]
    assert np.flatnonzero(rows["timeouts"]).tolist() == [*ends, *(20 + e for e in ends)]


# ---- the controller and its planner


def steps_from(rows, source):
    """Breadth-first: how many moves from ``source`` to each free cell of a maze."""
    steps, queue = {source: 0}, deque([source])
    while queue:
        row, column = queue.popleft()
        for cell in ((row, column - 1), (row, column + 1), (row - 1, column), (row + 1, column)):
            if rows[cell[0]][cell[1]] != "#" and cell not in steps:
                steps[cell] = steps[row, column] + 1
                queue.append(cell)
    return steps


@pytest.mark.parametrize("layout", [UMAZE, MEDIUM, parse_layout(layouts.OPEN)], ids=["umaze", "medium", "open"])
def test_next_cells_are_those_of_d4rls_planner(layout):
    table, index = next_cells(layout)
    free = [tuple(cell) for cell in layout.free.tolist()]
    assert [index[cell] for cell in free] == list(range(len(free)))
    assert (index[layout.walls] == -1).all()
    for i, goal in enumerate(free):
        steps = steps_from(layout.rows, goal)
        for j, (row, column) in enumerate(free):
            if (row, column) == goal:
                expected = goal
            else:
                # The first of the moves that shorten the way, in D4RL's order.
                moves = [(row, column - 1), (row, column + 1), (row - 1, column), (row + 1, column)]
                expected = next(m for m in moves if steps.get(m, np.inf) < steps[row, column])
            assert free[table[i, j]] == expected


def test_a_cell_is_never_taken_across_a_wall():
    controller = WaypointController(UMAZE)
    free = UMAZE.free
    edges = np.arange(0.3, 4.0, 0.05)
    points = np.stack(np.meshgrid(edges, edges, indexing="ij"), -1).reshape(-1, 2)
    points = points[inside_maze(UMAZE, points, slack=0.08)]
    places = np.array([(2.45, 1.0), (2.33, 1.0), (1.0, 0.45), (1.28, 1.0)])  # inside, in the wall's face, ...
    cells = free[np.asarray(jax.vmap(controller.cell_of)(jnp.asarray(np.concatenate([places, points]))))]
    assert cells[:4].tolist() == [[3, 1], [3, 1], [1, 1], [1, 1]]
    cells, rounded = cells[4:], np.round(points.astype(np.float32)).astype(int)
    wall = UMAZE.walls[tuple(rounded.T)]
    assert wall.any()
    np.testing.assert_array_equal(cells[~wall], rounded[~wall])
    beyond = points - np.clip(points, cells + FREE_LOW, cells + FREE_HIGH)
    # Two corridors with a wall between are 1.2 m apart, two that join 0.2 m.
    assert np.linalg.norm(beyond[wall], axis=-1).max() < 0.2


def test_the_controller_goes_from_waypoint_to_waypoint():
    controller = WaypointController(UMAZE)
    act, start, goal = jax.jit(controller.act), np.array([1.05, 0.95]), np.array([1.04, 3.07])
    control = controller.start(jax.random.key(0), jnp.asarray(start), jnp.asarray(goal))
    np.testing.assert_array_equal(control.last_position, [1, 1])
    free = UMAZE.free.tolist()
    for number, cell in enumerate(([1, 2], [1, 3])):
        waypoint = np.asarray(control.waypoint)
        assert free[int(control.waypoint_cell)] == cell
        assert free[int(control.goal_cell)] == [1, 3]
        # Waypoints lie up to 0.2 m short of their cells, the goal's does not.
        short = np.array(cell) - waypoint
        assert (short == 0).all() if number else ((0 < short) & (short < 0.2)).all()
        for offset, velocity in (((0.03, -0.06), (0.2, -0.5)), ((0.5, -0.02), (0.3, 0.1))):
            obs = np.concatenate([waypoint + offset, velocity])
            # No step was shorter than 0.1 m, so the waypoint stays.
            far = control._replace(last_position=jnp.asarray(waypoint + 0.3))
            action, held, finished = act(jax.random.key(1), far, jnp.asarray(obs))
            np.testing.assert_allclose(action, np.clip(-10 * np.array(offset) - velocity, -1, 1), atol=1e-5)
            np.testing.assert_array_equal(held.waypoint, waypoint)
            assert not finished
        obs = jnp.asarray(np.concatenate([waypoint + [0.03, -0.06], [0, 0]]))
        _, held, _ = act(jax.random.key(1), control._replace(last_position=jnp.asarray(waypoint + 0.3)), obs)
        _, control, finished = act(jax.random.key(2), held, obs)
        assert bool(finished) == bool(number)


# ---- random data


def test_random_data_have_the_rows_asked_for(umaze, broad):
    rows = 2 * 64 * 64 + 100
    some = generator.random_data(umaze, jax.random.key(0), rows, streams=64)
    assert {k: x.shape for k, x in some.items()} == {
        "observations": (rows, 4),
        "actions": (rows, 2),
        **dict.fromkeys(("rewards", "terminals", "timeouts"), (rows,)),
    }
    for key, array in some.items():
        assert array.dtype == (bool if key in ("terminals", "timeouts") else np.float32), key
        # Three rounds of 64 episodes, both times.
        np.testing.assert_array_equal(array, broad[key][:rows], err_msg=key)
    np.testing.assert_array_equal(np.flatnonzero(some["timeouts"]), np.arange(63, rows, 64))
    assert not some["terminals"].any()
    check_rewards(umaze, some)
    other = generator.random_data(umaze, jax.random.key(1), 100, streams=64)
    assert len(other["actions"]) == 100
    assert not (other["observations"] == broad["observations"][:100]).all(1).any()
    assert (other["actions"] == broad["actions"][:100]).all(1).mean() < 0.5  # both may be at their bounds


def test_random_data_cover_the_maze_and_all_speeds(broad):
    start = broad["observations"][::64]
    assert inside_maze(UMAZE, start[:, :2], slack=1e-5).all()
    assert inside_maze(UMAZE, broad["observations"][:, :2], slack=0.1).all()
    assert set(map(tuple, UMAZE.free)) <= set(map(tuple, np.round(start[:, :2]).astype(int)))
    speed = np.abs(start[:, 2:])
    assert 4.5 < speed.max() <= 5.2
    assert np.median(speed) < 2


def test_random_actions_are_smooth_and_bounded(broad):
    actions = broad["actions"].reshape(-1, 64, 2)
    assert np.abs(actions).max() == 1
    before, after = (x.reshape(-1, 2).ravel() for x in (actions[:, :-1], actions[:, 1:]))
    assert np.corrcoef(before, after)[0, 1] > 0.3
    # Some episodes' are white noise, others' nearly held.
    jumps = np.abs(np.diff(actions, axis=1)).mean((1, 2))
    assert jumps.min() < 0.2
    assert jumps.max() > 0.7


def test_each_state_follows_from_the_last_by_the_physics(broad, umaze_batch):
    rows = np.flatnonzero(~broad["timeouts"])[:: 3 * 63 * 64 // 512]
    after, _ = umaze_batch(broad["observations"][rows], broad["actions"][rows])
    np.testing.assert_allclose(broad["observations"][rows + 1], after, rtol=0, atol=1e-3)


def test_the_data_do_not_depend_on_how_they_are_cut_into_blocks(umaze, noisy, monkeypatch):
    monkeypatch.setattr(maze2d_generator, "_BLOCK", 220)  # seven blocks of 215, five steps too many
    again = generator.controller_data(umaze, jax.random.key(0), ROWS, 0.5, STREAMS)
    for name, values in again.items():
        np.testing.assert_array_equal(values, noisy[name], err_msg=name)
