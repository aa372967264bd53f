"""The ant's motor level and the two-level planner over it: costs, rows, plans, and a whole run in small."""

import dataclasses
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import count_compilations, run_python

from invlearn_jax import objectives
from invlearn_jax.data import Dataset, antmaze_data, random_ant_data, read_goal_policy, write_ogbench
from invlearn_jax.data.ant_rows import executed_rows, upright_rows, uprightness
from invlearn_jax.data.goal_policy import fresh_policy
from invlearn_jax.data.level_rows import evenly, level_rows
from invlearn_jax.envs import registry
from invlearn_jax.envs.antmaze import random_start
from invlearn_jax.envs.mujoco_backend import MujocoAntmaze
from invlearn_jax.evaluate.closed_loop import run_mujoco
from invlearn_jax.evaluate.locomotion import Locomotion, walk_openly
from invlearn_jax.io.planners import load_planner, save_planner
from invlearn_jax.learn.goal_policy import goal_policy_state, goal_policy_update
from invlearn_jax.learn.loop import default_optimizer, train
from invlearn_jax.models.cost_to_go import position_graph
from invlearn_jax.planners.ant_motor import AntMotorConfig, build_motor
from invlearn_jax.planners.ant_stack import AntStackConfig, build_ant_stack
from invlearn_jax.planners.subgoals import SubgoalPlanner
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


# ---- rows


def lying(rows):
    states = np.zeros((len(rows), 29), np.float32)
    states[:, 3], states[:, 4] = np.where(rows, 0, 1), np.where(rows, 1, 0)
    states[:, 0] = np.arange(len(rows))
    return states


def test_episodes_are_cut_where_the_robot_lies():
    down = np.array([0, 0, 1, 1, 0, 0, 0, 1], bool)
    ends = np.array([0, 0, 0, 0, 0, 1, 0, 1], bool)
    rows = upright_rows(Dataset(lying(down), np.zeros((8, 8), np.float32), ends, np.arange(8.0)))
    np.testing.assert_array_equal(rows.states[:, 0], [0, 1, 4, 5, 6])
    np.testing.assert_array_equal(rows.ends, [False, True, False, True, True])
    np.testing.assert_array_equal(rows.rewards, [0, 1, 4, 5, 6])
    with pytest.raises(ValueError, match="No row is upright"):
        upright_rows(Dataset(lying(np.ones(3, bool)), np.zeros((3, 8), np.float32), np.ones(3, bool)))


def slide(states, actions):
    """Ants that slide by their first two actions, and lie down beyond x = 2."""
    states = np.array(states, float)
    states[:, :2] += actions[:, :2]
    states[states[:, 0] > 2, 3:5] = 0.0, 1.0
    return states


def towards(states, goals):
    actions = np.zeros((len(states), 8))
    actions[:, :2] = np.clip(goals - states[:, :2], -0.1, 0.1)
    return actions


def test_level_rows_are_where_a_held_subgoal_leads():
    starts = lying(np.zeros(50, bool))
    starts[:, 0] = 0.0
    rows = level_rows(towards, slide, starts, seed=0, rounds=6, hold=5, reach=1.0)
    before, after, subgoal = rows.states[::2], rows.states[1::2], rows.actions[::2]
    assert len(before) > 500
    np.testing.assert_array_equal(rows.ends, np.arange(len(rows.ends)) % 2 == 1)
    # Five steps of at most 0.1 m on each axis, and no further than the sub-goal.
    np.testing.assert_allclose(after, before + np.clip(subgoal, -0.5, 0.5), atol=1e-5)
    assert np.abs(subgoal).max() <= 1
    assert after[:, 0].max() <= 2
    again = level_rows(towards, slide, starts, seed=0, rounds=6, hold=5, reach=1.0)
    np.testing.assert_array_equal(again.states, rows.states)


def test_rows_spread_evenly_over_the_places_of_the_data():
    rng = np.random.default_rng(1)
    positions = np.concatenate([rng.uniform(0, 1, (5000, 2)), rng.uniform(3, 4, (50, 2))])
    chosen = positions[evenly(positions, 1.0, 4000, rng)]
    assert abs((chosen > 2).all(1).mean() - 0.5) < 0.05


def test_executed_rows_follow_each_other():
    starts = lying(np.zeros(20, bool))
    starts[:, 0] = -100.0
    rows = executed_rows(towards, slide, starts, seed=0, steps=30, noise=0.5)
    assert rows.states.shape == (600, 29)
    np.testing.assert_array_equal(np.flatnonzero(rows.ends), np.arange(29, 600, 30))
    inside = ~rows.ends[:-1]
    moved = (rows.states[1:] - rows.states[:-1])[inside, :2]
    np.testing.assert_allclose(moved, rows.actions[:-1][inside, :2], atol=1e-5)
    noise = np.array([np.std(part[:, 4:]) for part in rows.actions.reshape(20, 30, 8)])
    assert noise.min() < 0.1
    assert 0.3 < noise.max() < 0.6


# ---- locomotion


def test_locomotion_counts_falls_and_rises():
    upright = np.ones((40, 2))
    upright[10:, 0] = -1
    upright[5:8, 1] = -1
    summary = Locomotion(np.full((40, 2), 0.1), upright).summary()
    assert summary["flips_per_1000_steps"] == pytest.approx(1000 * 2 / 78)
    assert summary["recovered_share"] == 0.5
    assert summary["flipped_at_end"] == 0.5
    assert summary["metres_per_step"] == pytest.approx(0.1)
    assert Locomotion(np.zeros((30, 2)), np.ones((30, 2))).summary()["recovered_share"] is None


def test_ants_walk_the_way_they_are_sent():
    starts, seen = np.stack([np.asarray(start(i)) for i in range(3)]), []

    def act(step, states, goals):
        seen.append((states, goals))
        return np.zeros((len(states), 8))

    walk = walk_openly(act, starts, seed=0, steps=22, hold=3, threads=1)
    simulator = MujocoAntmaze(None, threads=1)
    for t, (states, goals) in enumerate(seen):
        ahead = (goals - states[:, :2]) / 10
        np.testing.assert_allclose(np.linalg.norm(ahead, axis=1), 1)
        after = simulator.step(states, np.zeros((3, 8)))
        np.testing.assert_allclose(walk.progress[t], ((after - states)[:, :2] * ahead).sum(1), atol=1e-9)
    simulator.close()
    with pytest.raises(ValueError, match="steps is 20"):
        walk_openly(act, starts, seed=0, steps=20)
    directions = [(goals - states[:, :2]) / 10 for states, goals in seen]
    np.testing.assert_allclose(directions[0], directions[2])
    assert np.abs(directions[3] - directions[2]).max() > 0.1


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
    env = registry.make("antmaze-umaze-v2")
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
        ({"reach": 0.0}, "reach is 0.0 m"),
        ({"execute_steps": 0}, "at least 1 step"),
        ({"near": -1.0}, "near -1.0 m"),
    ],
)
def test_stacks_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        build_ant_stack(dataclasses.replace(STACK, **changes))
    with pytest.raises(ValueError, match="the chunk must divide the horizon"):
        build_motor(dataclasses.replace(MOTOR, model_chunk=3))


# ---- a whole run


def flags(**settings):
    return [f"--config.{name.replace('__', '.')}={value}" for name, value in settings.items()]


def test_a_run_from_data_to_both_levels(tmp_path):
    rows = random_ant_data(None, KEY, 4000, length=50, streams=80)
    write_ogbench(tmp_path / "rows.npz", Dataset(rows["observations"], rows["actions"], rows["timeouts"]))
    common = flags(
        data__path=tmp_path / "rows.npz",
        data__broad_rows=0,
        block=5,
        checkpoint_every=5,
        evaluation__episodes=2,
        evaluation__refine_steps="(0,)",
    )
    motor = flags(
        planner__horizon=4,
        planner__inverter_hidden="(8,)",
        planner__model_hidden="(8,)",
        model__one_step_updates=5,
        model__one_step_batch=8,
        model__steps=5,
        model__batch=4,
        model__horizon=4,
        cloning__steps=5,
        cloning__batch=8,
        cloning__within=8,
        inverter__steps=5,
        inverter__batch=8,
        inverter__advance="(1,2)",
        correction__rounds=1,
        correction__ants=8,
        correction__rows=10,
        correction__model_steps=5,
        correction__steps=5,
    )
    run = ["-m", "experiments.run", "--seed=1"]
    done = run_python(*run, "--experiment=ant-motor", f"--workdir={tmp_path / 'motor'}", *common, *motor)
    assert done.returncode == 0, done.stderr
    walks = json.loads((tmp_path / "motor" / "eval.json").read_text())
    assert [walk["turn_every"] for walk in walks] == [None, 40]
    assert (tmp_path / "motor" / "data" / "executed_1.npz").exists()
    upper = flags(
        motor=tmp_path / "motor" / "planner",
        planner__inverter_hidden="(8,)",
        planner__model_hidden="(8,)",
        planner__cost_to_go_hidden="(8,)",
        planner__subgoals=3,
        planner__hold=3,
        planner__execute_steps=50,
        cost_to_go__bin_size=1.0,
        cost_to_go__min_count=1,
        cost_to_go__steps=5,
        cost_to_go__batch=8,
        level__ants=8,
        level__episodes=1,
        level__rounds=2,
        level__steps=5,
        level__batch=8,
        inverter__steps=5,
        inverter__batch=8,
        inverter__advance="(1,2)",
    )
    done = run_python(*run, "--experiment=antmaze-umaze", f"--workdir={tmp_path / 'upper'}", *common, *upper)
    assert done.returncode == 0, done.stderr
    (record,) = json.loads((tmp_path / "upper" / "eval.json").read_text())
    assert record["success_rate"] == 0
    assert len(record["lost"]) == 2
    assert record["results"]["ok"] + record["results"]["outside_data"] == 2 * 14
    planner, params = load_planner(tmp_path / "upper" / "planner")
    out = jax.jit(planner.plan)(params, KEY, Problem(start(), GOAL))
    assert jnp.isfinite(out.actions).all()


def test_a_motor_level_that_is_none_is_refused(tmp_path):
    save_planner(tmp_path / "stack", STACK, build_ant_stack(STACK).init(KEY))
    done = run_python(
        "-m",
        "experiments.run",
        "--experiment=antmaze-umaze",
        f"--workdir={tmp_path / 'run'}",
        f"--config.motor={tmp_path / 'stack'}",
        f"--config.data.path={tmp_path / 'none.npz'}",
    )
    assert done.returncode != 0
    assert "no motor level of an ant; train one by --experiment=ant-motor" in done.stderr
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize(
    ("policy", "message"), [("", "There are no data to learn from"), ("none.npz", "there is no policy here")]
)
def test_a_run_without_data_is_refused(tmp_path, policy, message):
    done = run_python(
        "-m",
        "experiments.run",
        "--experiment=ant-motor",
        f"--workdir={tmp_path / 'run'}",
        f"--config.data.policy={policy}",
    )
    assert done.returncode != 0
    assert message in done.stderr
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_policy_from_nothing(tmp_path):
    small = {
        "motor.data.rows": 2000,
        "motor.planner.horizon": 4,
        "motor.planner.inverter_hidden": "(8,)",
        "motor.planner.model_hidden": "(8,)",
        "motor.model.one_step_updates": 5,
        "motor.model.one_step_batch": 8,
        "motor.model.steps": 5,
        "motor.model.batch": 4,
        "motor.model.horizon": 4,
        "motor.inverter.steps": 5,
        "motor.inverter.batch": 8,
        "motor.inverter.advance": "(1,2)",
        "motor.correction.rounds": 1,
        "motor.correction.ants": 8,
        "motor.correction.rows": 10,
        "motor.correction.model_steps": 5,
        "motor.correction.steps": 5,
        "motor.evaluation.episodes": 2,
        "motor.evaluation.refine_steps": "(0,)",
        "motor.block": 5,
        "motor.checkpoint_every": 5,
        "hidden": "(8,8)",
        "steps": 5,
        "batch": 8,
    }
    run = ["-m", "experiments.run", "--experiment=ant-policy", f"--workdir={tmp_path}", "--seed=1"]
    done = run_python(*run, *(f"--config.{name}={value}" for name, value in small.items()))
    assert done.returncode == 0, done.stderr
    policy = read_goal_policy(tmp_path / "policy.npz")
    assert [layer.w.shape for layer in policy.hidden] == [(8, 29), (8, 8)]
    rows = antmaze_data(registry.spec("antmaze-umaze-v2"), policy, KEY, 300, streams=2)
    assert np.isfinite(rows["observations"]).all()


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


def test_a_planner_of_another_robot_is_refused():
    done = run_python("-m", "experiments.evaluate", "--planner=maze2d-umaze-v1", "--env=antmaze-umaze-v2")
    assert done.returncode != 0
    assert "maze2d-umaze-v1 is no planner for antmaze-umaze-v2" in done.stderr


def test_lengths_in_a_graph_are_measured_in_the_norm_asked_for():
    steps = np.arange(40)[:, None] * np.array([[0.5, 0.5]]) % 2.0
    rows = np.repeat(steps, 3, axis=0)
    for norm, length in ((np.inf, 0.5), (2.0, 0.5 * np.sqrt(2))):
        graph = position_graph(rows, np.arange(120) == 119, 1.0, 0.5, max_steps=3, min_count=1, norm=norm)
        order = np.argsort(graph.nodes[:, 0])
        np.testing.assert_allclose(graph.times[order[0], order[1]], length, atol=1e-5)
