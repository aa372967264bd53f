"""Programs as a user starts them: what they write, and how they say what was wrong with the command line."""

import re

import numpy as np
import pytest
from helpers import read_record, run_python

from experiments.configs.maze2d import Config
from invlearn_jax.data import Dataset, write_ogbench
from invlearn_jax.evaluate.episodes import summary
from invlearn_jax.io.run_folder import RunFolder


def run_program(name, *arguments):
    return run_python("-m", f"benchmarks.{name}", *arguments)


@pytest.mark.parametrize("backend", ["mjx", "mujoco"])
def test_evaluate_writes_a_record(planner_folder, tmp_path, backend):
    settings = (f"--backend={backend}", "--episodes=2", "--seed=4", "--execute_steps=8")
    multi = ("--task=maze2d-umaze-multi-v1",) if backend == "mjx" else ()
    output = f"--output={tmp_path / 'new' / 'f.json'}"
    done = run_python("-m", "experiments.evaluate", f"--planner={planner_folder}", output, *settings, *multi)
    record = read_record(done, tmp_path / "new" / "f.json")
    expected = {
        "task": "maze2d-umaze-multi-v1" if multi else "maze2d-umaze-v1",
        "backend": backend,
        "episodes": 2,
        "seed": 4,
        "execute_steps": 8,
        "refine_steps": 0,
        "candidates": 1,
        "planner": str(planner_folder),
        "refiner": None,
        "options": {},
    }
    assert {key: record[key] for key in expected} == expected
    assert record["score_mean"] <= record["bound_score"]
    assert record["score_sem"] >= 0
    assert record["success_rate"] in (0, 0.5, 1)
    assert 0 < record["plan_ms_p50"] <= record["plan_ms_p99"]
    # Two episodes of 300 steps.
    assert sum(record["results"].values()) == 2 * -(-300 // 8)
    assert f"score {record['score_mean']:.1f}" in done.stdout


def test_evaluate_ends_in_a_sentence(tmp_path):
    output = tmp_path / "f.json"
    done = run_python("-m", "experiments.evaluate", f"--output={output}", "--planner=maze2d-umase-v1")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert re.search(r"error: Unknown planner .*maze2d-umaze-v1", done.stderr), done.stderr
    assert not output.exists()


RECORD = {"task": "t", "refine_steps": 0, "cost_mean": 1.0, "cost_sem": 0.1, "score_mean": None, "success_rate": 0.5}


@pytest.mark.parametrize(
    ("results", "end"),
    [
        ({"ok": 8, "outside_data": 0}, "2.00 ms"),
        ({}, "2.00 ms"),
        ({"ok": 1, "outside_data": 3, "non_finite": 0}, "2.00 ms (plans: 75.0 % outside_data)"),
    ],
)
def test_result_codes_are_told_where_not_all_are_ok(results, end):
    assert summary(RECORD | {"results": results, "plan_ms_p50": 2.0}).endswith(end)


def test_the_results_table_has_a_row_per_task(planner_folder, tmp_path):
    settings = ("--episodes=2", "--refine_steps=0", "--seed=7", "--data=none")
    output = f"--output={tmp_path / 'f.json'}"
    done = run_python("-m", "benchmarks.maze2d", f"--planners={planner_folder}", output, *settings)
    record = read_record(done, tmp_path / "f.json")
    assert (record["data"], record["seed"]) == ("none", 7)
    assert [row["multi_goal"] for row in record["table"]] == [False, True]
    for mean, row in zip(record["table"], record["rows"], strict=True):
        assert (mean["training_seeds"], mean["score_seed_std"]) == (1, 0)
        for key in ("env", "multi_goal", "episodes", "score_mean", "score_sem", "success_rate", "bound_score"):
            assert mean[key] == row[key], key
    assert len(done.stdout.splitlines()) == 2


# All seven kinds take half a minute to compile.
TWO_KINDS = """
from absl import app
from benchmarks import forward_models

forward_models._KINDS = (forward_models._KINDS[0], forward_models._KINDS[-1])
app.run(forward_models.main)
"""


def bouncing():
    """A ball that rolls along a corridor and bounces off its end."""
    row = np.arange(20)
    velocity = np.where(row < 15, 1 + 0.01 * row, -1.0)
    states = np.stack([1 + np.cumsum(0.01 * velocity), np.full(20, 2.0), velocity, np.zeros(20)], 1).astype(np.float32)
    return Dataset(np.tile(states, (30, 1)), np.zeros((600, 2), np.float32), np.arange(600) % 20 == 19)


def test_forward_models_are_compared(tmp_path):
    dataset = bouncing()
    for name in ("controller", "random"):
        write_ogbench(tmp_path / "data" / f"{name}.npz", dataset)
    settings = (f"--run={tmp_path}", "--steps=2", "--batch=4", "--horizon=8")
    done = run_python("-c", TWO_KINDS, f"--output={tmp_path / 'f.json'}", *settings)
    record = read_record(done, tmp_path / "f.json")
    assert [(row["chunk"], row["members"]) for row in record["rows"]] == [(1, 1), (8, 3)]
    for row in record["rows"]:
        errors = row["rmse_m"]
        assert 0 < errors["wall_share"] < 1
        for kind in ("all", "free", "wall"):
            assert len(errors[kind]) == 9
            assert errors[kind][0] == 0 < min(errors[kind][1:])
        assert row["unroll_ms_p50"] > 0
    assert len(done.stdout.splitlines()) == 2


def test_inverse_dynamics_are_judged(tmp_path):
    RunFolder(tmp_path).begin(Config(), 0)
    write_ogbench(tmp_path / "data" / "d4rl.npz", bouncing())
    settings = ("--gaps=1", "--gaps=4", "--steps=2", "--batch=8", "--pairs=50")
    done = run_program("inverse_dynamics", f"--run={tmp_path}", f"--output={tmp_path / 'f.json'}", *settings)
    rows = read_record(done, tmp_path / "f.json")["rows"]
    assert [(row["gap"], row["components"]) for row in rows] == [(1, 1), (1, 4), (4, 1), (4, 4)]
    assert all(0 < row["share_clear"] < 1 and row["clear_rmse"] > 0 and row["wall_rmse"] > 0 for row in rows)
    assert all(("clear_ambiguity" in row) == (row["components"] > 1) for row in rows)


def test_deadlines_are_counted(planner_folder, tmp_path):
    settings = ("--refine_steps=0", "--refine_steps=1", "--candidates=1", "--calls=100", "--plans=20", "--busy=0")
    deadlines = ("--deadlines=0.000001", "--deadlines=10000")
    done = run_program(
        "deadline", f"--planner={planner_folder}", f"--output={tmp_path / 'f.json'}", *settings, *deadlines
    )
    record = read_record(done, tmp_path / "f.json")
    assert len(record["calibration"]) == 2
    short, long = record["rows"]
    assert "The deadline is 1e-06 ms; on this device give" in short["skipped"]
    assert (long["miss_rate"], long["plans"]) == (0.0, 20)


def test_refinement_is_profiled(planner_folder, tmp_path):
    settings = ("--refine_steps=1", "--refine_steps=2", "--episodes=2", "--calls=10")
    trace = f"--trace={tmp_path / 'trace'}"
    done = run_program(
        "refinement_profile", f"--planner={planner_folder}", f"--output={tmp_path / 'f.json'}", *settings, trace
    )
    record = read_record(done, tmp_path / "f.json")
    assert [row["refine_steps"] for row in record["rows"]] == [1, 2]
    for row in record["rows"]:
        assert row["cost_mean"] <= row["proposal_cost_mean"]
    assert set(record["stages_ms"]) >= {"proposal", "forward", "backward", "optimiser", "dispatch"}
    assert list((tmp_path / "trace").rglob("*.pb"))


MAP = """
import jax
import numpy as np
from benchmarks.gap_attribution import map_cost_to_go
from invlearn_jax.evaluate.episodes import summary
from invlearn_jax.tasks.maze2d.oracle import free_space_times

env = registry.make("maze2d-umaze-v1")
points, seconds = free_space_times(env.spec.layout, np.asarray(env.goal))
cost = jax.jit(jax.vmap(map_cost_to_go(env, 0.1), in_axes=(None, 0, None)))
still = np.concatenate([points, np.zeros_like(points)], axis=1)
np.testing.assert_allclose(cost((), still, env.goal), seconds, rtol=0, atol=1e-4)
moving = still + [0.1, -0.2, -1.0, 2.0]
np.testing.assert_allclose(cost((), moving, env.goal), seconds, rtol=0, atol=1e-4)
# In the wall between the two corridors, each half belongs to its own.
near, far = np.asarray(cost((), np.array([[1.5, 1.0, 0, 0], [2.1, 1.0, 0, 0]]), env.goal))
assert near < 0.1 < 0.4 < far
"""


def test_the_maps_cost_to_go_is_the_shortest_time():
    done = run_python("-c", MAP)
    assert done.returncode == 0, done.stderr


CACHED = """
import os
import sys

import jax
import jax.numpy as jnp
from invlearn_jax import Problem, load_planner
from invlearn_jax.io.compile_cache import use_compile_cache

print(use_compile_cache())
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
planner, params = load_planner(sys.argv[1], refine_steps=2)
problem = Problem(jnp.ones(4), jnp.ones(2))
print(float(jax.jit(planner.plan)(params, jax.random.key(0), problem).cost))
print(use_compile_cache("given"))
os.environ["JAX_COMPILATION_CACHE_DIR"] = "named"
print(use_compile_cache())
"""


def test_a_second_start_compiles_nothing(planner_folder, tmp_path):
    files, costs = [], []
    for _ in range(2):
        done = run_python("-c", CACHED, planner_folder, XDG_CACHE_HOME=str(tmp_path), JAX_COMPILATION_CACHE_DIR="")
        assert done.returncode == 0, done.stderr
        folder, cost, *others = done.stdout.split()
        assert folder == str(tmp_path / "invlearn_jax" / "jax")
        assert others == ["given", "named"]
        files.append({str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()})
        costs.append(cost)
    assert any("jit_plan" in name for name in files[0])
    assert files[0] == files[1]
    assert costs[0] == costs[1]
