"""Two levels: sub-goals over a learned planner, learned by the common recipe, saved without the lower level, and loaded."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import FILE, problems

from invlearn_jax.methods.fitting import fit
from invlearn_jax.methods.level_rows import evenly, level_rows
from invlearn_jax.methods.saved import load_planner
from invlearn_jax.tasks.antmaze.maze import AntmazeTask
from invlearn_jax.tasks.check import check_task
from invlearn_jax.tasks.task import Episodes, Task
from invlearn_jax.types import Follows, Problem

KEY = jax.random.key(0)
TINY = {
    "level.robots": 4,
    "level.episodes": 1,
    "level.rounds": 1,
    "hold": 4,
    "subgoals": 3,
    "upper.data.rows": 700,
    "upper.model.hidden": (8,),
    "upper.model.steps": 2,
    "upper.model.batch": 4,
    "upper.net.hidden": (8,),
    "upper.tail.hidden": (8,),
    "upper.tail.steps": 2,
    "upper.tail.batch": 4,
    "upper.tail.min_count": 1,
    "upper.inverter.steps": 2,
    "upper.inverter.batch": 4,
    "upper.block": 2,
    "upper.checkpoint_every": 2,
}


class Slide(Task):
    """A point that goes where it is told; it is lost beyond 2 m."""

    name, dt, state_size, action_size, goal_size = "slide", 0.1, 2, 2, 2

    def usable(self, state):
        return jnp.abs(state).max() < 2.0


def test_level_rows_are_where_a_held_subgoal_leads():
    starts = np.zeros((40, 2))

    def towards(states, goals):
        return np.clip(goals - states, -0.1, 0.1)

    def make():
        rng = np.random.default_rng(0)
        return level_rows(Slide(), towards, lambda s, a: s + a, starts, rng, rounds=6, hold=5, reach=1.0)

    rows = make()
    begin, action, after = rows.states[::2], rows.actions[::2], rows.states[1::2]
    np.testing.assert_allclose(after, begin + np.clip(action, -0.5, 0.5), atol=1e-5)
    assert np.abs(rows.states).max() < 2.0
    assert rows.ends.tolist() == [False, True] * len(begin)
    np.testing.assert_array_equal(rows.states, make().states)


def test_starts_are_spread_evenly_over_bins():
    places = np.concatenate([np.zeros((990, 2)), np.full((10, 2), 5.0)])
    chosen = places[evenly(places, 1.0, 1000, np.random.default_rng(0))]
    assert 400 < (chosen[:, 0] > 1).sum() < 600


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    folder, task = tmp_path_factory.mktemp("hierarchy"), AntmazeTask("antmaze-umaze-v2")
    return *fit(task, "hierarchy", folder, settings=TINY), task, folder


def test_the_upper_level_is_learned_and_loaded_without_the_lower_one(learned):
    planner, params, task, folder = learned
    assert not any(name.startswith(".lower") for name in np.load(folder / "planner" / "params.npz"))
    loaded, again = load_planner(folder / "planner")
    problem = task.draw_problem(KEY)
    out = jax.jit(planner.plan)(params, KEY, problem)
    np.testing.assert_allclose(jax.jit(loaded.plan)(again, KEY, problem).actions, out.actions, atol=1e-6)
    assert out.info["subgoals"].shape == (3, 2)
    assert np.abs(out.info["subgoals"] - out.info["positions"][:-1]).max() <= planner.reach + 1e-5
    assert {"time_outside", "time_to_goal", "unvisited"} <= set(out.cost_terms)


def test_the_lower_level_is_planned_anew_in_every_step(learned):
    planner, params, task, _ = learned
    assert isinstance(planner, Follows)
    out = planner.plan(params, KEY, task.draw_problem(KEY))
    elsewhere = task.draw_state(KEY)
    wanted = planner.lower.plan(params.lower, KEY, Problem(elsewhere, out.info["subgoals"][0])).actions[0]
    np.testing.assert_allclose(planner.act(params, out, 3, elsewhere), wanted, atol=1e-6)


def test_settings_that_cannot_be_are_refused():
    task = AntmazeTask("antmaze-umaze-v2")
    with pytest.raises(ValueError, match="Unknown planner"):
        fit(task, "hierarchy", settings={"lower": "no-such"})
    with pytest.raises(ValueError, match="state_size of the lower level maze2d-umaze-v1|Unknown|does not describe"):
        fit(task, "hierarchy", settings={"lower": "maze2d-umaze-v1"})
    with pytest.raises(ValueError, match="neither correction nor cloning"):
        fit(task, "hierarchy", settings={"upper.correction.rounds": 1})


def test_the_maze_keeps_its_contract_and_counts_steps_flips_and_losses():
    task = AntmazeTask("antmaze-umaze-v2")
    check_task(task)
    states = np.zeros((2, 11, 29), np.float32)
    states[..., 3] = 1
    states[:, :, 0] = np.arange(11)
    states[1, 5:, 3:7] = [0, 1, 0, 0]
    goals = np.array([[4.0, 0.0], [4.0, 9.0]])
    found = task.metrics(Episodes(goals, states, np.zeros((2, 10, 8)), np.zeros((2, 0, 17, 29)), np.zeros((2, 0))))
    assert (found["score_mean"], found["steps_to_goal_median"]) == (50.0, 4.0)
    assert (found["lost_flipped"], found["lost_upright"]) == (1, 0)
    assert found["lost"] == [{"at": [10.0, 0.0], "goal": [4.0, 9.0]}]
    assert found["flips_per_1000_steps"] == pytest.approx(1000 / 16)


@pytest.mark.slow
def test_a_shipped_planner_of_two_levels_acts_as_it_did():
    name = "antmaze-umaze-v2"
    planner, params = load_planner(name)
    plan, record = jax.jit(planner.plan), dict(np.load(FILE))[f"{name}/0"]
    for i, problem in enumerate(problems(name)):
        np.testing.assert_allclose(plan(params, jax.random.key(i), problem).actions, record[i], rtol=0, atol=1e-6)
