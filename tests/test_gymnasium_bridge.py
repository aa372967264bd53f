"""The gymnasium bridge: what it hands out, resets to a given start and goal, misuse, processes of their own."""

import os
import sys
import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT
from helpers import run_python

gymnasium = pytest.importorskip("gymnasium")

from invlearn_jax.tasks.gymnasium_bridge import as_gymnasium  # noqa: E402
from invlearn_jax.tasks.registry import make_task  # noqa: E402


@pytest.fixture(scope="module")
def env():
    env = as_gymnasium("maze2d-umaze-v1")
    yield env
    env.close()


def test_editing_what_was_handed_out_moves_nothing(env):
    first, info = env.reset(seed=4)
    kept = first.copy()
    first[:], info["goal"][:] = 0.0, 0.0
    obs, _, _, _, info = env.step(np.zeros(2))
    np.testing.assert_allclose(obs[:2], kept[:2], atol=0.01)
    np.testing.assert_array_equal(info["goal"], [1.0, 1.0])
    kept = obs.copy()
    obs[:] = 0.0
    np.testing.assert_allclose(env.step(np.zeros(2))[0][:2], kept[:2], atol=0.01)


def test_reset_obeys_the_state_and_the_goal(env):
    state, goal = np.array([3.0, 2.0, 0.5, -0.25]), [3.0, 2.2]
    obs, info = env.reset(seed=0, options={"state": state, "goal": goal})
    np.testing.assert_array_equal(obs, state)
    np.testing.assert_allclose(info["goal"], goal)
    assert env.step(np.zeros(2))[1] == 1.0
    assert state.tolist() == [3.0, 2.0, 0.5, -0.25]
    _, info = env.reset(options={"state": state})
    np.testing.assert_array_equal(info["goal"], [1.0, 1.0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": [1, 1, 0, 0]}, "unknown option 'start'; allowed are 'state' and 'goal'"),
        ({"state": [1.0, 1.0]}, r"'state' has shape \(2,\).*give 4 finite numbers"),
        ({"state": [1.0, 1.0, 0.0, np.nan]}, "not finite"),
        ({"state": [2.0, 1.0, 0.0, 0.0]}, r"in a wall of maze2d-umaze-v1, at \[2.0, 1.0\]"),
        ({"goal": [np.inf, 1.0]}, "'goal' .*not finite"),
    ],
)
def test_reset_refuses_other_options(env, options, message):
    with pytest.raises(ValueError, match=message):
        env.reset(options=options)


def test_a_maze_is_what_gymnasium_expects(env):
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(env, skip_render_check=True)
    first, _ = env.reset(seed=4)
    np.testing.assert_array_equal(env.reset(seed=4)[0], first)
    for step in range(300):
        obs, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert not terminated
        assert truncated == (step == 299)


def test_an_ant_begins_where_it_is_told_and_ends_at_the_goal():
    env = as_gymnasium("antmaze-umaze-v2")
    with pytest.raises(gymnasium.error.ResetNeeded, match="reset"):
        env.step(np.zeros(8))
    state, info = env.reset(seed=4)
    assert env.observation_space.contains(state)
    again, other = env.reset()
    assert (info["goal"] != other["goal"]).all()
    np.testing.assert_array_equal(env.reset(seed=4)[0], state)
    for _ in range(3):
        assert env.step(env.action_space.sample())[1:4] == (0.0, False, False)
    state[:2] = 1.0, 2.0
    np.testing.assert_array_equal(env.reset(options={"state": state, "goal": state[:2]})[0], state)
    assert env.step(np.zeros(8))[1:4] == (1.0, True, False)
    state[3:7] = 0.0
    with pytest.raises(ValueError, match="quaternion"):
        env.reset(options={"state": state})
    env.close()


def test_a_users_own_robot():
    task = make_task(f"{ROOT}/examples/my_robot.py:Reach")
    env = as_gymnasium(task)
    np.testing.assert_array_equal(env.action_space.high, task.action_high)
    state, goal = np.array([0.3, -0.5, 0.0, 0.0]), np.array([0.5, 0.2])
    env.reset(seed=0, options={"state": state, "goal": goal})
    action = 0.5 * task.action_high
    found, reward, terminated, truncated, info = env.step(action)
    simulator = task.simulator()
    np.testing.assert_array_equal(found, simulator.step(state[None], action[None])[0])
    simulator.close()
    wanted = -task.dt * sum(task.cost(jnp.asarray(found), jnp.asarray(action), jnp.asarray(goal)).values())
    assert reward == pytest.approx(float(wanted), rel=1e-5)
    assert (terminated, truncated) == (False, False)
    np.testing.assert_allclose(info["goal"], goal, rtol=1e-6)
    env.close()


def test_what_is_executed_whole_is_refused():
    with pytest.raises(ValueError, match="plans of gate-qubit are executed whole"):
        as_gymnasium("gate-qubit")


PROCESSES = """
import sys, warnings
warnings.simplefilter("ignore")  # of JAX and gymnasium about the fork
import gymnasium
from invlearn_jax.tasks.gymnasium_bridge import as_gymnasium

def make():
    return as_gymnasium("maze2d-umaze-v1")

if __name__ == "__main__":
    make().close()
    envs = gymnasium.vector.AsyncVectorEnv([make], context=sys.argv[1])
    observations, _ = envs.reset(seed=0)
    print(envs.step(envs.action_space.sample())[0].shape)
    envs.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("context", ["spawn", "fork"])
def test_in_processes_of_their_own(context, tmp_path):
    (tmp_path / "program.py").write_text(PROCESSES)
    path = os.pathsep.join([os.getcwd(), *filter(None, sys.path)])
    done = run_python(tmp_path / "program.py", context, PYTHONPATH=path)
    if context == "spawn":
        assert done.returncode == 0, done.stderr
        assert done.stdout == "(1, 4)\n"
    else:
        assert done.returncode != 0
        assert 'context="spawn"' in done.stderr
