"""Other people's environments as tasks: by ``SOURCE:NAME`` on the command line, or as classes to inherit from.

| source | class | name |
|---|---|---|
| costs as users of sampling MPC write them (hydrax) | ``costs.CostTask``, ``costs.cost_task`` | - |
| MuJoCo Playground | ``playground.PlaygroundTask`` | ``playground:CartpoleSwingup`` |
| brax on MJX | ``brax_env.BraxTask`` | ``brax:halfcheetah`` |
| gymnasium on MuJoCo | ``gymnasium_env.GymnasiumTask`` | ``gymnasium:HalfCheetah-v5`` |
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invlearn_jax.tasks.registry import TaskEntry
    from invlearn_jax.tasks.task import Task

_SOURCES = {"playground": "playground", "brax": "brax_env", "gymnasium": "gymnasium_env"}


def tasks() -> "dict[str, TaskEntry]":
    """None by name: a source has its own list."""
    return {}


def parse(name: str) -> "Task | None":
    """The task of ``SOURCE:NAME``, or None where there is no such source.

    Raises:
        ImportError: if the source's library is missing; names the extra to install.
        ValueError: for an unknown name, or an environment that is no task; says why.
    """
    source, colon, rest = name.partition(":")
    if not colon or source not in _SOURCES:
        return None
    return importlib.import_module(f"invlearn_jax.tasks.adapters.{_SOURCES[source]}").make(rest)
