"""What callers hand in: forms of numbers, types, whole counts; and everything in double precision, in a process of its own."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import run_python, small_maze, small_planner

from invlearn_jax.inputs import as_array, as_floats, as_problem, check_whole, float_type, usable
from invlearn_jax.methods.saved import save_planner
from invlearn_jax.models.chunked import ChunkedModel
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.types import Problem


@pytest.mark.parametrize(
    "given", [[1, 2], (1.0, 2.0), np.array([1.0, 2.0]), np.array([1, 2], np.int8), [np.float64(1), jnp.float32(2)]]
)
def test_every_form_of_numbers_is_an_array(given):
    for found in (as_array("state", given, jnp.float32), jax.jit(lambda: as_array("state", given, jnp.float32))()):
        assert isinstance(found, jax.Array)
        assert found.dtype == jnp.float32
        np.testing.assert_array_equal(found, [1, 2])


def test_numbers_beyond_the_type_become_infinite_without_a_warning():
    assert jnp.isinf(as_array("state", np.array([1e300]), np.dtype("float32"))).all()


@pytest.mark.parametrize("given", ["abc", [[1.0], [1.0, 2.0]], None, [1.0, "a"], {"a": 1}])
def test_other_things_are_refused_by_name(given):
    with pytest.raises(ValueError, match="The goal is .*; give an array of numbers"):
        as_array("goal", given, jnp.float32)


def test_complex_numbers_pass_only_where_they_are_wanted():
    with pytest.raises(ValueError, match="The goal holds complex numbers"):
        as_array("goal", [1j], jnp.float32)
    assert as_array("gate", [1j], jnp.complex64)[0] == 1j


def test_the_type_is_that_of_all_floating_parameters_together():
    half, single = jnp.zeros(1, jnp.bfloat16), jnp.zeros(1)
    assert float_type({"a": half, "b": jnp.zeros(1, bool), "c": jnp.zeros(1, int)}) == jnp.bfloat16
    assert float_type(half, single) == float_type((), jnp.zeros(1, int)) == jnp.float32


def test_a_goal_of_several_parts_keeps_them():
    goal = {"place": [1, 2], "speed": (3.0,)}
    found = as_problem(Problem([0], goal), jnp.float32)
    assert {name: x.tolist() for name, x in found.goal.items()} == {"place": [1, 2], "speed": [3]}
    assert found.guess is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e20])
def test_what_cannot_be_computed_with_is_zero_and_told(value):
    for problem in (Problem([1.0, value], [2.0]), Problem([1.0], {"a": [value]}), Problem([1.0], [2.0], [[value]])):
        safe, good = usable(as_problem(problem, jnp.float32))
        assert not good
        assert 0 in jnp.concatenate([x.ravel() for x in jax.tree.leaves(safe)])
    assert usable(as_problem(Problem([1e18], [2.0]), jnp.float32))[1]


def test_whole_counts():
    check_whole(a=3, b=np.int64(-1), c=None)
    for value in (1.0, np.float32(2), True, np.bool_(False), "3", np.nan):
        with pytest.raises(ValueError, match="steps is .*; give a whole number"):
            check_whole(a=1, steps=value)


@pytest.mark.parametrize("params", [jnp.bfloat16, jnp.float16, jnp.float32])
@pytest.mark.parametrize("given", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.int32])
@pytest.mark.parametrize("name", ["maze2d-umaze-v1", "ant-walk"])
def test_models_unroll_in_their_parameters_type(name, params, given):
    model = ChunkedModel(make_task(name), 2, (4,), 1)
    made = jax.tree.map(lambda x: jnp.zeros(x.shape, params), jax.eval_shape(model.init, jax.random.key(0)))
    state, actions = jnp.zeros(model.state_size, given), jnp.zeros((4, model.action_size), given)
    assert jax.eval_shape(model.unroll, made, state, actions).dtype == params


def test_a_model_without_parameters_keeps_the_states_type():
    state, actions = as_floats((), np.zeros(2, np.float16), [[1, 2]])
    assert state.dtype == actions.dtype == jnp.float16
    assert as_floats((), [1], [[1]])[0].dtype == jnp.float32


# --- double precision

DOUBLE = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
from pathlib import Path
from invlearn_jax import Problem, load_planner, save_planner
from invlearn_jax.evaluate.episodes import draw_problems, run_mjx, run_mujoco
from invlearn_jax.evaluate.deadline import DeadlinePlanner
from invlearn_jax.export import compile_planner, export_planner, load_exported
from invlearn_jax.methods.saved import describe_planner
from invlearn_jax.planners.shooting import Shooting, ShootingPlanner
from invlearn_jax.refine import cem, gradient, ilqr
import optax

assert jax.config.jax_enable_x64
folder = Path(sys.argv[1])
key = jax.random.key(0)
found = {}
problem = Problem([0.5, 0.25, 0.0, 0.0], [1.0, 1.0])
for steps, refiner in ((0, None), (2, "adam"), (2, "cem"), (2, "ilqr")):
    planner, params = load_planner(folder / "planner", refine_steps=steps, refiner=refiner)
    single = jax.tree.map(lambda x: x.astype(jnp.float32) if x.dtype == jnp.float64 else x, params)
    for name, held in (("double", params), ("single", single)):
        out = jax.jit(lambda p: planner.plan(p, key, problem))(held)
        assert out.actions.dtype == {"double": jnp.float64, "single": jnp.float32}[name]
        assert int(out.result) in (0, 3), out.result
        found[f"{refiner} {name}"] = np.asarray(out.actions).tolist()
planner, params = load_planner(folder / "planner")
task, method, settings = describe_planner(folder / "planner")
problems = draw_problems(task, key, 2)
for run in (run_mujoco, run_mjx):
    rows = run(planner, params, task, key, problems, steps=6)
    assert rows.states.shape == (2, 7, 4) and np.isfinite(rows.states).all()
shooting = ShootingPlanner(Shooting(4, 2), planner.model, planner.objective)
run_mjx(shooting, params._replace(inverter=()), task, key, problems, steps=4)
save_planner(folder / "again", task, method, settings, params)
restored = load_planner(folder / "again")[1]
assert all((a == b).all() and a.dtype == b.dtype for a, b in zip(*map(jax.tree.leaves, (params, restored))))
export_planner(planner, params, folder / "exported", platforms=("cpu",))
states, goals = np.tile(problem.state, (3, 1)), np.tile(problem.goal, (3, 1))
found["exported"] = np.asarray(load_exported(folder / "exported")(states, goals))[0].tolist()
found["compiled"] = np.asarray(compile_planner(planner, params)(problem.state, problem.goal, key)).tolist()
batch = jax.tree.map(lambda x: jnp.stack([jnp.asarray(x)] * 2), problem, is_leaf=lambda x: isinstance(x, list))
DeadlinePlanner(lambda steps, count: planner, params, batch, [(0, 1)], 100).plan_within(1e6, key, problem)
for name in ("maze2d-umaze-v1-diffuser", "maze2d-umaze-v1-rebrac", "maze2d-umaze-v1-dt", "pulse-qubit", "ant-motor"):
    shipped, held = load_planner(name)
    numbers = {"pulse-qubit": Problem(np.eye(2), np.array([[0, 1], [1, 0]])), "ant-motor": Problem(np.eye(29)[3], [1, 1])}
    out = jax.jit(shipped.plan)(held, key, numbers.get(name, Problem([1.0, 1.0, 0.0, 0.0], [3.0, 1.0])))
    assert jnp.isfinite(out.actions).all(), name
print(json.dumps(found))
"""


def test_everything_runs_in_double_precision(tmp_path):
    """Plans, episodes, restoring and exports of a tiny planner, and one plan of shipped ones, with JAX_ENABLE_X64=1."""
    pytest.importorskip("flatbuffers")
    task = small_maze()
    planner, settings = small_planner(task)
    params = jax.jit(planner.init)(jax.random.key(0))
    save_planner(tmp_path / "planner", task, "inverter", settings, params)
    done = run_python("-W", "error", "-c", DOUBLE, tmp_path, JAX_ENABLE_X64="1")
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    asked = Problem(np.array([0.5, 0.25, 0.0, 0.0]), np.ones(2))
    wanted = jax.jit(planner.plan)(params, jax.random.key(0), asked).actions
    for name in ("None double", "None single", "exported", "compiled"):
        np.testing.assert_allclose(found[name], wanted, rtol=1e-3, atol=1e-4)
