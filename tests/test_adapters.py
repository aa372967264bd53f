"""Others' environments as tasks: that costs, rewards and steps are theirs, and that what cannot be had is refused in words.

What needs an optional library says so where it is skipped; Playground's part is tested on an environment of its kind too.
"""

import types

import flax.struct
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from mujoco import mjx

import invlearn_jax as il
from invlearn_jax.tasks.adapters.costs import Costs, CostTask, cost_task
from invlearn_jax.tasks.adapters.playground import PlaygroundTask
from invlearn_jax.tasks.registry import task_reference
from invlearn_jax.tasks.task import Episodes, MissingMethodError

ARM = """
<mujoco>
  <compiler angle="radian"/>
  <option timestep="0.01" iterations="1"><flag contact="disable"/></option>
  <worldbody>
    <body><joint name="a" axis="0 1 0" damping="0.1"/><geom type="cylinder" size="0.03 0.2" pos="0 0 -0.2" mass="0.5"/>
      <body pos="0 0 -0.4"><joint name="b" axis="0 1 0" range="-2 2" limited="true"/>
        <geom type="box" size="0.02 0.02 0.15" pos="0 0 -0.15" mass="0.3"/><site name="tip" pos="0 0 -0.3"/></body></body>
  </worldbody>
  <actuator><motor name="m" joint="a" gear="3" ctrlrange="-1 1" ctrllimited="true"/></actuator>
  <sensor>
    <framepos name="place" objtype="site" objname="tip"/><framelinvel name="speed" objtype="site" objname="tip"/>
    <accelerometer name="felt" site="tip"/>
  </sensor>
</mujoco>"""


def running_cost(data, control):
    reach = ((data.site_xpos[0] - jnp.array([0.3, 0.0, 0.2])) ** 2).sum() + 0.1 * (data.sensordata[3:6] ** 2).sum()
    return reach + 1e-3 * (data.actuator_force**2).sum() + 0.01 * (control**2).sum()


class Hydrax:
    """A task as hydrax has them."""

    def __init__(self):
        self.mj_model, self.dt = mujoco.MjModel.from_xml_string(ARM), 0.02

    def running_cost(self, state, control):
        return running_cost(state, control)

    def terminal_cost(self, state):
        return 10 * (state.qvel**2).sum()


class Arm(CostTask):
    source, horizon, velocity_spread = Hydrax, 8, 2.0


def costs(running, terminal=lambda data: 0.0, xml=ARM):
    return Costs(mujoco.MjModel.from_xml_string(xml), 0.02, running, terminal)


@pytest.fixture(scope="module")
def arm():
    return Arm()


def test_a_cost_over_data_is_that_of_c_mujoco(arm):
    il.check_task(arm)
    assert (arm.horizon, arm.dt, arm.action_size) == (8, 0.02, 1)
    states = np.asarray(jax.vmap(arm.draw_state)(jax.random.split(jax.random.key(0), 4)))
    actions = np.linspace(-1.0, 1.0, 4)[:, None]

    def both(state, action):
        return arm.cost(state, action, jnp.zeros(0))["running"], arm.final_cost(state, jnp.zeros(0))["terminal"]

    found, final = jax.jit(jax.vmap(both))(states, actions)
    data = mujoco.MjData(arm.mj_model)
    for state, action, cost in zip(states, actions, found, strict=True):
        data.qpos, data.qvel, data.ctrl = state[:2], state[2:], action
        mujoco.mj_forward(arm.mj_model, data)
        assert float(cost) == pytest.approx(float(running_cost(data, action)), rel=1e-4)
    np.testing.assert_allclose(final, 10 * (states[:, 2:] ** 2).sum(1), rtol=1e-5)


def test_a_task_in_one_call(arm):
    task = cost_task(Hydrax, horizon=16, control_dt=0.04)
    assert (task.name, task.horizon, task.dt, arm.dt) == ("Hydrax", 16, 0.04, 0.02)
    assert cost_task(costs(lambda data, control: data.qpos[0])).name == "Costs"
    assert task_reference(arm).endswith("test_adapters.py:Arm")
    with pytest.raises(TypeError, match="no horizn"):
        cost_task(Hydrax, horizn=16)
    with pytest.raises(TypeError, match="SimpleNamespace without running_cost, terminal_cost"):
        cost_task(types.SimpleNamespace(mj_model=None, dt=0.02))


@pytest.mark.parametrize(
    ("running", "message"),
    [
        (
            lambda data, control: data.time + data.qacc[0],
            "running_cost of Costs reads qacc, time of MJX's data.*without a step",
        ),
        (lambda data, control: data.sensordata[6], "reads the sensors felt.*need a step"),
        (lambda data, control: data.qpos, r"shape \(2,\); wanted is one number"),
    ],
)
def test_a_cost_of_what_a_state_does_not_give_is_refused(running, message):
    with pytest.raises(ValueError, match=message):
        cost_task(costs(running))


def test_a_model_that_mjx_does_not_support_can_be_learned_from():
    xml = ARM.replace('<flag contact="disable"/>', "").replace("axis=", 'armature="0.01" axis=')
    apart = xml.replace("<worldbody>", '<worldbody><geom type="box" size="1 1 0.1" pos="0 0 -2"/>')
    task = cost_task(costs(lambda data, control: data.site_xpos[0, 2], xml=apart), horizon=8)
    cost = jax.jit(task.cost)(jnp.zeros(4), jnp.zeros(1), jnp.zeros(0))
    assert cost["running"] == pytest.approx(-0.7)
    simulator = task.simulator()
    assert np.isfinite(simulator.step(np.zeros((1, 4)), np.ones((1, 1)))).all()
    simulator.close()
    with pytest.raises(ValueError, match="MJX does not support the model of Costs.*run on C MuJoCo"):
        task.step(jnp.zeros(4), jnp.zeros(1))
    with pytest.raises(ValueError, match="MJX does not support"):
        cost_task(costs(lambda data, control: data.contact.dist.sum(), xml=apart))
    with pytest.raises(ValueError, match=r"actuators without limits \(m\)"):
        cost_task(costs(lambda data, control: 0.0, xml=ARM.replace('ctrlrange="-1 1" ctrllimited="true"', "")))


# Environments in the form of MuJoCo Playground's.


@flax.struct.dataclass
class Whole:
    data: mjx.Data
    obs: jax.Array
    reward: jax.Array
    done: jax.Array
    metrics: dict
    info: dict


class Swing:
    """An environment as MuJoCo Playground has them: actions are scaled to controls, the reward knows a command."""

    dt, action_size = 0.02, 1

    def __init__(self, reads=()):
        # Without limits and sensors MJX compiles sooner.
        free = ARM.replace('range="-2 2" limited="true"', "").split("<sensor>")[0] + "</mujoco>"
        self.mj_model, self.reads = mujoco.MjModel.from_xml_string(free), reads
        self.mjx_model = mjx.put_model(self.mj_model)

    def reset(self, key):
        first, second = jax.random.split(key)
        places = jax.random.uniform(first, (2,), minval=-0.1, maxval=0.1)
        data = mjx.make_data(self.mj_model).replace(qpos=places)
        info = {"command": jax.random.uniform(second, (1,)), "last": jnp.zeros(1), "rng": key}
        return Whole(data, data.qpos, jnp.zeros(()), jnp.zeros(()), {"reach": jnp.zeros(())}, info)

    def step(self, state, action):
        def once(data, _):
            return mjx.step(self.mjx_model, data.replace(ctrl=0.5 * action)), None

        data = jax.lax.scan(once, state.data, length=2)[0]
        reach = jnp.exp(-((data.site_xpos[0, 0] - state.info["command"][0]) ** 2))
        state.metrics["reach"] = reach
        reward = reach - 0.1 * jnp.sum(action**2) - sum(state.info[name].sum() for name in self.reads)
        state.info["last"] = action
        return state.replace(data=data, obs=data.qpos, reward=reward, done=(data.qpos[0] > 9).astype(float))


class Swinging(PlaygroundTask):
    environment, goal_info, horizon, best_reward, episode_length = Swing, "command", 8, 1.0, 4


@pytest.fixture(scope="module")
def swinging():
    return Swinging()


def test_an_environment_of_playgrounds_kind_is_a_task(swinging):
    il.check_task(swinging)
    assert (swinging.goal_size, swinging.action_size, swinging.dt) == (1, 1, 0.02)
    assert task_reference(swinging).endswith("test_adapters.py:Swinging")
    problem = swinging.draw_problem(jax.random.key(3))
    assert (np.abs(problem.state[:2]) < 0.1).all()
    assert 0 < problem.goal[0] < 1


def test_its_steps_controls_and_returns_are_the_environments(swinging):
    starts = np.asarray(jax.vmap(swinging.reset)(jax.random.split(jax.random.key(0), 3)), np.float64)
    goals = np.asarray(jax.vmap(swinging.draw_goal)(jax.random.split(jax.random.key(1), 3)))
    actions = np.random.default_rng(0).uniform(-1, 1, (3, 4, 1)).astype(np.float32)
    simulator = swinging.simulator()
    states = simulator.unroll(starts, actions)
    np.testing.assert_allclose(simulator.step(starts, actions[:, 0]), states[:, 1], atol=1e-9)
    simulator.close()
    assert jax.eval_shape(swinging.step, jnp.zeros(4), jnp.zeros(1)).shape == (4,)
    found = swinging.metrics(Episodes(goals, states.astype(np.float32), actions, np.zeros(0), np.zeros(0)))
    assert found["replay_error"] < 1e-4
    assert found["steps_mean"] == 4
    # Places of MJX's data are those before its last substep.
    costs = jax.jit(jax.vmap(lambda s, a, g: swinging.trajectory_cost(s, a, g)["reward"]))(states, actions, goals)
    assert found["return_mean"] == pytest.approx(float((4 - costs).mean()), rel=0.01)


def test_a_reward_of_more_than_the_state_is_refused():
    def task(**attributes):
        return type("Task", (PlaygroundTask,), {"environment": staticmethod(lambda: Swing(("last",))), **attributes})

    with pytest.raises(ValueError, match=r"state.info of command, last.*held_info=\('command', 'last'\)"):
        task()()
    held = task(goal_info="command", held_info=("last",))()
    assert float(jax.jit(held.reward)(jnp.zeros(4), jnp.zeros(1), jnp.zeros(1))) == pytest.approx(1.0)
    own = task(cost=lambda self, state, action, goal: {"still": (state[2:] ** 2).sum()})()
    assert own.reward(jnp.ones(4), jnp.zeros(1), jnp.zeros(0)) == pytest.approx(-0.04)
    with pytest.raises(ValueError, match="entry of state.info of Task 'comand'. Nearest known: command"):
        task(goal_info="comand")()


@flax.struct.dataclass
class Blind:
    obs: jax.Array


class Pixels:
    """An environment that shows what it sees and not how it is."""

    dt, action_size = 0.02, 1

    def reset(self, key):
        return Blind(jnp.zeros(2))


def test_an_environment_without_a_settable_state_is_refused():
    with pytest.raises(ValueError, match=r"no MuJoCo data with qpos and qvel, but \['obs'\].*from invlearn_jax.Task"):
        type("Task", (PlaygroundTask,), {"environment": Pixels})()


def test_playgrounds_own_environment():
    pytest.importorskip(
        "mujoco_playground", reason="MuJoCo Playground is not installed (it is not in requirements.lock)"
    )
    task = il.make_task("playground:CartpoleSwingup")
    assert (task.state_size, task.action_size, task.episode_length, task_reference(task)) == (4, 1, 1000, task.name)
    upright, hanging = (jnp.array([0.0, angle, 0.0, 0.0]) for angle in (0.0, np.pi))
    rewards = jax.jit(jax.vmap(task.reward, (0, None, None)))(jnp.stack([upright, hanging]), jnp.zeros(1), jnp.zeros(0))
    np.testing.assert_allclose(rewards, [1.0, 0.0], atol=1e-6)
    with pytest.raises(
        ValueError, match="Unknown environment of MuJoCo Playground 'CartpoleSwingu'. Nearest known: CartpoleSwingup"
    ):
        il.make_task("playground:CartpoleSwingu")


def test_without_playground_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mujoco_playground", None)
    with pytest.raises(ImportError, match=r"invlearn_jax\[playground\]"):
        il.make_task("playground:CartpoleSwingup")


# gymnasium's environments.


def executed(task, steps, episodes=2):
    rng = np.random.default_rng(0)
    problems = jax.vmap(task.draw_problem)(jax.random.split(jax.random.key(0), episodes))
    actions = rng.uniform(task.action_low, task.action_high, (episodes, steps, task.action_size)).astype(np.float32)
    states, simulator = [np.asarray(problems.state, np.float64)], task.simulator()
    for step in range(steps):
        states.append(simulator.step(states[-1], actions[:, step]))
    simulator.close()
    return Episodes(
        np.asarray(problems.goal), np.stack(states, 1).astype(np.float32), actions, np.zeros(0), np.zeros(0)
    )


@pytest.fixture(scope="module")
def gymnasium():
    return pytest.importorskip("gymnasium", reason="gymnasium is not installed: the extra robotics")


def test_an_environment_of_gymnasium_is_a_task(gymnasium):
    task = il.make_task("gymnasium:HalfCheetah-v5")
    il.check_task(task)
    assert (task.state_size, task.action_size, task.episode_length, task.dt) == (18, 6, 1000, 0.05)
    # It does not see how far it has come.
    assert task.features(jnp.arange(18.0))[0] == 1.0
    rows = executed(task, 30)
    found = task.metrics(rows)
    assert found["replay_error"] < 1e-4
    assert found["steps_mean"] == 30
    costs = jax.vmap(lambda s, a: sum(task.trajectory_cost(s, a, jnp.zeros(0)).values()))(rows.states, rows.actions)
    assert -float(costs.mean()) == pytest.approx(found["return_mean"], abs=0.5)


def test_a_reward_that_is_not_known_needs_a_cost(gymnasium):
    from invlearn_jax.tasks.adapters.gymnasium_env import GymnasiumTask

    with pytest.raises(
        MissingMethodError, match=r"reward of gymnasium:InvertedPendulum-v5.*give cost\(state, action, goal\)"
    ):
        il.make_task("gymnasium:InvertedPendulum-v5")

    class Balance(GymnasiumTask):
        environment, horizon = "InvertedPendulum-v5", 8

        def cost(self, state, action, goal):
            return {"upright": 1 - jnp.cos(state[1]), "centre": 0.1 * state[0] ** 2}

    task = Balance()
    il.check_task(task)
    found = task.metrics(executed(task, 40))
    # The return is the environment's: one for each step until the pole is down.
    assert found["return_mean"] == found["steps_mean"] - 1 < 39


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("CartPole-v1", "a CartPoleEnv, cannot be put into a state: it lacks model, data, frame_skip, set_state"),
        ("Hoper-v5", "Unknown environment of gymnasium 'Hoper-v5'. Nearest known: Hopper-v5"),
    ],
)
def test_what_is_no_environment_with_a_state_is_refused(gymnasium, name, message):
    with pytest.raises(ValueError, match=message):
        il.make_task(f"gymnasium:{name}")


def test_unbounded_actions_are_refused(gymnasium):
    from invlearn_jax.tasks.adapters.gymnasium_env import GymnasiumTask

    def unbounded():
        env = gymnasium.make("InvertedPendulum-v5")
        env.unwrapped.action_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,))
        return env

    with pytest.raises(ValueError, match="actions of Task are Box.*wanted is a bounded box"):
        type("Task", (GymnasiumTask,), {"environment": staticmethod(unbounded)})()


def test_a_point_maze_is_a_task_in_maze2ds_frame():
    pytest.importorskip("gymnasium_robotics", reason="gymnasium-robotics is not installed: the extra robotics")
    task = il.make_task("pointmaze:PointMaze_UMaze-v3")
    assert (task.name, task.episode_length) == ("pointmaze:PointMaze_UMaze-v3", 300)
    rows = executed(task, 60, episodes=4)
    task.check_states(rows.states.reshape(-1, 4))
    found = task.metrics(rows)
    assert found["replay_error"] < 1e-4
    rewards = jax.vmap(lambda s, a, g: jax.vmap(task.reward, (0, 0, None))(s, a, g).sum())(
        rows.states[:, 1:], rows.actions, rows.goals
    )
    assert found["return_mean"] == float(rewards.mean())
    with pytest.raises(ValueError, match="Unknown PointMaze.*Nearest known: PointMaze_UMaze-v3"):
        il.make_task("pointmaze:PointMaze_UMazee-v3")
