"""Planning within a deadline: the choice among measured settings. What the clock says is the benchmark's business."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import REACH_WITH_LITTLE_EFFORT, count_compilations, double_integrator

from invlearn_jax.evaluate.deadline import Calibrated, DeadlinePlanner
from invlearn_jax.planners import InversePlanner, Shooting
from invlearn_jax.refine import gradient
from invlearn_jax.types import Problem

MODEL = double_integrator(2, dt=0.5)


def build(steps, candidates):
    return InversePlanner(Shooting(6, 2), MODEL, REACH_WITH_LITTLE_EFFORT, gradient(optax.adam(0.1)), steps, candidates)


@pytest.fixture(scope="module")
def planner():
    rng = np.random.default_rng(0)
    problems = Problem(*(jnp.asarray(rng.uniform(-1, 1, (16, size)), jnp.float32) for size in (4, 2)))
    params = build(0, 1).init(jax.random.key(0))
    return DeadlinePlanner(build, params, problems, [(20, 4), (0, 1), (5, 1)], calls=100)


def test_every_setting_is_measured(planner):
    assert {(row.refine_steps, row.candidates) for row in planner.table} == {(0, 1), (5, 1), (20, 4)}
    assert [row.p99_ms for row in planner.table] == sorted(row.p99_ms for row in planner.table)
    assert all(0 < row.p50_ms <= row.p99_ms for row in planner.table)
    cost = {row.refine_steps: row.cost for row in planner.table}
    assert cost[0] > cost[5] > cost[20]


def test_the_best_setting_that_fits_is_taken(planner):
    planner.table = [Calibrated(0, 1, 0.1, 0.2, 3.0), Calibrated(5, 1, 1.0, 2.0, 2.0), Calibrated(20, 4, 3.0, 5.0, 2.5)]
    for deadline, steps in ((0.24, 0), (2.39, 0), (2.4, 5), (6.1, 5)):  # 1.2 times the 99th percentile must fit
        assert planner.setting(deadline).refine_steps == steps
    with pytest.raises(ValueError, match="The deadline is 0.2 ms; on this device give 0.24 ms or more"):
        planner.setting(0.2)


def test_plans_are_the_planners_own_and_nothing_is_compiled(planner):
    planner.table = [Calibrated(0, 1, 0.1, 0.2, 3.0), Calibrated(5, 1, 1.0, 2.0, 2.0)]
    problem, key = Problem(jnp.zeros(4), jnp.array([0.5, -0.5])), jax.random.key(1)
    expected = jax.jit(build(5, 1).plan)(build(5, 1).init(key), key, problem)
    with count_compilations() as compilations:
        out = planner.plan_within(10.0, key, problem)
    assert compilations == []
    np.testing.assert_allclose(out.actions, expected.actions, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "calls", "margin"),
    [
        ([], 500, 1.2), ([(0, 1)], 50, 1.2), ([(0, 1)], 500, 0.9), ([(0, 1)], 500, np.nan), ([(0, 1)], 500, np.inf),
    ],
)  # fmt: skip
def test_bad_arguments_raise(settings, calls, margin):
    with pytest.raises(ValueError, match="give at least 1 setting, 100 calls and a margin of 1"):
        DeadlinePlanner(build, (), Problem(jnp.zeros((1, 4)), jnp.zeros((1, 2))), settings, calls, margin)


@pytest.mark.parametrize(
    ("problems", "axes"),
    [
        (Problem(np.zeros((0, 4)), np.zeros((0, 2))), r"\[0\]"),
        (Problem(np.zeros((3, 4)), np.zeros((2, 2))), r"\[2, 3\]"),
        (Problem([], []), r"\[0\]"),
    ],
)
def test_no_problem_to_measure_is_refused(problems, axes):
    with pytest.raises(ValueError, match=f"The sample problems have leading axes of {axes}; give states"):
        DeadlinePlanner(build, (), problems, [(0, 1)])
