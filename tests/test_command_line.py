"""Fitting from the shell: a user's task and method by their file, flags that are refused, and the list of names."""

import inspect
import json
import re

import pytest
from helpers import run_python
from test_fit import NO_CORRECTION, RECORD, Cart, Rest

import invlearn_jax as il
from experiments import run as experiments_run
from experiments.run import carry_out
from invlearn_jax.methods import inverter
from invlearn_jax.methods import registry as methods
from invlearn_jax.methods.registry import method_entries
from invlearn_jax.settings import with_settings
from invlearn_jax.tasks import registry as tasks
from invlearn_jax.tasks.registry import task_entries

USER = """
import dataclasses
import jax
import jax.numpy as jnp
import numpy as np
import invlearn_jax as il
from invlearn_jax.settings import with_settings

@dataclasses.dataclass
class Own:
    gain: float = 2.0

class Slow(Cart):
    settings = Own()

    def configure(self, method, settings):
        return with_settings(settings, NO_CORRECTION) if method == "inverter" else settings

    def cost(self, state, action, goal):
        return {"reach": self.settings.gain * jnp.sum((state[:1] - goal) ** 2)}

class Constant:
    def __init__(self, task): self.horizon, self.execute_steps, self.size = task.horizon, 2, task.action_size
    def init(self, key): return {"level": jnp.zeros(())}
    def plan(self, params, key, problem):
        zero, states = jnp.zeros(()), jnp.repeat(jnp.asarray(problem.state)[None], self.horizon + 1, 0)
        actions = jnp.full((self.horizon, self.size), params["level"])
        return il.PlanOutput(actions, states, zero, {}, zero, jnp.zeros(0), jnp.int32(0))

class Method:
    @dataclasses.dataclass
    class Settings:
        level: float = 0.5

    def fit(self, task, settings, run, key): return self.build(task, settings), {"level": jnp.float32(settings.level)}
    def build(self, task, settings, refine_steps=0, candidates=None, refiner=None, execute_steps=None):
        return Constant(task)

il.register_method("constant", Method(), "the same action always")
il.register_task("slow", Slow, "a slow cart")
"""


@pytest.fixture
def users_file(tmp_path, monkeypatch):
    """A user's file, whose registrations last as long as the test."""
    monkeypatch.setattr(methods, "_METHODS", {})
    monkeypatch.setattr(tasks, "_TASKS", {})
    own, cart, settings = USER.partition("@dataclasses"), inspect.getsource(Cart), f"NO_CORRECTION = {NO_CORRECTION!r}"
    (tmp_path / "mine.py").write_text(f"{own[0]}{settings}\n{cart}\n{own[1]}{own[2]}")
    return tmp_path / "mine.py"


def program(name, *arguments):
    return run_python("-m", f"experiments.{name}", *arguments)


def test_a_users_task_and_method_from_the_shell(users_file, tmp_path):
    task = f"--task={users_file}:Slow"
    workdir = f"--workdir={tmp_path / 'run'}"
    own = ("--method=constant", "--config.level=0.25", "--task_config.gain=3", "--episodes=2", "--refine_steps=0")
    done = program("run", task, workdir, *own)
    assert done.returncode == 0, done.stderr
    (record,) = json.loads((tmp_path / "run" / "eval.json").read_text())
    assert set(record) >= RECORD
    assert "Slow K=0: cost" in done.stdout
    fields = json.loads((tmp_path / "run" / "planner" / "planner.json").read_text())
    assert (fields["task"], fields["method"]) == ("../../mine.py:Slow", "constant")
    assert (fields["settings"], fields["task_settings"]) == ({"level": 0.25}, {"gain": 3.0})
    out = f"--output={tmp_path / 'f.json'}"
    planner = f"--planner={tmp_path / 'run' / 'planner'}"
    again = program("evaluate", planner, out, "--episodes=2", "--seed=10000")
    assert again.returncode == 0, again.stderr
    same_cost = json.loads((tmp_path / "f.json").read_text())["cost_mean"]
    assert same_cost == pytest.approx(record["cost_mean"], rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--task={file}:Slov",), "Unknown task class in .* 'Slov'. Nearest known: Slow"),
        (("--task=slo",), "Unknown task .* 'slo'"),
        (("--task={file}:Slow", "--method=constent"), "Unknown method 'constent'. Nearest known: constant"),
        (("--task={file}:Slow", "--config.model.stepz=3"), "Unknown config field 'model.stepz'"),
        (("--method=inverter",), "Give --task=NAME or FILE.py:CLASS"),
    ],
)
def test_the_command_line_is_refused_with_a_sentence(users_file, tmp_path, monkeypatch, arguments, message):
    arguments = [argument.format(file=users_file) for argument in arguments]
    monkeypatch.setattr("sys.argv", ["run", *arguments, f"--workdir={tmp_path / 'run'}"])
    with pytest.raises(SystemExit, match=f"error: {message}"):
        experiments_run.cli()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"episodes": 1}, "--episodes is 1; give at least 2"), ({"workdir": ""}, "--workdir. is empty")],
)
def test_wrong_flags_are_refused_before_training(tmp_path, changes, message):
    settings = with_settings(inverter.Settings(), NO_CORRECTION)
    with pytest.raises(ValueError, match=message):
        carry_out(Cart(), "inverter", settings, **{"workdir": str(tmp_path / "run")} | changes)
    assert not (tmp_path / "run").exists()


def test_numbers_of_refinement_steps_are_whole():
    assert experiments_run.whole_numbers(["10", "0", "10"]) == [0, 10]
    with pytest.raises(ValueError, match="--refine_steps is 0,many; give whole numbers"):
        experiments_run.whole_numbers(["0", "many"])


def test_a_run_of_other_settings_is_left_as_it_was(tmp_path):
    il.fit(Rest(), workdir=tmp_path, settings=NO_CORRECTION)
    before = (tmp_path / "status.json").read_text()
    with pytest.raises(ValueError, match="holds a run with other settings"):
        carry_out(Cart(), "inverter", with_settings(inverter.Settings(), NO_CORRECTION), str(tmp_path))
    assert (tmp_path / "status.json").read_text() == before


def test_the_list_has_a_line_for_each(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["run", "--list"])
    experiments_run.cli()
    printed = capsys.readouterr().out
    for name in (*task_entries(), *method_entries()):
        assert re.search(rf"^  {name} +\S", printed, re.MULTILINE), name
    assert re.search(r"^  inverter .* two cores\)$", printed, re.MULTILINE)
