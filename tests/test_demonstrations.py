"""Demonstrations: what is read of files of every kind, what is refused, and the program that makes them."""

import logging

import h5py
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import run_here
from small_tasks import Ball, Still

from invlearn_jax.data.dataset import Dataset
from invlearn_jax.data.minari import write_minari
from invlearn_jax.imitation.demonstrations import (
    Demonstrations,
    chosen,
    from_episodes,
    read_demonstrations,
    returns,
    subsampled,
    write_demonstrations,
)
from invlearn_jax.imitation.experts import ExpertPolicy, demonstrate, read_policy
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.tasks.task import Episodes


class Falls(Still):
    """Over beyond a place."""

    def over(self, state):
        return state[0] > 5.5


class Choices(Falls):
    """Three ways to be pushed."""

    choices = 3
    action_low, action_high = np.array([0.0]), np.array([2.0])


# Two trajectories, 0 1 2 3 and 4 5 | 6 ends it for good.
STATES = np.stack([np.arange(6.0), np.zeros(6)], 1).astype(np.float32)
FOLLOWING = STATES + [1.0, 0.0]
ACTIONS = np.linspace(-1, 2, 6)[:, None].astype(np.float32)
D4RL = {
    "observations": STATES,
    "actions": ACTIONS,
    "rewards": np.arange(6.0),
    "terminals": np.arange(6) == 5,
    "timeouts": np.arange(6) == 3,
    "next_observations": FOLLOWING,
}


def save(path, arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for key, array in arrays.items():
                file[key] = array
    return path


@pytest.fixture
def file(tmp_path):
    return lambda name="f.npz", drop=(), **changes: save(
        tmp_path / name, {key: x for key, x in (D4RL | changes).items() if key not in drop}
    )


def check(demos):
    assert isinstance(demos, Demonstrations)
    np.testing.assert_array_equal(demos.states, STATES)
    np.testing.assert_array_equal(demos.actions, ACTIONS)
    np.testing.assert_array_equal(demos.following, FOLLOWING)
    np.testing.assert_array_equal(demos.over, np.arange(6) == 5)
    np.testing.assert_array_equal(demos.trajectory, [0, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(demos.starts, [1, 0, 0, 0, 1, 0])
    np.testing.assert_array_equal(returns(demos), [6.0, 9.0])
    assert (demos.trajectory.dtype, demos.over.dtype, demos.states.dtype) == (np.int32, bool, np.float32)


@pytest.mark.parametrize("name", ["f.npz", "f.hdf5", "f.h5"])
def test_a_file_in_d4rls_keys(file, name):
    check(read_demonstrations(file(name), Falls()))


def test_a_file_with_keys_for_each_trajectory(tmp_path):
    arrays = {}
    for number, span in enumerate((slice(0, 4), slice(4, 6))):
        arrays |= {
            f"observation_{number}": STATES[span],
            # As some programs store them.
            f"action_{number}": ACTIONS[span, None],
            f"reward_{number}": D4RL["rewards"][span],
            f"next_observation_{number}": FOLLOWING[span],
        }
    check(read_demonstrations(save(tmp_path / "f.npz", arrays), Falls()))


def test_what_is_written_is_read(file, tmp_path):
    demos = read_demonstrations(file(), Falls())
    write_demonstrations(tmp_path / "new" / "d.npz", demos)
    check(read_demonstrations(tmp_path / "new" / "d.npz", Falls()))


def test_without_next_observations_they_are_the_next_rows(file):
    demos = read_demonstrations(file(drop=["next_observations"]), Falls())
    np.testing.assert_array_equal(demos.states[:, 0], [0, 1, 2, 4])
    np.testing.assert_array_equal(demos.following[:, 0], [1, 2, 3, 5])
    np.testing.assert_array_equal(demos.trajectory, [0, 0, 0, 1])
    assert not demos.over.any()


def test_a_minari_data_set(tmp_path):
    states = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    ends = np.isin(np.arange(7), (3, 6))
    write_minari(tmp_path / "small-v0", Dataset(states, np.zeros((7, 1), np.float32), ends, np.ones(7, np.float32)))
    demos = read_demonstrations(tmp_path / "small-v0", Still())
    np.testing.assert_array_equal(demos.following, states[[1, 2, 3, 5, 6]])
    np.testing.assert_array_equal(returns(demos), [3.0, 2.0])


def test_a_time_limit_is_no_end(file):
    # Both ends are marked terminal, as recorders do that know no time limits; the first is at the limit.
    task = Falls()
    task.episode_length = 4
    demos = read_demonstrations(file(drop=["timeouts"], terminals=np.isin(np.arange(6), (3, 5))), task)
    np.testing.assert_array_equal(demos.over, np.arange(6) == 5)
    # A task without ends has none, whatever a file marks.
    assert not read_demonstrations(file(), Still()).over.any()


def test_choices_are_numbers(file):
    demos = read_demonstrations(file(actions=np.array([0, 1, 2, 2, 1, 0])), Choices())
    np.testing.assert_array_equal(demos.actions[:, 0], [0, 1, 2, 2, 1, 0])
    assert demos.actions.dtype == np.float32
    with pytest.raises(ValueError, match="the action of row 1 is 3; those of Choices are whole numbers from 0 to 2"):
        read_demonstrations(file(actions=np.array([0, 3, 2, 2, 1, 0])), Choices())


def test_actions_are_clipped_with_a_count(file, caplog):
    with caplog.at_level(logging.WARNING, "invlearn_jax.data"):
        demos = read_demonstrations(file(actions=2 * ACTIONS), Falls())
        assert "2 of 6 actions are beyond their limits, at most -2 where these are -1 to 3" in caplog.text
        caplog.clear()
        read_demonstrations(file(actions=ACTIONS.clip(-1, 3) * np.float32(1 + 1e-6)), Falls())
    assert (demos.actions.min(), demos.actions.max()) == (-1, 3)
    assert not caplog.text
    with pytest.raises(
        ValueError, match=r"action 0 of row 5 is 200, beyond its limits -1 to 3 by 98 times half their width"
    ):
        read_demonstrations(file(actions=100 * ACTIONS), Falls())


@pytest.mark.parametrize(
    ("changes", "task", "message"),
    [
        ({"drop": ["terminals", "timeouts"]}, Falls, "nothing tells where trajectories end. Give one of terminals, "),
        ({}, Ball, r"observations have shape \(4, 2\); those of Ball have 4 numbers each"),
        ({"actions": np.zeros((6, 3))}, Falls, "actions have 3 numbers each, those of Falls 1"),
        ({"drop": ["actions"]}, Falls, "trajectory 0 has no actions"),
        (
            {"next_observations": np.where(STATES == 2, np.nan, FOLLOWING)},
            Falls,
            "'next_observations' holds NaN .* in row 2",
        ),
        ({"rewards": np.zeros(5)}, Falls, "'rewards' has 5 rows, 'observations' has 6"),
        (
            {"terminals": np.arange(6) == 2},
            Falls,
            "row 2 is marked as terminal, but the state after it ends no episode of Falls",
        ),
        (
            {"observations": STATES + 3, "next_observations": FOLLOWING + 3},
            Falls,
            "after row 2 ends an episode of Falls for good",
        ),
        ({"terminals": np.arange(6) / 6}, Falls, "a flag is 0 or 1"),
        (
            {"drop": ["observations"]},
            Falls,
            "it holds actions, .*; wanted are 'observations' and 'actions', or 'observation_0'",
        ),
        ({"next_observations": FOLLOWING[:, :1]}, Falls, r"has shape \(6, 1\), the observations have \(6, 2\)"),
        (
            {"drop": ["next_observations"], "timeouts": np.ones(6)},
            Falls,
            "no trajectory has a row whose next state is known",
        ),
    ],
)
def test_bad_files_are_refused(file, changes, task, message):
    with pytest.raises(ValueError, match=message):
        read_demonstrations(file(**changes), task())


def test_unknown_kinds_are_refused(tmp_path):
    (tmp_path / "f.pkl").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"kind of file is not known. Allowed are \.npz, \.hdf5 and \.h5 files"):
        read_demonstrations(tmp_path / "f.pkl", Still())
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_demonstrations(tmp_path / "g.npz", Still())


def test_states_alone(file, tmp_path):
    demos = read_demonstrations(file(drop=["actions"]), Falls(), actions_needed=False)
    assert not demos.has_actions
    assert demos.actions.shape == (6, 1)
    write_demonstrations(tmp_path / "d.npz", demos)
    with pytest.raises(ValueError, match="no actions"):
        read_demonstrations(tmp_path / "d.npz", Falls())
    assert not read_demonstrations(tmp_path / "d.npz", Falls(), actions_needed=False).has_actions


def made(lengths):
    """Trajectories whose states count on."""
    numbers = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    states = np.arange(len(numbers), dtype=np.float32)[:, None]
    starts = np.diff(numbers, prepend=-1) != 0
    rewards = np.ones(len(numbers), np.float32)
    return Demonstrations(states, states, states + 1, np.zeros(len(numbers), bool), numbers, starts, rewards)


def test_trajectories_are_chosen_by_a_permutation():
    demos = made([3, 4, 5, 6])
    some = [chosen(demos, 2, seed) for seed in range(20)]
    assert {tuple(returns(x)) for x in some} > {(3.0, 4.0), (4.0, 3.0)}
    for x in some:
        np.testing.assert_array_equal(np.unique(x.trajectory), [0, 1])
        assert x.starts.sum() == 2
        np.testing.assert_array_equal(np.flatnonzero(x.starts), [0, int(returns(x)[0])])
    np.testing.assert_array_equal(chosen(demos, 2, 5).states, chosen(demos, 2, 5).states)
    assert sorted(returns(chosen(demos, 4))) == [3, 4, 5, 6]
    assert chosen(demos, None) is demos
    with pytest.raises(ValueError, match="trajectories is 5, but the demonstrations have 4; give 1 to 4"):
        chosen(demos, 5)


def test_steps_are_kept_with_their_true_successors():
    demos = subsampled(made([5, 7]), 3)
    np.testing.assert_array_equal(demos.states[:, 0], [0, 3, 5, 8, 11])
    np.testing.assert_array_equal(demos.following, demos.states + 1)
    np.testing.assert_array_equal(demos.starts, [1, 0, 1, 0, 0])
    firsts = {int(subsampled(made([5, 7]), 3, seed).states[0, 0]) for seed in range(20)}
    assert firsts == {0, 1, 2}
    with pytest.raises(ValueError, match="every is 6, but trajectory 0 has 5 steps"):
        subsampled(made([5, 7]), 6)
    with pytest.raises(ValueError, match="every is 0"):
        subsampled(made([5]), 0)


def test_returns_need_rewards():
    with pytest.raises(ValueError, match="no rewards"):
        returns(made([3])._replace(rewards=None))


def test_episodes_become_demonstrations_up_to_their_end():
    task = Falls()
    states = np.zeros((2, 5, 2), np.float32)
    states[0, 3:, 0] = 6.0
    actions = np.ones((2, 4, 1), np.float32)
    demos = from_episodes(task, Episodes(np.zeros((2, 0)), states, actions, np.zeros(0), np.zeros(0)))
    np.testing.assert_array_equal(demos.trajectory, [0, 0, 0, 1, 1, 1, 1])
    np.testing.assert_array_equal(demos.over, np.arange(7) == 2)
    np.testing.assert_allclose(returns(demos), [-task.dt * 36, 0.0], rtol=1e-6)


# ---- experts


def policy(inputs, outputs, bias=0.5):
    rng = np.random.default_rng(0)
    return {
        "obs_mean": np.zeros(inputs),
        "obs_std": np.ones(inputs),
        "w0": 0.1 * rng.normal(size=(inputs, 4)),
        "b0": np.zeros(4),
        "w_out": 0.1 * rng.normal(size=(4, outputs)),
        "b_out": np.full(outputs, bias),
    }


def test_a_policy_is_what_its_arrays_say(tmp_path):
    arrays = policy(2, 1) | {"obs_mean": np.array([1.0, 7.0]), "obs_std": np.array([2.0, 1e-4])}
    found = read_policy(save(tmp_path / "p.npz", arrays))
    # The second entry did not move in training.
    hidden = np.tanh((3.0 - 1.0) / (2.0 + 1e-6) * arrays["w0"][0])
    np.testing.assert_allclose(found.act(np.array([3.0, -50.0])), hidden @ arrays["w_out"] + 0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"w_out": None}, "it lacks w_out; a policy is obs_mean"),
        ({"w_out": np.zeros((3, 1))}, r"'w_out' has shape \(3, 1\), .* \(4, 1\) fits"),
        ({"b0": np.full(4, np.nan)}, "'b0' .* not finite"),
        ({"obs_std": -np.ones(2)}, "'obs_std' has negative numbers"),
    ],
)
def test_bad_policies_are_refused(tmp_path, changes, message):
    arrays = {key: x for key, x in (policy(2, 1) | changes).items() if x is not None}
    with pytest.raises(ValueError, match=message):
        read_policy(save(tmp_path / "p.npz", arrays))


def test_a_policy_is_recorded():
    expert = ExpertPolicy(np.zeros(2), np.ones(2), ((np.array([[0.0], [0.0]]), np.array([9.0])),))
    demos = demonstrate(expert, Falls(), 3, seed=2)
    task = Falls()
    assert demos.states.shape == (3 * task.episode_length, 2)
    np.testing.assert_array_equal(demos.actions, 3.0)
    following = np.stack(
        [
            np.asarray(task.step(jnp.asarray(s), jnp.asarray(a)))
            for s, a in zip(demos.states, demos.actions, strict=True)
        ]
    )
    np.testing.assert_allclose(demos.following, following, rtol=1e-5)
    assert len(np.unique(demos.states[demos.starts], axis=0)) == 3
    with pytest.raises(
        ValueError, match=r"0 of 4 episodes came to a return of 0, 1 are wanted; their returns are -.* to -"
    ):
        demonstrate(expert, Falls(), 1, least_return=0.0)


STILL = f"{__file__}:Falls"


def test_the_program_makes_a_file(tmp_path):
    saved = save(tmp_path / "p.npz", policy(2, 1))
    output = tmp_path / "d.npz"
    printed = run_here(
        "experiments.demonstrate", f"--task={STILL}", f"--policy={saved}", "--trajectories=2", f"--output={output}"
    )
    demos = read_demonstrations(output, make_task(STILL))
    assert len(returns(demos)) == 2
    assert f"2 trajectories, 24 steps, 0 over before the time limit; returns {returns(demos)[0]:.1f}" in printed


def test_the_program_takes_a_planner(tmp_path):
    import jax
    from helpers import small_planner

    from invlearn_jax.methods.saved import save_planner

    task = make_task(STILL)
    planner, settings = small_planner(task)
    save_planner(tmp_path / "planner", task, "inverter", settings, jax.jit(planner.init)(jax.random.key(0)))
    output = tmp_path / "d.npz"
    given = ("experiments.demonstrate", f"--planner={tmp_path / 'planner'}", "--trajectories=2", f"--output={output}")
    assert "2 trajectories, 24 steps" in run_here(*given)
    assert len(returns(read_demonstrations(output, task))) == 2
    output.unlink()
    with pytest.raises(ValueError, match="0 of 4 episodes came to a return of 100, 2 are wanted"):
        run_here(*given, "--least_return=100")
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Give either --policy=FILE.npz or --planner"),
        (("--policy={file}",), "give --task=NAME"),
        (
            ("--policy={file}", f"--task={STILL.replace('Falls', 'Ball')}"),
            "Ball has goals, which demonstrations do not hold",
        ),
        (("--policy={file}", f"--task={STILL}", "--least_return=1"), "0 of 10 episodes came to a return of 1"),
    ],
)
def test_the_program_refuses(tmp_path, arguments, message):
    saved = save(tmp_path / "p.npz", policy(2, 1))
    with pytest.raises(ValueError, match=message):
        run_here(
            "experiments.demonstrate", f"--output={tmp_path / 'd.npz'}", *(x.format(file=saved) for x in arguments)
        )


@pytest.mark.parametrize(("name", "trajectories", "least"), [("cartpole", 15, 500.0), ("acrobot", 20, -85.0)])
def test_demonstrations_come_with_a_classic_task(name, trajectories, least):
    task = make_task(name)
    found = returns(read_demonstrations(task.demonstrations, task))
    assert len(found) == trajectories
    assert found.min() >= least


def test_a_rule_makes_demonstrations_of_its_task_alone(tmp_path):
    output = tmp_path / "demos.npz"
    given = ("experiments.demonstrate", "--scripted", "--trajectories=2", f"--output={output}")
    assert "mean 500.0" in run_here(*given, "--task=cartpole")
    with pytest.raises(ValueError, match="no rule of its own"):
        run_here(*given, "--task=acrobot")
