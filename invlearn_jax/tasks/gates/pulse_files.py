"""Pulses on disk, as JSON or CSV, and in the form that QuTiP's solvers take."""

import csv
import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from invlearn_jax.files import write_json, write_text
from invlearn_jax.tasks.gates.systems import PulseSystem

SUFFIXES = (".json", ".csv")


def control_names(system: PulseSystem) -> list[str]:
    """``drive1_x, drive1_y, ...``: the system's controls in their order."""
    return [f"drive{c // 2 + 1}_{'xy'[c % 2]}" for c in range(len(system.controls))]


def save_pulse(path: str | os.PathLike, system: PulseSystem, slices: np.ndarray, **about: Any) -> None:
    """Writes a pulse, by the path's ending: JSON, or CSV with one row per slice.

    Args:
        path: ``*.json`` or ``*.csv``.
        system: that it drives.
        slices: ``[N, C]`` amplitudes, rad/us, each constant for ``gate_time / N``.
        **about: anything else to keep beside it in JSON, such as the gate's name.

    Raises:
        ValueError: for another ending, another shape, or amplitudes that are not finite.
        OSError: if the file cannot be written.
    """
    slices = np.asarray(slices, float)
    shape = (system.slices, len(system.controls))
    if slices.shape != shape or not np.isfinite(slices).all():
        raise ValueError(f"The pulse has shape {slices.shape}; {system.name} takes {shape}, all of it finite.")
    if Path(path).suffix not in SUFFIXES:
        raise ValueError(f"{path} does not end in {' or '.join(SUFFIXES)}; give such a name.")
    begins, names = np.arange(system.slices) * system.dt, control_names(system)
    if Path(path).suffix == ".json":
        amplitudes = {name: values.tolist() for name, values in zip(names, slices.T, strict=True)}
        times = {"gate_time_us": system.gate_time, "slice_us": system.dt, "slice_begins_us": begins.tolist()}
        limit = {"limit_rad_per_us": system.limit}
        write_json(path, {"system": system.name, **about, **times, **limit, "amplitude_rad_per_us": amplitudes})
        return
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["begin_us", *(f"{name}_rad_per_us" for name in names)])
    writer.writerows(np.column_stack([begins, slices]).tolist())
    write_text(path, table.getvalue())


def qutip_evolution(system: PulseSystem, slices: np.ndarray) -> tuple[Any, np.ndarray]:
    """A pulse for QuTiP: ``qutip.sesolve(hamiltonian, state, times)``.

    Args:
        system: that it drives.
        slices: ``[N, C]`` rad/us.

    Returns:
        The Hamiltonian as a ``QobjEvo`` of steps, rad/us, and the times ``[N+1]`` of the slices' edges, us.

    Raises:
        ImportError: without QuTiP; names the extra to install.
    """
    try:
        import qutip
    except ImportError as error:
        raise ImportError("This needs QuTiP. Install it with `pip install invlearn_jax[quantum]`.") from error
    times = np.linspace(0.0, system.gate_time, system.slices + 1)
    # Of a step function QuTiP asks for the value at the last edge too.
    values = np.concatenate([slices, slices[-1:]]).astype(float)
    driven = [[qutip.Qobj(control), values[:, c]] for c, control in enumerate(system.controls)]
    return qutip.QobjEvo([qutip.Qobj(system.drift), *driven], tlist=times, order=0), times
