"""Settings without a meaning are refused, of every task and method."""

import copy
import dataclasses
import math
import typing

import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags

from invlearn_jax.methods.fitting import method_settings
from invlearn_jax.methods.registry import method_entries
from invlearn_jax.methods.saved import load_planner
from invlearn_jax.settings import bounded, check_settings
from invlearn_jax.tasks.registry import make_task


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
        ("size", 10**400, "size is 10{79}; give a finite number"),
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
# Tasks that differ in numbers alone have settings of one kind.
TASKS = ["maze2d-umaze-v1", "antmaze-umaze-v2", "ant-walk", "gate-qubit", "gate-qubit-robust"]
METHODS = sorted(method_entries())


def all_settings():
    """Settings that the command line can set, by name: a function that makes them."""
    for task in TASKS:
        if make_task(task).settings is not None:
            yield f"{task}, its own", lambda task=task: make_task(task).settings
        for method in METHODS:
            yield f"{task}, {method}", lambda task=task, method=method: method_settings(make_task(task), method)


MADE = dict(all_settings())


@pytest.mark.parametrize("name", MADE)
def test_every_number_has_a_range_and_defaults_keep_it(name):
    given = MADE[name]()
    check_settings(given)
    found = list(numbers(given))
    assert {field.name for _, field, _ in found if not field.metadata} <= WITHOUT_RANGE
    for field, _, kind in found:
        bad = (math.nan,) if kind is not float and kind is not int else math.nan
        with pytest.raises(ValueError, match=f"^{field} is "):
            check_settings(changed(copy.deepcopy(given), field, bad))


FAULTS = {
    "model.batch": "0",
    "model.horizon": "0",
    "model.steps": "-1",
    "block": "0",
    "checkpoint_every": "0",
    "model.chunk": "-1",
    "net.hidden": "(0,)",
    "model.hidden": "(0,)",
    "tail.hidden": "(0,)",
    "tail.bin_size": "0",
    "model.learning_rate": "nan",
}


@pytest.mark.parametrize(("name", "text"), [*FAULTS.items(), ("checkpoint_every", "300")])
def test_settings_from_flags_are_checked(name, text):
    own = flags.FlagValues()
    line, config = ["program", f"--config.{name}={text}"], MADE["maze2d-umaze-v1, inverter"]()
    holder = config_flags.DEFINE_config_dataclass("config", config, flag_values=own, sys_argv=line)
    own(line)
    with pytest.raises(ValueError, match=rf"^{name} is .*; give "):
        check_settings(holder.value)


def test_inference_settings_are_checked_too():
    with pytest.raises(ValueError, match="temperature is nan"):
        load_planner("maze2d-umaze-v1-decision-diffuser", temperature=math.nan)
