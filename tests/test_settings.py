"""Settings without a meaning are refused, of every method and world, before anything is written."""

import dataclasses
import math
import typing

import numpy as np
import pytest
from absl import flags
from helpers import run_python
from ml_collections import config_flags

from invlearn_jax.methods import inverter_settings
from invlearn_jax.methods.registry import find_method, method_names
from invlearn_jax.methods.saved import load_planner
from invlearn_jax.settings import bounded, check_settings
from invlearn_jax.tasks.antmaze import maze as antmaze
from invlearn_jax.tasks.antmaze import walk
from invlearn_jax.tasks.gates.method import Settings as GateMethodSettings
from invlearn_jax.tasks.gates.settings import GateSettings
from invlearn_jax.tasks.maze2d import task as maze2d


@dataclasses.dataclass
class Inner:
    """A part."""

    widths: tuple[int, ...] = bounded((4, 4), low=1)
    levels: tuple[int, ...] = bounded((0, 1), low=0, empty=True)
    rates: tuple[float, ...] = ()


@dataclasses.dataclass
class Outer:
    """The whole."""

    name: str = "a"
    flag: bool = False
    count: int = bounded(3, low=1, high=5)
    share: float = bounded(0.5, low=0, below=1)
    size: float = bounded(1.0, above=0)
    free: float = -2.0
    block: int = bounded(2, low=1)
    every: int = bounded(4, low=1, multiple_of="block")
    inner: Inner = dataclasses.field(default_factory=Inner)


def changed(config, name, value):
    """The configuration with the field of a dotted name set."""
    *parts, last = name.split(".")
    part = config
    for each in parts:
        part = getattr(part, each)
    setattr(part, last, value)
    return config


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("count", 0, r"count is 0; give a whole number, at least 1 and at most 5\."),
        ("count", 6, "count is 6; give a whole number, at least 1 and at most 5"),
        ("count", 2.0, "count is 2.0; give a whole number"),
        ("count", True, "count is True; give a whole number"),
        ("count", "3", "count is '3'; give a whole number"),
        ("count", None, "count is None; give a whole number"),
        ("share", 1.0, "share is 1.0; give a finite number, at least 0 and less than 1"),
        ("share", -1e-9, "share is -1e-09; give"),
        ("share", False, "share is False; give a finite number"),
        ("size", 0.0, "size is 0.0; give a finite number, more than 0"),
        ("size", math.nan, "size is nan; give a finite number"),
        ("size", math.inf, "size is inf; give a finite number"),
        ("free", math.nan, r"free is nan; give a finite number\."),
        ("free", -math.inf, "free is -inf; give a finite number"),
        ("flag", 1, "flag is 1; give True or False"),
        ("name", 3, "name is 3; give text"),
        ("every", 3, "every is 3; give a multiple of block, which is 2"),
        ("inner.widths", (4, 0), r"inner.widths is \(4, 0\); give one or more whole numbers, each at least 1"),
        ("inner.widths", (), r"inner.widths is \(\); give one or more whole numbers"),
        ("inner.widths", 4, "inner.widths is 4; give one or more whole numbers"),
        ("inner.widths", (4.0,), r"inner.widths is \(4.0,\); give one or more whole numbers"),
        ("inner.levels", (-1,), r"inner.levels is \(-1,\); give whole numbers, each at least 0"),
        ("inner.rates", (math.nan,), r"inner.rates is \(nan,\); give finite numbers"),
        ("inner", 3, "inner is 3; give a Inner"),
    ],
)
def test_values_without_a_meaning_are_refused_by_name(name, value, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        check_settings(changed(Outer(), name, value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", 1),
        ("count", 5),
        ("share", 0),
        ("share", np.float64(0.25)),
        ("size", 1e-30),
        ("free", 7),
        ("every", 6),
        ("inner.widths", [3]),
        ("inner.levels", ()),
        ("inner.rates", (1, -2.5)),
    ],
)
def test_values_on_the_bounds_are_taken(name, value):
    check_settings(changed(Outer(), name, value))


def numbers(config, prefix=""):
    """Every number and tuple of numbers in a configuration: its dotted name, its dataclass's field, its type."""
    kinds = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        kind, value = kinds[field.name], getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from numbers(value, f"{prefix}{field.name}.")
        elif kind not in (str, bool):
            yield prefix + field.name, field, kind


WITHOUT_RANGE = {"target_return", "drift"}


METHODS = [find_method(name).Settings for name in method_names()]
WORLDS = [maze2d.Settings, antmaze.MazeSettings, walk.DataSettings, GateSettings, GateMethodSettings]


@pytest.mark.parametrize("config", [*METHODS, *WORLDS], ids=lambda config: f"{config.__module__}.{config.__name__}")
def test_every_number_has_a_range_and_defaults_keep_it(config):
    given = config()
    check_settings(given)
    bare = {field.name for _, field, _ in numbers(given) if not field.metadata}
    assert bare <= WITHOUT_RANGE
    for name, _, kind in numbers(given):
        bad = (math.nan,) if kind is not float and kind is not int else math.nan
        with pytest.raises(ValueError, match=f"^{name} is "):
            check_settings(changed(config(), name, bad))


FAULTS = {
    "model.batch": "0",
    "model.horizon": "0",
    "block": "0",
    "checkpoint_every": "0",
    "net.hidden": "(0,)",
    "model.hidden": "(0,)",
    "tail.bin_size": "0",
    "model.learning_rate": "nan",
    "data.held_out": "inf",
}


@pytest.mark.parametrize(("name", "text"), [*FAULTS.items(), ("checkpoint_every", "300")])
def test_settings_from_flags_are_checked(name, text):
    own = flags.FlagValues()
    line, config = ["program", f"--config.{name}={text}"], inverter_settings.Settings()
    holder = config_flags.DEFINE_config_dataclass("config", config, flag_values=own, sys_argv=line)
    own(line)
    with pytest.raises(ValueError, match=rf"^{name} is .*; give "):
        check_settings(holder.value)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--config.tail.bin_size=0", "tail.bin_size is 0.0; give a finite number, more than 0."),
        ("--task_config.goal_radius=0", "goal_radius is 0.0; give a finite number, more than 0."),
    ],
)
def test_a_run_with_such_settings_writes_nothing(tmp_path, argument, words):
    done = run_python(
        "-m", "experiments.run", "--task=maze2d-umaze-v1", f"--workdir={tmp_path / 'run'}", argument
    )  # fmt: skip
    assert done.returncode != 0
    assert f"error: {words}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_inference_settings_are_checked_too():
    with pytest.raises(ValueError, match="temperature is nan"):
        load_planner("maze2d-umaze-v1-decision-diffuser", temperature=math.nan)
