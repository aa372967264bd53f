"""Methods by name. A method is a module (or any object) with ``Settings``, ``fit`` and ``build``, registered here in one line."""

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from invlearn_jax.learn.stages import Run
from invlearn_jax.names import unknown_name
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key, Params, Planner


@runtime_checkable
class Method(Protocol):
    """How a planner is learned.

    Attributes:
        Settings: a dataclass of plain numbers, names and nested such dataclasses; its defaults suit any task.
    """

    Settings: type

    def fit(self, task: Task, settings: Any, run: Run, key: Key) -> tuple[Planner, Params]:
        """Learns a planner. Stages that the run has done already are read from it. The key is consumed."""

    def build(self, task: Task, settings: Any, **inference: Any) -> Planner:
        """The planner alone, for parameters that exist; takes ``refine_steps, candidates, refiner, execute_steps``."""


class NotRefinedError(ValueError):
    """Refinement steps were wanted of a planner whose plans are followed as they are."""


class Shared(NamedTuple):
    """Where parameters are held: the ``planner``, a shipped name or folder, and the ``part`` of its own, such as ``.model``."""

    planner: str
    part: str = ""


@runtime_checkable
class SharesParams(Protocol):
    """What a method may be besides: one whose planners have parts of their parameters in common with another planner."""

    def shared(self, settings: Any) -> Mapping[str, Shared]:
        """For a part of the parameters, such as ``.lower``, where it is held."""


@runtime_checkable
class HasInferenceOptions(Protocol):
    """What a method may be besides: one with settings that may be changed when a planner is loaded.

    Attributes:
        INFERENCE_OPTIONS: their names.
    """

    INFERENCE_OPTIONS: tuple[str, ...]


@runtime_checkable
class ChecksInferenceOptions(HasInferenceOptions, Protocol):
    """One of whose inference options some have no effect under some settings; such an option is refused."""

    def inference_options(self, settings: Any) -> tuple[str, ...]:
        """Those that have an effect."""


class MethodEntry(NamedTuple):
    """One line about a method, and how long it takes with its default settings, where that was measured."""

    summary: str
    duration: str = ""


_MODULES = {
    "inverter": MethodEntry(
        "Inverse Learning: an Inverter trained through a learned forward model, corrected online",
        "two to ten minutes on two cores",
    ),
    "hierarchy": MethodEntry("sub-goals over a learned planner, planned through what it was seen to achieve"),
    "bc": MethodEntry("goal-conditioned behaviour cloning with hindsight goals", "minutes on a core"),
    "rebrac": MethodEntry("ReBRAC: actor and critics with a penalty on leaving the data", "minutes on a core"),
    "dt": MethodEntry("a Decision Transformer: actions given the return that followed"),
    "diffuser": MethodEntry(
        "Diffuser: plans of states and actions that end at the goal, from noise", "a quarter of an hour on a core"
    ),
    "decision-diffuser": MethodEntry(
        "Decision Diffuser: plans of states given the goal, followed by inverse dynamics",
        "a quarter of an hour on a core",
    ),
    "iq-learn": MethodEntry("IQ-Learn: policy and reward from a handful of demonstrations, by one soft Q-function"),
    "sac": MethodEntry(
        "soft actor-critic, or soft Q-learning of choices, on the task's own reward: an expert to imitate"
    ),
    "consistency": MethodEntry("a Decision Diffuser distilled to one step"),
}
_METHODS: dict[str, tuple[Method, MethodEntry]] = {}


def register_method(name: str, method: Method, summary: str = "", duration: str = "") -> None:
    """Adds a method to the registry of this process.

    Args:
        name: how it is called, e.g. on the command line.
        method: a module, or any object, with ``Settings``, ``fit`` and ``build``.
        summary: one line about it.
        duration: how long it takes with its default settings, e.g. ``minutes on two cores``.

    Raises:
        ValueError: if the name is taken.
        TypeError: if it lacks ``Settings``, ``fit`` or ``build``.
    """
    if name in method_entries():
        raise ValueError(f"There is a method {name!r} already. Give another name.")
    missing = [part for part in ("Settings", "fit", "build") if not hasattr(method, part)]
    if missing:
        raise TypeError(f"The method {name!r} has no {missing[0]}. A method is a module with Settings, fit and build.")
    _METHODS[name] = (method, MethodEntry(summary, duration))


def method_entries() -> Mapping[str, MethodEntry]:
    """All registered methods by name."""
    return _MODULES | {name: entry for name, (_, entry) in _METHODS.items()}


def find_method(name: str, task: Task | None = None) -> Method:
    """A method by name; for a task that has its own of that name, that one.

    Raises:
        ValueError: for an unknown name; the nearest known ones are listed.
    """
    own = task.methods() if task is not None else {}
    if name in own:
        return own[name]
    if name in _METHODS:
        return _METHODS[name][0]
    if name not in _MODULES:
        raise unknown_name("method", name, method_entries())
    return importlib.import_module(f"invlearn_jax.methods.{name.replace('-', '_')}")
