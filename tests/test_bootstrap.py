"""The cost beyond the horizon by bootstrap: a value learned together with the Inverter, against what is known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_tasks import Still
from test_fit import Cart, KilledError, same
from test_guards import SMALL

import invlearn_jax as il
from invlearn_jax.export import export_planner, load_exported
from invlearn_jax.inverters.network import NetworkInverter
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.learn.bootstrap import (
    BootstrapTraining,
    bootstrap_optimizer,
    bootstrap_state,
    bootstrap_update,
    growing_discount,
)
from invlearn_jax.learn.inverter import InverterTraining
from invlearn_jax.learn.loop import default_optimizer, train
from invlearn_jax.methods.inverter_settings import TailSettings
from invlearn_jax.models.simulator import SimulatorModel
from invlearn_jax.models.value import Value
from invlearn_jax.objectives import ObjectiveWeights, TaskObjective

SECONDS = 4.0


class Rest(il.Task):
    """A mass on a line that is to come to rest at a place (its goal): linear, with a quadratic cost, no limit in its way."""

    dt, horizon, state_size, action_size, goal_size, gradient = 0.1, 6, 2, 1, 1, "reverse"
    action_low, action_high = np.array([-20.0]), np.array([20.0])
    weights = np.diag([1.0, 0.1]), 0.02

    def step(self, state, action):
        rate = state[1] + self.dt * action[0]
        return jnp.stack([state[0] + self.dt * rate, rate])

    def draw_state(self, key):
        return jax.random.uniform(key, (2,), minval=-2.0, maxval=2.0)

    def draw_goal(self, key):
        return jax.random.uniform(key, (1,), minval=-1.0)

    def cost(self, state, action, goal):
        off = state - jnp.stack([goal[0], 0.0])
        return {"off": off @ self.weights[0] @ off, "effort": self.weights[1] * action[0] ** 2}


def riccati(task, discount):
    """The value's matrix P and the first action's gain, where a whole plan's end is discounted."""
    a, b = np.array([[1, task.dt], [0, 1]]), np.array([[task.dt**2], [task.dt]])
    q, r = (task.dt * np.asarray(x) for x in task.weights)
    p = np.zeros((2, 2))
    for _ in range(200):
        p = discount * p
        for _ in range(task.horizon):
            ahead = q + p
            gain = np.linalg.solve(r + b.T @ ahead @ b, b.T @ ahead @ a)
            p = a.T @ ahead @ (a - b @ gain)
    return p, gain


@pytest.mark.slow
def test_value_and_slope_are_those_of_the_riccati_equation():
    task, steps = Rest(), 500
    value, inverter = Value(task, SECONDS, (32, 32)), NetworkInverter(task, (32, 32))
    objective = TaskObjective(task, ObjectiveWeights(unvisited=0.0), value)
    keys = jax.random.split(jax.random.key(0), 4)
    draw, training = task.draw_problem, InverterTraining(batch=64, advance=(1, 2, 4))
    optimizer = bootstrap_optimizer(default_optimizer(3e-3, steps), default_optimizer(3e-3, steps))
    settings = BootstrapTraining(copy_rate=0.03)
    parts = inverter, SimulatorModel(task), objective, (), objective.init(keys[0])
    update = bootstrap_update(*parts, optimizer, draw, training, settings, jnp.ones(2))
    first = bootstrap_state(optimizer, inverter.init(keys[1]), value.init(keys[2]), keys[3], draw, training.batch)
    learned = train(update, first, steps, 250).params

    matrix, gain = riccati(task, float(learned.slow.discount))
    problems = jax.jit(jax.vmap(task.draw_problem))(jax.random.split(jax.random.key(9), 200))
    for size, allowed in ((1.0, 0.05), (0.1, 0.1)):
        # Slopes near the state of rest are a tenth of those around, and as exact.
        off = size * problems.state
        states = off + jnp.pad(problems.goal, ((0, 0), (0, 1)))
        slopes = jax.vmap(jax.grad(value.value, 1), (None, 0, 0))(learned.slow, states, problems.goal)
        wanted = 2 * off @ matrix
        assert jnp.abs(slopes - wanted).mean() < allowed * jnp.abs(wanted).mean()
    far = problems.state + jnp.pad(problems.goal, ((0, 0), (0, 1)))
    values = jax.vmap(value.value, (None, 0, 0))(learned.slow, far, problems.goal)
    wanted = jnp.einsum("bi,ij,bj->b", problems.state, matrix, problems.state)
    assert jnp.abs(values - wanted).mean() < 0.05 * wanted.mean()
    first_action = jax.vmap(lambda p: inverter.propose(learned.inverter, keys[0], p, 1)[0, 0])
    acted = first_action(il.Problem(far, problems.goal))
    assert jnp.abs(acted + problems.state @ gain.T).mean() < 0.1 * jnp.abs(problems.state @ gain.T).mean()


def test_the_time_constant_grows_to_the_last():
    taus = [
        -0.5 / np.log(float(growing_discount(0.5, 0.25, 4.0, 100)(jnp.asarray(step)))) for step in (0, 50, 100, 400)
    ]
    np.testing.assert_allclose(taus, [0.25, 1.0, 4.0, 4.0], rtol=1e-3)


BOOTSTRAP = SMALL | {"tail.kind": "bootstrap", "tail.hidden": (8,), "inverter.steps": 20, "correction.rounds": 1}
BOOTSTRAP |= {"tail.first_time_constant": 0.2}
BOOTSTRAP |= {"correction.robots": 2, "correction.steps": 20}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained planner for a task without goals: run folder, planner, parameters."""
    folder = tmp_path_factory.mktemp("bootstrap")
    return folder, *il.fit(Still(), workdir=folder, settings=BOOTSTRAP)


def test_a_planner_with_a_value_comes_back_refines_and_is_exported(run, tmp_path):
    folder, _, params = run
    planner, again = il.load_planner(folder / "planner", refine_steps=3)
    same(params, again)
    problems = jax.jit(jax.vmap(Still().draw_problem))(jax.random.split(jax.random.key(0), 3))
    keys = jax.random.split(jax.random.key(0), 3)
    out = jax.jit(jax.vmap(planner.plan, in_axes=(None, 0, 0)))(params, keys, problems)
    value = jax.vmap(planner.objective.tail, (None, 0, 0))(params.objective.tail, out.states[:, -1], problems.goal)
    np.testing.assert_allclose(out.cost_terms["cost_to_go"], value, rtol=1e-4)
    # Learned from a short time constant on; what plans are scored with has the last.
    plan_s, last = Still().horizon * Still().dt, TailSettings().time_constant
    assert float(params.objective.tail.discount) == pytest.approx(np.exp(-plan_s / last))
    assert (out.cost < out.proposal_cost).any()
    export_planner(planner, params, tmp_path / "planner.bin", platforms=("cpu",))
    exported = load_exported(tmp_path / "planner.bin")
    np.testing.assert_allclose(exported(problems.state, problems.goal), out.actions, rtol=1e-4, atol=1e-5)


def test_a_killed_fit_goes_on_to_the_same_value(run, tmp_path, monkeypatch):
    log = RunFolder.log

    def kill(self, name, step, values):
        log(self, name, step, values)
        if name == "inverter" and step == 10:
            raise KilledError

    monkeypatch.setattr(RunFolder, "log", kill)
    with pytest.raises(KilledError):
        il.fit(Still(), workdir=tmp_path, settings=BOOTSTRAP)
    monkeypatch.setattr(RunFolder, "log", log)
    same(run[2], il.fit(Still(), workdir=tmp_path, settings=BOOTSTRAP)[1])


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        (
            "inverter",
            {"objective.along": 1.0},
            "objective.along is 1.0, but the cost beyond the horizon by 'bootstrap'",
        ),
        ("bc", {}, "by 'bootstrap' is learned together with an Inverter: give a trained one as base"),
    ],
)
def test_what_a_value_does_not_go_with_is_refused(tmp_path, method, settings, message):
    with pytest.raises(ValueError, match=message):
        il.fit(Cart(), method, workdir=tmp_path / "run", settings={"tail.kind": "bootstrap"} | settings)
    assert not (tmp_path / "run").exists()
