"""Drawing pulses: the controls over time, and what they do to the state."""

import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy

from invlearn_jax.report.figures import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, canvas, encode, style
from invlearn_jax.tasks.gates.gates import bloch_vector
from invlearn_jax.tasks.gates.pulse_files import control_names
from invlearn_jax.tasks.gates.systems import MHZ, PulseSystem
from invlearn_jax.types import PlanOutput

_FINER = 8  # points within a slice


def draw_pulse(system: PulseSystem, plan: PlanOutput, title: str) -> bytes:
    """The controls over time, and what they do to the state, as PNG."""
    slices = np.asarray(plan.actions)
    unitaries = _path(system, slices)
    times = 1e3 * np.linspace(0.0, system.gate_time, system.slices + 1)
    with style():
        figure, axes = canvas(1, 2, 9.5, 4.0)
        left = axes[0, 0]
        for values, name, color in zip(slices.T, control_names(system), (BLUE, ORANGE, GREEN, PURPLE), strict=False):
            left.stairs(
                values / MHZ,
                times,
                color=color,
                linewidth=1.5,
                baseline=None,
                label=name.replace("drive", "drive ").replace("_", " "),
            )
        left.axhline(system.limit / MHZ, color=GREY, linewidth=0.8, linestyle="--")
        left.axhline(-system.limit / MHZ, color=GREY, linewidth=0.8, linestyle="--", label="limit")
        left.set(xlabel="time, ns", ylabel="Rabi frequency, MHz", title=f"{title}: 1 - F = {float(plan.cost):.1e}")
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=5)
        if system.gate_dimension == 2:
            axes[0, 1].remove()
            _draw_bloch(figure.add_subplot(1, 2, 2, projection="3d"), unitaries)
        else:
            right = axes[0, 1]
            _draw_populations(right, np.linspace(0.0, times[-1], len(unitaries)), unitaries)
            figure.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=4)
        return encode(figure)[0]


def _path(system: PulseSystem, slices: np.ndarray) -> np.ndarray:
    """``[_FINER N + 1, D, D]``: the unitary from the beginning to the slices' edges and to places between."""
    hamiltonian = system.drift + np.einsum("nc,cij->nij", slices, system.controls)
    steps = np.repeat(scipy.linalg.expm(-1j * system.dt / _FINER * hamiltonian), _FINER, axis=0)
    begin = np.eye(system.dimension, dtype=complex)
    return np.stack(list(itertools.accumulate(steps, lambda path, step: step @ path, initial=begin)))


def _draw_bloch(axes: Any, unitaries: np.ndarray) -> None:
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 25), np.linspace(0, np.pi, 13))
    axes.plot_wireframe(np.cos(u) * np.sin(v), np.sin(u) * np.sin(v), np.cos(v), color=GREY, linewidth=0.3, alpha=0.5)
    zeros = np.zeros(unitaries.shape[-1], complex)
    for label, amplitudes, color in (("from |0>", (1, 0), BLUE), ("from |0> + |1>", (0.5**0.5, 0.5**0.5), ORANGE)):
        state = zeros.copy()
        state[:2] = amplitudes
        path = np.asarray(bloch_vector(jnp.asarray(unitaries @ state)))
        axes.plot(*path.T, color=color, linewidth=1.8, label=label)
        axes.scatter(*path[-1], color=color, s=36, depthshade=False)
    for text, at in (("|0>", (0, 0, 1.15)), ("|1>", (0, 0, -1.3)), ("x", (1.2, 0, 0)), ("y", (0, 1.2, 0))):
        axes.text(*at, text, color=INK, fontsize=9, ha="center")
    axes.set_box_aspect((1, 1, 1), zoom=1.25)
    axes.set(title="Bloch vectors, the dot at the end")
    axes.set_axis_off()
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, -0.08), ncols=2)


def _draw_populations(axes: Any, times: np.ndarray, unitaries: np.ndarray) -> None:
    for level, (name, color) in enumerate(zip(("00", "01", "10", "11"), (BLUE, ORANGE, GREEN, PURPLE), strict=True)):
        axes.plot(times, np.abs(unitaries[:, level, 2]) ** 2, color=color, label=f"|{name}>")
    axes.set(xlabel="time, ns", ylabel="population", title="Populations, from |10>", ylim=(-0.03, 1.03))
