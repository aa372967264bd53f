"""Every registered task and method keeps its contract; new ones are tested by being registered."""

import dataclasses

import jax
import numpy as np
import pytest
from test_fit import Cart

import invlearn_jax as il
from invlearn_jax.frames import Frame
from invlearn_jax.methods.fitting import method_settings
from invlearn_jax.methods.registry import Method, find_method, method_entries
from invlearn_jax.settings import check_settings
from invlearn_jax.tasks import control, locomotion
from invlearn_jax.tasks.registry import task_entries, task_reference
from invlearn_jax.tasks.task import Simulator

TASKS = sorted(task_entries())
METHODS = sorted(method_entries())
# Of tasks that differ in numbers alone one is tried out; gates, whose states are matrices, bring their own method and tests.
# MJX takes a minute to compile the long chains of joints.
CONTROL = [name for name in control.tasks() if name not in ("seven-joint-reach", "walker-speed")]
TRIED = [*CONTROL, "ant-walk", "antmaze-umaze-v2", "maze2d-open-multi-v0", "maze2d-umaze-dense-v1"]


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_made_by_its_name(name):
    if name in locomotion.tasks():
        pytest.importorskip("gymnasium", reason="gymnasium is not installed: the extra robotics")
    task = il.make_task(name)
    assert (task.name, task_reference(task)) == (name, name)
    assert task_entries()[name].summary
    for method in METHODS:
        check_settings(method_settings(task, method))


@pytest.mark.parametrize("name", TRIED)
def test_a_task_keeps_its_contract(name):
    task = il.make_task(name)
    il.check_task(task)
    assert isinstance(task.frame, Frame)
    problem = jax.jit(task.draw_problem)(jax.random.key(0))
    assert (problem.state.shape, problem.goal.shape) == ((task.state_size,), (task.goal_size,))
    simulator = task.simulator()
    assert isinstance(simulator, Simulator)
    states = np.asarray(jax.jit(jax.vmap(task.draw_state))(jax.random.split(jax.random.key(1), 4)))
    assert np.isfinite(simulator.step(states, np.tile(task.action_low, (4, 1)))).all()
    simulator.close()


@pytest.mark.parametrize("name", sorted({*METHODS} - {"hierarchy"}))
def test_a_method_keeps_its_contract(name):
    method, task = find_method(name), Cart()
    assert isinstance(method, Method)
    assert method_entries()[name].summary
    settings = method_settings(task, name)
    assert dataclasses.is_dataclass(settings)
    assert isinstance(settings, method.Settings)
    check_settings(settings)
    planner = method.build(task, settings, refine_steps=0, candidates=None, execute_steps=1)
    assert isinstance(planner, il.Planner)
    assert planner.execute_steps == 1
    params = planner.init(jax.random.key(0))
    problem = task.draw_problem(jax.random.key(0))
    out = jax.jit(planner.plan)(params, jax.random.key(0), problem)
    # A policy plans as far as its own settings say.
    assert out.actions.shape == (planner.horizon, task.action_size)
    assert (out.actions >= task.action_low).all()
    assert (out.actions <= task.action_high).all()
    assert np.isfinite(out.cost)
    if isinstance(planner, il.InversePlanner):
        assert isinstance(planner.model, il.ForwardModel)
        assert isinstance(planner.inverter, il.Inverter)
        assert isinstance(planner.objective, il.Objective)


def test_a_hierarchy_needs_a_lower_level():
    with pytest.raises(ValueError, match="lower is ''; give"):
        find_method("hierarchy").build(Cart(), find_method("hierarchy").Settings())


@pytest.mark.parametrize(
    ("name", "method"), [*((name, "inverter") for name in [*TRIED, "gate-qubit"]), ("antmaze-umaze-v2", "hierarchy")]
)
def test_a_method_describes_a_planner_for_a_task(name, method):
    task = il.make_task(name)
    planner = find_method(method, task).build(task, method_settings(task, method))
    shapes = jax.eval_shape(planner.init, jax.random.key(0))
    problem = jax.eval_shape(task.draw_problem, jax.random.key(0))
    out = jax.eval_shape(planner.plan, shapes, jax.random.key(0), problem)
    assert out.actions.shape == (task.horizon, task.action_size)


def test_names_are_of_one_thing():
    assert len({*TASKS, *METHODS}) == len(TASKS) + len(METHODS)
    assert all(".py:" not in name for name in TASKS)
