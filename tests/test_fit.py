"""From a task to a planner: fit, its folder, resuming, evaluation, the command line, for tasks of every shape."""

import json
import shutil

import jax
import jax.numpy as jnp
import my_robot
import numpy as np
import pytest
from conftest import ROOT
from helpers import count_compilations, run_python

import invlearn_jax as il
from invlearn_jax.evaluate.episodes import evaluate_episodes
from invlearn_jax.export import export_planner, load_exported
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.methods.saved import load_task

TINY = {
    "data.rows": 1500,
    "model.hidden": (16,),
    "model.steps": 20,
    "model.batch": 16,
    "model.horizon": 8,
    "net.hidden": (16,),
    "inverter.steps": 20,
    "inverter.batch": 8,
    "correction.rounds": 1,
    "correction.robots": 8,
    "correction.steps": 40,
    "correction.model_steps": 10,
    "correction.inverter_steps": 10,
    "block": 10,
    "checkpoint_every": 10,
}
NO_CORRECTION = TINY | {"correction.rounds": 0, "model.steps": 10, "inverter.steps": 10}


class Cart(il.Task):
    """A point on a line with unequal limits, in JAX alone; a goal of one number, a horizon of three steps."""

    dt, horizon, episode_length, state_size, action_size, goal_size = 0.1, 3, 7, 2, 1, 1
    action_low, action_high = np.array([-1.0]), np.array([3.0])

    def step(self, state, action):
        velocity = 0.9 * state[1] + self.dt * jnp.clip(action[0], -1.0, 3.0)
        return jnp.stack([state[0] + self.dt * velocity, velocity])

    def draw_state(self, key):
        return jax.random.uniform(key, (2,), minval=-1.0)

    def draw_goal(self, key):
        return jax.random.uniform(key, (1,), minval=-1.0)

    def cost(self, state, action, goal):
        return {"reach": jnp.sum((state[:1] - goal) ** 2), "effort": 1e-3 * jnp.sum(action**2)}


class Rest(Cart):
    """The same without goals, one step ahead."""

    horizon, goal_size, draw_goal = 1, 0, il.Task.draw_goal

    def cost(self, state, action, goal):
        return {"rest": jnp.sum(state**2)}


def same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.fixture(scope="module")
def reach():
    return my_robot.Reach()


@pytest.fixture(scope="module")
def run(reach, tmp_path_factory):
    """A trained planner: run folder, planner, parameters."""
    folder = tmp_path_factory.mktemp("reach")
    return folder, *il.fit(reach, workdir=folder, settings=TINY)


@pytest.fixture(scope="module")
def plan(run):
    """The planner's one jitted program."""
    return jax.jit(run[1].plan)


@pytest.fixture(scope="module")
def refined(run):
    """The same of two steps of refinement."""
    return jax.jit(il.load_planner(run[0] / "planner", refine_steps=2)[0].plan)


@pytest.fixture(scope="module")
def problem(reach):
    return reach.draw_problem(jax.random.key(3))


# --- a planner and its folder ---


def test_a_planner_comes_back_from_its_folder(run, plan, problem):
    folder, _, params = run
    loaded, loaded_params = il.load_planner(folder / "planner")
    same(params, loaded_params)
    key = jax.random.key(0)
    same(plan(params, key, problem), jax.jit(loaded.plan)(loaded_params, key, problem))
    assert {"config.json", "manifest.json", "metrics.csv", "status.json", "model.json"} <= {
        path.name for path in folder.iterdir()
    }
    assert json.loads((folder / "status.json").read_text())["state"] == "done"


MOVED = """
import sys, jax, numpy as np
import invlearn_jax as il
planner, params = il.load_planner(sys.argv[1], refine_steps=2)
problem = il.Problem(np.array([0.3, -0.2, 0.1, 0.0]), [0.4, 0.4])
print(jax.jit(planner.plan)(params, jax.random.key(0), problem).cost.item())
"""


def test_a_planner_moves_together_with_its_tasks_file(run, refined, tmp_path):
    folder, _, params = run
    # A class is found relative to the planner's folder.
    for name in ("my_robot.py", "my_robot.xml"):
        shutil.copy(ROOT / "examples" / name, tmp_path / name)
    shutil.copytree(folder / "planner", tmp_path / "a" / "planner")
    description = tmp_path / "a" / "planner" / "planner.json"
    fields = json.loads(description.read_text())
    assert fields["task"].endswith("my_robot.py:Reach")
    description.write_text(json.dumps(fields | {"task": "../../my_robot.py:Reach"}))
    (tmp_path / "b").mkdir()
    for name in ("a", "my_robot.py", "my_robot.xml"):
        shutil.move(tmp_path / name, tmp_path / "b" / name)
    done = run_python("-c", MOVED, tmp_path / "b" / "a" / "planner")
    assert done.returncode == 0, done.stderr
    problem = il.Problem(jnp.array([0.3, -0.2, 0.1, 0.0]), jnp.array([0.4, 0.4]))
    cost = refined(params, jax.random.key(0), problem).cost
    assert float(done.stdout) == pytest.approx(float(cost), rel=1e-4)
    (tmp_path / "b" / "my_robot.py").unlink()
    with pytest.raises(FileNotFoundError, match="The task of the planner in .* is gone"):
        il.load_planner(tmp_path / "b" / "a" / "planner")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"execute_steps": 0}, "execute_steps is 0"),
        ({"execute_steps": 33}, "execute_steps is 33"),
        ({"candidates": 0}, "candidates is 0"),
        ({"guidance": 1}, "Unknown inference option .*guidance"),
    ],
)
def test_bad_inference_options_are_refused(run, options, message):
    with pytest.raises(ValueError, match=message):
        il.load_planner(run[0] / "planner", **options)


def test_plans_are_pure_programs(run, plan, problem):
    _, planner, params = run
    key = jax.random.key(1)
    out = plan(params, key, problem)
    other, other_key = il.Problem(problem.state + 0.1, problem.goal), jax.random.key(2)
    with count_compilations() as seen:
        plan(params, other_key, other)
    assert not seen
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)  # noqa: E731
    problems = jax.tree.map(lambda x: jnp.stack([x, 0.5 * x]), problem)
    many = jax.jit(jax.vmap(planner.plan, in_axes=(None, 0, 0)))(params, jax.random.split(key, 2), problems)
    jax.tree.map(lambda a, b: close(a[0], b), many, out)


def test_refinement_never_makes_a_plan_worse(run, refined, reach):
    _, _, params = run
    problems = jax.jit(jax.vmap(reach.draw_problem))(jax.random.split(jax.random.key(0), 16))
    plans = [refined(params, jax.random.key(0), jax.tree.map(lambda x, i=i: x[i], problems)) for i in range(16)]
    cost, before = (np.array([getattr(out, name) for out in plans]) for name in ("cost", "proposal_cost"))
    assert (cost <= before).all()
    assert (cost < before).mean() > 0.5


def test_what_training_never_saw_is_named(run, plan, problem):
    _, _, params = run
    for state, goal, wanted in (
        (problem.state, problem.goal, il.Result.OK),
        (problem.state, jnp.array([5.0, 0.0]), il.Result.OUTSIDE_DATA),
        (problem.state.at[3].set(500.0), problem.goal, il.Result.OUTSIDE_DATA),
        (problem.state.at[0].set(jnp.nan), problem.goal, il.Result.NON_FINITE),
    ):
        assert plan(params, jax.random.key(0), il.Problem(state, goal)).result == wanted


def test_numbers_of_any_kind_are_problems(run, plan, problem):
    _, planner, params = run
    wanted = plan(params, jax.random.key(0), problem).actions
    # Held apart from the program's arguments, which would be arrays already.
    given = il.Problem(problem.state.tolist(), np.asarray(problem.goal, np.float64))
    found = jax.jit(lambda p, k: planner.plan(p, k, given).actions)(params, jax.random.key(0))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"The goal has shape \(3,\); this Inverter takes \(2,\)"):
        planner.plan(params, jax.random.key(0), il.Problem(problem.state, np.zeros(3)))


# --- evaluation ---

RECORD = {
    "task", "backend", "episodes", "seed", "refine_steps", "success_rate", "cost_mean", "cost_sem", "return_mean",
    "score_mean", "score_sem", "plan_ms_p50", "plan_ms_p99", "device",
}  # fmt: skip


def test_a_record_is_whole(run, reach):
    _, planner, params = run
    record, episodes = evaluate_episodes(planner, params, reach, 2, 5)
    assert set(record) >= RECORD
    assert (record["task"], record["episodes"], record["seed"], record["score_mean"]) == ("Reach", 2, 5, None)
    json.dumps(record, allow_nan=False)
    assert episodes.states.shape == (2, 201, 4)
    # Each cost per second, over the states after the actions.
    costs = jax.jit(jax.vmap(jax.vmap(reach.cost, (0, 0, None))))
    terms = costs(episodes.states[:, 1:], episodes.actions, episodes.goals)
    assert record["cost_mean"] == pytest.approx(float(0.02 * sum(x.sum(1).mean() for x in terms.values())), rel=1e-4)
    assert record["plan_ms_p50"] <= record["plan_ms_p99"]
    with pytest.raises(ValueError, match="episodes is 1"):
        il.evaluate(planner, params, reach, episodes=1)


# --- tasks of other shapes ---


@pytest.mark.parametrize("task", [Cart(), Rest()], ids=["cart", "rest"])
def test_a_task_in_jax_alone(task, tmp_path):
    planner, params = il.fit(task, workdir=tmp_path, settings=NO_CORRECTION)
    one = {backend: evaluate_episodes(planner, params, task, 4, 1, backend) for backend in ("mujoco", "mjx")}
    for record, episodes in one.values():
        assert record["cost_mean"] > 0
        assert (episodes.actions >= task.action_low).all()
        assert (episodes.actions <= task.action_high).all()
    np.testing.assert_allclose(one["mujoco"][1].states, one["mjx"][1].states, rtol=1e-4, atol=1e-4)
    loaded, loaded_params = il.load_planner(tmp_path / "planner")
    same(params, loaded_params)
    assert type(load_task(tmp_path / "planner")).__name__ == type(task).__name__
    problem = task.draw_problem(jax.random.key(0))
    assert jax.eval_shape(loaded.plan, params, jax.random.key(0), problem).actions.shape == (task.horizon, 1)


class Long(Cart):
    horizon, goal_size = 12, 1


def test_spline_latents_train_refine_and_export(tmp_path):
    settings = NO_CORRECTION | {"net.knots": 5}
    _, params = il.fit(Long(), workdir=tmp_path, settings=settings)
    planner, params = il.load_planner(tmp_path / "planner", refine_steps=3)
    problems = jax.jit(jax.vmap(Long().draw_problem))(jax.random.split(jax.random.key(0), 3))
    keys = jax.random.split(jax.random.key(0), 3)
    out = jax.jit(jax.vmap(planner.plan, in_axes=(None, 0, 0)))(params, keys, problems)
    assert (out.cost < out.proposal_cost).any()
    assert planner.inverter.latents(params.inverter, keys[0], jax.tree.map(lambda x: x[0], problems), 1).shape == (
        1,
        5,
        1,
    )
    export_planner(planner, params, tmp_path / "planner.bin", platforms=("cpu",))
    exported = load_exported(tmp_path / "planner.bin")
    np.testing.assert_allclose(exported(problems.state, problems.goal), out.actions, rtol=1e-4, atol=1e-5)


# --- what is refused, and what goes on ---


class KilledError(Exception):
    """Stands for a kill."""


def test_a_killed_fit_goes_on_to_the_same_parameters(tmp_path, monkeypatch):
    settings = NO_CORRECTION | {
        "inverter.steps": 20,
        "correction.rounds": 1,
        "correction.robots": 2,
        "correction.steps": 20,
    }
    _, whole = il.fit(Cart(), workdir=tmp_path / "whole", settings=settings)
    log = RunFolder.log
    for stage in ("model", "inverter_1"):

        def kill(self, name, step, values, stage=stage):
            log(self, name, step, values)
            if name == stage and step == 10:
                monkeypatch.setattr(RunFolder, "log", log)
                raise KilledError

        monkeypatch.setattr(RunFolder, "log", kill)
        with pytest.raises(KilledError):
            il.fit(Cart(), workdir=tmp_path / "killed", settings=settings)
    _, resumed = il.fit(Cart(), workdir=tmp_path / "killed", settings=settings)
    same(whole, resumed)
    with pytest.raises(ValueError, match=r"holds a run with other settings \(config.settings.inverter.steps"):
        il.fit(Cart(), workdir=tmp_path / "killed", settings=settings | {"inverter.steps": 30})
    with pytest.raises(ValueError, match=r"other settings \(seed is 0 there, 1 here"):
        il.fit(Cart(), workdir=tmp_path / "killed", settings=settings, seed=1)
    with pytest.raises(ValueError, match=r"other settings \(config.task is Cart there, Rest here"):
        il.fit(Rest(), workdir=tmp_path / "killed", settings=settings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"settings": {"model.steps": 0}}, "model.steps is 0; give a whole number, at least 1"),
        ({"settings": {"model.stepz": 1}}, "Unknown setting 'model.stepz'. Nearest known: model.steps"),
        ({"settings": {"model.chunk": 2}}, "The task's horizon is 3 steps, model.chunk 2"),
        ({"settings": {"inverter.advance": (4,)}}, r"advance is \(4,\); each step must be 1 to the horizon, 3"),
        ({"settings": {"correction.follow": 4}}, "correction.follow is 4 steps"),
        ({"settings": {"correction.steps": 16}}, "correction.steps is 16; the model learns from windows"),
        ({"settings": {"tail.kind": "grap"}}, "Unknown cost beyond the horizon 'grap'. Nearest known: graph"),
        ({"settings": {"net.knots": 4}}, "knots is 4"),
        ({"settings": "fast"}, "The settings are 'fast'; give the Settings of the method inverter"),
        ({"seed": -1}, "seed is -1"),
        ({"method": "invertor"}, "Unknown method 'invertor'. Nearest known: inverter"),
    ],
)
def test_wrong_arguments_leave_nothing_behind(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        il.fit(Cart(), workdir=tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


def test_a_task_that_no_other_process_finds_is_refused_before_training(tmp_path):
    class Local(Cart):
        pass

    with pytest.raises(ValueError, match=r"Local is defined where another process cannot find it"):
        il.fit(Local(), workdir=tmp_path / "run", settings=NO_CORRECTION)
    assert not (tmp_path / "run").exists()


class WrongData(Cart):
    def data(self, rows, key):
        return super().data(rows, key)._replace(actions=np.zeros((1500, 2), np.float32))


def test_data_of_other_sizes_are_named(tmp_path):
    with pytest.raises(
        ValueError, match=r"WrongData.data gave states and actions of sizes \(2, 2\); wanted .*\(2, 1\)"
    ):
        il.fit(WrongData(), workdir=tmp_path, settings=NO_CORRECTION)


def test_no_update_in_a_correction_is_one(tmp_path):
    settings = NO_CORRECTION | {"correction.rounds": 1, "correction.model_steps": 0, "correction.inverter_steps": 0}
    settings |= {"correction.robots": 2, "correction.steps": 20}
    il.fit(Cart(), workdir=tmp_path, settings=settings)
    assert {row["stage"] for row in RunFolder(tmp_path).metrics()} == {"model", "inverter"}
