"""Two levels: sub-goals over a learned planner, learned by the common recipe, saved without the lower level, and loaded."""

import types

import jax
import jax.numpy as jnp
import my_robot
import numpy as np
import pytest
from golden import FILE, problems

from invlearn_jax.data.dataset import Dataset
from invlearn_jax.data.kept import read_rows
from invlearn_jax.evaluate.episodes import evaluate
from invlearn_jax.methods import hierarchy, inverter
from invlearn_jax.methods.fitting import fit, method_settings
from invlearn_jax.methods.level_rows import evenly, hindsight_rows, level_rows, often_visited
from invlearn_jax.methods.saved import load_planner, save_planner
from invlearn_jax.settings import with_settings
from invlearn_jax.tasks.antmaze.maze import AntmazeTask
from invlearn_jax.tasks.check import check_task
from invlearn_jax.tasks.maze2d.task import own_maze
from invlearn_jax.tasks.registry import make_task
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

    dt, horizon, episode_length, state_size, action_size, goal_size = 0.1, 4, 20, 2, 2, 2

    def step(self, state, action):
        return state + self.dt * jnp.clip(action, -1.0, 1.0)

    def cost(self, state, action, goal):
        return self.place_cost(state, goal)

    def place_cost(self, place, goal):
        return {"away": jnp.sqrt(((place - goal) ** 2).sum() + 1e-6)}

    def success(self, state, goal):
        return jnp.linalg.norm(state - goal) < 0.1

    def draw_state(self, key):
        return jax.random.uniform(key, (2,), minval=-1.5, maxval=1.5)

    def draw_goal(self, key):
        return jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)

    def covered_goal(self, goal):
        return goal

    def usable(self, state):
        return jnp.abs(state).max() < 2.0


def test_level_rows_are_where_a_held_subgoal_leads():
    starts, task = np.zeros((40, 2)), Slide()

    def towards(states, goals):
        return states + np.clip(goals - states, -0.1, 0.1)

    def make():
        rng = np.random.default_rng(0)
        return level_rows(task.achieved, task.usable, towards, starts, rng, rounds=6, hold=5, reach=1.0)

    rows = make()
    begin, action, after = rows.states[::2], rows.actions[::2], rows.states[1::2]
    np.testing.assert_allclose(after, begin + np.clip(action, -0.5, 0.5), atol=1e-5)
    assert np.abs(rows.states).max() < 2.0
    assert rows.ends.tolist() == [False, True] * len(begin)
    np.testing.assert_array_equal(rows.states, make().states)


def test_in_hindsight_later_places_of_the_same_episode_were_the_subgoals():
    steps = np.arange(50.0)[:, None] * [[0.1, 0.0]]
    places = np.concatenate([steps, steps + 100.0])
    ends = np.arange(100) % 50 == 49
    data = Dataset(places, np.zeros_like(places), ends)
    chosen = np.arange(100)
    rows = hindsight_rows(data, chosen, hold=5, reach=0.8)
    begin, subgoal, after = rows.states[::2], 0.8 * rows.actions[::2], rows.states[1::2]
    np.testing.assert_allclose(after - begin, np.broadcast_to([0.5, 0.0], begin.shape), atol=1e-4)
    np.testing.assert_allclose(begin + subgoal, after, atol=1e-4)
    assert len(begin) == 90
    assert rows.ends.tolist() == [False, True] * 90
    with pytest.raises(ValueError, match="5 rows after another one of its episode. Give a larger reach"):
        hindsight_rows(data, chosen, hold=5, reach=0.4)


def test_starts_are_spread_evenly_over_bins():
    places = np.concatenate([np.zeros((990, 2)), np.full((10, 2), 5.0), np.full((2, 2), -5.0)])
    chosen = places[evenly(places, 1.0, 3, 1000, np.random.default_rng(0))]
    assert 400 < (chosen[:, 0] > 1).sum() < 600
    # A bin that hardly any row was in may be a fluke; where no bin has enough rows, all those count that have most.
    assert chosen.min() == 0
    assert len(evenly(places[:1], 1.0, 3, 5, np.random.default_rng(0))) == 5


def test_places_that_the_data_seldom_came_to_are_left_out():
    places = np.concatenate([np.zeros((30, 2)), np.full((29, 2), 5.0), np.full((2, 2), 5.9)])
    seen = often_visited(places, 1.0, 30)
    # (5, 5) and (5.9, 5.9) are in one bin of 1 m.
    np.testing.assert_array_equal(seen, np.ones(61, bool))
    np.testing.assert_array_equal(often_visited(places, 0.5, 30), np.arange(61) < 30)
    with pytest.raises(ValueError, match="No bin of places .* holds 32 rows, the fullest 31"):
        often_visited(places, 1.0, 32)


def saved_lower(task, folder):
    """The folder of a planner of one level as it was drawn."""
    settings = with_settings(inverter.Settings(), {"model.hidden": (8,), "net.hidden": (8,)})
    save_planner(folder, task, "inverter", settings, inverter.build(task, settings).init(KEY))
    return str(folder)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A task, and the settings of two levels for it."""
    task = Slide()
    return task, TINY | {"lower": saved_lower(task, tmp_path_factory.mktemp("lower"))}


@pytest.fixture(scope="module")
def learned(given, tmp_path_factory):
    folder, (task, settings) = tmp_path_factory.mktemp("hierarchy"), given
    return *fit(task, "hierarchy", folder, settings=settings), task, folder


def test_the_upper_level_is_learned_and_loaded_without_the_lower_one(learned):
    planner, params, task, folder = learned
    assert not any(name.startswith(".lower") for name in np.load(folder / "planner" / "params.npz"))
    loaded, again = load_planner(folder / "planner")
    problem = task.draw_problem(KEY)
    out = jax.jit(planner.plan)(params, KEY, problem)
    np.testing.assert_allclose(jax.jit(loaded.plan)(again, KEY, problem).actions, out.actions, atol=1e-6)
    assert out.info["subgoals"].shape == (3, 2)
    assert np.abs(out.info["subgoals"] - out.info["positions"][:-1]).max() <= planner.reach + 1e-5
    assert {"away", "time_to_goal", "unvisited"} <= set(out.cost_terms)


def test_inference_settings_hold_for_both_levels(learned):
    _, params, task, folder = learned
    planner, _ = load_planner(folder / "planner", refine_steps=2, candidates=3, refiner="mppi", execute_steps=7)
    assert (planner.execute_steps, planner.refine_steps, planner.lower.candidates) == (7, 2, 3)
    plan = jax.jit(planner.plan)(params, KEY, task.draw_problem(KEY))
    assert plan.cost <= plan.proposal_cost
    with pytest.raises(ValueError, match="execute_steps 0"):
        load_planner(folder / "planner", execute_steps=0)


def test_the_lower_level_is_planned_anew_in_every_step(learned):
    planner, params, task, _ = learned
    assert isinstance(planner, Follows)
    out = jax.jit(planner.plan)(params, KEY, task.draw_problem(KEY))
    elsewhere = task.draw_state(KEY)
    wanted = jax.jit(planner.lower.plan)(params.lower, KEY, Problem(elsewhere, out.info["subgoals"][0])).actions[0]
    np.testing.assert_allclose(jax.jit(planner.act)(params, out, 3, elsewhere), wanted, atol=1e-6)


def test_a_record_has_the_milliseconds_of_the_lower_level_alone(learned):
    planner, params, task, _ = learned
    record = evaluate(planner, params, task, episodes=2)
    assert 0 < record["act_ms_p50"] <= record["act_ms_p99"]
    assert record["act_ms_p50"] < record["plan_ms_p99"]


def test_by_default_a_subgoal_is_within_half_the_usual_way(learned):
    planner, _, task, _ = learned
    state_keys, goal_keys = jax.random.split(KEY, (2, 200))
    states, goals = jax.jit(jax.vmap(task.draw_state))(state_keys), jax.jit(jax.vmap(task.draw_goal))(goal_keys)
    way = np.abs(goals - jax.jit(jax.vmap(task.achieved))(states)).max(-1)
    assert np.quantile(way, 0.4) < 2 * planner.reach < np.quantile(way, 0.6)


@pytest.mark.parametrize(("kind", "way"), [("executed", 0.4), ("simulated", 0.2)])
def test_a_level_is_executed_or_simulated_by_the_lower_levels_own_model(kind, way, monkeypatch):
    """Here that model believes in half of what the point does; it needs no simulator."""
    task = Slide()
    if kind == "simulated":
        monkeypatch.setattr(task, "simulator", lambda: pytest.fail("the simulator is used"))

    class Lower:
        def plan(self, params, key, problem):
            states = problem.state + 0.05 * jnp.arange(3)[:, None]
            return types.SimpleNamespace(actions=jnp.ones((2, 2)), states=states)

    changes = {"level.kind": kind, "hold": 4, "level.robots": 8, "level.episodes": 2, "level.rounds": 1}
    settings = with_settings(hierarchy.Settings(), changes)
    starts = np.asarray(jax.jit(jax.vmap(task.draw_goal))(jax.random.split(KEY, 50)))
    rows = Dataset(starts, np.zeros_like(starts), np.ones(50, bool))
    found = hierarchy.lower_level(task, settings, 1.0, Lower(), None, rows, rows, KEY)
    np.testing.assert_allclose(found.states[1::2] - found.states[::2], way, atol=1e-5)
    assert len(found.states) > 20


def test_a_level_can_be_learned_from_the_data_alone(monkeypatch):
    task = Slide()
    monkeypatch.setattr(task, "simulator", lambda: pytest.fail("the simulator is used"))
    changes = {"level.kind": "data", "hold": 4, "level.robots": 8, "level.episodes": 2, "level.rounds": 3}
    settings = with_settings(hierarchy.Settings(), changes)
    states = np.arange(40.0)[:, None] * [[0.05, 0.02]] - 1.0
    rows = Dataset(states, np.zeros_like(states), np.arange(40) == 39)
    found = hierarchy.lower_level(task, settings, 1.0, None, None, rows, rows, KEY)
    moved = found.states[1::2] - found.states[::2]
    np.testing.assert_allclose(moved, np.broadcast_to([0.2, 0.08], moved.shape), atol=1e-5)
    assert 20 < len(moved) <= 48


def test_two_levels_for_the_readmes_robot(tmp_path):
    """A task that says nothing of hierarchies, whose places are no entries of its state."""
    task = my_robot.Reach()
    settings = TINY | {"lower": saved_lower(task, tmp_path / "lower")}
    planner, params = fit(task, "hierarchy", tmp_path / "run", settings=settings)
    assert 0.2 < planner.reach < 0.8
    assert params.upper.objective.scale == 1.0
    assert read_rows(tmp_path / "run" / "data" / "level_rows.npz").states.shape[1] == 2


def test_a_maze_has_settings_of_its_own():
    """D4RL's mazes stand on their shipped planners; a user's own maze needs one."""
    settings = method_settings(make_task("maze2d-large-multi-v1"), "hierarchy")
    assert settings.lower == "maze2d-large-v1"
    assert settings.upper.tail.per_axis
    own = own_maze("#####/#OOG#/#####")
    assert method_settings(own, "hierarchy").lower == ""
    place, goal = jnp.zeros(2), jnp.array([0.3, 0.4])
    assert own.place_cost(place, goal) == own.cost(jnp.zeros(4), jnp.zeros(2), goal)


def test_two_levels_learn_to_reach_beyond_the_lower_levels_plans(tmp_path):
    """A plan of the lower level goes 0.4 m; three sub-goals of 0.4 m each lead to a goal a metre away."""
    task = Slide()
    shared = {"model.hidden": (16,), "net.hidden": (32,), "inverter.batch": 64, "correction.rounds": 0}
    settings = shared | {"data.rows": 4000, "model.steps": 500, "model.horizon": 8, "inverter.steps": 500}
    fit(task, "inverter", tmp_path / "lower", settings=settings)
    settings = {f"upper.{name}": value for name, value in shared.items()} | {
        "lower": str(tmp_path / "lower" / "planner"),
        "hold": 4,
        "subgoals": 3,
        "reach": 1.0,
        "level.robots": 64,
        "level.episodes": 1,
        "upper.data.rows": 20_000,
        "upper.tail.bin_size": 0.2,
        "upper.tail.steps": 500,
        "upper.tail.batch": 256,
        "upper.model.steps": 500,
        "upper.model.batch": 64,
        "upper.inverter.steps": 500,
    }
    planner, params = fit(task, "hierarchy", tmp_path / "upper", settings=settings)
    far = Problem(jnp.array([-0.4, -0.4]), jnp.array([0.4, 0.3]))
    plan = jax.jit(planner.plan)(params, KEY, far)
    # The lower level alone would still be 0.66 m away.
    assert np.linalg.norm(plan.info["positions"][-1] - far.goal) < 0.4


def test_settings_that_cannot_be_are_refused(given, learned):
    task, settings = given
    for changes, words in (
        ({"lower": "no-such"}, "Unknown planner"),
        ({"lower": ""}, "give the planner of the lower level"),
        ({"lower": "ant-motor"}, "state_size of the lower level ant-motor is 29, of Slide 2"),
        ({"lower": str(learned[-1] / "planner")}, "is a Hierarchy; give a planner of one level"),
        ({"level.kind": "simulate"}, "Unknown kind of level 'simulate'. Nearest known: simulated"),
        ({"upper.correction.rounds": 1}, "neither correction nor cloning"),
        ({"subgoals": 0}, "subgoals is 0; give .* at least 1"),
        ({"reach": -1.0}, "reach is -1.0; give .* at least 0"),
    ):
        with pytest.raises(ValueError, match=words):
            fit(task, "hierarchy", settings=settings | changes)


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
