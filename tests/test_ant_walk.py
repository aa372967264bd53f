"""The ant's motor level as a task: what it draws, what it counts, and planners for it, learned and from the first edition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import FILE, problems

from invlearn_jax.data import Dataset
from invlearn_jax.data.kept import read_rows
from invlearn_jax.methods.fitting import fit
from invlearn_jax.methods.saved import load_planner, load_task
from invlearn_jax.tasks.antmaze.rows import uprightness
from invlearn_jax.tasks.antmaze.walk import AntWalk
from invlearn_jax.tasks.check import check_task
from invlearn_jax.tasks.exploration import usable_rows
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.tasks.task import Episodes
from invlearn_jax.types import Problem

KEY = jax.random.key(0)
TINY = {
    "data.rows": 600,
    "model.hidden": (8,),
    "model.steps": 2,
    "model.one_step": 2,
    "model.batch": 4,
    "model.horizon": 4,
    "net.hidden": (8,),
    "cloning.steps": 2,
    "cloning.batch": 8,
    "inverter.steps": 2,
    "inverter.batch": 4,
    "correction.rounds": 1,
    "correction.robots": 4,
    "correction.steps": 20,
    "correction.model_steps": 2,
    "correction.inverter_steps": 2,
    "block": 2,
    "checkpoint_every": 2,
}


@pytest.fixture(scope="module")
def walk():
    return make_task("ant-walk")


def test_the_task_keeps_its_contract(walk):
    check_task(walk)
    states = jax.vmap(walk.draw_state)(jax.random.split(KEY, 50))
    assert (uprightness(np.asarray(states)) > 0.999).all()
    goals = jax.vmap(walk.draw_goal_from)(jax.random.split(KEY, 50), states.at[:, :2].add(7.0))
    distance = np.linalg.norm(goals - states[:, :2] - 7.0, axis=1)
    assert distance.min() >= 0.29
    assert distance.max() <= 5.01


def test_what_networks_see_moves_and_turns_with_the_ant(walk):
    start, goal, angle = walk.draw_state(KEY), jnp.array([1.0, 2.0]), 0.7
    shift = jnp.array([3.0, -4.0])
    moved = walk.goal_features(start.at[:2].add(shift), goal + shift)
    np.testing.assert_allclose(walk.goal_features(start, goal), moved, atol=1e-5)
    c, s = np.cos(angle), np.sin(angle)
    way = np.array([[c, -s], [s, c]]) @ np.asarray(goal - start[:2])
    w, x, y, z = start[3:7]
    ch, sh = np.cos(angle / 2), np.sin(angle / 2)
    turned = start.at[3:7].set(jnp.array([ch * w - sh * z, ch * x - sh * y, ch * y + sh * x, ch * z + sh * w]))
    np.testing.assert_allclose(walk.goal_features(start, goal), walk.goal_features(turned, start[:2] + way), atol=1e-5)
    # Beyond the reach of 4 m a goal is a direction.
    far = [walk.goal_features(start, start[:2] + distance * jnp.array([0.6, 0.8])) for distance in (5.0, 50.0)]
    np.testing.assert_allclose(far[0], far[1], atol=1e-4)


def test_problems_start_among_the_rows_and_fallen_ants_are_left_out(walk):
    states = np.array(jax.vmap(walk.draw_state)(jax.random.split(KEY, 3)))
    states[1, 3:7] = [0, 1, 0, 0]
    rows = usable_rows(walk, Dataset(states, np.zeros((3, 8), np.float32), np.array([False, False, True])))
    np.testing.assert_array_equal(rows.states, states[[0, 2]])
    drawn = jax.vmap(walk.problem_sampler(rows))(jax.random.split(KEY, 20)).state
    assert (np.asarray(drawn[:, :2]) == 0).all()
    assert {tuple(x) for x in np.asarray(drawn[:, 2:])} == {tuple(x) for x in states[[0, 2], 2:]}


def test_metrics_count_metres_and_flips(walk):
    states = np.zeros((2, 51, 29), np.float32)
    states[..., 3] = 1
    states[:, :, 1] = 0.1 * np.arange(51)
    states[1, 30:, 3:7] = [0, 1, 0, 0]
    goals = np.tile([0.0, 100.0], (2, 1))
    found = walk.metrics(Episodes(goals, states, np.zeros((2, 50, 8)), np.zeros((2, 0, 17, 29)), np.zeros((2, 0))))
    assert found["metres_per_step"] == pytest.approx(0.1, abs=1e-5)
    assert found["flipped_at_end"] == 0.5
    assert found["flips_per_1000_steps"] == pytest.approx(1000 / 98)


def test_a_motor_level_is_learned_by_the_common_recipe(tmp_path):
    walk = AntWalk()
    walk.settings.data.policy, walk.settings.data.broad_rows, walk.horizon = "none", 0, 4
    planner, params = fit(walk, workdir=tmp_path, settings=TINY | {"inverter.advance": (1, 2)})
    out = planner.plan(params, KEY, Problem(walk.draw_state(KEY), jnp.array([2.0, 1.0])))
    assert out.actions.shape == (4, 8)
    assert np.isfinite(out.actions).all()
    assert set(out.cost_terms) == {"off_pace", "tilt"}
    assert (uprightness(read_rows(tmp_path / "data" / "executed_1.npz").states) >= 0.2).all()
    assert load_task(tmp_path / "planner").settings.data.policy == "none"


@pytest.mark.slow
@pytest.mark.parametrize("refine_steps", [0, 2])
def test_the_shipped_motor_level_acts_as_it_did(refine_steps):
    planner, params = load_planner("ant-motor", refine_steps=refine_steps)
    plan, record = jax.jit(planner.plan), dict(np.load(FILE))[f"ant-motor/{refine_steps}"]
    for i, problem in enumerate(problems("ant-motor")):
        out = plan(params, jax.random.key(i), problem)
        np.testing.assert_allclose(out.actions, record[i], rtol=0, atol=1e-4 if refine_steps else 1e-6)
        assert int(out.result) == 0
