"""What ends a run early: signals, another process, a loss that is not finite; and what is left then."""

import dataclasses
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT
from test_fit import Cart

from experiments import run as program
from experiments.run import carry_out
from invlearn_jax.io import interrupt
from invlearn_jax.io.checkpoint import Checkpoints
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.learn.loop import NonFiniteLossError, TrainState, train
from invlearn_jax.learn.stages import Run
from invlearn_jax.progress import show_progress


def fresh():
    return TrainState(jnp.int32(0), jax.random.key(0), jnp.ones(2), (), ())


def decay(state):
    params = 0.9 * state.params
    return state._replace(step=state.step + 1, params=params), {"loss": params.sum()}


class Signalled(RunFolder):
    """Gets a signal while it logs the block that ends at step 20."""

    def log(self, stage, step, values):
        super().log(stage, step, values)
        if step == 20:
            signal.raise_signal(signal.SIGINT)


def stage(run, update=decay, steps=60):
    return Run(run).train("model", update, fresh(), steps, 10, 30, headline="loss")


@dataclasses.dataclass
class NoSettings:
    """A method's settings, of which there are none."""


class Toy(Cart):
    """A task whose one method does what a test gives; the planner too."""

    def __init__(self, work=lambda run: None):
        self.Settings, self.work = NoSettings, work

    def methods(self):
        return {"toy": self}

    def fit(self, task, settings, run, key):
        self.work(run.folder)
        return self, ()

    def build(self, task, settings, **inference):
        return self

    def init(self, key):
        return ()

    def plan(self, params, key, problem):
        raise AssertionError("no test plans")


def carried_out(workdir, work):
    carry_out(Toy(work), "toy", NoSettings(), workdir)


def read_status(folder):
    status = json.loads((folder / "status.json").read_text())
    return tuple(status[name] for name in ("state", "stage", "step", "steps"))


# --- signals ---


@pytest.fixture
def shown():
    show_progress()
    yield
    show_progress(False)


def test_a_stage_ends_with_its_block_and_goes_on_from_there(tmp_path, capfd, shown):
    whole = stage(RunFolder(tmp_path / "whole"))
    capfd.readouterr()
    with pytest.raises(interrupt.Stopped) as caught, interrupt.stop_on_signals():
        stage(Signalled(tmp_path / "run"))
    assert (caught.value.exit_code, caught.value.progress) == (130, ("model", 20, 60))
    assert read_status(tmp_path / "run") == ("stopped", "model", 20, 60)
    assert "SIGINT: stopping" in capfd.readouterr().err
    resumed = stage(RunFolder(tmp_path / "run"))
    assert "model: continues at update 20 of 60" in capfd.readouterr().err
    np.testing.assert_array_equal(resumed.params, whole.params)
    assert [row["step"] for row in RunFolder(tmp_path / "run").metrics()] == [str(s) for s in range(10, 61, 10)]
    stage(RunFolder(tmp_path / "run"))
    assert "model: already complete" in capfd.readouterr().err


def test_handlers_are_as_before():
    before = [signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(interrupt.Stopped), interrupt.stop_on_signals():
        signal.raise_signal(signal.SIGTERM)
    assert [signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)] == before
    assert not interrupt.requested()


def signalled(*arguments, **options):
    signal.raise_signal(signal.SIGTERM)
    raise AssertionError("the signal was not heard")


def test_data_end_at_once(tmp_path):
    with pytest.raises(interrupt.Stopped) as caught, interrupt.stop_on_signals():
        carried_out(tmp_path, signalled)
    assert caught.value.exit_code == 143
    assert read_status(tmp_path) == ("stopped", "start", 0, 1)
    assert not (tmp_path / "eval.json").exists()


def test_an_evaluation_ends_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(program, "load_planner", lambda *arguments, **options: (None, None))
    monkeypatch.setattr(program, "evaluate", signalled)
    with pytest.raises(interrupt.Stopped), interrupt.stop_on_signals():
        carried_out(tmp_path, lambda run: None)
    assert read_status(tmp_path) == ("stopped", "evaluation", 0, 2)
    assert not (tmp_path / "eval.json").exists()


def test_a_stage_in_a_folder_of_its_own_is_named(tmp_path):
    with pytest.raises(interrupt.Stopped), interrupt.stop_on_signals():
        carried_out(tmp_path, lambda run: stage(Signalled(run.path / "generation_0")))
    assert read_status(tmp_path) == read_status(tmp_path / "generation_0") == ("stopped", "model", 20, 60)


SECOND = """
import os, signal, time
from invlearn_jax.io import interrupt
with interrupt.stop_on_signals(), interrupt.deferred():
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)  # one request, sent twice
    time.sleep(0.8)
    print("working", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
"""


def test_a_second_signal_ends_at_once():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SECOND], env=environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stdout) == (130, "working\n")
    assert "Traceback" not in done.stderr


# --- two in one folder ---


def test_a_folder_is_for_one_at_a_time(tmp_path):
    with RunFolder(tmp_path):
        with pytest.raises(
            BlockingIOError, match=rf"{tmp_path} is in use by process {os.getpid()} on .*another folder"
        ):
            RunFolder(tmp_path).__enter__()
        with RunFolder(tmp_path / "generation_0"):
            pass
    with RunFolder(tmp_path):
        pass


def test_a_disk_without_locks(tmp_path, monkeypatch):
    def flock(handle, how):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.warns(UserWarning, match=r"lock could not be locked .*Let no second process use"), RunFolder(tmp_path):
        pass


def test_an_empty_folder_name():
    with pytest.raises(ValueError, match=r"--workdir\) is empty"):
        RunFolder("")


# --- losses that are not finite ---


def diverging(after):
    """Updates whose loss is NaN after a number of them."""

    def update(state):
        state, metrics = decay(state)
        return state, {"loss": jnp.where(state.step > after, jnp.nan, metrics["loss"])}

    return update


def breaking(state):
    """The 40th update breaks the parameters, and its loss does not show it."""
    after, metrics = decay(state)
    return after._replace(params=jnp.where(after.step == 40, jnp.inf, after.params)), {
        "loss": state.params.sum() * 0 + 1.0
    }


@pytest.mark.parametrize(
    ("update", "step", "metric"), [(diverging(33), 40, "the metric loss"), (breaking, 40, "a parameter")]
)
def test_divergence_stops_with_the_last_good_checkpoint(tmp_path, update, step, metric):
    with pytest.raises(NonFiniteLossError, match=f"model diverged: at update {step} {metric} is not finite.*smaller"):
        carried_out(tmp_path, lambda run: stage(run, update))
    assert read_status(tmp_path) == ("failed", "model", 30, 60)
    assert "diverged" in json.loads((tmp_path / "status.json").read_text())["error"]
    checkpoints = Checkpoints(tmp_path / "checkpoints" / "model")
    assert checkpoints.latest() == 30
    assert np.isfinite(checkpoints.restore(fresh()).state.params).all()


def test_parameters_that_are_whole_numbers_are_finite():
    state = fresh()._replace(params={"count": jnp.arange(3), "flag": jnp.array(True)})
    done = train(lambda s: (s._replace(step=s.step + 1), {"loss": jnp.zeros(())}), state, 4, 2)
    assert int(done.step) == 4


# --- broken files of a run ---


def test_a_stage_goes_back_to_the_newest_whole_checkpoint(tmp_path, capfd, caplog, shown):
    whole = stage(RunFolder(tmp_path))
    (tmp_path / "checkpoints" / "model" / "60" / "default" / "_METADATA").unlink()
    capfd.readouterr()
    again = stage(RunFolder(tmp_path))
    assert "model: the checkpoint of step 60 is damaged" in caplog.text
    assert "model: continues at update 30 of 60" in capfd.readouterr().err
    np.testing.assert_array_equal(again.params, whole.params)
    assert Checkpoints(tmp_path / "checkpoints" / "model").latest() == 60


def test_a_broken_configuration_of_a_run_is_named(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.json").write_text("")
    with pytest.raises(ValueError, match=r"config\.json is not valid JSON"):
        RunFolder(tmp_path).begin(NoSettings(), 0)


@pytest.mark.parametrize("content", [b"\x00\xff\xfe", b"stage,step,name,value\nmodel,many,loss,1\n"])
def test_a_broken_table_of_metrics_is_named(tmp_path, content):
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"metrics\.csv cannot be continued"):
        stage(RunFolder(tmp_path))
