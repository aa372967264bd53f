"""Programs as a user starts them: what they write, and how they say what was wrong with the command line."""

import numpy as np
import pytest
from helpers import double_integrator, read_record, run_here, run_python, save_small_planner, small_maze

from invlearn_jax.data import Dataset
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.learn.stages import Run
from invlearn_jax.tasks.task import Part


@pytest.mark.parametrize(("backend", "goals"), [("mjx", ""), ("mujoco", "multi-")])
def test_evaluate_writes_a_record(planner_folder, tmp_path, backend, goals):
    settings = (f"--backend={backend}", "--episodes=2", "--seed=4", "--execute_steps=8")
    output, task = tmp_path / "new" / "f.json", f"maze2d-umaze-{goals}v1"
    given = (f"--planner={planner_folder}", f"--task={task}", f"--output={output}")
    printed = run_here("experiments.evaluate", *given, *settings)
    record = read_record(None, output)
    expected = {
        "task": task,
        "backend": backend,
        "episodes": 2,
        "seed": 4,
        "multi_goal": bool(goals),
        "horizon": 8,
        "execute_steps": 8,
        "refine_steps": 0,
        "candidates": 1,
        "planner": str(planner_folder),
    }
    assert {key: record[key] for key in expected} == expected
    spec = small_maze(task).spec
    assert 0 <= record["return_mean"] <= spec.episode_length
    share = (record["return_mean"] - spec.ref_min) / (spec.ref_max - spec.ref_min)
    assert record["score_mean"] == pytest.approx(100 * share)
    assert record["score_mean"] <= record["bound_score"]
    assert record["score_sem"] >= 0
    assert record["success_rate"] in (0, 0.5, 1)
    assert 0 < record["plan_ms_p50"] <= record["plan_ms_p99"]
    # Two episodes of as many plans as it takes.
    assert sum(record["results"].values()) == 2 * -(-spec.episode_length // 8)
    assert f"score {record['score_mean']:.1f}" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--planner=maze2d-umase-v1",), r"Unknown planner .*maze2d-umaze-v1"),
        (("--planner={folder}", "--task=maze2d-umase-v1"), "Unknown task .*'maze2d-umase-v1'"),
        (("--planner={folder}", "--execute_steps=9"), "execute_steps is 9"),
    ],
)
def test_evaluate_refuses_bad_arguments(planner_folder, tmp_path, arguments, message):
    arguments = [argument.format(folder=planner_folder) for argument in arguments]
    with pytest.raises(ValueError, match=message):
        run_here("experiments.evaluate", f"--output={tmp_path / 'f.json'}", *arguments)
    assert not (tmp_path / "f.json").exists()


def test_an_error_of_the_command_line_is_a_sentence(tmp_path):
    done = run_python("-m", "experiments.evaluate", "--planner=maze2d-umase-v1", f"--output={tmp_path / 'f.json'}")
    assert done.returncode != 0
    assert "error: Unknown planner" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_results_table_has_a_row_per_task(planner_folder, tmp_path):
    settings = ("--episodes=2", "--refine_steps=0", "--seed=7", "--data=none")
    printed = run_here("maze2d", f"--planners={planner_folder}", f"--output={tmp_path / 'f.json'}", *settings)
    record = read_record(None, tmp_path / "f.json")
    assert (record["data"], record["seed"]) == ("none", 7)
    assert [row["multi_goal"] for row in record["table"]] == [False, True]
    for mean, row in zip(record["table"], record["rows"], strict=True):
        assert (mean["env"], mean["training_seeds"], mean["score_seed_std"]) == ("maze2d-umaze-v1", 1, 0)
        for key in ("env", "multi_goal", "episodes", "score_mean", "score_sem", "success_rate", "bound_score"):
            assert mean[key] == row[key], key
    assert len(printed.splitlines()) == 2


def bouncing():
    """A ball that rolls along a corridor and bounces off its end."""
    row = np.arange(20)
    velocity = np.where(row < 15, 1 + 0.01 * row, -1.0)
    states = np.stack([1 + np.cumsum(0.01 * velocity), np.full(20, 2.0), velocity, np.zeros(20)], 1).astype(np.float32)
    return Dataset(np.tile(states, (30, 1)), np.zeros((600, 2), np.float32), np.arange(600) % 20 == 19)


def finished(folder, *shares):
    """The folder of a run whose data are such a ball's, in parts of these shares."""
    save_small_planner(folder / "planner", small_maze())
    Run(RunFolder(folder)).parts("data", lambda: {f"part{i}": Part(bouncing(), x) for i, x in enumerate(shares)})
    return folder


def test_forward_models_are_compared(tmp_path):
    settings = (f"--run={finished(tmp_path, 0.25, 0.75)}", "--steps=2", "--batch=4", "--horizon=8")
    # All seven kinds take half a minute to compile.
    kinds = (("one-step", 1, (8,), 1, 1), ("chunk of 8, ensemble", 8, (8,), 1, 3))
    printed = run_here("forward_models", f"--output={tmp_path / 'f.json'}", *settings, _KINDS=kinds)
    record = read_record(None, tmp_path / "f.json")
    assert [(row["chunk"], row["members"]) for row in record["rows"]] == [(1, 1), (8, 3)]
    for row in record["rows"]:
        errors = row["rmse_m"]
        assert 0 < errors["wall_share"] < 1
        for kind in ("all", "free", "wall"):
            assert len(errors[kind]) == 9
            assert errors[kind][0] == 0 < min(errors[kind][1:])
        assert row["unroll_ms_p50"] > 0
    assert len(printed.splitlines()) == 2


def test_inverse_dynamics_are_judged(tmp_path):
    settings = ("--gaps=1", "--gaps=4", "--steps=2", "--batch=8", "--pairs=50")
    run_here("inverse_dynamics", f"--run={finished(tmp_path, 1.0)}", f"--output={tmp_path / 'f.json'}", *settings)
    rows = read_record(None, tmp_path / "f.json")["rows"]
    assert [(row["gap"], row["components"]) for row in rows] == [(1, 1), (1, 4), (4, 1), (4, 4)]
    assert all(0 < row["share_clear"] < 1 and row["clear_rmse"] > 0 and row["wall_rmse"] > 0 for row in rows)
    assert all(("clear_ambiguity" in row) == (row["components"] > 1) for row in rows)


def test_a_folder_without_data_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no run's folder with data and a planner"):
        run_here("inverse_dynamics", f"--run={tmp_path}", f"--output={tmp_path / 'f.json'}")


def test_deadlines_are_counted(planner_folder, tmp_path):
    settings = ("--refine_steps=0", "--refine_steps=1", "--candidates=1", "--calls=100", "--plans=20", "--busy=0")
    deadlines = ("--deadlines=0.000001", "--deadlines=10000")
    run_here("deadline", f"--planner={planner_folder}", f"--output={tmp_path / 'f.json'}", *settings, *deadlines)
    record = read_record(None, tmp_path / "f.json")
    assert len(record["calibration"]) == 2
    short, long = record["rows"]
    assert "The deadline is 1e-06 ms; on this device give" in short["skipped"]
    assert (long["miss_rate"], long["plans"]) == (0.0, 20)


def test_refinement_is_profiled(planner_folder, tmp_path):
    settings = ("--refine_steps=1", "--refine_steps=2", "--episodes=2", "--calls=10")
    outputs = (f"--output={tmp_path / 'f.json'}", f"--trace={tmp_path / 'trace'}")
    run_here("refinement_profile", f"--planner={planner_folder}", *settings, *outputs)
    record = read_record(None, tmp_path / "f.json")
    assert [row["refine_steps"] for row in record["rows"]] == [1, 2]
    for row in record["rows"]:
        assert row["cost_mean"] <= row["proposal_cost_mean"]
    assert set(record["stages_ms"]) >= {"proposal", "forward", "backward", "optimiser", "dispatch"}
    assert list((tmp_path / "trace").rglob("*.pb"))


class FreeBall:
    """A ball in the open in place of MJX, whose gradient other tests take: it compiles at once."""

    gradient = "reverse"

    def __init__(self, task):
        self.model, self.dt = double_integrator(2, task.dt), task.dt

    def init(self, key):
        return ()

    def unroll(self, params, state, actions):
        return self.model.unroll(self.model.init(None), state, actions)


def test_the_gap_is_attributed_to_its_parts(planner_folder, tmp_path):
    settings = ("--episodes=2", "--execute_steps=8", "--oracle_steps=1", "--long=2", f"--planner={planner_folder}")
    run_here("gap_attribution", f"--output={tmp_path / 'f.json'}", *settings, SimulatorModel=FreeBall)
    rows = read_record(None, tmp_path / "f.json")["rows"]
    assert [row["row"].split(",")[0] for row in rows] == [
        "one pass", "refined", "refined", "oracle forward model", "oracle cost-to-go", "both oracles",
    ]  # fmt: skip
    assert rows[0]["lead_mean"] == 0
    assert all(np.isfinite(row["score_mean"]) for row in rows)


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
