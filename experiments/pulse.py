"""A gate's pulse: prints its fidelity, draws it, writes it.

    python -m experiments.pulse --gate=hadamard
    python -m experiments.pulse --gate=axis_angle --axis=1,1,0 --angle=0.7 --refine_steps=3 --output=pulses
    python -m experiments.pulse --gate=cnot --planner=pulse-two-qubit

Writes ``NAME.json``, ``NAME.csv`` and ``NAME.png`` to the output folder: the pulse, and its picture with the Bloch vector's path
(of two qubits, the populations).
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

from invlearn_jax.files import replace_files
from invlearn_jax.io.command import run_program
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.io.planners import load_planner
from invlearn_jax.planners import InversePlanner
from invlearn_jax.report.figures import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, canvas, encode, style
from invlearn_jax.tasks.gates.fidelity import leakage
from invlearn_jax.tasks.gates.gates import GATES, axis_angle, bloch_vector, named_gate
from invlearn_jax.tasks.gates.planner import PulseModel, gate_problem
from invlearn_jax.tasks.gates.propagators import propagation
from invlearn_jax.tasks.gates.pulse_files import control_names, save_pulse
from invlearn_jax.tasks.gates.systems import MHZ, PulseSystem
from invlearn_jax.tasks.gates.waveform import occupied_bandwidth
from invlearn_jax.types import PlanOutput, Result

_GATE = flags.DEFINE_string("gate", "hadamard", f"{', '.join(GATES)}, or axis_angle.")
_AXIS = flags.DEFINE_list("axis", ["0", "0", "1"], "The axis of axis_angle: three numbers, x, y, z.")
_ANGLE = flags.DEFINE_float("angle", 0.0, "The angle of axis_angle, rad.")
_PLANNER = flags.DEFINE_string("planner", "", "A shipped name or a folder; by default the one for the gate's size.")
_REFINE = flags.DEFINE_integer("refine_steps", 3, "K; 0 is one forward pass.")
_OUTPUT = flags.DEFINE_string("output", "pulses", "The folder to write to.")

_FINER = 8
_BY_SIZE = {2: "pulse-qubit", 4: "pulse-two-qubit"}


def main(argv: list[str]) -> None:
    """Plans, prints, draws, writes."""
    use_compile_cache()
    jax.config.update("jax_enable_x64", True)
    gate = _asked()
    name = _PLANNER.value or _BY_SIZE[len(gate)]
    planner, params = load_planner(name, refine_steps=_REFINE.value)
    if not (isinstance(planner, InversePlanner) and isinstance(planner.model, PulseModel)):
        raise ValueError(f"{name} plans no pulses; the shipped ones that do are those whose names begin with pulse-.")
    system = planner.model.system
    plan = jax.jit(planner.plan)(params, jax.random.key(0), gate_problem(system, gate))
    slices = np.asarray(plan.actions)
    band = occupied_bandwidth(slices, system.dt)
    lost = f", leakage {float(leakage(system, plan.states[-1])):.2g}" if system.dimension > len(gate) else ""
    print(
        f"{_GATE.value} on {system.name}, {1e3 * system.gate_time:g} ns, K = {_REFINE.value}: 1 - F = {float(plan.cost):.3g} "
        f"(one pass {float(plan.proposal_cost):.3g}){lost}; greatest amplitude {_amplitudes(slices).max() / MHZ:.3g} of "
        f"{system.limit / MHZ:.3g} MHz, bandwidth {band:.3g} of {system.bandwidth:.3g} MHz. {Result(int(plan.result)).describe()}"
    )
    folder = Path(_OUTPUT.value)
    about = {"gate": _GATE.value, "planner": name, "refine_steps": _REFINE.value, "infidelity": float(plan.cost)}
    for suffix in (".json", ".csv"):
        save_pulse(folder / f"{_GATE.value}{suffix}", system, slices, **about)
    replace_files({folder / f"{_GATE.value}.png": draw(system, plan, _GATE.value)})
    print(f"Written to {folder}: {_GATE.value}.json, .csv, .png")


def _asked() -> np.ndarray:
    if _GATE.value != "axis_angle":
        return named_gate(_GATE.value)
    try:
        return axis_angle(tuple(map(float, _AXIS.value)), _ANGLE.value)
    except ValueError as error:
        raise ValueError(
            f"--axis was given {','.join(_AXIS.value)}; give three numbers such as 1,0,0 ({error})."
        ) from error


def _amplitudes(slices: np.ndarray) -> np.ndarray:
    """``[N, drives]``."""
    return np.hypot(slices[:, ::2], slices[:, 1::2])


def draw(system: PulseSystem, plan: PlanOutput, title: str) -> bytes:
    """The controls over time, and what they do to the state, as PNG."""
    slices = np.asarray(plan.actions)
    # The path between the slices' edges too.
    finer = system._replace(sections=tuple((_FINER * n, knots) for n, knots in system.sections))
    unitaries = np.asarray(propagation(finer, np.repeat(slices, _FINER, axis=0)))
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


def _draw_bloch(axes: Any, unitaries: np.ndarray) -> None:
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 25), np.linspace(0, np.pi, 13))
    axes.plot_wireframe(np.cos(u) * np.sin(v), np.sin(u) * np.sin(v), np.cos(v), color=GREY, linewidth=0.3, alpha=0.5)
    zeros = np.zeros(unitaries.shape[-1], complex)
    for label, amplitudes, color in (("from |0>", (1, 0), BLUE), ("from |0> + |1>", (0.5**0.5, 0.5**0.5), ORANGE)):
        state = zeros.copy()
        state[:2] = amplitudes
        path = np.asarray(bloch_vector(unitaries @ state))
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


if __name__ == "__main__":
    run_program(main)
