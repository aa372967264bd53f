"""One contract for every kind of planner: which problems it takes, what it says of them, and that nothing else matters.

The planners are tiny and as drawn. Those that know where their data were believe that they lay around the origin.
"""

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import REACH_WITH_LITTLE_EFFORT, double_integrator, small_maze, small_planner
from small_tasks import Ball

from invlearn_jax.evaluate.deadline import DeadlinePlanner
from invlearn_jax.inverters.network import NetworkInverter, NetworkParams
from invlearn_jax.methods import inverter
from invlearn_jax.methods.hierarchy import SubgoalTask
from invlearn_jax.methods.registry import find_method
from invlearn_jax.planners import InversePlanner, PlannerParams, Shooting
from invlearn_jax.planners.diffusion import Tracker
from invlearn_jax.planners.hierarchy import Hierarchy
from invlearn_jax.planners.watched import WatchedPlanner
from invlearn_jax.refine import gauss_newton, gradient
from invlearn_jax.settings import with_settings
from invlearn_jax.tasks.gates import systems
from invlearn_jax.tasks.gates.gates import named_gate
from invlearn_jax.tasks.gates.planner import pulse_planner
from invlearn_jax.tasks.gates.pulse_inverter import QubitInverter
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.types import Problem, Result

KEY = jax.random.key(0)
MODEL = double_integrator(2, dt=0.1)
BASELINE = {"model.hidden": (8,), "model.horizon": 8}
POLICY = BASELINE | {"horizon": 4}
DIFFUSION = BASELINE | {
    "tokens": 8, "stride": 4, "width": 8, "multipliers": (1,), "train_steps": 4, "denoise_steps": 2, "horizon": 8,
    "inverse_hidden": (8,), "candidates": 2, "execute_steps": 4, "with_actions": True,
}  # fmt: skip
QUBIT = systems.qubit(slices=11)
WIDTH = 5 * 29  # five values in each entry of the largest state

# Numbers that float16 and, where it matters, whole numbers hold exactly.
BALL = Problem([0.5, -0.25, 1.0, 0.0], [-0.5, 0.75])
ANT = Problem([0.5, -0.5, 0.5, 1.0, *[0.0] * 25], [0.75, -0.5])
GATE = Problem([[1, 0], [0, 1]], [[0, 1], [1, 0]])


class Kind(NamedTuple):
    """A kind of planner: how it is made, a problem it is good for, and which entries of the state its data bounded."""

    build: Callable[[], Any]
    problem: Problem
    bounded: range | tuple = range(4)


def baseline(method: str, settings: dict[str, Any], **changes: Any) -> Any:
    learner = find_method(method)
    return learner.build(Ball(), with_settings(learner.Settings(), settings | changes))


def inverse(refine_steps: int, candidates: int) -> InversePlanner:
    return small_planner(small_maze(), refine_steps=refine_steps, candidates=candidates)[0]


def watched() -> WatchedPlanner:
    planner = InversePlanner(NetworkInverter(Ball(), (8,), 1, horizon=4), MODEL, REACH_WITH_LITTLE_EFFORT)
    return WatchedPlanner(planner, MODEL, lambda state: state[:2])


def hierarchy() -> Hierarchy:
    task = make_task("maze2d-umaze-v1")
    small = {"model.hidden": (8,), "net.hidden": (8,), "tail.hidden": (8,), "model.chunk": 1, "inverter.advance": (1,)}
    settings = with_settings(inverter.Settings(), small | {"correction.rounds": 0})
    levels = (inverter.build(each, settings) for each in (SubgoalTask(task, 4, 2, 0.7), task))
    return Hierarchy(*levels, task.achieved, reach=0.7, execute_steps=2)


def walking() -> InversePlanner:
    task = make_task("ant-walk")
    task.horizon = 4
    small = {"model.hidden": (8,), "net.hidden": (8,), "inverter.advance": (1,)}
    return inverter.build(task, with_settings(task.configure("inverter", inverter.Settings()), small))


def shooting() -> InversePlanner:
    return InversePlanner(Shooting(4, 2), MODEL, REACH_WITH_LITTLE_EFFORT, gradient(optax.adam(0.1)), 2, 3)


GUESS = [[0.5, 0.0], [0.5, 0.0], [0.25, 0.0], [0.0, -1.0]]
KINDS = {
    "inverse": Kind(lambda: inverse(0, 1), BALL),
    "refined": Kind(lambda: inverse(2, 3), BALL),
    "shooting": Kind(shooting, BALL._replace(guess=GUESS), ()),
    "hierarchy": Kind(hierarchy, BALL),
    "watched": Kind(watched, BALL),
    "diffusion": Kind(lambda: baseline("decision-diffuser", DIFFUSION), BALL),
    "tracker": Kind(lambda: baseline("decision-diffuser", DIFFUSION, follow="pd"), BALL),
    "tracker_actions": Kind(lambda: baseline("diffuser", DIFFUSION), BALL),
    "bc": Kind(lambda: baseline("bc", POLICY, hidden=(8,)), BALL),
    "rebrac": Kind(lambda: baseline("rebrac", POLICY, hidden=(8,)), BALL),
    "dt": Kind(
        lambda: baseline("dt", POLICY, context=4, width=8, layers=1, one_goal=True, same_goal=0.5),
        BALL._replace(goal=[0.25, 0.0]),
    ),
    # Nothing depends on where an ant is, and of its quaternion the direction alone counts.
    "walking": Kind(walking, ANT, (2, *range(7, 29))),
    "pulse": Kind(lambda: pulse_planner(QubitInverter(QUBIT, (8,)), None, gauss_newton(), 2), GATE, ()),
}
every_kind = pytest.mark.parametrize("name", KINDS)


@functools.cache
def made(name: str) -> tuple:
    """The planner, its parameters, its jitted plan for one problem, and that for a batch under one key."""
    planner = KINDS[name].build()
    params = jax.jit(planner.init)(KEY)
    if name == "watched":
        params = params._replace(threshold=jnp.array(1e3), planner=bounded_to(10.0, params.planner))
    if isinstance(getattr(params, "inverter", None), NetworkParams):
        params = bounded_to(10.0, params)
    if name == "hierarchy":
        params = type(params)(*(bounded_to(10.0, level) for level in params))
    # Traced once for both.
    plan = jax.jit(planner.plan)
    return planner, params, plan, jax.jit(jax.vmap(plan, in_axes=(None, None, 0)))


def bounded_to(limit: float, params: PlannerParams) -> PlannerParams:
    """The parameters of a network Inverter whose data lay within a limit."""
    state, goal = (
        scales._replace(low=jnp.full_like(scales.low, -limit), high=jnp.full_like(scales.high, limit))
        for scales in (params.inverter.state, params.inverter.goal)
    )
    return params._replace(inverter=params.inverter._replace(state=state, goal=goal))


def arrays(problem: Problem, dtype: Any = None) -> Problem:
    """The problem's lists as arrays, single precision by default."""

    def convert(x: Any) -> jax.Array:
        return jnp.asarray(x, dtype or (jnp.complex64 if np.ndim(x) == 2 and np.shape(x) == (2, 2) else jnp.float32))

    return Problem(*(x if x is None else convert(x) for x in problem))


def broken(problem: Problem, values: tuple, field: str) -> Problem:
    """A batch of problems, each with one value in one entry of a field."""
    given = arrays(problem)
    flat = np.asarray(getattr(given, field)).ravel()
    rows = np.stack([np.where(np.arange(flat.size) == i, v, flat) for v in values for i in range(flat.size)])
    # One width, so that one program serves all; the first rows again.
    rows = np.resize(rows, (WIDTH, flat.size))
    batch = jax.tree.map(lambda x: jnp.broadcast_to(x, (WIDTH, *x.shape)), given)
    return batch._replace(**{field: jnp.asarray(rows.reshape(-1, *getattr(given, field).shape), flat.dtype)})


def codes(out: Any) -> set[Result]:
    return {Result(code) for code in np.asarray(out.result).ravel().tolist()}


@every_kind
def test_a_good_problem_is_ok(name):
    _, params, plan, _ = made(name)
    out = plan(params, KEY, arrays(KINDS[name].problem))
    assert codes(out) == {Result.OK}
    assert jnp.isfinite(out.actions).all()


@every_kind
@pytest.mark.parametrize("field", ["state", "goal", "guess"])
def test_any_entry_that_cannot_be_computed_with_gives_zero_actions(name, field):
    _, params, _, batch = made(name)
    if getattr(KINDS[name].problem, field) is None:
        pytest.skip("the problem has none")
    out = batch(params, KEY, broken(KINDS[name].problem, (np.nan, np.inf, -np.inf, 1e20, -1e20), field))
    assert codes(out) == {Result.NON_FINITE}
    assert (out.actions == 0).all()
    assert not jnp.isnan(out.actions).any()


@every_kind
def test_a_state_far_from_the_data_is_told(name):
    _, params, _, batch = made(name)
    bounded = KINDS[name].bounded
    if not bounded:
        pytest.skip("knows of no data")
    for value in (1e3, -1e3):
        problems = broken(KINDS[name].problem, (value,), "state")
        results = np.asarray(batch(params, KEY, problems).result)
        assert (results[list(bounded)] == Result.OUTSIDE_DATA).all()


@pytest.mark.parametrize("name", [name for name in KINDS if name not in ("shooting", "pulse", "walking")])
def test_a_goal_far_from_the_data_is_told(name):
    _, params, _, batch = made(name)
    assert codes(batch(params, KEY, broken(KINDS[name].problem, (50.0, -50.0), "goal"))) == {Result.OUTSIDE_DATA}


def with_cost(planner: Any, value: jax.Array) -> Any:
    """The planner with an objective that says the same of everything."""
    planner = copy.copy(planner)
    inner = {Hierarchy: "upper", WatchedPlanner: "planner"}.get(type(planner))
    if inner:
        setattr(planner, inner, with_cost(getattr(planner, inner), value))
    else:
        planner.objective = Patched(planner.objective, value)
    return planner


class Patched:
    """An objective that says the same of everything; its residuals, if it has any, are those of another."""

    def __init__(self, objective: Any, value: jax.Array) -> None:
        self.value = value
        if hasattr(objective, "residual"):
            self.residual, self.jacobian = objective.residual, objective.jacobian

    def __call__(self, params: Any, states: jax.Array, actions: jax.Array, goal: Any) -> dict:
        return {"patched": self.value + 0 * jnp.ravel(actions)[0]}


@every_kind
def test_a_cost_that_is_not_finite_is_told(name):
    planner, params, _, _ = made(name)
    problem = arrays(KINDS[name].problem)
    out = jax.jit(jax.vmap(lambda value: with_cost(planner, value).plan(params, KEY, problem)))(
        jnp.array([jnp.nan, jnp.inf, -jnp.inf])
    )
    assert codes(out) == {Result.NON_FINITE}
    assert jnp.isfinite(out.actions).all()


# One of each planner's own ``plan``; the others' Inverters are given every form of numbers below.
@pytest.mark.parametrize("name", ["inverse", "hierarchy", "watched", "tracker"])
def test_lists_without_jit_plan_as_arrays_with_it(name):
    planner, params, plan, _ = made(name)
    given = KINDS[name].problem
    plain, jitted = planner.plan(params, KEY, given), plan(params, KEY, arrays(given))
    chex.assert_trees_all_close(plain, jitted, rtol=1e-3, atol=1e-4)


@every_kind
def test_vmap_equals_a_loop(name):
    _, params, plan, batch = made(name)
    given = arrays(KINDS[name].problem)
    problems = jax.tree.map(lambda x: jnp.broadcast_to(x, (WIDTH, *x.shape)), given)
    if name != "pulse":
        problems = problems._replace(state=problems.state.at[:3, 0].add(jnp.array([0.0, 0.1, -0.1])))
    together = batch(params, KEY, problems)
    for i in range(3):
        alone = plan(params, KEY, jax.tree.map(lambda x, i=i: x[i], problems))
        chex.assert_trees_all_close(jax.tree.map(lambda x, i=i: x[i], together), alone, rtol=1e-3, atol=1e-4)


def forms(problem: Problem) -> dict[str, Problem]:
    """The same problem in the forms that users give it."""
    numbers = [np.float64, np.float16, jnp.bfloat16, np.float32]
    made_of = {np.dtype(dtype).name: dtype for dtype in numbers}
    given = {name: Problem(*(x if x is None else np.asarray(x, t) for x in problem)) for name, t in made_of.items()}
    whole = Problem(*(x if x is None else np.round(np.asarray(x)).astype(int) for x in problem))
    tuples = Problem(
        *(x if x is None else jax.tree.map(tuple, x, is_leaf=lambda y: isinstance(y, list)) for x in problem)
    )
    return {**given, "int": whole, "tuple": tuples, "list": problem}


def forms_for(name: str) -> list[Problem]:
    """All forms for one kind; for the others, whose numbers are converted by the same code, one of each sort."""
    found = forms(KINDS[name].problem)
    return list(found.values()) if name == "inverse" else [found[form] for form in ("float16", "int", "list")]


@every_kind
def test_any_form_of_numbers_is_taken_and_gives_one_type(name):
    planner, params, plan, _ = made(name)
    wanted = jax.eval_shape(plan, params, KEY, arrays(KINDS[name].problem))
    for given in forms_for(name):
        # Held apart from the trace's arguments, which would be arrays already.
        found = jax.eval_shape(lambda p, k, given=given: planner.plan(p, k, given), params, KEY)
        chex.assert_trees_all_equal_shapes_and_dtypes(found, wanted)


@every_kind
def test_an_inverter_takes_any_form_of_numbers(name):
    planner, params, _, _ = made(name)
    if name in ("hierarchy", "watched"):
        pytest.skip("has no Inverter of its own")
    if name in ("rebrac", "dt"):
        params = params._replace(inverter=params.inverter._replace(model=params.model))
    wanted = jax.eval_shape(lambda p: planner.inverter.propose(p, KEY, arrays(KINDS[name].problem), 2), params.inverter)
    for given in forms_for(name):
        if name == "shooting":
            given = arrays(given)  # without parameters it keeps the problem's type
        found = jax.eval_shape(lambda p, given=given: planner.inverter.propose(p, KEY, given, 2), params.inverter)
        chex.assert_trees_all_equal_shapes_and_dtypes(found, wanted)


@every_kind
@pytest.mark.parametrize("value", ["abc", [1.0, [2.0]], [1.0, None]])
def test_what_are_no_numbers_is_refused(name, value):
    planner, params, _, _ = made(name)
    for field in ("state", "goal"):
        with pytest.raises(ValueError, match="give an array of numbers"):
            planner.plan(params, KEY, KINDS[name].problem._replace(**{field: value}))


def test_complex_states_are_refused_where_real_ones_are_wanted():
    planner, params, _, _ = made("inverse")
    with pytest.raises(ValueError, match="The state holds complex numbers"):
        planner.plan(params, KEY, BALL._replace(state=np.array(BALL.state) * 1j))


@pytest.mark.parametrize("name", ["tracker", "tracker_actions", "hierarchy"])
def test_following_a_plan(name):
    """Lists are taken; a state that cannot be computed with, or a plan that could not be made, gives zeros."""
    planner, params, plan, _ = made(name)
    given = KINDS[name].problem
    out, act = plan(params, KEY, arrays(given)), jax.jit(planner.act)
    wanted = act(params, out, 1, arrays(given).state)
    np.testing.assert_allclose(planner.act(params, out, 1, given.state), wanted, rtol=1e-3, atol=1e-4)
    assert jnp.abs(wanted).max() > 0
    for state in broken(given, (np.nan, -np.inf), "state").state[:8]:
        assert (act(params, out, 1, state) == 0).all()
    failed = plan(params, KEY, arrays(given._replace(goal=[np.nan, 0.0])))
    assert (act(params, failed, 1, arrays(given).state) == 0).all()


# --- pulses: what is a gate


@pytest.mark.parametrize("field", ["state", "goal"])
@pytest.mark.parametrize("matrix", [np.zeros((2, 2)), 2 * np.eye(2), [[1, 1], [0, 1]], 50 * np.ones((2, 2))])
def test_a_matrix_that_is_not_unitary_is_no_gate(field, matrix):
    _, params, plan, _ = made("pulse")
    out = plan(params, KEY, arrays(GATE._replace(**{field: matrix})))
    assert codes(out) == {Result.INVALID_PROBLEM}
    assert (out.actions == 0).all()
    assert "unitary" in Result.INVALID_PROBLEM.describe()


def test_a_start_keeps_its_imaginary_part():
    """To bring S to 1 is to make the inverse of S, whatever type the gate's numbers have."""
    _, params, plan, _ = made("pulse")
    start, whole = named_gate("s"), np.eye(2, dtype=int)
    found = plan(params, KEY, Problem(start, whole)).actions
    wanted = plan(params, KEY, Problem(np.eye(2), start.conj().T)).actions
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    assert np.abs(found - plan(params, KEY, Problem(np.eye(2, dtype=complex), whole)).actions).max() > 1e-2


# --- planners that are called, not planned with


def test_a_deadline_planner_keeps_the_contract():
    _, params, plan, _ = made("refined")
    problems = jax.tree.map(lambda x: jnp.stack([x, x]), arrays(BALL))
    planner = DeadlinePlanner(inverse, params, problems, [(2, 3)], 100)
    within = functools.partial(planner.plan_within, 1e6, KEY)
    chex.assert_trees_all_close(within(BALL), plan(params, KEY, arrays(BALL)), rtol=1e-4, atol=1e-5)
    for value, result in ((np.nan, Result.NON_FINITE), (1e20, Result.NON_FINITE), (1e3, Result.OUTSIDE_DATA)):
        out = within(BALL._replace(state=[0.0, 0.0, value, 0.0]))
        assert codes(out) == {result}
        assert result is Result.OUTSIDE_DATA or (out.actions == 0).all()
    with pytest.raises(ValueError, match="it was calibrated for"):
        within(BALL._replace(goal=[1.0, 2.0, 3.0]))


# --- counts


def unchecked(function: Callable) -> Callable:
    """The function as users have it, without the annotations' check that runs under test."""
    return inspect.unwrap(function)


@pytest.mark.parametrize("count", [2.5, 2.0, True, "2", np.float32(2)])
@pytest.mark.parametrize("argument", ["refine_steps", "candidates", "execute_steps"])
def test_counts_that_are_not_whole_are_refused(argument, count):
    makers = {
        InversePlanner: (NetworkInverter(Ball(), (8,)), MODEL, REACH_WITH_LITTLE_EFFORT, gradient(optax.sgd(0.1))),
        Tracker: (made("tracker")[0].inverter, REACH_WITH_LITTLE_EFFORT, "pd"),
        Hierarchy: (made("hierarchy")[0].upper, made("hierarchy")[0].lower, lambda state: state[:2], 1.0),
    }
    tried = 0
    for planner, parts in makers.items():
        construct = unchecked(planner.__init__)
        if argument in inspect.signature(construct).parameters:
            needed = {"execute_steps": 1} if planner is Tracker else {}
            with pytest.raises(ValueError, match=f"{argument} is .*; give a whole number"):
                construct(object.__new__(planner), *parts, **{**needed, argument: count})
            tried += 1
    assert tried >= 1
    unchecked(InversePlanner.__init__)(
        object.__new__(InversePlanner), *makers[InversePlanner], **{argument: np.int64(2)}
    )
