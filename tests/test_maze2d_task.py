"""maze2d as a task: its contract and physics, a planner learned by the general recipe, and planners of the first edition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import invlearn_jax
from invlearn_jax.data.dataset import Dataset
from invlearn_jax.evaluate.episodes import evaluate
from invlearn_jax.inverters.network import NetworkInverter
from invlearn_jax.learn.inverter import problem_sampler
from invlearn_jax.methods.fitting import fit, method_settings
from invlearn_jax.methods.saved import load_planner, load_task
from invlearn_jax.tasks.check import check_task
from invlearn_jax.tasks.maze2d.contacts import contact_rows
from invlearn_jax.tasks.maze2d.task import _places
from invlearn_jax.tasks.registry import make_task, task_entries, task_reference

OWN = "#####/#OOG#/#####"
TINY = {
    "data.rows": 20_000,
    "model.steps": 20,
    "model.hidden": (32,),
    "tail.steps": 20,
    "tail.hidden": (32,),
    "net.hidden": (32,),
    "inverter.steps": 20,
    "inverter.batch": 16,
    "block": 10,
    "checkpoint_every": 20,
}


@pytest.fixture(scope="module")
def task():
    return make_task("maze2d-umaze-v1")


def test_every_maze_is_registered_with_its_goal_and_with_random_goals():
    names = set(task_entries())
    assert {"maze2d-umaze-v1", "maze2d-umaze-multi-v1", "maze2d-eval-large-dense-v1", "maze2d-open-v0"} <= names


@pytest.mark.parametrize("name", ["maze2d-umaze-v1", "maze2d-large-multi-v1", OWN])
def test_a_maze_keeps_the_contract(name):
    task = make_task(name)
    check_task(task)
    assert task_reference(task) == name


def test_a_maze_of_ones_own_must_be_one():
    with pytest.raises(ValueError, match="border has a gap"):
        make_task("#####/#OOG#/##O##")


def test_goals_are_the_mazes_own_or_random():
    keys = jax.random.split(jax.random.key(0), 20)
    own = jax.jit(jax.vmap(make_task("maze2d-umaze-v1").draw_problem))(keys).goal
    drawn = jax.jit(jax.vmap(make_task("maze2d-umaze-multi-v1").draw_problem))(keys).goal
    assert (own == own[0]).all()
    assert len(np.unique(np.round(drawn), axis=0)) > 3


def test_mjx_steps_as_the_simulator_does_and_clips_speed(task):
    states = np.array([[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 9.0, -1.0]])
    actions = np.array([[0.5, -2.0], [1.0, 0.0]])
    simulator = task.simulator()
    true = simulator.step(states, actions)
    simulator.close()
    step = jax.jit(jax.vmap(task.step))
    assert_allclose(step(jnp.asarray(states), jnp.asarray(actions)), true, atol=1e-4)
    assert true[1, 2] < 5.3


def test_cost_and_success_agree_on_where_the_goal_is(task):
    goal, inside, outside = jnp.array([2.0, 1.0]), jnp.array([2.2, 1.0, 0, 0]), jnp.array([3.0, 1.0, 0, 0])
    assert task.cost(inside, jnp.zeros(2), goal)["time_outside"] < 0.05
    assert task.cost(outside, jnp.zeros(2), goal)["time_outside"] > 0.95
    assert task.success(inside, goal)
    assert not task.success(outside, goal)


def test_training_starts_are_even_over_places_not_over_rows():
    crowded = np.concatenate([np.full((900, 2), 1.05), np.full((5, 2), 2.05), np.full((1, 2), 3.05)])
    assert_allclose(_places(crowded), [[1.05, 1.05], [2.05, 2.05]], rtol=1e-6)


@pytest.mark.parametrize(("name", "model", "rows"), [("umaze", 4000, 1_000_000), ("large", 20_000, 4_000_000)])
def test_settings_of_d4rls_mazes(name, model, rows):
    settings = method_settings(make_task(f"maze2d-{name}-v1"), "inverter")
    assert (settings.model.steps, settings.data.rows, settings.model.hidden) == (model, rows, (512, 512))


def test_a_maze_of_ones_own_has_time_for_its_longest_way():
    assert make_task(OWN).episode_length == 600
    assert make_task("/".join(["#" * 62, "#G" + 59 * "O" + "#", "#" * 62])).episode_length == 59 * 40


def test_a_share_of_the_problems_of_training_may_have_near_goals():
    places = jnp.asarray(np.random.default_rng(0).uniform(0, 10, (2000, 2)), jnp.float32)
    keys = jax.random.split(jax.random.key(0), 400)

    def near(share):
        problems = jax.jit(jax.vmap(problem_sampler(places, jnp.ones(2), share)))(keys)
        return (jnp.linalg.norm(problems.goal - problems.state[:, :2], axis=-1) < 1.5).mean()

    assert near(0.0) < 0.15
    assert 0.35 < near(0.4) < 0.6


def test_settings_grow_with_a_maze_of_ones_own():
    row = "#" + 30 * "O" + "#"
    big = make_task("/".join(["#" * 32, "#G" + 29 * "O" + "#", row, row, "#" * 32]))
    settings, large = (method_settings(t, "inverter") for t in (big, make_task("maze2d-large-v1")))
    assert settings.model.steps > large.model.steps
    # What is known of each place grows in grids and an embedding, not in width.
    assert settings.model.cells == settings.net.cells == (60, 240)
    assert settings.tail.coordinates
    assert settings.tail.margin == 0.3
    alone = make_task(big.name)
    alone.settings.random_rows = 0
    assert method_settings(alone, "inverter").tail.margin == 0
    assert not large.model.cells
    assert settings.model.hidden <= large.model.hidden
    assert big.settings.random_rows > 4_000_000


def test_a_first_edition_planner_is_todays_inverter():
    planner, params = load_planner("maze2d-umaze-v1")
    assert isinstance(planner.inverter, NetworkInverter)
    assert load_task("maze2d-umaze-v1").name == "maze2d-umaze-v1"
    far = invlearn_jax.Problem(jnp.array([50.0, 1.0, 0.0, 0.0]), jnp.array([1.0, 1.0]))
    near = far._replace(state=jnp.array([1.0, 1.0, 0.0, 0.0]))
    assert planner.inverter.covers(params.inverter, near)
    assert not planner.inverter.covers(params.inverter, far)


def test_the_general_recipe_learns_and_evaluates_a_maze(tmp_path):
    task = make_task("maze2d-umaze-v1")
    task.settings.random_rows, task.episode_length = 20_000, 20
    fit(task, workdir=tmp_path, settings=TINY)
    planner, params = load_planner(tmp_path / "planner")
    assert load_task(tmp_path / "planner").settings.random_rows == 20_000
    record = evaluate(planner, params, task, episodes=2)
    assert record["score_mean"] <= record["bound_score"]
    assert 0 <= record["ratio_to_bound"] <= 1


def test_contact_rows_are_those_around_steps_that_free_motion_does_not_explain():
    rng, rows, hits = np.random.default_rng(0), 3000, [400, 410, 2000, 2990]
    actions, states, ends = rng.uniform(-1, 1, (rows, 2)), np.zeros((rows, 4)), np.zeros(rows, bool)
    ends[[1499, 2999]] = True
    for row in range(1, rows):
        speed = 0.998 * np.clip(states[row - 1, 2:], -5, 5) + 0.24 * actions[row - 1]
        states[row, 2:] = np.where(row - 1 in hits, -speed - 1, speed)
        # Each row says which it is.
        states[row, 0] = row
    data = Dataset(states.astype(np.float32), actions.astype(np.float32), ends)

    found = contact_rows(data, steps=16)
    expected = sorted({row for hit in hits for row in range(hit - 15, hit + 18) if row < rows})
    assert found.states[:, 0].tolist() == expected
    assert found.states[found.ends, 0].tolist() == [427, 2017, 2999]
    free = data._replace(
        states=np.delete(data.states, slice(390, None), 0), actions=data.actions[:390], ends=ends[:390]
    )
    assert contact_rows(free) is None
