"""A gate's pulse: prints its fidelity, draws it, writes it.

    python -m experiments.pulse --gate=hadamard
    python -m experiments.pulse --gate=axis_angle --axis=1,1,0 --angle=0.7 --refine_steps=3 --output=pulses
    python -m experiments.pulse --gate=cnot --planner=pulse-two-qubit

Writes ``NAME.json``, ``NAME.csv`` and ``NAME.png`` to the output folder: the pulse, and its picture with the Bloch vector's path
(of two qubits, the populations).
"""

from pathlib import Path

import jax
import numpy as np
from absl import flags

from invlearn_jax.files import replace_files
from invlearn_jax.io.command import run_program
from invlearn_jax.methods.saved import load_planner
from invlearn_jax.planners import InversePlanner
from invlearn_jax.tasks.gates.drawing import draw_pulse
from invlearn_jax.tasks.gates.fidelity import leakage
from invlearn_jax.tasks.gates.gates import GATES, axis_angle, named_gate
from invlearn_jax.tasks.gates.planner import PulseModel, gate_problem
from invlearn_jax.tasks.gates.pulse_files import save_pulse
from invlearn_jax.tasks.gates.systems import MHZ
from invlearn_jax.tasks.gates.waveform import occupied_bandwidth
from invlearn_jax.types import Result

_GATE = flags.DEFINE_string("gate", "hadamard", f"{', '.join(GATES)}, or axis_angle.")
_AXIS = flags.DEFINE_list("axis", ["0", "0", "1"], "The axis of axis_angle: three numbers, x, y, z.")
_ANGLE = flags.DEFINE_float("angle", 0.0, "The angle of axis_angle, rad.")
_PLANNER = flags.DEFINE_string("planner", "", "A shipped name or a folder; by default the one for the gate's size.")
_REFINE = flags.DEFINE_integer("refine_steps", 3, "K; 0 is one forward pass.")
_OUTPUT = flags.DEFINE_string("output", "pulses", "The folder to write to.")

_BY_SIZE = {2: "pulse-qubit", 4: "pulse-two-qubit"}


def main(argv: list[str]) -> None:
    """Plans in double precision, prints, draws, writes."""
    with jax.enable_x64(True):
        _make(_GATE.value, _target(), _REFINE.value)


def _make(title: str, gate: np.ndarray, refine_steps: int) -> None:
    name = _PLANNER.value or _BY_SIZE[len(gate)]
    planner, params = load_planner(name, refine_steps=refine_steps)
    if not (isinstance(planner, InversePlanner) and isinstance(planner.model, PulseModel)):
        raise ValueError(f"{name} plans no pulses; the shipped ones that do are those whose names begin with pulse-.")
    system = planner.model.system
    plan = jax.jit(planner.plan)(params, jax.random.key(0), gate_problem(system, gate))
    slices = np.asarray(plan.actions)
    band = occupied_bandwidth(slices, system.dt)
    lost = f", leakage {float(leakage(system, plan.states[-1])):.2g}" if system.dimension > len(gate) else ""
    greatest = np.hypot(slices[:, ::2], slices[:, 1::2]).max()
    print(
        f"{title} on {system.name}, {1e3 * system.gate_time:g} ns, K = {refine_steps}: 1 - F = {float(plan.cost):.3g} "
        f"(one pass {float(plan.proposal_cost):.3g}){lost}; greatest amplitude {greatest / MHZ:.3g} of "
        f"{system.limit / MHZ:.3g} MHz, bandwidth {band:.3g} of {system.bandwidth:.3g} MHz. {Result(int(plan.result)).describe()}"
    )
    folder = Path(_OUTPUT.value)
    about = {"gate": title, "planner": name, "refine_steps": refine_steps, "infidelity": float(plan.cost)}
    for suffix in (".json", ".csv"):
        save_pulse(folder / f"{title}{suffix}", system, slices, **about)
    replace_files({folder / f"{title}.png": draw_pulse(system, plan, title)})
    print(f"Written to {folder}: {title}.json, .csv, .png")


def _target() -> np.ndarray:
    if _GATE.value != "axis_angle":
        return named_gate(_GATE.value)
    try:
        return axis_angle(tuple(map(float, _AXIS.value)), _ANGLE.value)
    except ValueError as error:
        raise ValueError(
            f"--axis was given {','.join(_AXIS.value)}; give three numbers such as 1,0,0 ({error})."
        ) from error


if __name__ == "__main__":
    run_program(main)
