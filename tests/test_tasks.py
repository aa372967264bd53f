"""Tasks: MuJoCo models against MuJoCo itself, faults that are named, names and files."""

import jax
import jax.numpy as jnp
import mujoco
import my_robot
import numpy as np
import pytest
from conftest import ROOT
from test_fit import Cart

import invlearn_jax as il
from invlearn_jax.frames import HeadingFrame, WorldFrame
from invlearn_jax.tasks.check import check_task
from invlearn_jax.tasks.exploration import random_rows, smooth_actions

# A box with thrusters, which carries a limited slide, a ball joint and a hinge without limits: every kind of joint.
FLOATING = """
<mujoco>
  <option timestep="0.005" gravity="0 0 0"/>
  <worldbody>
    <body name="ship" pos="0 0 1">
      <freejoint/>
      <geom type="box" size="0.2 0.1 0.1" contype="0" conaffinity="0"/>
      <site name="nose" pos="0.2 0 0"/>
      <body name="arm" pos="0.2 0 0">
        <joint name="slide" type="slide" axis="1 0 0" range="-0.1 0.1" limited="true" damping="1"/>
        <joint name="wheel" type="hinge" axis="0 0 1"/>
        <geom type="sphere" size="0.1" contype="0" conaffinity="0"/>
        <site name="tip" pos="0 0.3 0"/>
        {more}
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor site="nose" name="push" gear="1 0 0 0 0 0" ctrlrange="-1 2"/>
    <motor joint="slide" ctrlrange="-3 3"/>
    <motor joint="wheel" ctrlrange="-1 1"/>
  </actuator>
</mujoco>
"""
BALL = (
    '<body><joint name="ball" type="ball"/><geom type="box" size="0.1 0.05 0.05" contype="0" conaffinity="0"/></body>'
)


class Ship(il.MujocoTask):
    xml, control_dt, horizon, goal_size = FLOATING.format(more=""), 0.02, 4, 3

    def draw_goal(self, key):
        return jax.random.uniform(key, (3,), minval=-1.0)

    def cost(self, state, action, goal):
        return {"reach": jnp.sum((self.site(state, "nose") - goal) ** 2)}


class Jointed(Ship):
    xml = FLOATING.format(more=BALL)


@pytest.fixture(scope="module")
def ship():
    return Ship()


@pytest.fixture(scope="module")
def jointed():
    return Jointed()


@pytest.fixture(scope="module")
def arm():
    return my_robot.Reach()


def drawn(task, count=16, seed=0):
    return np.asarray(jax.jit(jax.vmap(task.draw_state))(jax.random.split(jax.random.key(seed), count)))


# --- physics ---


@pytest.mark.parametrize("name", ["ship", "arm"])
def test_both_engines_take_the_same_step(name, request):
    task = request.getfixturevalue(name)
    assert task.substeps == {"ship": 4, "arm": 2}[name]
    states = np.array(drawn(task, 8))
    # One beyond its limit, where the constraint acts.
    states[0, task.mj_model.joint("slide" if name == "ship" else "elbow").qposadr[0]] = {"ship": 0.11, "arm": 2.65}[
        name
    ]
    rng = np.random.default_rng(0)
    actions = rng.uniform(2 * task.action_low, 2 * task.action_high, (8, task.action_size)).astype(np.float32)
    simulator = task.simulator()
    truth = simulator.step(states, actions)
    np.testing.assert_array_equal(truth, simulator.step(states, np.clip(actions, task.action_low, task.action_high)))
    simulator.close()
    found = np.asarray(jax.jit(jax.vmap(task.step))(states, actions))
    np.testing.assert_allclose(found, truth, rtol=1e-4, atol=2e-4)
    # MuJoCo's own loop.
    data = mujoco.MjData(task.mj_model)
    nq = task.mj_model.nq
    data.qpos[:], data.qvel[:] = states[3, :nq], states[3, nq:]
    data.ctrl[:] = np.clip(actions[3], task.action_low, task.action_high)
    for _ in range(task.substeps):
        mujoco.mj_step(task.mj_model, data)
    np.testing.assert_allclose(truth[3], np.concatenate([data.qpos, data.qvel]), atol=1e-9)


def test_drawn_states_are_the_models(ship, arm):
    for task in (ship, arm):
        states, model = drawn(task, 500), task.mj_model
        for joint in range(model.njnt):
            if model.jnt_limited[joint]:
                at, (low, high) = model.jnt_qposadr[joint], model.jnt_range[joint]
                assert low < states[:, at].min() < low + 0.1 * (high - low)
                assert high - 0.1 * (high - low) < states[:, at].max() < high
        starts = np.asarray(jax.jit(jax.vmap(task.reset))(jax.random.split(jax.random.key(0), 100)))
        assert np.abs(starts[:, : model.nq] - task.home).max() <= task.reset_noise
        assert (starts[:, model.nq :] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(drawn(ship)[:, 3:7], axis=1), 1, rtol=1e-5)
    assert np.abs(drawn(arm, 500)[:, 0]).max() > 2.5  # an unlimited hinge, anywhere


@pytest.mark.parametrize("name", ["ship", "jointed"])
def test_places_are_those_of_kinematics(name, request):
    task = request.getfixturevalue(name)
    state, model = drawn(task, 1)[0].astype(np.float64), task.mj_model
    data = mujoco.MjData(model)

    def place(state):
        data.qpos[:] = state[: model.nq]
        mujoco.mj_forward(model, data)
        return data.site("tip").xpos.copy(), data.body("arm").xpos.copy(), data.body("arm").xmat.reshape(3, 3).copy()

    with jax.enable_x64(True):
        own, wide = type(task)(), jnp.asarray(state)

        def places_of(state):
            return own.site(state, "tip"), own.body(state, "arm"), own.body_axes(state, "arm")

        (site, body, axes), (slope, *_) = jax.jit(lambda s: (places_of(s), jax.jacfwd(places_of)(s)))(wide)
        for found, wanted in zip((site, body, axes), place(state), strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-9)
        moves = 1e-6 * np.concatenate([np.eye(len(state))[: model.nq], -np.eye(len(state))[: model.nq]])
        ahead, behind = np.split(np.asarray(jax.jit(jax.vmap(lambda s: own.site(s, "tip")))(wide + moves)), 2)
        np.testing.assert_allclose(np.asarray(slope)[:, : model.nq].T, (ahead - behind) / 2e-6, atol=1e-7)
    with pytest.raises(ValueError, match="Unknown site of .* 'tap'. Nearest known: tip"):
        task.site(jnp.asarray(state, jnp.float32), "tap")
    with pytest.raises(ValueError, match="Unknown body of .* 'arms'. Nearest known: arm"):
        task.body(jnp.asarray(state, jnp.float32), "arms")


def test_features_do_not_jump(ship, jointed, arm):
    # The wheel once round, both quaternions negated.
    for task in (ship, jointed, arm):
        model = task.mj_model
        for state in drawn(task, 4):
            other = state.copy()
            for joint in range(model.njnt):
                kind, at = model.jnt_type[joint], model.jnt_qposadr[joint]
                if kind in (0, 1):
                    quaternion = slice(at + 3, at + 7) if kind == 0 else slice(at, at + 4)
                    other[quaternion] *= -1
                elif kind == 3 and not model.jnt_limited[joint]:
                    other[at] += 2 * np.pi
            assert (other != state).any()
            np.testing.assert_allclose(
                task.local_features(jnp.asarray(other)), task.local_features(jnp.asarray(state)), atol=2e-6
            )


def test_a_lone_floating_body_is_seen_from_itself(ship, jointed):
    assert isinstance(ship.frame, HeadingFrame)
    state = jnp.asarray(drawn(ship, 1)[0])
    moved = state.at[:2].add(jnp.array([7.0, 3.0]))
    np.testing.assert_allclose(ship.local_features(moved), ship.local_features(state), atol=1e-5)
    assert ship.goal_features(state, jnp.ones(3)).shape == (3,)
    # With a second orientation the state has another layout, and the world's frame is kept.
    assert isinstance(jointed.frame, WorldFrame)
    assert np.abs(np.asarray(jointed.local_features(jnp.asarray(drawn(jointed, 1)[0])))).max() < 10


def test_a_state_that_diverges_is_seen_as_such(arm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo logs its warnings in the current folder
    simulator = arm.simulator()
    following = simulator.step(np.array([[0.0, 0.0, 1e20, 0.0], [0.1, 0.2, 0.0, 0.0]]), np.zeros((2, 2)))
    simulator.close()
    assert not np.isfinite(following[0].astype(np.float32)).all() or np.abs(following[0]).max() > 1e10
    assert np.isfinite(following[1]).all()


def test_exploration_fills_the_box(arm):
    low, high = np.array([-1.0, 2.0]), np.array([3.0, 2.5])
    actions = smooth_actions(np.random.default_rng(0), low, high, 200, 50)
    assert (actions >= low).all()
    assert (actions <= high).all()
    assert ((actions.min((0, 1)) - low) / (high - low)).max() < 0.05
    rows = random_rows(arm, 300, jax.random.key(0), steps=50)
    assert rows.states.shape == (300, 4)
    assert rows.ends.sum() == 6
    # Windows of training fit in, however short the plans.
    assert random_rows(Cart(), 300, jax.random.key(0)).ends.sum() == 3
    simulator = arm.simulator()
    np.testing.assert_allclose(simulator.step(rows.states[:1], rows.actions[:1])[0], rows.states[1], atol=1e-4)
    simulator.close()


# --- models that are refused ---

ONE = (
    "<mujoco><worldbody><body><joint name='j' range='-1 1'/><geom size='0.1'/></body></worldbody><actuator>{}</actuator>"
    "</mujoco>"
)
MOTOR = "<motor joint='j' ctrlrange='-1 1'/>"


@pytest.mark.parametrize(
    ("fields", "kind", "message"),
    [
        ({"xml": ""}, ValueError, "Bad has no model. Set its xml"),
        ({"xml": ONE.format("")}, ValueError, "The model of Bad has no actuators"),
        ({"xml": ONE.format("<motor joint='j' name='m'/>")}, ValueError, r"actuators without limits \(m\)"),
        ({"xml": ONE.format(MOTOR), "control_dt": 0.003}, ValueError, "control_dt of Bad is 0.003 s .* multiple"),
        ({"xml": ONE.format(MOTOR), "control_dt": float("nan")}, ValueError, "control_dt of Bad is nan"),
        ({"xml": ONE.format(MOTOR), "control_dt": -0.02}, ValueError, "control_dt of Bad is -0.02"),
        ({"xml": "gone.xml"}, FileNotFoundError, r"The model of Bad, .*tests/gone.xml, is missing"),
        ({"xml": "<mujoco><worldbody><jiont/></worldbody></mujoco>"}, ValueError, "MuJoCo refuses the model of Bad"),
    ],
)
def test_a_bad_model_is_refused(fields, kind, message):
    bad = type("Bad", (il.MujocoTask,), {"__module__": __name__, **fields})
    with pytest.raises(kind, match=message):
        bad()


class Farther(my_robot.Reach):
    """Inherits its model from a class in another file."""


def test_a_models_path_is_taken_from_the_class_that_gives_it():
    task = Farther()
    assert (task.name, task.action_size, task.dt) == ("Farther", 2, 0.02)
    assert type("Path", (Farther,), {"xml": ROOT / "examples" / "my_robot.xml"})().action_size == 2


# --- check_task ---


def test_the_reward_of_a_step_is_minus_its_cost(arm):
    state, goal = arm.draw_state(jax.random.key(0)), arm.draw_goal(jax.random.key(1))
    action = jnp.full(arm.action_size, 0.5)
    cost = sum(float(term) for term in arm.cost(state, action, goal).values())
    assert float(arm.reward(state, action, goal)) == pytest.approx(-arm.dt * cost) != 0


def test_good_tasks_pass(ship):
    for task in (ship, Cart()):
        il.check_task(task)


def bad(**methods):
    return type("Bad", (Cart,), {"__module__": __name__, **methods})()


def branching(self, state, action, goal):
    return {"reach": goal[0] if state[0] > 0 else -goal[0]}


FAULTS = {
    "a goal's shape": (bad(draw_goal=lambda self, key: jnp.zeros(())), r"Bad.draw_goal gave shape \(\); .*\(1,\)"),
    "a goal as a list": (bad(draw_goal=lambda self, key: [jnp.zeros(())]), r"Bad.draw_goal gave a list"),
    "a state's shape": (bad(draw_state=lambda self, key: jnp.zeros(3)), r"Bad.draw_state gave shape \(3,\); .*\(2,\)"),
    "a start's shape": (bad(reset=lambda self, key: jnp.zeros(1)), r"Bad.reset gave shape \(1,\)"),
    "features of rank 2": (
        bad(features=lambda self, s: s[None]),
        r"Bad.features gave (shape \(1, 2\); .* a vector|an error, TypeCheck)",
    ),
    "features that are NaN": (bad(features=lambda self, s: jnp.log(-(s**2))), r"Bad.features gave NaN or infinite"),
    "features that are none": (
        bad(features=lambda self, s: None),
        r"Bad.features gave (a NoneType|an error, TypeCheck)",
    ),
    "a place's shape": (
        bad(achieved=lambda self, s: s),
        r"Bad.achieved gave shape \(2,\)|Bad.goal_features gave an error",
    ),
    "success of many": (bad(success=lambda self, s, g: s > 0), r"Bad.success gave shape \(2,\)"),
    "a cost that is no dict": (bad(cost=lambda self, s, a, g: s[0]), r"Bad.cost gave a .*Array.*; .* named terms"),
    "a cost of many": (
        bad(cost=lambda self, s, a, g: {"r": s}),
        r"Bad.cost gave shape \(2,\) for the term 'r'; .* scalar",
    ),
    "no cost": (bad(cost=lambda self, s, a, g: {}), r"Bad.cost gave no term"),
    "a cost that is NaN": (bad(cost=lambda self, s, a, g: {"r": s[0] / 0}), r"Bad.cost gave NaN or infinite"),
    "a slope that is NaN": (
        bad(cost=lambda self, s, a, g: {"r": jnp.sqrt(jnp.sum((s - s) ** 2))}),
        r"Bad.cost gave a gradient that is not finite",
    ),
    "a branch": (bad(cost=branching), r"Bad.cost gave Python control flow .*; wanted is jnp.where"),
    "a NumPy call": (bad(cost=lambda self, s, a, g: {"r": np.sum(np.array(s))}), r"Bad.cost gave an error, Tracer"),
    "a typing error": (bad(cost=lambda self, s, a, g: {"r": undefined}), r"Bad.cost gave an error, NameError"),  # noqa: F821
    "a call without length": (bad(cost=lambda self, s, a, g: {"r": len(None)}), r"Bad.cost gave an error, TypeError"),
    "a term given twice": (
        bad(final_cost=lambda self, s, g: {"reach": s[0]}),
        r"Bad.final_cost gave terms that cost gives too, \['reach'\]",
    ),
    "a cost of the unseen": (
        bad(features=lambda self, s: s[:1], cost=lambda self, s, a, g: {"r": s[1] ** 2}),
        r"Bad.cost gave a dependence on entries \[1\] of the state",
    ),
    "a step's shape": (bad(step=lambda self, s, a: s[:1]), r"Bad.step gave shape \(1,\)"),
    "a step that fails": (bad(step=lambda self, s, a: s.nothing), r"Bad.simulator gave an error, AttributeError"),
    "a bound": (bad(action_low=np.array([4.0])), "Bad.action_low gave a bound that is not below action_high"),
    "bounds of another size": (bad(action_low=np.zeros(2)), r"Bad.action_low gave \[0.0, 0.0\]; .*1 finite numbers"),
    "a horizon": (bad(horizon=2.5), "horizon of Bad is 2.5; give a whole number from 1 up"),
    "a time step": (bad(dt="fast"), "dt of Bad is 'fast'"),
    "steps to execute": (bad(execute_steps=9), "execute_steps of Bad is 9; allowed are 1 to the horizon, 3"),
    "second order": (
        bad(second_order=True, goal_size=2),
        "second order, with states, actions and goals of sizes 2, 1 and 2",
    ),
    "Fourier features": (bad(fourier_size=3), "Bad.fourier_size gave 3; wanted is 0 to the number of features, 2"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(fault):
    task, message = FAULTS[fault]
    with pytest.raises(ValueError, match=message):
        il.check_task(task)


@pytest.mark.parametrize("missing", ["cost", "draw_state", "draw_goal", "step"])
def test_a_missing_method_is_named(missing):
    lacking = type("Lacking", (Cart,), {"__module__": __name__, missing: getattr(il.Task, missing)})
    with pytest.raises(TypeError, match=rf"Lacking has no {missing}\(\). Give it one that returns"):
        il.check_task(lacking())


def test_what_is_no_task_is_refused():
    # Under the tests' shape checks it is their error.
    with pytest.raises(TypeError, match="is no Task. Let its class inherit|Type-check error"):
        il.check_task(Cart)


class Falls(il.Task):
    """Time runs until it has passed 3, where all is over; every step costs its time."""

    dt, state_size, action_size, choices, episode_length = 1.0, 1, 1, 2, 6

    def draw_state(self, key):
        return jnp.zeros(1)

    def cost(self, state, action, goal):
        return {"time": state[0]}

    def over(self, state):
        return state[0] >= 3

    def step(self, state, action):
        return state + 1


def test_nothing_is_paid_after_the_end_of_an_episode():
    """1 + 2 + 3, though the trajectory goes on."""
    task = Falls()
    check_task(task)
    cost = task.trajectory_cost(jnp.arange(7.0)[:, None], jnp.zeros((6, 1)), jnp.zeros(0))
    assert float(cost["time"]) == 6.0
    assert task.action_low == 0 and task.action_high == 1


def test_choices_are_one_action_of_two_or_more():
    task = Falls()
    task.choices = 1
    with pytest.raises(ValueError, match="1 choices"):
        check_task(task)
