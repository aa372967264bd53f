"""The runner as a process: what it leaves, and that killed and stopped runs go on to the same parameters."""

import inspect
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT
from helpers import run_environment, run_python
from test_fit import NO_CORRECTION, Cart

from experiments.run import carry_out
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.methods import inverter
from invlearn_jax.settings import with_settings

SETTINGS = NO_CORRECTION | {"model.steps": 60, "inverter.steps": 120, "checkpoint_every": 20}
FILE = f"""
import jax, jax.numpy as jnp, numpy as np
import invlearn_jax as il
from invlearn_jax.settings import with_settings

{inspect.getsource(Cart)}
    def configure(self, method, settings):
        return with_settings(settings, {SETTINGS!r})
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """From a folder to the command line of a run in it."""
    file = tmp_path_factory.mktemp("task") / "cart.py"
    file.write_text(FILE)
    arguments = ["-m", "experiments.run", f"--task={file}:Cart", "--seed=3", "--episodes=2", "--refine_steps=0"]
    return lambda workdir: [*arguments, f"--workdir={workdir}"]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, program):
    workdir = tmp_path_factory.mktemp("runs") / "unbroken"
    done = run_python(*program(workdir))
    assert done.returncode == 0, done.stderr[-3000:]
    return workdir


def parameters(workdir):
    with np.load(workdir / "planner" / "params.npz") as saved:
        return {name: saved[name] for name in saved}


def steps_of(workdir, stage, name):
    return [int(row["step"]) for row in RunFolder(workdir).metrics() if (row["stage"], row["name"]) == (stage, name)]


def test_a_run_leaves_its_files(unbroken):
    for name in ("config.json", "manifest.json", "metrics.csv", "eval.json", "status.json", "model.json"):
        assert (unbroken / name).stat().st_size > 0
    assert json.loads((unbroken / "status.json").read_text())["state"] == "done"
    manifest = json.loads((unbroken / "manifest.json").read_text())
    assert manifest["seed"] == 3
    assert {"command", "git_revision", "versions", "device"} <= set(manifest)
    (record,) = json.loads((unbroken / "eval.json").read_text())
    assert (record["task"], record["backend"], record["episodes"]) == ("Cart", "mujoco", 2)
    assert steps_of(unbroken, "inverter", "cost") == list(range(10, 121, 10))


def begun(arguments, workdir, stage):
    """A process that has saved its first checkpoint of a stage."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=run_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    folder, limit = workdir / "checkpoints" / stage, time.monotonic() + 300
    while not list(folder.glob("[0-9]*")):
        assert process.poll() is None, "the run ended before it could be told to"
        assert time.monotonic() < limit
        time.sleep(0.02)
    return process


def test_a_run_that_is_killed_then_stopped_goes_on_to_the_same_parameters(tmp_path, program, unbroken):
    process = begun(program(tmp_path), tmp_path, "model")
    process.kill()
    process.communicate()
    process = begun(program(tmp_path), tmp_path, "inverter")
    with pytest.raises(BlockingIOError, match=rf"is in use by process {process.pid} on .*experiments\.run --task"):
        RunFolder(tmp_path).__enter__()
    assert RunFolder(tmp_path).metrics()
    process.terminate()
    _, told = process.communicate(timeout=120)
    assert process.returncode == 143
    assert "Traceback" not in told
    status = json.loads((tmp_path / "status.json").read_text())
    assert status["state"] == "stopped"
    stage, step = status["stage"], status["step"]
    assert f"Stopped in stage {stage} at step {step}. To go on: python -m experiments.run --task" in told
    assert not (tmp_path / "eval.json").exists()
    done = run_python(*program(tmp_path))
    assert done.returncode == 0, done.stderr[-3000:]
    assert "inverter: continues at update" in done.stderr or "inverter: already complete" in done.stderr
    resumed, whole = parameters(tmp_path), parameters(unbroken)
    assert resumed.keys() == whole.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)
    assert steps_of(tmp_path, "inverter", "cost") == list(range(10, 121, 10))


def test_a_workdir_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    settings = with_settings(inverter.Settings(), NO_CORRECTION)
    with pytest.raises(OSError, match="Could not make the run's folder"):
        carry_out(Cart(), "inverter", settings, os.fspath(tmp_path / "file" / "run"))
