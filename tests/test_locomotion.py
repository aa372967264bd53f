"""Gymnasium's running robots as tasks: physics, observations, ends and rewards are the environments' own."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT

import invlearn_jax as il
from invlearn_jax.evaluate.episodes import run_mujoco
from invlearn_jax.imitation.demonstrations import returns
from invlearn_jax.imitation.experts import ExpertPolicy, demonstrate
from invlearn_jax.tasks.registry import make_task, task_entries
from invlearn_jax.tasks.task import ActsOnObservations, Episodes, has_end
from invlearn_jax.types import Problem

ROBOTS = {
    "hopper": (12, 3, 11),
    "halfcheetah": (18, 6, 17),
    "walker2d": (18, 6, 17),
    "ant": (29, 8, 27),
    "humanoid": (47, 17, 45),
}
SHARED = ROOT.parent / "shared" / "data" / "mujoco_experts"


@pytest.fixture(scope="module")
def made():
    pytest.importorskip("gymnasium", reason="gymnasium is not installed: the extra robotics")
    return {name: make_task(name) for name in ROBOTS}


@pytest.fixture(params=ROBOTS)
def task(request, made):
    return made[request.param]


def played(task, steps, scale=1.0, seed=0):
    """Steps of the environment itself under random actions: states before and after, actions, observations, rewards, ends."""
    env, rng, rows = task.env.unwrapped, np.random.default_rng(seed), []
    task.env.reset(seed=seed)
    for _ in range(steps):
        before = np.concatenate([env.data.qpos, env.data.qvel])
        action = (scale * rng.uniform(task.action_low, task.action_high)).astype(np.float32)
        observation, reward, terminated = env.step(action)[:3]
        rows.append((before, action, np.concatenate([env.data.qpos, env.data.qvel]), observation, reward, terminated))
        if terminated and len(rows) % 3:  # steps of a robot that has fallen are of interest too
            env.reset()
    return [np.stack(column) for column in zip(*rows, strict=True)]


def test_sizes_are_the_environments(task):
    states, actions, seen = ROBOTS[task.name]
    assert (task.state_size, task.action_size, task.episode_length, task.goal_size) == (states, actions, 1000, 0)
    assert task.features(jnp.zeros(states)).shape == (seen,)
    assert isinstance(task, ActsOnObservations)
    assert has_end(task) == (task.name != "halfcheetah")
    assert (task.observation_size == seen) == (task.name not in ("ant", "humanoid"))


@pytest.mark.parametrize("name", ["hopper", "ant"])
def test_the_contract_is_kept(made, name):
    # The others differ in nothing that the check looks at.
    il.check_task(made[name])


def test_a_step_is_the_environments(task):
    before, actions, after = played(task, 40)[:3]
    simulator = task.simulator()
    found = simulator.step(before, actions)
    simulator.close()
    np.testing.assert_allclose(found, after, atol=1e-6 * np.abs(after).max())


def test_features_are_what_is_observed(task):
    _, _, after, observations, _, _ = played(task, 30)
    found = np.asarray(jax.jit(jax.vmap(task.features))(after.astype(np.float32)))
    np.testing.assert_allclose(found, observations[:, : found.shape[1]], rtol=1e-6, atol=1e-6)


def test_velocities_are_clipped_as_they_are_observed(made):
    fast = jnp.full(12, 1.0).at[8].set(-50.0)
    assert made["hopper"].features(fast).min() == -10
    assert made["ant"].features(jnp.full(29, 50.0)).max() == 50


def test_an_episode_is_over_where_the_environment_ends_it(task):
    _, _, after, _, _, ended = played(task, 300)
    found = np.asarray(jax.jit(jax.vmap(task.over))(after.astype(np.float32)))
    np.testing.assert_array_equal(found, ended)
    assert ended.any() == (task.name != "halfcheetah")
    assert not ended.all()


@pytest.mark.parametrize(
    ("name", "entry", "value"),
    [
        ("ant", 2, 0.19),
        ("ant", 2, 1.01),
        ("humanoid", 2, 2.1),
        ("hopper", 4, 101.0),
        ("walker2d", 2, -1.1),
        ("walker2d", 1, 0.7),
    ],
)
def test_what_random_actions_do_not_reach_is_over_too(made, name, entry, value):
    task = made[name]
    start = task.reset(jax.random.key(0))
    assert not task.over(start)
    assert task.over(start.at[entry].set(value))


def test_the_reward_is_the_environments_but_for_the_speed_within_a_step(task):
    _, actions, after, _, rewards, _ = played(task, 200, scale=0.5)
    found = np.asarray(jax.jit(jax.vmap(task.reward, (0, 0, None)))(after.astype(np.float32), actions, jnp.zeros(0)))
    # A mean over steps in which it falls, too: speeds at the ends of steps are not those over them.
    # A humanoid's trunk moves otherwise than its centre of mass while it falls.
    assert np.mean(found - rewards) == pytest.approx(0.0, abs=0.6 if task.name == "humanoid" else 0.15)
    terms = task.cost(jnp.asarray(after[0], float), jnp.asarray(actions[0]), jnp.zeros(0))
    assert set(terms) == {"speed", "effort"} | (set() if task.name == "halfcheetah" else {"alive"})


class _Swings:
    """A planner of fixed swings."""

    horizon, execute_steps = 40, 40

    def __init__(self, task):
        phase = np.linspace(0, 12, 40)[:, None] + np.arange(task.action_size)
        self.actions = jnp.asarray(task.action_high * np.sin(phase), float)

    def init(self, key):
        return ()

    def plan(self, params, key, problem):
        states = jnp.zeros((41, problem.state.shape[0]))
        return il.PlanOutput(self.actions, states, 0.0, {}, 0.0, jnp.zeros(0), jnp.int32(0))


def test_returns_are_those_of_the_environments_own_loop(task):
    task.env.reset(seed=3)
    start = task._now()
    planner = _Swings(task)
    env = task.env.unwrapped
    total = 0.0
    for action in np.asarray(planner.actions):
        reward, terminated = env.step(action)[1:3]
        total += reward
        if terminated:
            break
    problems = Problem(start[None], np.zeros((1, 0)))
    episodes = run_mujoco(planner, (), task, jax.random.key(0), problems, steps=40)
    found = task.metrics(episodes)
    assert found["return_mean"] == pytest.approx(total, rel=0.01, abs=0.05)
    assert found["replay_error"] < 1e-3


def test_drawn_states_are_near_starts(task):
    states = np.asarray(jax.jit(jax.vmap(task.draw_state))(jax.random.split(jax.random.key(1), 64)))
    assert np.asarray(jax.vmap(task.over)(states)).mean() < 0.7
    if task.floating:
        np.testing.assert_allclose(np.linalg.norm(states[:, 3:7], axis=1), 1.0, rtol=1e-5)


def test_states_of_observations(task):
    _, _, after, observations, _, _ = played(task, 10)
    found = task.from_observations(observations)
    hidden = 2 if task.floating else 1
    np.testing.assert_array_equal(found[:, :hidden], 0)
    clipped = task.name in ("hopper", "walker2d")
    expected = np.where(np.arange(task.state_size) < task.mj_model.nq, after, after.clip(-10, 10)) if clipped else after
    np.testing.assert_allclose(found[:, hidden:], expected[:, hidden:])
    np.testing.assert_array_equal(task.from_observations(observations[:, : ROBOTS[task.name][2]]), found)
    np.testing.assert_array_equal(task.from_observations(after), after)


def test_observations_of_another_robot_are_refused(made):
    with pytest.raises(ValueError, match=r"shape \(3, 17\); those of hopper have 12 \(states\) or 11"):
        made["hopper"].from_observations(np.zeros((3, 17)))
    with pytest.raises(ValueError, match=r"those of ant have 29 \(states\) or 27 .* or 111 \(the environment's"):
        made["ant"].from_observations(np.zeros((3, 105)))
    reacher = make_task("gymnasium:Reacher-v5")
    with pytest.raises(
        ValueError, match="Observations of gymnasium:Reacher-v5 do not begin with positions and velocities"
    ):
        reacher.from_observations(np.zeros((3, 10)))


@pytest.mark.parametrize(("name", "fallen"), [("Walker2d-v5", 0.7), ("Ant-v5", None)])
def test_newer_editions_by_name_have_costs_and_ends(made, name, fallen):
    task = make_task(f"gymnasium:{name}")
    state = task.reset(jax.random.key(0))
    cost = task.cost(state, jnp.zeros(task.action_size), jnp.zeros(0))
    assert cost["alive"] == pytest.approx(-1 / task.dt)
    # From version 5 on a fall earns no bonus. The ant's speed is along the world's x, so that networks see its heading.
    down = state.at[2 if task.floating else 1].set(0.1)
    assert task.over(down)
    assert task.cost(down, jnp.zeros(task.action_size), jnp.zeros(0))["alive"] == 0
    assert type(task.frame) is type(made["ant"].frame)
    assert task.features(state).shape == (1 + 6 + 8 + 14,) if task.floating else (17 + 1,)


def test_a_cost_of_ones_own_has_no_end_but_ones_own(made):
    from invlearn_jax.tasks.adapters.gymnasium_env import GymnasiumTask

    class Stand(GymnasiumTask):
        environment, horizon = "Hopper-v5", 8

        def cost(self, state, action, goal):
            return {"low": (state[1] - 1.2) ** 2}

    task = Stand()
    assert not task.over(jnp.zeros(12))
    assert not has_end(task)
    # It is cut where the environment ends it, which is no end of the task's.
    layers = ((np.zeros((11, 3)), np.zeros(3)),)
    demos = demonstrate(ExpertPolicy(np.zeros(11), np.ones(11), layers), task, 1)
    assert len(demos.states) < 1000
    assert not demos.over.any()

    class Low(Stand):
        def over(self, state):
            return state[1] < 1

    assert has_end(Low())


def test_listing_tasks_leaves_gymnasium_alone():
    code = (
        "import sys; from invlearn_jax.tasks.registry import task_entries as e; assert 'hopper' in e(); "
        "assert 'gymnasium' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(task_entries()[name].summary for name in ROBOTS)


def test_a_policy_of_full_observations_acts_in_the_environment(made):
    task = made["ant"]
    layers = ((np.zeros((111, 4)), np.zeros(4)), (np.zeros((4, 8)), np.full(8, 0.1)))
    task.episode_length = 20
    try:
        demos = demonstrate(ExpertPolicy(np.zeros(111), np.ones(111), layers), task, 2, seed=1)
    finally:
        task.episode_length = 1000
    assert demos.states.shape == (40, 29)
    assert not demos.over.any()
    assert demos.starts.sum() == 2
    # They can be replayed: the returns are the environment's.
    states = np.concatenate([demos.states.reshape(2, 20, 29), demos.following.reshape(2, 20, 29)[:, -1:]], axis=1)
    found = task.metrics(Episodes(np.zeros((2, 0)), states, demos.actions.reshape(2, 20, 8), np.zeros(0), np.zeros(0)))
    assert found["return_mean"] == pytest.approx(returns(demos).mean(), rel=0.01)
    with pytest.raises(ValueError, match="observations of 27 numbers and actions of 8; ant has observations of 111"):
        demonstrate(ExpertPolicy(np.zeros(27), np.ones(27), ((np.zeros((27, 8)), np.zeros(8)),)), task, 1)


@pytest.mark.parametrize("name", ROBOTS)
def test_published_experts_are_read(made, name):
    from invlearn_jax.imitation.demonstrations import read_demonstrations
    from invlearn_jax.imitation.experts import read_policy

    if not SHARED.is_dir():
        pytest.skip("the published experts are not here: shared/data/mujoco_experts")
    demos = read_demonstrations(SHARED / f"{name}_demos.npz", made[name])
    assert len(demos.states) == (999 if name == "humanoid" else 2000)
    assert not demos.over.any()
    if name != "humanoid":
        assert 3700 < returns(demos).mean() < 5600
    assert read_policy(SHARED / f"{name}_policy.npz").mean.shape == (made[name].observation_size,)
