"""The benchmarks run and write well-formed rows. What the clock says is nobody's business here."""

import math
import re

import pytest
from helpers import read_record, run_here, run_python


def run_program(name, *arguments):
    return run_python("-m", f"benchmarks.{name}", *arguments)


def check_times(row):
    assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
    assert row["per_s"] == pytest.approx(1e3 * row["batch"] / row["p50_ms"])
    assert row["trace_ms"] > 0
    assert row["compile_ms"] > 0
    assert row["calls"] >= 1


def test_latency_writes_a_row_for_every_stage_batch_and_k(planner_folder, tmp_path):
    settings = ("--batches=1", "--batches=3", "--refine_steps=0", "--refine_steps=2", "--calls=6")
    printed = run_here("latency", f"--planner={planner_folder}", f"--output={tmp_path / 'f.json'}", *settings)
    record = read_record(None, tmp_path / "f.json")
    assert (record["env"], record["horizon"], record["refiner"]) == ("maze2d-umaze-v1", 8, "adam")
    cases = [("propose", "full", None), ("score", "full", None), ("refine_step", "full", None)]
    cases += [("plan", output, steps) for steps in (0, 2) for output in ("actions", "full")]
    wanted = [(*case, batch) for case in cases for batch in (1, 3)]
    assert [(r["stage"], r["output"], r["refine_steps"], r["batch"]) for r in record["rows"]] == wanted
    for row in record["rows"]:
        assert row["skipped"] is None
        assert row["calls"] == 6
        check_times(row)
    # The table: a head and a line per row.
    assert len(printed.splitlines()) == 1 + len(wanted)


def test_a_row_that_would_take_too_long_says_so(planner_folder, tmp_path):
    settings = ("--batches=1", "--batches=4096", "--refine_steps=0", "--calls=6", "--row_seconds=0.001")
    run_here("latency", f"--planner={planner_folder}", f"--output={tmp_path / 'f.json'}", *settings)
    rows = read_record(None, tmp_path / "f.json")["rows"]
    for row in rows:
        if row["batch"] == 1:
            check_times(row)
        else:
            assert "s for 6 calls" in row["skipped"]
            assert "p50_ms" not in row


def test_throughput_counts_steps_and_plans(planner_folder, tmp_path):
    settings = ("--tasks=maze2d-umaze-v1", "--batches=4", "--steps=2", "--calls=2", "--devices=2")
    plans = (f"--planner={planner_folder}", "--plan_batches=2", "--preset=quick")
    done = run_program("throughput", f"--output={tmp_path / 'f.json'}", *settings, *plans)
    record = read_record(done, tmp_path / "f.json")
    found = [(r["engine"], r["settings"], r["env"], r["batch"]) for r in record["physics"]]
    assert found == [
        ("mjx", "plain", "maze2d-umaze-v1", 4),
        ("mjx", "tuned", "maze2d-umaze-v1", 4),
        ("mujoco", "mujoco", "maze2d-umaze-v1", 4),
    ]
    for row in record["physics"]:
        assert 0 < row["steps_per_s"] <= row["best_per_s"] * (1 + 1e-9)
        assert (row["calls"], row["steps_per_call"]) == (2, 2)
    plain, tuned, _ = record["physics"]
    assert (plain["devices"], plain["compiler_options"]) == (1, {})
    assert math.isfinite(tuned["compile_s"])
    assert [(r["output"], r["refine_steps"], r["batch"]) for r in record["plans"]] == [
        ("actions", 0, 2),
        ("full", 0, 2),
    ]
    for row in record["plans"]:
        check_times(row)


def test_throughput_without_a_planner_has_no_plans(tmp_path):
    settings = ("--tasks=maze2d-umaze-v1", "--batches=2", "--steps=2", "--calls=1", "--settings=mujoco")
    run_here("throughput", f"--output={tmp_path / 'f.json'}", *settings)
    record = read_record(None, tmp_path / "f.json")
    assert len(record["physics"]) == 1
    assert record["plans"] == []


def test_model_hacking_draws_its_worst_places(planner_folder, tmp_path):
    outputs = (f"--output={tmp_path / 'f.json'}", f"--figure={tmp_path / 'f.png'}")
    run_here(
        "model_hacking",
        f"--planner={planner_folder}",
        "--problems=20",
        "--refine_steps=0",
        "--refine_steps=1",
        *outputs,
    )
    rows = read_record(None, tmp_path / "f.json")["rows"]
    assert [(row["refine_steps"], row["problems"], len(row["worst"])) for row in rows] == [(0, 20, 10), (1, 20, 10)]
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")


def test_cost_to_go_is_judged(planner_folder, tmp_path):
    run_here("cost_to_go", f"--planners={planner_folder}", "--goals=2", f"--output={tmp_path / 'f.json'}")
    (row,) = read_record(None, tmp_path / "f.json")["rows"]
    assert (row["env"], row["goals"]) == ("maze2d-umaze-v1", 2)
    assert -1 <= row["spearman_worst"] <= row["spearman"] <= 1


def test_execute_steps_are_swept(planner_folder, tmp_path):
    settings = ("--execute_steps=2", "--execute_steps=8", "--refine_steps=0", "--episodes=2")
    run_here("execute_steps", f"--planner={planner_folder}", f"--output={tmp_path / 'f.json'}", *settings)
    rows = read_record(None, tmp_path / "f.json")["rows"]
    assert [row["execute_steps"] for row in rows] == [2, 8]
    assert all(row["score_mean"] <= row["bound_score"] for row in rows)


@pytest.mark.parametrize(
    ("program", "arguments", "message"),
    [
        ("latency", ("--planner=maze2d-umase-v1",), "error: Unknown planner"),
        ("throughput", ("--tasks=maze2d-umase-v1",), "error: Unknown task .* 'maze2d-umase-v1'"),
        ("throughput", ("extra",), "error: unknown argument 'extra'"),
    ],
)
def test_bad_arguments_end_in_a_sentence(tmp_path, program, arguments, message):
    done = run_program(program, f"--output={tmp_path / 'f.json'}", *arguments)
    assert done.returncode != 0
    assert re.search(message, done.stderr)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "f.json").exists()


SHARED_BATCH = """
import jax
jax.config.update("jax_num_cpu_devices", 2)
import numpy as np
from benchmarks.throughput import _TUNED_CPU, _actions, _starts, compile_with, physics
from invlearn_jax.tasks.registry import make_task

task, devices = make_task("maze2d-umaze-v1"), jax.devices("cpu")
assert len(devices) == 2
obs = _starts(task, 6, 0)
actions = np.random.default_rng(0).choice([-1.0, 1.0], (6, 1, 2)).repeat(60, 1).astype(np.float32)
plain = np.asarray(jax.jit(physics(task, devices[:1]))(obs, actions))
step, options, _ = compile_with(physics(task, devices), _TUNED_CPU | {"xla_no_such_option": True}, obs, actions)
assert "xla_no_such_option" not in options, options
tuned = np.asarray(step(*(jax.device_put(x, step.input_shardings[0][i]) for i, x in enumerate((obs, actions)))))
assert np.abs(plain[:, :2] - obs[:, :2]).max() > 0.3
np.testing.assert_allclose(tuned, plain, rtol=0, atol=1e-3)

held = _actions(task, np.random.default_rng(0), 3, 60)
assert held.shape == (3, 60, 2)
assert np.array_equal(held[:, 0], held[:, 24])
assert not np.array_equal(held[:, 24], held[:, 25])
"""


# In a process of its own: a program's flags can be defined once.
def test_tuned_physics_is_the_plain_physics_and_random_actions_are_held():
    done = run_python("-c", SHARED_BATCH)
    assert done.returncode == 0, done.stderr
