"""The runner: resumes after a kill to the same parameters, refuses bad input with a sentence, keeps what was saved."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.configs.maze2d import Config
from invlearn_jax.data import Dataset, read, write_d4rl, write_ogbench
from invlearn_jax.io.planners import load_planner
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.tasks.maze2d.generator import controller_data
from invlearn_jax.types import Problem, Result

ROOT = Path(__file__).resolve().parent.parent
TINY = [
    "--config.data.random_rows=0",
    "--config.hacking_problems=0",
    "--config.planner.horizon=8",
    "--config.planner.model_chunk=4",
    "--config.planner.execute_steps=4",
    "--config.planner.inverter_hidden=(16,)",
    "--config.planner.model_hidden=(16,)",
    "--config.planner.cost_to_go_hidden=(16,)",
    "--config.model.steps=60",
    "--config.model.batch=8",
    "--config.model.horizon=8",
    "--config.cost_to_go.steps=60",
    "--config.cost_to_go.bin_size=0.2",
    "--config.cost_to_go.batch=16",
    "--config.inverter.steps=120",
    "--config.inverter.batch=8",
    "--config.inverter.advance=(2,4)",
    "--config.block=10",
    "--config.checkpoint_every=20",
    "--config.evaluation.episodes=2",
    "--config.evaluation.refine_steps=(0,)",
]


def command(workdir, *extra, experiment="maze2d-umaze"):
    program = [
        sys.executable,
        "-m",
        "experiments.run",
        f"--experiment={experiment}",
        f"--workdir={workdir}",
        "--seed=3",
    ]
    return [*program, *TINY, *extra]


def environment():
    return {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache" / "tests")}


def run(arguments):
    return subprocess.run(
        arguments, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False, timeout=600
    )


@pytest.fixture(scope="module")
def data_file(tmp_path_factory, umaze):
    """A user's own file, in D4RL's format."""
    path = tmp_path_factory.mktemp("data") / "mine.hdf5"
    write_d4rl(path, controller_data(umaze, jax.random.key(0), 6000, noise=0.5, streams=12))
    return path


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, data_file):
    workdir = tmp_path_factory.mktemp("runs") / "unbroken"
    done = run(command(workdir, f"--config.data.path={data_file}"))
    assert done.returncode == 0, done.stderr[-3000:]
    return workdir


def parameters(workdir):
    with np.load(workdir / "planner" / "params.npz") as saved:
        return {name: saved[name] for name in saved}


def test_a_run_leaves_its_files(unbroken):
    for name in ("config.json", "manifest.json", "metrics.csv", "eval.json", "status.json"):
        assert (unbroken / name).stat().st_size > 0
    assert json.loads((unbroken / "status.json").read_text())["state"] == "done"
    manifest = json.loads((unbroken / "manifest.json").read_text())
    assert manifest["seed"] == 3
    assert {"command", "git_revision", "versions", "device"} <= set(manifest)
    record = json.loads((unbroken / "eval.json").read_text())[0]
    assert {"env", "backend", "episodes", "seed", "refine_steps", "score_mean", "score_sem", "success_rate"} <= set(
        record
    )
    assert {"return_mean", "bound_score", "plan_ms_p50"} <= set(record)
    rows = RunFolder(unbroken).metrics()
    assert [int(r["step"]) for r in rows if r["stage"] == "inverter" and r["name"] == "cost"] == list(
        range(10, 121, 10)
    )


def begun(arguments, workdir, stage):
    """A process that has saved its first checkpoint of a stage."""
    process = subprocess.Popen(
        arguments, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    folder, limit = workdir / "checkpoints" / stage, time.monotonic() + 300
    while not list(folder.glob("[0-9]*")):
        assert process.poll() is None, "the run ended before it could be told to"
        assert time.monotonic() < limit
        time.sleep(0.02)
    return process


def check_resumed(arguments, workdir, unbroken):
    done = run(arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    resumed, whole = parameters(workdir), parameters(unbroken)
    assert resumed.keys() == whole.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)
    steps = [r["step"] for r in RunFolder(workdir).metrics() if (r["stage"], r["name"]) == ("inverter", "cost")]
    assert steps == [str(s) for s in range(10, 121, 10)]
    return done


def test_a_killed_run_resumes_to_the_same_parameters(tmp_path, data_file, unbroken):
    arguments = command(tmp_path, f"--config.data.path={data_file}")
    process = begun(arguments, tmp_path, "inverter")
    process.kill()
    process.communicate()
    assert not (tmp_path / "planner").exists()
    check_resumed(arguments, tmp_path, unbroken)


def test_a_run_is_alone_in_its_folder_and_stops_at_a_signal(tmp_path, data_file, unbroken):
    arguments = command(tmp_path, f"--config.data.path={data_file}")
    process = begun(arguments, tmp_path, "model")
    with pytest.raises(
        BlockingIOError, match=rf"is in use by process {process.pid} on .*experiments\.run --experiment"
    ):
        RunFolder(tmp_path).__enter__()
    assert RunFolder(tmp_path).metrics()
    process.terminate()
    _, told = process.communicate(timeout=120)
    assert process.returncode == 143
    assert "Traceback" not in told
    status = json.loads((tmp_path / "status.json").read_text())
    assert status["state"] == "stopped"
    stage, step = status["stage"], status["step"]
    assert f"Stopped in stage {stage} at step {step}. To go on: python -m experiments.run --experiment" in told
    assert (tmp_path / "checkpoints" / stage / str(step)).is_dir()
    assert not (tmp_path / "eval.json").exists()
    done = check_resumed(arguments, tmp_path, unbroken)
    assert f"{stage}: continues at update {step} of" in done.stderr or f"{stage}: already complete" in done.stderr


def other_sizes(path):
    write_ogbench(path, Dataset(np.zeros((50, 6), np.float32), np.zeros((50, 3), np.float32), np.arange(50) == 49))


def other_frame(path):
    states = np.random.default_rng(0).uniform(-3, 3, (50, 4)).astype(np.float32)
    write_ogbench(path, Dataset(states, np.zeros((50, 2), np.float32), np.arange(50) == 49))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (other_sizes, "states and actions of 6 and 3 numbers; maze2d-umaze-v1 takes position and velocity (4)"),
        (other_frame, "% of its positions lie in the walls of maze2d-umaze-v1, the first at row"),
    ],
)
def test_data_of_another_system_are_refused(tmp_path, write, message):
    write(tmp_path / "foreign.npz")
    done = run(command(tmp_path / "run", f"--config.data.path={tmp_path / 'foreign.npz'}"))
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_makes_its_own_data(tmp_path):
    few = ("--config.model.steps=10", "--config.cost_to_go.steps=10", "--config.inverter.steps=10")
    rows = ("--config.data.rows=6000", "--config.data.random_rows=20000")
    done = run(command(tmp_path, *few, *rows, "--config.hacking_problems=10"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert set(json.loads((tmp_path / "model.json").read_text())) == {"d4rl", "random"}
    assert json.loads((tmp_path / "hacking.json").read_text())["problems"] == 10
    assert len(read(tmp_path / "data" / "d4rl.npz").states) == 6000
    assert len(read(tmp_path / "data" / "random.npz").states) == 20000
    # Where the data were, problems are taken; in the inner wall they are not.
    planner, params = load_planner(tmp_path / "planner")
    free, wall = (Problem(jnp.array([1.0, 2.0, 0, 0]), jnp.array(goal)) for goal in ([2.5, 2.8], [2.0, 1.5]))
    found = [Result(int(planner.plan(params, jax.random.key(0), p).result)) for p in (free, wall)]
    assert found == [Result.OK, Result.OUTSIDE_DATA]


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--config.inverter.stepz=3"], ["Unknown config field 'inverter.stepz'", "inverter.steps"]),
        (["--config.inverter.steps=many"], ["inverter.steps", "many"]),
        (["--config.planner.env=maze2d-umaz-v1"], ["Unknown environment 'maze2d-umaz-v1'", "maze2d-umaze-v1"]),
        (["--config.planner.horizon=10"], ["horizon is 10", "chunk"]),
        (["--config.planner.execute_steps=9"], ["execute_steps is 9", "horizon, 8"]),
        (["--config.inverter.advance=(4,9)"], ["4, 9); each step must be 1 to the horizon, 8"]),
        (["--config.model.horizon=1000"], ["horizon is 1000", "longest episode"]),
        (["--config.data.path=nowhere.hdf5"], ["nowhere.hdf5"]),
    ],
)
def test_bad_settings_end_with_a_sentence_and_leave_the_folder_free(tmp_path, data_file, extra, words):
    done = run(command(tmp_path / "run", f"--config.data.path={data_file}", *extra))
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    # The corrected command may use the same folder.
    assert not (tmp_path / "run" / "checkpoints").exists()
    RunFolder(tmp_path / "run").begin(Config(), 0)


def test_an_unknown_experiment_names_the_nearest(tmp_path):
    done = run(command(tmp_path, experiment="maze2d-umazee"))
    assert done.returncode != 0
    assert "Unknown experiment 'maze2d-umazee'" in done.stderr
    assert "maze2d-umaze" in done.stderr.split("Nearest known:")[1]


def test_a_folder_of_another_run_is_refused(unbroken, data_file):
    before = (unbroken / "config.json").read_text()
    done = run(command(unbroken, f"--config.data.path={data_file}", "--config.inverter.batch=9"))
    assert done.returncode != 0
    assert "inverter.batch is 8 there, 9 here" in done.stderr
    assert (unbroken / "config.json").read_text() == before


def test_a_workdir_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = run(command(tmp_path / "file" / "run"))
    assert done.returncode != 0
    assert "Could not make the run's folder" in done.stderr


def test_an_empty_workdir_is_refused():
    done = run(command(""))
    assert done.returncode != 0
    assert "The run's folder (--workdir) is empty" in done.stderr
    assert "Traceback" not in done.stderr
