"""Pulses under errors: the robust Inverter beside pulses made for no error, for the mean over errors, and DRAG."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.pulse_measures import load, over_gates, place, problem_of
from benchmarks.pulse_race import methods
from invlearn_jax.keys import from_seed
from invlearn_jax.methods.saved import load_task
from invlearn_jax.tasks.gates.fidelity import infidelity
from invlearn_jax.tasks.gates.gates import haar_gates
from invlearn_jax.tasks.gates.grape import drag_pulse, grape
from invlearn_jax.tasks.gates.objective import error_grid, infidelities
from invlearn_jax.tasks.gates.planner import pulse_planner
from invlearn_jax.tasks.gates.propagators import propagate
from invlearn_jax.tasks.gates.systems import MHZ, PulseSystem

NAME = "pulse-qubit-robust"
_GRID = (11, 7)  # of detuning and amplitude; training has fewer
_DRAWN = 300  # gates whose own values are kept for the picture
_CHUNK = 128


def robust_record(folder: str, seed: int, count: int, mean_steps: int) -> dict[str, Any]:
    """Nominal and worst infidelities of all ways to make ``count`` gates.

    Args:
        folder: of the planners; empty for the shipped ones.
        seed: of the gates.
        count: how many.
        mean_steps: L-BFGS steps of GRAPE on the mean over errors.

    Returns:
        ``methods``: for each the nominal, the mean and the worst infidelity over the errors (median, mean, maximum over gates)
        and the first gates' own values; ``beats``: on which share of the gates the robust Inverter's worst case is smaller.
    """
    task = load_task(place(folder, NAME))
    bears = task.settings
    planner, params = load(folder, NAME)
    system = planner.inverter.system
    gates = haar_gates(from_seed(seed), count, 2)
    errors = error_grid(bears.detuning_error * MHZ, bears.amplitude_error, _GRID)
    refined = load(folder, NAME, refine_steps=10)[0]
    newton = methods(system)["newton"]
    # The best of three starts to rounding: what an optimiser without errors in mind gives.
    nominal = pulse_planner(newton.inverter, None, newton.refiner, newton.steps, 3)
    mean = grape(system, 1, mean_steps, 0.5, task.objective.cost)
    ways = {
        "inverter": lambda key, gate: (planner.plan(params, key, problem_of(gate)).actions, gate),
        "refined": lambda key, gate: (refined.plan(params, key, problem_of(gate)).actions, gate),
        "grape_nominal": lambda key, gate: (nominal.plan(nominal.init(key), key, problem_of(gate)).actions, gate),
        "grape_mean": lambda key, gate: (mean.plan(mean.init(key), key, problem_of(gate)).actions, gate),
        "drag": lambda key, gate: _drag(system, gate),
    }
    found = {}
    for name, way in ways.items():
        found[name] = over_gates(_under(system, errors, way), gates, _CHUNK)
    worst = {name: value[2] for name, value in found.items()}
    return {
        "gates": count,
        "seed": seed,
        "detuning_mhz": bears.detuning_error,
        "amplitude": bears.amplitude_error,
        "grid": list(_GRID),
        "gate_time_us": system.gate_time,
        "limit_mhz": system.limit / MHZ,
        "refine_steps": 10,
        "grape_mean_steps": mean_steps,
        "methods": {name: _summary(*value) for name, value in found.items()},
        "beats": {name: float((worst["inverter"] < worst[name]).mean()) for name in worst if name != "inverter"},
        "refined_beats": {name: float((worst["refined"] < worst[name]).mean()) for name in worst if name != "refined"},
    }


def _drag(system: PulseSystem, gate: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A DRAG pulse, and the gate that is left to it: the last rotation about z is a change of frame and bears no error."""
    slices, angle = drag_pulse(system, gate)
    frame = jnp.exp(0.5j * angle * jnp.array([1.0, -1.0]))
    return slices, frame[:, None] * gate


def _under(system: PulseSystem, errors: Any, way: Any) -> Any:
    def function(key: jax.Array, gate: jax.Array) -> tuple:
        slices, wanted = way(key, gate)
        under = infidelities(system, slices, wanted, errors)
        return infidelity(system, propagate(system, slices), wanted), under.mean(), under.max()

    return function


def _summary(nominal: np.ndarray, mean: np.ndarray, worst: np.ndarray) -> dict[str, Any]:
    record: dict[str, Any] = {
        name: {"median": float(np.median(v)), "mean": float(v.mean()), "max": float(v.max())}
        for name, v in (("nominal", nominal), ("mean_over_errors", mean), ("worst", worst))
    }
    record["points"] = [
        [float(f"{v:.3g}") for v in pair] for pair in zip(nominal[:_DRAWN], worst[:_DRAWN], strict=True)
    ]
    return record
