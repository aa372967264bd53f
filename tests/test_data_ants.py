"""Files of ants: those that move otherwise are refused, and gymnasium-robotics' ants come into D4RL's frame."""

import numpy as np
import pytest
from test_ant_data import DIVERSE, KEY, MEDIUM, ROWS, drawn_policy

from invlearn_jax import data
from invlearn_jax.tasks.antmaze import generator
from invlearn_jax.tasks.antmaze import model as ant
from invlearn_jax.tasks.antmaze.files import motion_of, read_for
from invlearn_jax.tasks.antmaze.gymnasium_robotics import from_antmaze, mirrored_ant
from invlearn_jax.tasks.antmaze.simulator import MujocoAntmaze


@pytest.fixture(scope="module")
def made():
    return generator.antmaze_data(DIVERSE, drawn_policy(), KEY, ROWS, streams=2)


@pytest.fixture(scope="module")
def broad():
    return generator.random_ant_data(drawn_policy(), KEY, 128 * 100, length=100, streams=128)


def second_rows(rows):
    return data.Dataset(rows.states[::2], rows.actions[::2], rows.ends[::2] | rows.ends[1::2])


ANT_MISFITS = {
    "every second row": (second_rows, "velocities disagree with the positions.*rows left out"),
    "a row late": (lambda r: r._replace(actions=np.roll(r.actions, 1, axis=0)), "With actions recorded a row late"),
    "offset": (
        lambda r: r._replace(states=r.states + np.float32([8] * 2 + [0] * 27)),
        "lie in the walls of antmaze-umaze",
    ),
    "newton metres": (lambda r: r._replace(actions=30 * r.actions), "times too large"),
    "order of legs": (lambda r: r._replace(actions=np.roll(r.actions, 2, axis=1)), "No shift, sign, frame or scale"),
    "joints first": (lambda r: r._replace(states=np.roll(r.states, 14, axis=1)), "hold no unit quaternion"),
}


@pytest.mark.parametrize("form", ANT_MISFITS)
def test_ants_that_move_otherwise_are_refused(made, form):
    change, message = ANT_MISFITS[form]
    count = len(made["actions"]) // 2 * 2
    rows = data.Dataset(made["observations"][:count], made["actions"][:count], made["timeouts"][:count])
    data.check_motion(rows, motion_of(DIVERSE), "mine.npz")
    with pytest.raises(ValueError, match=rf"(?s)mine\.npz.*{message}"):
        data.check_motion(change(rows), motion_of(DIVERSE), "mine.npz")


def test_ant_files_without_flags_or_a_row_off_are_cut_where_ants_are_reset(tmp_path, made):
    path, ends = tmp_path / "ant.npz", np.flatnonzero(made["timeouts"])
    raw = {key: made[key] for key in ("observations", "actions")}
    for flags in ({}, {"timeouts": np.roll(made["timeouts"], 1)}, {"terminals": np.zeros(ROWS)}):
        np.savez(path, **raw, **flags)
        np.testing.assert_array_equal(np.flatnonzero(read_for(DIVERSE, path).ends)[:-1], ends)


def test_a_mirrored_ant_moves_as_its_mirror_image(broad):
    states, actions = broad["observations"][:300], broad["actions"][:300]
    simulator = MujocoAntmaze(threads=1)
    after = simulator.step(states, actions)
    mirrored = simulator.step(*mirrored_ant(states.astype(float), actions.astype(float)))
    simulator.close()
    np.testing.assert_allclose(mirrored, mirrored_ant(after, actions)[0], atol=1e-5)
    assert np.abs(mirrored - after).max() > 0.1


def test_antmaze_of_gymnasium_robotics_in_d4rls_frame():
    gymnasium = pytest.importorskip("gymnasium")
    gymnasium.register_envs(pytest.importorskip("gymnasium_robotics"))
    rng, states = np.random.default_rng(0), []
    env = gymnasium.make("AntMaze_Medium-v5")
    cells = [np.array(cell) for cell in ((1, 1), (1, 6), (6, 1), (6, 6))]
    for cell in cells:
        obs, _ = env.reset(seed=0, options={"reset_cell": cell})
        for _ in range(5):
            states.append(np.concatenate([obs["achieved_goal"], obs["observation"]]))
            obs, *_ = env.step(rng.uniform(-1, 1, 8))
    env.close()
    theirs = data.Dataset(np.float32(states), np.zeros((20, 8), np.float32), np.arange(20) % 5 == 4)
    ours = from_antmaze(theirs, MEDIUM)
    assert ours.states.shape == (20, 29)
    ant.check_ant_states(ours.states)
    assert np.abs(ours.states[::5, :2] - ant.cell_centre(MEDIUM, np.array(cells))).max() < 1.3
    with pytest.raises(ValueError, match="of 27 and 8 numbers; AntMaze's have 29 or 107 and 8"):
        from_antmaze(theirs._replace(states=theirs.states[:, 2:29]), MEDIUM)
