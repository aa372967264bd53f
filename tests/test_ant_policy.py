"""The ant's goal-reaching policy from nothing, as a method of the task; and the programs about ants, run small."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import read_record, run_here
from test_ant_walk import TINY

import invlearn_jax as il
from invlearn_jax.data.kept import read_rows
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.learn.loop import default_optimizer, train
from invlearn_jax.methods import inverter
from invlearn_jax.methods.saved import save_planner
from invlearn_jax.settings import with_settings
from invlearn_jax.tasks.antmaze.cloning import goal_policy_state, goal_policy_update
from invlearn_jax.tasks.antmaze.goal_policy import fresh_policy, read_goal_policy
from invlearn_jax.tasks.antmaze.maze import AntmazeTask
from invlearn_jax.tasks.antmaze.policy_method import Settings
from invlearn_jax.tasks.antmaze.walk import AntWalk
from invlearn_jax.types import Problem

KEY = jax.random.key(0)
# Each stage's program is compiled for itself: those that another test compiles are left out.
_LEFT_OUT = {"model.one_step": 0, "correction.model_steps": 0, "correction.inverter_steps": 0}
_GENERATION = TINY | {"inverter.advance": (1, 2), "correction.follow": 2} | _LEFT_OUT
SMALL = {f"{part}.{name}": value for part in ("first", "later") for name, value in _GENERATION.items()} | {
    "first.cloning.steps": 0,
    "generations": 1,
    "hidden": (8, 8),
    "steps": 4,
    "batch": 8,
    "block": 2,
    "checkpoint_every": 2,
}


def short() -> AntWalk:
    task = AntWalk()
    task.horizon = 4
    return task


class KilledError(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def policy_run(tmp_path_factory):
    """A policy from nothing, by way of two generations; killed in the second one, and gone on with."""
    folder, log = tmp_path_factory.mktemp("policy"), RunFolder.log

    def kill(self, name, step, values):
        log(self, name, step, values)
        if self.path.name == "generation_1" and name == "cloning":
            raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "log", kill)
        with pytest.raises(KilledError):
            il.fit(short(), "goal-policy", folder, settings=SMALL)
    return folder, *il.fit(short(), "goal-policy", folder, settings=SMALL)


def test_a_policy_from_nothing(policy_run):
    folder, planner, params = policy_run
    policy = read_goal_policy(folder / "policy.npz")
    assert [layer.w.shape for layer in policy.hidden] == [(8, 29), (8, 8)]
    executed = read_rows(folder / "generation_0" / "data" / "executed_1.npz")
    learned = read_rows(folder / "generation_1" / "data" / "data_executed before.npz")
    np.testing.assert_array_equal(learned.states, executed.states)
    problem = Problem(short().draw_state(KEY), jnp.array([2.0, 1.0]))
    out = jax.jit(planner.plan)(params, KEY, problem)
    np.testing.assert_allclose(out.actions[0], policy.act(None, problem.state, problem.goal), atol=1e-6)
    assert (out.actions.shape, out.states.shape) == ((1, 8), (2, 29))
    loaded, again = il.load_planner(folder / "planner", candidates=3)
    assert jax.jit(loaded.plan)(again, KEY, problem).cost <= out.cost


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"later.correction.rounds": 0}, "later.correction.rounds is 0; give 1 or more"),
        ({"first.model.chunk": 2}, "first.model.chunk is 2"),
        ({"later.correction.follow": 17}, "correction.follow is 17 steps; a plan has 16"),
    ],
)
def test_generations_that_cannot_be_are_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        il.fit(AntWalk(), "goal-policy", tmp_path / "run", settings=with_settings(Settings(), changes))
    assert not (tmp_path / "run").exists()


def test_a_walk_without_data_is_refused(tmp_path):
    task = AntWalk()
    task.settings.data.policy = ""
    with pytest.raises(ValueError, match="There are no data to learn from"):
        task.data(100, KEY)
    task.settings.data.policy = "none.npz"
    with pytest.raises(FileNotFoundError, match="there is no policy here"):
        task.data(100, KEY)


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
    losses = []
    trained = train(
        goal_policy_update(teacher, optimizer, 128),
        state,
        600,
        100,
        lambda _, metrics: losses.append(metrics["policy_loss"]),
    ).params
    assert losses[-1] < 0.1 * losses[0]
    np.testing.assert_array_equal(trained.log_std.b, fresh_policy(KEY, (64,)).log_std.b)


# ---- programs


def test_data_are_made_by_a_policy_of_ones_own(policy_run, tmp_path):
    small = ["--envs=antmaze-umaze-v2", f"--policy={policy_run[0] / 'policy.npz'}", "--rows=300"]
    run_here("antmaze_data", *small, f"--output={tmp_path / 'times.json'}")
    (made,) = read_record(None, tmp_path / "times.json")["rows"]
    assert (made["env"], made["rows"]) == ("antmaze-umaze-v2", 300)
    assert made["rewarded_share"] == 0 < made["metres_per_step"] < 0.2


def test_motor_levels_walk_straight_on_and_with_turns(policy_run, tmp_path):
    folder = policy_run[0]
    task = short()
    settings = with_settings(task.configure("inverter", inverter.Settings()), _GENERATION)
    planner = inverter.build(task, settings)
    params = jax.jit(inverter.build(AntWalk(), settings).init)(KEY)
    save_planner(tmp_path / "walk", AntWalk(), "inverter", settings, params)
    assert planner.execute_steps == 1
    small = [f"--planners={tmp_path / 'walk'}", f"--policy={folder / 'policy.npz'}", "--ants=2", "--steps=42"]
    run_here("ant_motor", *small, "--execute_steps=4", f"--output={tmp_path / 'walks.json'}")
    rows = read_record(None, tmp_path / "walks.json")["rows"]
    assert [(row["name"], row["turn_every"]) for row in rows] == [
        (name, every) for name in (str(tmp_path / "walk"), "data policy") for every in (None, 40)
    ]
    assert all(np.isfinite(row["metres_per_step"]) for row in rows)


def test_planners_of_a_maze_are_compared(policy_run, tmp_path):
    task = AntmazeTask("antmaze-umaze-v2")
    task.episode_length = 10
    small = ["--planners=antmaze-umaze-v2", f"--policy={policy_run[0] / 'policy.npz'}", "--episodes=2"]
    small += ["--policy_episodes=2", f"--output={tmp_path / 'maze.json'}"]
    run_here("antmaze", *small, _BATCH=4, load_task=lambda name: task)
    record = read_record(None, tmp_path / "maze.json")
    assert (record["env"], record["data_policy"]["steps_to_goal_median"]) == ("antmaze-umaze-v2", None)
    (row,) = record["table"]
    assert (row["training_seeds"], row["episodes"], row["success_rate"], row["steps_to_goal_median"]) == (1, 2, 0, None)
    assert row["plans_per_second"] > 0 < row["motor_ms_p50"]
    with pytest.raises(ValueError, match="give planners of one antmaze"):
        run_here("antmaze", "--planners=ant-motor", f"--output={tmp_path / 'other.json'}")
