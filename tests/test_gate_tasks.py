"""Gates as tasks: trained by ``fit`` with the world's own method, loaded again, judged on drawn gates."""

import jax
import numpy as np
import pytest

from invlearn_jax.evaluate.episodes import evaluate
from invlearn_jax.io import planners as first_edition
from invlearn_jax.methods.fitting import fit
from invlearn_jax.methods.registry import find_method
from invlearn_jax.methods.saved import load_planner, load_task
from invlearn_jax.tasks.registry import make_task, task_entries
from invlearn_jax.types import Problem, Result

TINY = {"hidden": (8,), "training.steps": 20, "training.batch": 16, "block": 10, "checkpoint_every": 20}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, *fit(make_task("gate-qubit"), "inverter", folder, settings=TINY)


def test_fit_trains_and_its_planner_comes_back(fitted):
    folder, planner, params = fitted
    loaded, read = load_planner(folder / "planner", refine_steps=8)
    jax.tree.map(np.testing.assert_array_equal, read, params)
    task = make_task("gate-qubit")
    plan = jax.jit(loaded.plan)(read, jax.random.key(0), task.draw_problem(jax.random.key(1)))
    assert plan.actions.shape == (task.horizon, task.action_size)
    assert float(plan.cost) < 1e-9 < float(plan.proposal_cost)


def test_evaluation_judges_plans(fitted):
    _, planner, params = fitted
    record = evaluate(planner, params, make_task("gate-qubit"), episodes=20, seed=3)
    assert 0 < record["infidelity_median"] <= record["infidelity_p999"] <= record["infidelity_max"] <= 1
    assert record["results"]["ok"] == record["episodes"] == 20
    assert record["plan_ms_p50"] > 0
    assert record["success_rate"] == 0.0


def test_a_matrix_that_is_not_unitary_is_an_invalid_problem(fitted):
    _, planner, params = fitted
    plan = planner.plan(params, jax.random.key(0), Problem(np.eye(2), 1.1 * np.eye(2)))
    assert Result(int(plan.result)) == Result.INVALID_PROBLEM
    assert not np.asarray(plan.actions).any()


@pytest.mark.parametrize("name", ["qubit", "qubit-robust", "transmon", "two-qubit"])
def test_shipped_planners_of_the_first_edition_load_as_tasks(name):
    before, old = first_edition.load_planner(f"pulse-{name}")
    loaded, read = load_planner(f"pulse-{name}")
    assert load_task(f"pulse-{name}").name == f"gate-{name}"
    jax.tree.map(np.testing.assert_array_equal, read, old)
    problem = make_task(f"gate-{name}").draw_problem(jax.random.key(2))
    wanted, found = (
        p.inverter.propose(q.inverter, jax.random.key(0), problem, 1) for p, q in ((before, old), (loaded, read))
    )
    np.testing.assert_array_equal(found, wanted)
    assert loaded.objective.cost.errors[0].tolist() == before.objective.cost.errors[0].tolist()


@pytest.mark.parametrize("name", ["gate-qubit-robust", "gate-transmon", "gate-two-qubit"])
def test_each_task_builds_its_planner(name):
    assert name in task_entries()
    task = make_task(name)
    method = find_method("inverter", task)
    planner = method.build(task, task.configure("inverter", method.Settings()), refine_steps=1)
    assert planner.horizon == task.horizon == planner.execute_steps
    problem = task.draw_problem(jax.random.key(0))
    out = jax.eval_shape(planner.plan, planner.init(jax.random.key(0)), jax.random.key(0), problem)
    assert out.actions.shape == (task.horizon, task.action_size)
    assert set(out.cost_terms) == {"infidelity"}
