"""Files in the forms that people have them: no step is read that no simulator makes; other systems' data are refused."""

import logging

import h5py
import jax
import numpy as np
import pytest

from invlearn_jax import data
from invlearn_jax.data.episodes import find_law
from invlearn_jax.data.plans import joined_episodes
from invlearn_jax.tasks.maze2d import generator, gymnasium_robotics
from invlearn_jax.tasks.maze2d import specs as maze2d_specs
from invlearn_jax.tasks.maze2d.files import motion_of, read_for

STREAMS, STEPS, KEPT = 64, 1500, 6
ROWS = KEPT * STEPS


@pytest.fixture(scope="module")
def noisy(umaze):
    """D4RL's own keys; the simulator's states repeat nothing, the observations do."""
    rows = generator.controller_data(umaze, jax.random.key(0), STREAMS * STEPS, 0.5, STREAMS)
    return {key: array[:ROWS] for key, array in rows.items()}


@pytest.fixture(scope="module")
def clean(noisy):
    """The same without D4RL's repeated observations: flags end only what ends."""
    ends = np.arange(ROWS) % STEPS == STEPS - 1
    return {"observations": truth_of(noisy), "actions": noisy["actions"]}, ends


def truth_of(rows):
    return np.concatenate([rows["infos/qpos"], rows["infos/qvel"]], axis=1)


def read(tmp_path, arrays, kind="hdf5"):
    path = tmp_path / f"rows.{kind}"
    if kind == "npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for key, array in arrays.items():
                file[key] = array
    return data.read(path)


def steps_of(dataset):
    rows = np.flatnonzero(~dataset.ends)
    return dataset.states[rows], dataset.actions[rows], dataset.states[rows + 1]


def check_steps(dataset, simulator, least):
    """Every step is the simulator's, and at least so many are there."""
    before, actions, after = steps_of(dataset)
    apart = np.abs(simulator.step(before, actions) - after).max(1)
    assert apart.max() < 2e-3, f"{(apart > 2e-3).sum()} of {len(apart)} steps are none of the simulator's"
    assert len(before) >= least


def qlearning(rows):
    """What D4RL's ``qlearning_dataset`` makes: the step out of each flagged row is left out."""
    kept = np.flatnonzero(~rows["timeouts"][:-1])
    return {
        "observations": rows["observations"][kept],
        "actions": rows["actions"][kept],
        "next_observations": rows["observations"][kept + 1],
        "terminals": np.zeros(len(kept), bool),
        "rewards": rows["rewards"][kept],
    }


@pytest.mark.parametrize("kind", ["hdf5", "npz"])
def test_qlearning_exports(tmp_path, noisy, umaze_simulator, kind):
    export = qlearning(noisy)
    rows = read(tmp_path, export, kind)
    # D4RL's repeated observation spoils the step after it.
    goals = int(noisy["timeouts"].sum())
    check_steps(rows, umaze_simulator, len(export["actions"]) - goals)
    assert rows.ends.sum() >= KEPT


FLAGS = ["terminals", "timeouts", "truncations", "terminations", "dones"]


@pytest.mark.parametrize("key", FLAGS)
@pytest.mark.parametrize("kind", ["hdf5", "npz"])
def test_any_flag_alone_ends_episodes(tmp_path, clean, key, kind):
    raw, ends = clean
    rows = read(tmp_path, raw | {key: ends.astype(np.float32)}, kind)
    np.testing.assert_array_equal(rows.ends, ends)
    np.testing.assert_array_equal(rows.states, raw["observations"])


@pytest.mark.parametrize("key", ["masks", "terminals"])
def test_masks_are_read_as_masks(tmp_path, clean, key, caplog):
    raw, ends = clean
    np.testing.assert_array_equal(read(tmp_path, raw | {key: 1.0 - ends}).ends, ends)
    assert ("'terminals' ends episodes in 100% of the rows" in caplog.text) == (key == "terminals")


@pytest.mark.parametrize(("shift", "word"), [(1, "late"), (-1, "early")])
@pytest.mark.parametrize("key", ["terminals", "timeouts"])
def test_flags_a_row_off_are_moved(tmp_path, clean, shift, word, key, caplog):
    raw, ends = clean
    rows = read(tmp_path, raw | {key: np.roll(ends, shift)})
    np.testing.assert_array_equal(rows.ends, ends)
    assert f"'{key}' is one row {word} (5 breaks of the motion say so)" in caplog.text


def test_missing_flags_are_found_by_the_motion(tmp_path, clean, caplog):
    raw, ends = clean
    np.testing.assert_array_equal(read(tmp_path, raw).ends, ends)
    assert "no key says where episodes end; 5 ends were found by the motion" in caplog.text
    np.testing.assert_array_equal(read(tmp_path, raw | {"terminals": np.zeros(ROWS)}, "npz").ends, ends)
    assert "5 of 9000 steps jump, or stand still at speed, where no flag is" in caplog.text


def test_rows_without_flags_or_motion_are_refused(tmp_path):
    raw = {"observations": np.random.default_rng(0).normal(size=(99, 4)), "actions": np.zeros((99, 2))}
    for kind in ("hdf5", "npz"):
        with pytest.raises(
            ValueError, match=r"rows.*: nothing tells where episodes end. Give one of terminals, timeouts"
        ):
            read(tmp_path, raw, kind)
    with pytest.raises(ValueError, match=r"rows.npz: 'dones' holds \[0.0, 0.5\], ..; a flag is 0 or 1"):
        read(tmp_path, raw | {"dones": np.tile([0, 0.5, 0.5], 33)}, "npz")


@pytest.mark.parametrize("shuffled", [False, True])
def test_next_observations_alone(tmp_path, clean, umaze_simulator, shuffled):
    raw, ends = clean
    after = umaze_simulator.step(raw["observations"][ends], raw["actions"][ends])
    following = np.roll(raw["observations"], -1, axis=0)
    following[ends] = after
    order = np.random.default_rng(0).permutation(ROWS) if shuffled else np.arange(ROWS)
    arrays = {key: array[order] for key, array in (raw | {"next_observations": following}).items()}
    rows = read(tmp_path, arrays)
    check_steps(rows, umaze_simulator, ROWS)
    assert rows.ends.sum() == (ROWS if shuffled else KEPT)
    # The last states have no action.
    assert not rows.actions[rows.ends].any()


def test_next_observations_that_run_on_over_resets(tmp_path, clean, umaze_simulator):
    raw, ends = clean
    rows = read(tmp_path, raw | {"next_observations": np.roll(raw["observations"], -1, axis=0)})
    np.testing.assert_array_equal(rows.ends, ends)
    with pytest.raises(ValueError, match=r"'next_observations' has shape \(9000, 2\), 'observations' has \(9000, 4\)"):
        read(tmp_path, raw | {"next_observations": raw["observations"][:, :2]})


def test_observations_that_repeat_are_no_steps(tmp_path, noisy, umaze_simulator):
    plain = {key: noisy[key] for key in ("observations", "actions", "timeouts")}
    check_steps(read(tmp_path, plain), umaze_simulator, ROWS - 3 * int(noisy["timeouts"].sum()))
    # Undoing D4RL's cuts at goals does not undo these.
    rows = joined_episodes(read(tmp_path, plain), 0.1, 2)
    check_steps(rows, umaze_simulator, ROWS - 3 * int(noisy["timeouts"].sum()))
    assert len(read(tmp_path, noisy).states) == ROWS


def test_infos_a_row_late_are_noticed(tmp_path, noisy, umaze_simulator, caplog):
    late = {key: np.roll(array, -1, axis=0) if key.startswith("infos/q") else array for key, array in noisy.items()}
    rows = read(tmp_path, late)
    np.testing.assert_array_equal(rows.states, noisy["observations"])
    check_steps(rows, umaze_simulator, ROWS - 3 * int(noisy["timeouts"].sum()))
    assert "the simulator's states are one row late" in caplog.text
    # One row that happens to agree decides nothing.
    late["infos/qpos"][0], late["infos/qvel"][0] = noisy["infos/qpos"][0], noisy["infos/qvel"][0]
    np.testing.assert_array_equal(read(tmp_path, late).states, noisy["observations"])
    read(tmp_path, noisy | {"infos/qpos": 100 * noisy["infos/qpos"]})
    assert "the simulator's states are the observations in 0 % of the rows only" in caplog.text


def test_joined_cuts_are_split(tmp_path, clean, caplog):
    raw, _ = clean
    cut = np.r_[100:400, 5000:5300, 5400:5700]
    rows = read(tmp_path, {key: array[cut] for key, array in raw.items()} | {"timeouts": np.zeros(900, bool)})
    np.testing.assert_array_equal(np.flatnonzero(rows.ends), [299, 599, 899])
    assert "2 of 900 steps jump" in caplog.text


def test_rows_that_hold_no_step_are_counted(tmp_path, caplog):
    raw = {"observations": np.random.default_rng(0).normal(size=(99, 4)), "actions": np.zeros((99, 2))}
    assert read(tmp_path, raw | {"terminals": np.arange(99) >= 59}).ends.sum() == 40
    assert "rows.hdf5: 39 of 99 rows are episodes of one row, which hold no step." in caplog.text
    data.window_store(read(tmp_path, raw | {"terminals": np.isin(np.arange(99), (9, 98))}), 20)
    assert (
        "10 of 99 rows (10 %) are in the 1 of 2 episodes with fewer than 21 rows, and in no window of 20" in caplog.text
    )


def test_the_law_of_motion_needs_integrals():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(500, 3))
    assert find_law(noise[:-1], noise[1:]) is None
    # Entry 1 is the sum of entry 2; entry 0 is noise.
    walk = np.stack([noise[:, 0], np.cumsum(noise[:, 1]), noise[:, 1]], axis=1)
    law = find_law(walk[:-1], walk[1:])
    assert (law.positions.tolist(), law.rates.tolist()) == ([1], [2])
    np.testing.assert_allclose(law.weights[:, 0], [0, 1], atol=1e-6)
    assert not law.breaks(walk[:-1], walk[1:]).any()
    assert find_law(walk[:10], walk[1:11]) is None


# ---- the task's motion


@pytest.fixture(scope="module")
def rows(clean):
    raw, ends = clean
    return data.Dataset(raw["observations"], raw["actions"], ends)


def checked(rows, env="maze2d-umaze-v1"):
    return data.check_motion(rows, motion_of(maze2d_specs.spec(env)), "mine.npz")


@pytest.fixture(scope="module")
def broad(umaze):
    drawn = generator.random_data(umaze, jax.random.key(0), 3 * 64 * 64, streams=64)
    return data.Dataset(drawn["observations"], drawn["actions"], drawn["timeouts"])


def test_own_data_pass(umaze, rows, broad, noisy, tmp_path, caplog):
    data.write_d4rl(tmp_path / "d4rl.hdf5", noisy)
    read_for(umaze.spec, tmp_path / "d4rl.hdf5")
    checked(broad)
    checked(rows)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def with_states(change):
    return lambda rows: rows._replace(states=np.asarray(change(rows.states), np.float32))


def with_actions(change):
    return lambda rows: rows._replace(actions=np.asarray(change(rows.actions), np.float32))


def second_rows(rows):
    return data.Dataset(rows.states[::2], rows.actions[::2], rows.ends[1::2])


def drawn_actions(actions):
    return np.random.default_rng(0).uniform(-1, 1, actions.shape)


def turned(states):
    return np.stack([states[:, 1], -states[:, 0], states[:, 3], -states[:, 2]], axis=1)


MISFITS = {
    "turned": (
        with_states(turned),
        r"lie in the walls of maze2d-umaze-v1, the first at row.*They fit \(100 %\) with axes",
    ),
    "mirrored": (with_states(lambda s: s * [-1, 1, -1, 1]), r"lie in the walls.*They fit \(100 %\) with axes"),
    "offset": (with_states(lambda s: s + [0.2, 0.2, 0, 0]), r"lie in the walls.*They fit \(.*moved by about \[-0"),
    "centimetres": (with_states(lambda s: 100 * s), r"lie in the walls.*from centimetres to metres"),
    "speed in cm": (
        with_states(lambda s: s * [1, 1, 100, 100]),
        "positions move 0.01 times as far in a step of 0.01 s",
    ),
    "speed mirrored": (with_states(lambda s: s * [1, 1, -1, 1]), r"velocities disagree.*with axes \(-x, y\)"),
    "speed exchanged": (with_states(lambda s: s[:, [0, 1, 3, 2]]), r"velocities disagree.*with axes \(y, x\)"),
    "speed first": (with_states(lambda s: s[:, [2, 3, 0, 1]]), "lie in the walls"),
    "no speed": (with_states(lambda s: s * [1, 1, 0, 0]), "One of the two stands still"),
    "every second row": (second_rows, "positions move 2 times as far .*Likely a step of 0.02 s"),
    "newtons": (with_actions(lambda a: 100 * a), r"simulator .* elsewhere.*go up to 100.*actions 100 times too large"),
    "halved": (with_actions(lambda a: a / 2), "With actions 0.5 times too large"),
    "reversed": (with_actions(lambda a: -a), "With actions reversed in sign"),
    "exchanged": (with_actions(lambda a: a[:, ::-1]), r"in another frame, with axes \(y, x\)"),
    "a row late": (with_actions(lambda a: np.roll(a, 1, axis=0)), "With actions recorded a row late"),
    "a row early": (with_actions(lambda a: np.roll(a, -1, axis=0)), "With actions recorded a row early"),
    "another robot": (with_actions(drawn_actions), "No shift, sign, frame or scale .* likely another robot"),
    "other sizes": (
        with_states(lambda s: s[:, :3]),
        r"of 3 and 2 numbers; maze2d-umaze-v1 takes position and velocity \(4\)",
    ),
}


@pytest.mark.parametrize("form", MISFITS)
def test_misfits_are_refused_with_their_likely_cause(rows, form):
    change, message = MISFITS[form]
    with pytest.raises(ValueError, match=rf"(?s)^mine\.npz.*{message}"):
        checked(change(rows))


def test_another_maze_is_refused_or_named(rows, broad, caplog):
    for env in ("maze2d-medium-v1", "maze2d-large-v1"):
        with pytest.raises(ValueError, match=f"lie in the walls of {env}.*the data are from another"):
            checked(rows, env)
    # There is room enough in the open maze, but not the walls that the ball met.
    checked(broad, "maze2d-open-v0")
    assert "of 2000 steps differ from the simulator of maze2d-open-v0" in caplog.text


def test_too_few_steps_and_duplicates_are_said(rows, caplog):
    few = data.Dataset(*(x[:9] for x in rows[:3]))
    checked(few)
    assert "mine.npz: 8 steps are too few to check" in caplog.text
    checked(data.concatenate(rows, rows))
    assert "mine.npz: 50.0 % of its rows occur more than once" in caplog.text


# ---- gymnasium-robotics


def test_pointmaze_in_maze2ds_frame(umaze):
    gymnasium = pytest.importorskip("gymnasium")
    robots = pytest.importorskip("gymnasium_robotics")
    gymnasium.register_envs(robots)
    env = gymnasium.make("PointMaze_UMaze-v3", max_episode_steps=3000)
    env.reset(seed=0, options={"reset_cell": np.array([1, 1])})
    rng, states, actions = np.random.default_rng(0), [], []
    held = np.repeat(rng.uniform(-1, 1, (60, 2)), 50, axis=0)
    for action in held:
        states.append(np.concatenate([env.unwrapped.data.qpos, env.unwrapped.data.qvel]))
        actions.append(action)
        env.step(action)
    env.close()
    theirs = data.Dataset(*(np.array(x, np.float32) for x in (states, actions)), np.arange(3000) == 2999)
    with pytest.raises(ValueError, match="lie in the walls"):
        checked(theirs)
    ours = gymnasium_robotics.from_pointmaze(theirs, umaze.spec.layout)
    checked(ours)
    # Cell (1, 1) of a D4RL maze has the ball's corridor from 0.4 to 1.2.
    assert np.abs(ours.states[0, :2] - 0.8).max() <= 0.26
    with pytest.raises(ValueError, match="states and actions of 3 and 2 numbers; PointMaze's have 4 and 2"):
        gymnasium_robotics.from_pointmaze(theirs._replace(states=theirs.states[:, :3]), umaze.spec.layout)
