"""Pulses for quantum gates: systems, propagators, the Pulse Inverter and its planner."""

from functools import partial

from invlearn_jax.tasks.gates.settings import TASKS
from invlearn_jax.tasks.gates.task import GateTask
from invlearn_jax.tasks.registry import TaskEntry


def tasks() -> dict[str, TaskEntry]:
    """The world's tasks by name."""
    return {name: TaskEntry(partial(GateTask, name), entry.summary) for name, entry in TASKS.items()}
