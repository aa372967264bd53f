"""Planners of pulses as the first edition wrote them (``kind`` pulse), as tasks and settings of today."""

from collections.abc import Mapping
from typing import Any

from invlearn_jax.settings import field_names, filled
from invlearn_jax.tasks.gates.task import GateTask

_NAMES = {"qubit": "gate-qubit", "transmon": "gate-transmon", "two_qubit": "gate-two-qubit"}


def convert(
    fields: Mapping[str, Any], arrays: Mapping[str, Any]
) -> tuple[GateTask, str, dict[str, Any], dict[str, Any]]:
    """Task, method, the method's settings and the parameters of a folder; the arrays' names have not changed.

    Raises:
        TypeError: for an unknown field or system.
    """
    system = fields.get("system", "qubit")
    if system not in _NAMES:
        raise TypeError(f"system is {system!r:.80}, none of {', '.join(_NAMES)}")
    robust = fields.get("detuning_error") or fields.get("amplitude_error")
    task = GateTask("gate-qubit-robust" if robust and system == "qubit" else _NAMES[system])
    of_task = field_names(task.settings)
    task.settings = filled(task.settings, {name: fields[name] for name in of_task if name in fields})
    rest = {name: value for name, value in fields.items() if name not in {*of_task, "kind"}}
    return task, "inverter", rest, dict(arrays)
