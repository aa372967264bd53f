"""Planners compiled ahead of time and planners in one file."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT
from helpers import REACH_WITH_LITTLE_EFFORT, count_compilations, double_integrator, small_maze, small_planner

from invlearn_jax.export import compile_planner, export_planner, load_exported
from invlearn_jax.keys import indexed
from invlearn_jax.planners.planner import InversePlanner
from invlearn_jax.refine import predictive_sampling
from invlearn_jax.types import Problem

STEPS = (0, 2)


@pytest.fixture(scope="module")
def planners():
    """By K: the planner, its parameters, and its own batched plan."""
    made = {}
    for steps in STEPS:
        planner, _ = small_planner(small_maze(), refine_steps=steps)
        made[steps] = planner, planner.init(jax.random.key(3)), jax.jit(jax.vmap(planner.plan, in_axes=(None, 0, 0)))
    return made


@pytest.fixture(scope="module")
def files(planners, tmp_path_factory):
    pytest.importorskip("flatbuffers")
    folder = tmp_path_factory.mktemp("exported")
    for steps, (planner, params, _) in planners.items():
        export_planner(planner, params, folder / f"{steps}.planner")
    return {steps: folder / f"{steps}.planner" for steps in planners}


def problems(count, seed=0):
    state_key, goal_key = jax.random.split(jax.random.key(seed))
    return Problem(jax.random.normal(state_key, (count, 4)), jax.random.normal(goal_key, (count, 2)))


def own_actions(made, batch):
    _, params, plan = made
    return plan(params, jax.random.split(jax.random.key(9), len(batch.state)), batch).actions


# --- one file ---


@pytest.mark.parametrize("steps", STEPS)
def test_an_exported_planner_plans_as_the_planner_does(planners, files, steps):
    exported = load_exported(files[steps])
    assert (exported.horizon, exported.action_size) == (8, 2)
    assert exported.platforms == ("cpu", "cuda", "tpu")
    for count in (1, 17):
        batch = problems(count, seed=count)
        actions = exported(batch.state, batch.goal)
        assert actions.shape == (count, 8, 2)
        np.testing.assert_allclose(actions, own_actions(planners[steps], batch), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("platforms", "message"),
    [
        ((), "platforms is .*; give a tuple of at least one of cpu, cuda, rocm, tpu"),
        ("cpu", "platforms is 'cpu'; give a tuple"),
        (("cpu", "gpu"), "Unknown platform 'gpu'"),
    ],
)
def test_platforms_that_are_none_are_refused(planners, tmp_path, platforms, message):
    pytest.importorskip("flatbuffers")
    planner, params, _ = planners[0]
    with pytest.raises(ValueError, match=message):
        export_planner(planner, params, tmp_path / "none", platforms=platforms)
    assert not list(tmp_path.iterdir())


def test_lists_are_planned_for_as_arrays(planners, files):
    planner, params, _ = planners[0]
    batch = problems(2)
    exported, call = load_exported(files[0]), compile_planner(planner, params, batch=2)
    lists = [np.asarray(x, np.float64).tolist() for x in batch[:2]]
    np.testing.assert_array_equal(exported(*lists), exported(*batch[:2]))
    np.testing.assert_array_equal(call(*lists, jax.random.key(0)), call(*batch[:2], jax.random.key(0)))


def test_refinement_is_in_the_file(files):
    batch = problems(3)
    proposed, refined = (load_exported(files[steps])(*batch[:2]) for steps in STEPS)
    assert np.abs(proposed - refined).max() > 0.01


def test_a_batch_size_compiles_once(files):
    exported, batch, other = load_exported(files[0]), problems(5), problems(5, seed=1)
    exported(*batch[:2])
    with count_compilations() as compilations:
        exported(*other[:2], seed=7)
    assert compilations == []


LOAD_ALONE = """
import sys
import numpy as np
from invlearn_jax.export import load_exported
batch = np.load(sys.argv[2])
np.save(sys.argv[3], load_exported(sys.argv[1])(batch["states"], batch["goals"]))
"""


def test_another_process_needs_the_file_alone(planners, files, tmp_path):
    batch = problems(4)
    np.savez(tmp_path / "batch.npz", states=batch.state, goals=batch.goal)
    arguments = [str(files[2]), str(tmp_path / "batch.npz"), str(tmp_path / "actions.npy")]
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ALONE, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "actions.npy"), own_actions(planners[2], batch), rtol=1e-4, atol=1e-5)


def test_the_seed_makes_a_random_refiner_repeatable(tmp_path):
    pytest.importorskip("flatbuffers")
    model = double_integrator(2)

    class Zeros:
        horizon, state_size, position_size = 10, 4, 2

        def init(self, key):
            return ()

        def propose(self, params, key, problem, num):
            return jnp.zeros((num, 10, 2))

    planner = InversePlanner(Zeros(), model, REACH_WITH_LITTLE_EFFORT, predictive_sampling(8), refine_steps=3)
    params = planner.init(jax.random.key(0))
    export_planner(planner, params, tmp_path / "p", platforms=["cpu"])
    exported, batch = load_exported(tmp_path / "p"), problems(2)
    first, again, other = (np.asarray(exported(batch.state, batch.goal, seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert np.abs(first - other).max() > 0.01
    for i in range(2):
        key = indexed(jax.random.key(1), i)
        out = jax.jit(planner.plan)(params, key, Problem(batch.state[i], batch.goal[i]))
        np.testing.assert_allclose(first[i], out.actions, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="seed is -1; give a whole number from 0 to"):
        exported(batch.state, batch.goal, -1)


def test_a_damaged_file_is_named(files, tmp_path):
    content = files[0].read_bytes()
    damages = {
        "cut": (content[:-100], "damaged: .* bytes of program where"),
        "one_byte": (content[:-9] + bytes([content[-9] ^ 1]) + content[-8:], "damaged.*or changed ones"),
        "header": (content.replace(b'"sha256"', b'"sha255"', 1), "header cannot be read"),
        "not_json": (content.split(b"\n")[0] + b"\n???\n", "header cannot be read"),
        "empty": (b"", "is no exported planner"),
        "other": (b"PK\x03\x04 something else", "is no exported planner"),
    }
    for name, (damaged, message) in damages.items():
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ValueError, match=message):
            load_exported(tmp_path / name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file .*none.*export_planner writes one"):
        load_exported(tmp_path / "none")


def test_a_failed_write_leaves_the_old_file(planners, files, tmp_path):
    planner, params, _ = planners[0]
    (tmp_path / "blocked").write_text("a file where a folder would have to be")
    with pytest.raises(OSError, match="Could not write"):
        export_planner(planner, params, tmp_path / "blocked" / "p", platforms=["cpu"])
    assert [path.name for path in tmp_path.iterdir()] == ["blocked"]


def test_without_flatbuffers_the_extra_is_named(planners, files, tmp_path, monkeypatch):
    planner, params, _ = planners[0]
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    with pytest.raises(ImportError, match=r"pip install 'invlearn_jax\[export\]'"):
        export_planner(planner, params, tmp_path / "p")
    with pytest.raises(ImportError, match=r"pip install 'invlearn_jax\[export\]'"):
        load_exported(files[0])


BAD_SHAPES = [((4,), (3, 2)), ((3, 4), (2, 2)), ((3, 4), (3, 1)), ((3, 3), (3, 2)), ((0, 4), (0, 2)), ((), (2,))]


@pytest.mark.parametrize(("state", "goal"), BAD_SHAPES)
def test_other_shapes_are_refused(files, state, goal):
    exported = load_exported(files[0])
    with pytest.raises(ValueError, match=r"have the shapes .*this planner takes \(\(b, 4\), \(b, 2\)\)"):
        exported(np.zeros(state, np.float32), np.zeros(goal, np.float32))


def test_another_kind_of_goal_is_refused(files):
    with pytest.raises(ValueError, match="this planner takes"):
        load_exported(files[0])(np.zeros((3, 4)), {"position": np.zeros((3, 2))})


# --- ahead of time ---


@pytest.mark.parametrize("steps", STEPS)
def test_a_compiled_planner_plans_as_the_planner_does(planners, steps):
    planner, params, _ = planners[steps]
    batch = problems(3)
    wanted = own_actions(planners[steps], batch)
    one, three = compile_planner(planner, params), compile_planner(planner, params, batch=3)
    np.testing.assert_allclose(one(batch.state[1], batch.goal[1], jax.random.key(0)), wanted[1], rtol=1e-4, atol=1e-5)
    # NumPy's float64 is taken too.
    actions = three(np.asarray(batch.state, np.float64), np.asarray(batch.goal, np.float64), jax.random.key(0))
    np.testing.assert_allclose(actions, wanted, rtol=1e-4, atol=1e-5)


def test_a_compiled_planner_compiles_nothing_when_called(planners):
    planner, params, _ = planners[2]
    call, key = compile_planner(planner, params, batch=2), jax.random.key(0)
    states, goals = np.zeros((2, 4), np.float32), np.ones((2, 2), np.float32)
    with count_compilations() as compilations:
        call(states, goals, key)
    assert compilations == []


def test_a_compiled_planner_refuses_other_shapes(planners):
    planner, params, _ = planners[0]
    call = compile_planner(planner, params, batch=2)
    with pytest.raises(ValueError, match=r"this planner takes \(\(2, 4\), \(2, 2\)\)"):
        call(np.zeros((3, 4)), np.zeros((3, 2)), jax.random.key(0))
    with pytest.raises(ValueError, match="batch is 0; give at least 1"):
        compile_planner(planner, params, batch=0)


def test_an_example_tells_the_sizes_where_the_planner_does_not(planners):
    planner, params, _ = planners[0]

    class Bare:
        horizon, execute_steps, init = planner.horizon, planner.execute_steps, staticmethod(planner.init)

        def plan(self, params, key, problem):
            return planner.plan(params, key, Problem(problem.state, problem.goal["position"]))

    with pytest.raises(ValueError, match="Bare does not state the sizes of its problem"):
        compile_planner(Bare(), params)
    batch = problems(1)
    example = Problem(batch.state[0], {"position": batch.goal[0]})
    call = compile_planner(Bare(), params, problem=example)
    np.testing.assert_allclose(
        call(*example[:2], jax.random.key(0)), own_actions(planners[0], batch)[0], rtol=1e-4, atol=1e-5
    )
