"""The ant's motor level and the two-level planner over it: costs, plans, files; and the cloning of a policy."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import count_compilations
from invlearn_jax.evaluate.closed_loop import run_mujoco
from invlearn_jax.io.planners import load_planner, save_planner
from invlearn_jax.planners.subgoals import SubgoalPlanner
from invlearn_jax.tasks.antmaze.motor import AntMotorConfig, build_motor
from invlearn_jax.tasks.antmaze.stack import AntStackConfig, build_ant_stack

from invlearn_jax import objectives
from invlearn_jax.learn.loop import default_optimizer, train
from invlearn_jax.tasks.antmaze.cloning import goal_policy_state, goal_policy_update
from invlearn_jax.tasks.antmaze.environment import random_start
from invlearn_jax.tasks.antmaze.goal_policy import fresh_policy
from invlearn_jax.tasks.antmaze.rows import uprightness
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.types import Planner, Problem, Result

KEY = jax.random.key(0)
MOTOR = AntMotorConfig(horizon=4, inverter_hidden=(8,), model_hidden=(8,))
STACK = AntStackConfig(
    motor=MOTOR, subgoals=3, inverter_hidden=(8,), model_hidden=(8,), cost_to_go_hidden=(8,), execute_steps=2
)
GOAL = jnp.array([0.7, 8.5])
NONE = jnp.zeros((0, 8))  # actions, where they do not matter


def start(seed=0):
    return random_start(jax.random.key(seed))


@pytest.fixture(scope="module")
def stack():
    planner = build_ant_stack(STACK)
    return planner, planner.init(KEY)


@pytest.fixture(scope="module")
def plan(stack):
    return jax.jit(stack[0].plan)


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


# ---- plans


def test_a_plan_holds_both_levels(stack, plan):
    planner, params = stack
    assert isinstance(planner, Planner)
    out = plan(params, KEY, Problem(start(), GOAL))
    assert out.actions.shape == (4, 8)
    assert out.states.shape == (5, 29)
    assert out.subgoals.shape == (3, 2)
    assert out.positions.shape == (4, 2)
    np.testing.assert_array_equal(out.positions[0], start()[:2])
    assert jnp.abs(out.subgoals - out.positions[:-1]).max() <= STACK.reach
    motor = planner.motor.plan(params.motor, KEY, Problem(start(), out.subgoals[0]))
    np.testing.assert_allclose(out.actions, motor.actions, atol=1e-6)
    np.testing.assert_allclose(planner.act(params, out, 0, start()), out.actions[0], atol=1e-6)


def test_the_motor_level_goes_for_the_subgoal_it_was_given(stack, plan):
    planner, params = stack
    out, elsewhere = plan(params, KEY, Problem(start(), GOAL)), start(1).at[:2].add(1.0)
    wanted = planner.motor.plan(params.motor, KEY, Problem(elsewhere, out.subgoals[0])).actions[0]
    np.testing.assert_allclose(planner.act(params, out, 1, elsewhere), wanted, atol=1e-6)


def test_plans_under_jit_and_vmap(stack, plan):
    planner, params = stack
    problems = Problem(jnp.stack([start(i) for i in range(3)]), jnp.stack([GOAL, GOAL - 1, GOAL - 2]))
    many = jax.jit(jax.vmap(planner.plan, in_axes=(None, None, 0)))(params, KEY, problems)
    for i in range(3):
        one = jax.tree.map(lambda x, i=i: x[i], problems)
        chex.assert_trees_all_close(jax.tree.map(lambda x, i=i: x[i], many), plan(params, KEY, one), atol=1e-4)
    chex.assert_trees_all_close(planner.plan(params, KEY, one), plan(params, KEY, one), atol=1e-4)
    other = Problem(start(7), GOAL + 1)
    with count_compilations() as compiled:
        plan(params, KEY, other)
    assert not compiled


def test_refinement_of_both_levels_is_never_worse(stack):
    refined = build_ant_stack(STACK, refine_steps=3)
    params, problem = stack[1], Problem(start(), GOAL)
    out = jax.jit(refined.plan)(params, KEY, problem)
    assert out.cost <= out.proposal_cost
    assert out.refine_trace.shape == (3,)
    assert refined.motor.refine_steps == refined.upper.refine_steps == 3


def test_a_goal_outside_the_data_is_told_whatever_the_motor_level_says(stack):
    planner, params = build_ant_stack(STACK, refine_steps=2), stack[1]
    nowhere = params.upper.inverter._replace(visited=jnp.zeros_like(params.upper.inverter.visited))
    params = params._replace(upper=params.upper._replace(inverter=nowhere))
    out = jax.jit(planner.plan)(params, KEY, Problem(start(), GOAL))
    assert Result(int(out.result)) is Result.OUTSIDE_DATA


def test_near_the_goal_the_goal_is_the_subgoal(stack, plan):
    params, state = stack[1], start()
    near = plan(params, KEY, Problem(state, state[:2] + 0.6))
    np.testing.assert_allclose(near.subgoals[0], state[:2] + 0.6, atol=1e-6)
    far = plan(params, KEY, Problem(state, state[:2] + 3.0))
    assert jnp.abs(far.subgoals[0] - state[:2] - 3.0).max() > 0.1


def test_an_episode_stays_where_it_reached_its_goal(stack):
    planner, params = stack
    env = make_task("antmaze-umaze-v2").environment
    starts = np.stack([np.asarray(start(i)) for i in range(2)])
    goals = np.stack([starts[0, :2], [0.0, 8.0]])
    rows = run_mujoco(planner, params, env, KEY, starts, goals, steps=4)
    np.testing.assert_array_equal(rows.states[0], np.repeat(starts[:1], 5, axis=0))
    assert np.abs(rows.states[1, 4] - starts[1]).max() > 1e-3


@pytest.mark.parametrize("bad", ["state", "position", "goal"])
def test_what_is_not_finite_gets_no_action(stack, plan, bad):
    planner, params = stack
    state, goal = start(), GOAL
    if bad == "goal":
        goal = goal.at[0].set(jnp.nan)
    else:
        state = state.at[0 if bad == "position" else 20].set(jnp.inf)
    out = plan(params, KEY, Problem(state, goal))
    assert Result(int(out.result)) is Result.NON_FINITE
    assert (out.actions == 0).all()
    assert (planner.act(params, out, 0, start()) == 0).all()


def test_planners_on_disk_plan_as_before(tmp_path, stack, plan):
    planner, params = stack
    save_planner(tmp_path / "stack", STACK, params)
    loaded, loaded_params = load_planner(tmp_path / "stack", execute_steps=3)
    assert isinstance(loaded, SubgoalPlanner)
    assert (loaded.execute_steps, loaded.reach) == (3, STACK.reach)
    chex.assert_trees_all_equal(loaded_params, params)
    save_planner(tmp_path / "motor", MOTOR, params.motor)
    motor, motor_params = load_planner(tmp_path / "motor")
    problem = Problem(start(), GOAL)
    before, after = planner.motor.plan(params.motor, KEY, problem), motor.plan(motor_params, KEY, problem)
    chex.assert_trees_all_equal(after, before)


def test_stacks_share_a_motor_level_on_disk(tmp_path, stack):
    _, params = stack
    save_planner(tmp_path / "motor", MOTOR, params.motor)
    save_planner(tmp_path / "stack", STACK, params, shares=str(tmp_path / "motor"))
    with np.load(tmp_path / "stack" / "params.npz") as arrays:
        assert not any(name.startswith(".motor") for name in arrays.files)
        assert any(name.startswith(".upper") for name in arrays.files)
    chex.assert_trees_all_equal(load_planner(tmp_path / "stack")[1], params)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reach": 0.0}, "reach is 0.0"),
        ({"execute_steps": 0}, "execute_steps is 0"),
        ({"near": -1.0}, "near is -1.0"),
    ],
)
def test_stacks_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        build_ant_stack(dataclasses.replace(STACK, **changes))
    with pytest.raises(ValueError, match="the chunk must divide the horizon"):
        build_motor(dataclasses.replace(MOTOR, model_chunk=3))


def test_cloning_a_teacher_gives_its_actions():
    weight = 0.1 * jax.random.normal(jax.random.key(3), (8, 29))

    def teacher(key):
        state_key, goal_key = jax.random.split(key)
        state = jax.random.normal(state_key, (29,))
        goal = state[:2] + 10 * jax.random.normal(goal_key, (2,))
        way = 10 * (goal - state[:2]) / jnp.linalg.norm(goal - state[:2])
        return Problem(state, goal), jnp.tanh(weight @ jnp.concatenate([state[2:], way]))

    optimizer = default_optimizer(3e-3, 600)
    state = goal_policy_state(optimizer, fresh_policy(KEY, (64,)), KEY)
    update = goal_policy_update(teacher, optimizer, 128)
    first = float(jax.jit(update)(state)[1]["policy_loss"])
    losses = []
    trained = train(update, state, 600, 100, lambda _, metrics: losses.append(metrics["policy_loss"])).params
    assert losses[-1] < 0.1 * first
    np.testing.assert_array_equal(trained.log_std.b, fresh_policy(KEY, (64,)).log_std.b)
