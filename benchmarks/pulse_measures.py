"""What the benchmarks of pulses share: quality over many gates, checks by another route, times of calls taken in turn."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import expm

from invlearn_jax.keys import stream
from invlearn_jax.methods.saved import load_planner
from invlearn_jax.planners import InversePlanner, PlannerParams
from invlearn_jax.tasks.gates.fidelity import infidelity
from invlearn_jax.tasks.gates.propagators import propagate
from invlearn_jax.tasks.gates.systems import PulseSystem
from invlearn_jax.tasks.gates.waveform import occupied_bandwidth
from invlearn_jax.types import PlanOutput, Problem

Planning = Callable[[jax.Array, jax.Array], PlanOutput]


def place(folder: str, name: str) -> str:
    """``folder/name``, or of a run ``folder/name/planner``; where there is none or no folder, the name of a shipped planner."""
    places = [Path(folder, name), Path(folder, name, "planner")] if folder else []
    return next((str(found) for found in places if (found / "planner.json").is_file()), name)


def load(folder: str, name: str, refine_steps: int = 0) -> tuple[InversePlanner, PlannerParams]:
    """The planner at ``place``.

    Raises:
        ValueError: if there is none.
    """
    return load_planner(place(folder, name), refine_steps)


def problem_of(gate: jax.Array) -> Problem:
    """To make a gate from nothing."""
    return Problem(jnp.eye(gate.shape[-1]), gate)


def keys_for(gates: jax.Array) -> jax.Array:
    """A key for each gate, always the same."""
    return jax.random.split(stream(jax.random.key(0), "planning of gates"), len(gates))


def over_gates(function: Callable, gates: jax.Array, chunk: int) -> Any:
    """``function(key, gate)`` of each gate, ``chunk`` at a time to bound the memory, as NumPy arrays."""
    size = min(chunk, len(gates))  # JAX compiles whole batches even where there are none
    mapped = jax.jit(lambda keys, gates: jax.lax.map(lambda x: function(*x), (keys, gates), batch_size=size))
    return jax.tree.map(np.asarray, mapped(keys_for(gates), gates))


def percentiles(values: np.ndarray) -> dict[str, float]:
    """Median, 99.9th percentile and maximum."""
    return {"median": float(np.median(values)), "p999": float(np.quantile(values, 0.999)), "max": float(np.max(values))}


def exact_infidelity(system: PulseSystem, slices: np.ndarray, gate: np.ndarray) -> float:
    """``1 - |tr(P V' U P)|^2 / d^2`` by SciPy's matrix exponentials, without anything of the library's."""
    unitary = np.eye(system.dimension)
    for row in slices:
        unitary = expm(-1j * system.dt * (system.drift + np.tensordot(row, system.controls, 1))) @ unitary
    inside = unitary[np.ix_(system.levels, system.levels)]
    return 1 - abs(np.trace(gate.conj().T @ inside)) ** 2 / len(gate) ** 2


def planning(planner: InversePlanner, params: PlannerParams) -> Planning:
    """``(key, gate) -> plan``, traced once for each precision of the gate, whatever programs are made of it."""
    return jax.jit(lambda key, gate: planner.plan(params, key, problem_of(gate)))


def pulses_of(plan: Planning, gates: jax.Array, chunk: int) -> tuple[np.ndarray, np.ndarray]:
    """``(slices [n, N, C], costs [n, K + 1])``: the pulses, and the best cost after 0 to K steps."""

    def one(key: jax.Array, gate: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = plan(key, gate)
        return found.actions, jnp.concatenate([found.proposal_cost[None], found.refine_trace])

    return over_gates(one, gates, chunk)


def infidelities_of(system: PulseSystem, slices: np.ndarray, gates: jax.Array, chunk: int = 256) -> np.ndarray:
    """``[n]`` of the pulses themselves, in float64."""
    size = min(chunk, len(gates))
    mapped = jax.jit(
        lambda pulses, gates: jax.lax.map(
            lambda x: infidelity(system, propagate(system, x[0]), x[1]), (pulses, gates), batch_size=size
        )
    )
    return np.asarray(mapped(jnp.asarray(slices), gates))


def checks(system: PulseSystem, slices: np.ndarray, gates: np.ndarray, count: int = 100) -> dict[str, Any]:
    """Pulses against SciPy, and against the system's bounds on bandwidth and amplitude."""
    own = infidelities_of(system, slices[:count], jnp.asarray(gates[:count]))
    other = np.array([exact_infidelity(system, *pair) for pair in zip(slices[:count], gates[:count], strict=True)])
    occupied = max(occupied_bandwidth(pulse, system.dt) for pulse in slices)
    pairs = slices.reshape(len(slices), system.slices, -1, 2)
    return {
        "scipy_gates": len(other),
        "scipy_largest_difference": float(np.abs(own - other).max()),
        "scipy_largest_infidelity": float(other.max()),
        "occupied_bandwidth_mhz": float(occupied),
        "bandwidth_mhz": float(system.bandwidth),
        "amplitude_over_limit": float(np.linalg.norm(pairs, axis=-1).max() / system.limit),
    }


def seconds_in_turn(functions: Mapping[Any, Callable[[], Any]], calls: int, seconds: float) -> dict[Any, np.ndarray]:
    """Times calls of several functions in ten rounds, so that a busy moment of the machine hits them alike.

    Args:
        functions: compiled, without arguments; what they return is waited for.
        calls: of each, fewer where they would take longer than ``seconds``.
        seconds: for each function.

    Returns:
        Seconds of each call.
    """
    quota = {}
    for name, function in functions.items():
        jax.block_until_ready(function())
        begin = time.perf_counter()
        jax.block_until_ready(function())
        quota[name] = max(1, min(calls, int(seconds / (time.perf_counter() - begin))) // 10)
    times: dict[Any, list[float]] = {name: [] for name in functions}
    for _ in range(10):
        for name, function in functions.items():
            for _ in range(quota[name]):
                begin = time.perf_counter()
                jax.block_until_ready(function())
                times[name].append(time.perf_counter() - begin)
    return {name: np.array(spent) for name, spent in times.items()}


def latency(spent: np.ndarray) -> dict[str, float]:
    """Percentiles of calls, in milliseconds."""
    p50, p95, p99 = (1e3 * float(np.percentile(spent, q)) for q in (50, 95, 99))
    return {"p50": p50, "p95": p95, "p99": p99, "calls": len(spent)}


def summary(row: dict[str, Any]) -> dict[str, float]:
    """The main numbers of an optimiser's way to a target, under the names that the Inverter's have."""
    alone = row.get("ms_per_gate_batch1") or {}
    named = {"ms_per_gate_batch1_p50": alone.get("p50"), "us_per_gate_batched": row.get("us_per_gate_batched")}
    return {"stuck_fraction": row["stuck_fraction"]} | row["infidelity"] | named
