"""The ant's experiments, run small from data to planner."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import run_python

from experiments.pipelines.ant_motor import MotorData, tried_actions, with_starts
from invlearn_jax.data import Dataset, write_ogbench
from invlearn_jax.io.planners import load_planner, save_planner
from invlearn_jax.tasks.antmaze.environment import random_start
from invlearn_jax.tasks.antmaze.generator import random_ant_data
from invlearn_jax.tasks.antmaze.goal_policy import read_goal_policy
from invlearn_jax.tasks.antmaze.motor import AntMotorConfig, build_motor
from invlearn_jax.tasks.antmaze.stack import AntStackConfig, build_ant_stack
from invlearn_jax.types import Problem

KEY = jax.random.key(0)
LOOP = {"block": 5, "checkpoint_every": 5, "evaluation.episodes": 2, "evaluation.refine_steps": "(0,)"}
INVERTER = {"inverter.steps": 5, "inverter.batch": 8, "inverter.advance": "(1,2)"}
MOTOR = (
    LOOP
    | INVERTER
    | {
        "planner.horizon": 4,
        "planner.inverter_hidden": "(8,)",
        "planner.model_hidden": "(8,)",
        "model.one_step_updates": 5,
        "model.one_step_batch": 8,
        "model.steps": 5,
        "model.batch": 4,
        "model.horizon": 4,
        "correction.rounds": 1,
        "correction.ants": 8,
        "correction.rows": 10,
        "correction.follow": 2,
        "correction.model_steps": 5,
        "correction.steps": 5,
    }
)
CLONING = {"cloning.steps": 5, "cloning.batch": 8, "cloning.within": 8}


def flags(settings):
    return [f"--config.{name}={value}" for name, value in settings.items()]


@pytest.fixture(scope="module")
def policy_run(tmp_path_factory):
    """A policy from nothing, by way of two motor levels."""
    folder = tmp_path_factory.mktemp("policy")
    small = {f"{part}.{name}": value for part in ("flail", "motor") for name, value in MOTOR.items()}
    small |= {f"motor.{name}": value for name, value in CLONING.items()}
    small |= {"flail.data.rows": 2000, "generations": 1, "hidden": "(8,8)", "steps": 5, "batch": 8}
    done = run_python(
        "-m", "experiments.run", "--experiment=ant-policy", f"--workdir={folder}", "--seed=1", *flags(small)
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_a_policy_from_nothing(policy_run, tmp_path):
    walks = json.loads((policy_run / "eval.json").read_text())
    assert [walk["turn_every"] for walk in walks] == [None, 40]
    assert (policy_run / "generation_1" / "data" / "executed_1.npz").exists()
    file, times = policy_run / "policy.npz", tmp_path / "times.json"
    policy = read_goal_policy(file)
    assert [layer.w.shape for layer in policy.hidden] == [(8, 29), (8, 8)]
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(policy))
    done = run_python(
        "-m",
        "benchmarks.antmaze_data",
        "--envs=antmaze-umaze-v2",
        f"--policy={file}",
        "--rows=300",
        f"--output={times}",
    )
    assert done.returncode == 0, done.stderr
    (made,) = json.loads(times.read_text())["rows"]
    assert (made["env"], made["rows"]) == ("antmaze-umaze-v2", 300)
    assert made["rewarded_share"] == 0 < made["metres_per_step"] < 0.2


def test_a_planner_of_two_levels(policy_run, tmp_path):
    rows = random_ant_data(None, KEY, 4000, length=50, streams=80)
    write_ogbench(tmp_path / "rows.npz", Dataset(rows["observations"], rows["actions"], rows["timeouts"]))
    upper = {
        "data.path": tmp_path / "rows.npz",
        "data.broad_rows": 0,
        "motor": policy_run / "generation_1" / "planner",
        "planner.inverter_hidden": "(8,)",
        "planner.model_hidden": "(8,)",
        "planner.cost_to_go_hidden": "(8,)",
        "planner.subgoals": 3,
        "planner.hold": 3,
        "planner.execute_steps": 50,
        "cost_to_go.bin_size": 1.0,
        "cost_to_go.min_count": 1,
        "cost_to_go.steps": 5,
        "cost_to_go.batch": 8,
        "level.ants": 8,
        "level.episodes": 1,
        "level.rounds": 2,
        "level.steps": 5,
        "level.batch": 8,
    }
    upper = flags(LOOP | INVERTER | upper)
    done = run_python(
        "-m", "experiments.run", "--seed=1", "--experiment=antmaze-umaze", f"--workdir={tmp_path / 'upper'}", *upper
    )
    assert done.returncode == 0, done.stderr
    (record,) = json.loads((tmp_path / "upper" / "eval.json").read_text())
    assert record["success_rate"] == 0
    assert len(record["lost"]) == 2
    assert record["results"]["ok"] + record["results"]["outside_data"] == 2 * 14
    planner, params = load_planner(tmp_path / "upper" / "planner")
    out = jax.jit(planner.plan)(params, KEY, Problem(random_start(KEY), jnp.array([0.7, 8.5])))
    assert jnp.isfinite(out.actions).all()
    table = tmp_path / "antmaze.json"
    done = run_python(
        "-m",
        "benchmarks.antmaze",
        f"--planners={tmp_path / 'upper' / 'planner'}",
        f"--policy={policy_run / 'policy.npz'}",
        "--episodes=2",
        "--policy_episodes=2",
        "--seed=3",
        f"--output={table}",
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(table.read_text())
    assert record["data_policy"]["steps_to_goal_median"] is None
    row = record["table"][0]
    assert (row["training_seeds"], row["episodes"], row["success_rate"], row["steps_to_goal_median"]) == (1, 2, 0, None)
    assert row["plans_per_second"] > 0


def test_a_motor_level_that_is_none_is_refused(tmp_path):
    small = AntMotorConfig(horizon=4, inverter_hidden=(8,), model_hidden=(8,))
    config = AntStackConfig(motor=small, inverter_hidden=(8,), model_hidden=(8,), cost_to_go_hidden=(8,))
    save_planner(tmp_path / "stack", config, build_ant_stack(config).init(KEY))
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
    ("setting", "message"),
    [
        ("data.policy=", "There are no data to learn from"),
        ("data.policy=none.npz", "there is no policy here"),
        ("correction.follow=17", "a plan can be followed for 1 to 16 steps"),
    ],
)
def test_a_run_that_cannot_be_is_refused(tmp_path, setting, message):
    done = run_python(
        "-m",
        "experiments.run",
        "--experiment=ant-motor",
        f"--workdir={tmp_path / 'run'}",
        "--config.data.policy=none",
        f"--config.{setting}",
    )
    assert done.returncode != 0
    assert message in done.stderr
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_planner_of_another_robot_is_refused():
    done = run_python("-m", "experiments.evaluate", "--planner=maze2d-umaze-v1", "--env=antmaze-umaze-v2")
    assert done.returncode != 0
    assert "maze2d-umaze-v1 is no planner for antmaze-umaze-v2" in done.stderr


def test_every_second_ant_follows_its_plan():
    config = AntMotorConfig(horizon=4, inverter_hidden=(8,), model_hidden=(8,))
    planner = build_motor(config)
    params = planner.init(KEY)
    # Fresh plans hardly differ from step to step.
    net = jax.tree.map(lambda x: x + 0.3 * jax.random.normal(KEY, x.shape), params.inverter.net)
    params = params._replace(inverter=params.inverter._replace(net=net))
    states = [np.asarray(jax.vmap(random_start)(jax.random.split(jax.random.key(i), 4))) for i in range(5)]
    goals = np.array([[3.0, 0.0], [0.0, 3.0], [-3.0, 0.0], [2.0, 2.0]])

    def plans(step):
        problems = Problem(jnp.asarray(states[step]), jnp.asarray(goals, jnp.float32))
        return np.asarray(jax.vmap(planner.plan, in_axes=(None, None, 0))(params, KEY, problems).actions)

    act = tried_actions(planner, params, 4)
    found = [act(now, goals) for now in states]
    for step, actions in enumerate(found):
        np.testing.assert_allclose(actions[::2], plans(step)[::2, 0], atol=1e-5)
        np.testing.assert_allclose(actions[1::2], plans(step // 4 * 4)[1::2, step % 4], atol=1e-5)
    assert np.abs(plans(1)[1::2, 0] - found[1][1::2]).max() > 1e-2


def test_executed_states_are_their_share_of_the_starts():
    rows = Dataset(np.zeros((300, 29), np.float32), np.zeros((300, 8), np.float32), np.arange(300) == 299)
    data = MotorData(rows, {"d4rl": (rows, 1.0)})
    executed = rows._replace(states=np.ones((50, 29), np.float32))
    assert with_starts(data, [executed, executed], 0.4, KEY)[:, 0].mean() == pytest.approx(0.4)
    assert with_starts(data, [], 0.4, KEY) is rows.states
    assert with_starts(data, [executed], 0.0, KEY) is rows.states
