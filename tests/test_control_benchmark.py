"""The control benchmark: sampling MPC on the true simulator, rows as promised, the page made from them."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import REACH_WITH_LITTLE_EFFORT, double_integrator, read_record, run_here, save_small_planner
from small_tasks import Ball

from benchmarks import control_rivals
from invlearn_jax.models import HostSimulatorModel, SimulatorModel
from invlearn_jax.planners import SamplingPlanner, Shooting, ShootingPlanner
from invlearn_jax.refine import mppi, predictive_sampling
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.types import Problem, Result

SHORT = """
from invlearn_jax.tasks.control.swing_up import Pendulum

class Short(Pendulum):
    episode_length = 4
"""


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A pendulum of four steps by its file, and an untrained planner for it in a run's folder."""
    folder = tmp_path_factory.mktemp("short")
    (folder / "short.py").write_text(SHORT)
    name = f"{folder / 'short.py'}:Short"
    save_small_planner(folder / "run" / "planner", make_task(name))
    (folder / "run" / "manifest.json").write_text('{"date": "2026-01-01T00:00:00Z"}')
    return name, folder / "run"


def test_the_simulator_on_the_host_is_the_simulator():
    task = make_task("pendulum-swingup")
    keys = jax.random.split(jax.random.key(0), 3)
    states = jax.jit(jax.vmap(task.draw_state))(keys)
    actions = jax.random.uniform(keys[0], (3, 5, 1), minval=-2.0, maxval=2.0)  # beyond the limits too
    model = HostSimulatorModel(task)
    many = jax.jit(jax.vmap(jax.vmap(model.unroll, (None, None, 0)), (None, 0, None)))((), states, actions)
    simulator, here = task.simulator(), np.repeat(np.asarray(states, float), 3, axis=0)
    np.testing.assert_array_equal(many[:, :, 0].reshape(9, -1), here.astype(np.float32))
    for step in range(5):
        here = simulator.step(here, np.tile(actions[:, step], (3, 1)))
        np.testing.assert_allclose(many[:, :, step + 1].reshape(9, -1), here, rtol=1e-6, atol=1e-6)
    simulator.close()
    model.close()


def test_a_simulator_of_single_steps_serves_too():
    task, actions = Ball(), 0.5 * jnp.ones((3, 2))
    state = jnp.array([0.5, -0.25, 1.0, 0.0])
    host, device = (kind(task).unroll((), state, actions) for kind in (HostSimulatorModel, SimulatorModel))
    np.testing.assert_allclose(host, device, rtol=1e-6)


def test_the_mean_is_executed_and_not_the_best_sample():
    """At a high temperature MPPI's mean of many samples around zero is near zero; the best of them is not."""
    model, shooting = double_integrator(2), Shooting(4, 2)
    problem = Problem(jnp.zeros(4), jnp.array([5.0, 5.0]), jnp.zeros((4, 2)))
    plans = {}
    for kind in (SamplingPlanner, ShootingPlanner):
        planner = kind(shooting, model, REACH_WITH_LITTLE_EFFORT, mppi(512, temperature=1e3), 1)
        plans[kind] = jax.jit(planner.plan)(planner.init(jax.random.key(0)), jax.random.key(1), problem)
    assert jnp.abs(plans[SamplingPlanner].actions).max() < 0.1 < jnp.abs(plans[ShootingPlanner].actions).max()


def test_predictive_sampling_executes_the_best_sample():
    model, problem = double_integrator(2), Problem(jnp.zeros(4), jnp.array([5.0, 5.0]), jnp.zeros((4, 2)))
    outs = []
    for kind in (SamplingPlanner, ShootingPlanner):
        planner = kind(Shooting(4, 2), model, REACH_WITH_LITTLE_EFFORT, predictive_sampling(16), 3)
        outs.append(jax.jit(planner.plan)(planner.init(jax.random.key(0)), jax.random.key(1), problem))
    np.testing.assert_allclose(outs[0].actions, outs[1].actions, rtol=1e-6)
    assert outs[0].cost < outs[0].proposal_cost and outs[0].result == Result.OK


def test_rows_and_page_hold_what_is_promised(short, tmp_path, monkeypatch):
    task, run = short
    tiny = control_rivals.Rival("DIAL", 4, 2, quick=True)
    monkeypatch.setattr(control_rivals, "RIVALS", (tiny, tiny._replace(quick=False, played=False)))
    output, page = tmp_path / "f.json", tmp_path / "docs" / "control.md"
    settings = ("--preset=quick", "--episodes=3", "--rival_episodes=2", "--calls=10", "--seed=1")
    run_here("control", f"--tasks={task}", f"--planners={run}", *settings, f"--output={output}")
    rows = read_record(None, output)["rows"]
    assert [(row["planner"], row["refine_steps"], row["episodes"]) for row in rows] == [
        ("Inverter", 0, 3), ("Inverter", 10, 3), ("DIAL", 2, 2)
    ]  # fmt: skip
    for row in rows:
        assert row["cost_mean"] > 0 and row["cost_sem"] >= 0 and row["diverged"] == 0
        assert np.mean(row["costs"]) == pytest.approx(row["cost_mean"]) and len(row["costs"]) == row["episodes"]
        assert 0 < row["plan_ms_p50"] <= row["plan_ms_p99"]
        assert (row["success_rate"], row["upright_share"]) == (0.0, 0.0)
        assert row["execute_steps"] == 2
        assert (row["train_s"] is None) == (row["planner"] != "Inverter")
    run_here("control_page", f"--inputs={output}", f"--output={page}")
    text = page.read_text()
    assert "| DIAL | 4 samples, 2 rounds, sigma 0.3 |" in text and "](../f.png)" in text
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(output.read_text())["cores"] >= 1


def test_only_the_rivals_that_are_named_play(short, tmp_path, monkeypatch):
    tiny = control_rivals.Rival("DIAL", 4, 2)
    others = tiny._replace(planner="CEM", rounds=1), tiny._replace(on_mjx=True, played=False)
    monkeypatch.setattr(control_rivals, "RIVALS", (tiny, *others))
    output, settings = tmp_path / "f.json", ("--episodes=2", "--calls=10", "--seed=1", "--nomjx", "--rivals=DIAL")
    run_here("control", f"--tasks={short[0]}", f"--planners={short[1]}", *settings, f"--output={output}")
    assert [row["planner"] for row in read_record(None, output)["rows"]] == ["Inverter", "Inverter", "DIAL"]


def test_a_planner_of_another_task_is_refused(short, tmp_path):
    with pytest.raises(ValueError, match="plans for none of the tasks pendulum-swingup"):
        run_here(
            "control",
            "--tasks=pendulum-swingup",
            f"--planners={short[1]}",
            "--preset=quick",
            f"--output={tmp_path / 'f'}",
        )
