"""The record of ``benchmarks.pulses``: of each system quality, checks, times, and the race to the same infidelity."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.pulse_measures import (
    Planning,
    checks,
    infidelities_of,
    latency,
    load,
    percentiles,
    planning,
    pulses_of,
    seconds_in_turn,
    summary,
)
from benchmarks.pulse_race import methods, race
from benchmarks.pulse_robust import robust_record
from benchmarks.qutip_grape import qutip_race
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed
from invlearn_jax.names import unknown_name
from invlearn_jax.tasks.gates.gates import haar_gates
from invlearn_jax.tasks.gates.systems import MHZ

TARGET = 1e-10


class Race(NamedTuple):
    """How much to measure of a system.

    Attributes:
        planner: its name.
        refine_steps: K of the record ``refined``.
        batch: of the batched refinement and of our optimisers; the Inverter alone always takes the largest.
        qutip_gates: for QuTiP.
    """

    planner: str
    refine_steps: int
    batch: int
    qutip_gates: int


class Preset(NamedTuple):
    """How much to measure of all.

    Attributes:
        batch: the largest.
        calls: at batch 1.
        single: gates of our optimisers at batch 1.
        qutip_gates: the most for QuTiP.
        robust_gates: under errors.
        mean_steps: L-BFGS steps of GRAPE on the mean over errors.
    """

    batch: int
    calls: int
    single: int
    qutip_gates: int
    robust_gates: int
    mean_steps: int


RACES = {
    "qubit": Race("pulse-qubit", 3, 4096, 30),
    "transmon": Race("pulse-transmon", 3, 64, 10),
    "two_qubit": Race("pulse-two-qubit", 5, 32, 5),
}
PRESETS = {"full": Preset(4096, 1000, 100, 30, 1000, 100), "quick": Preset(64, 50, 5, 2, 50, 20)}
NAMES = (*RACES, "robust")
_EXTRA = ("qutip", "qutip-qtrl")
_CHUNKS = {"qubit": 512, "transmon": 128, "two_qubit": 32}


def records(
    names: Sequence[str], preset: Preset, folder: str, seed: int, count: int, races: Mapping[str, Race] = RACES
) -> Iterator[dict[str, Any]]:
    """Measures in double precision.

    Args:
        names: which of ``NAMES``.
        preset: how much to measure of all.
        folder: of the planners; empty for the shipped ones.
        seed: of the gates.
        count: gates for the quality.
        races: how much to measure of each system.

    Yields:
        The record so far, after each system.

    Raises:
        ValueError: for an unknown name, before anything is measured.
    """
    for name in names:
        if name not in NAMES:
            raise unknown_name("system", name, NAMES)
    record = manifest(seed)
    record["versions"] |= {name: version(name) for name in _EXTRA}
    for name in names:
        with jax.enable_x64(True):
            if name == "robust":
                record[name] = robust_record(folder, seed + 1, preset.robust_gates, preset.mean_steps)
            else:
                record[name] = system_record(races[name], preset, folder, seed, count)
                print(f"{name}: {record[name]['ratios']}", flush=True)
        yield record


def system_record(plan: Race, preset: Preset, folder: str, seed: int, count: int) -> dict[str, Any]:
    """All that is measured of a system, in double precision (with JAX's ``jax_enable_x64``).

    Args:
        plan: which planner, and how much to measure of it.
        preset: how much to measure of all.
        folder: of the planners; empty for the shipped ones.
        seed: of the gates.
        count: gates for the quality.

    Returns:
        The record, fit for JSON.
    """
    planner, params = load(folder, plan.planner)
    system = planner.inverter.system
    plans = {k: planning(load(folder, plan.planner, k)[0], params) for k in range(plan.refine_steps + 1)}
    gates = haar_gates(from_seed(seed), max(count, preset.batch), system.gate_dimension)
    asked, chunk = gates[:count], _CHUNKS[system.name]
    proposed, _ = pulses_of(plans[0], asked, chunk)
    # The trace of the longest refinement holds all shorter ones.
    refined, costs = pulses_of(plans[plan.refine_steps], asked, chunk)
    steps = []
    for k, planned in plans.items():
        single, _ = pulses_of(planned, asked.astype("complex64"), chunk)
        found = infidelities_of(system, single.astype(float), asked)
        steps.append(
            {"refine_steps": k, "infidelity": percentiles(costs[:, k]), "infidelity_single": percentiles(found)}
        )
    batch = min(plan.batch, preset.batch)
    _add_times(steps, plans, gates, preset, batch)
    record: dict[str, Any] = {
        "planner": plan.planner,
        "gate_time_us": system.gate_time,
        "slices": system.slices,
        "knots": system.knots,
        "limit_mhz": system.limit / MHZ,
        "steps": steps,
    }
    for key, row, pulses in (("inverter", steps[0], proposed), ("refined", steps[-1], refined)):
        record[key] = row | row["infidelity"] | {"checks": checks(system, pulses, np.asarray(asked))}
    record["refined_to_1e-10"] = {
        within: next((row for row in steps if row["infidelity_single"][within] <= TARGET), None)
        for within in ("max", "p999")
    }
    # Nobody optimises for less than the Inverter reaches, nor can rounding be optimised away.
    targets = {"1e-10": TARGET, "inverter_median": max(steps[0]["infidelity_single"]["median"], 1e-14)}
    for method_name, method in methods(system).items():
        record[method_name] = race(system, method, gates, targets, preset.single, batch)
    some = np.asarray(gates[: min(plan.qutip_gates, preset.qutip_gates)])
    record["qutip_grape"] = {goal: qutip_race(system, some, target, seed) for goal, target in targets.items()}
    for method_name in ("grape", "newton", "qutip_grape"):
        record[method_name] |= summary(record[method_name]["1e-10"])
    record["ratios"] = _ratios(record)
    return record


def _add_times(
    steps: list[dict[str, Any]], plans: dict[int, Planning], gates: jax.Array, preset: Preset, batch: int
) -> None:
    """Adds the times of all K to their rows, taken in turn."""
    key, ends = jax.random.key(0), (0, max(plans))
    asked = {"": gates.astype("complex64"), "_double": gates.astype("complex128")}

    def call(k: int, kind: str, count: int | None) -> Any:
        def plan(gate: jax.Array) -> jax.Array:
            # One proposal is the Inverter's own, for which no randomness is used.
            return plans[k](key, gate).actions

        compiled = jax.jit(plan if count is None else jax.vmap(plan))
        # Slices of arrays are calls of their own, and are made before.
        given = asked[kind][0 if count is None else slice(count)]
        return lambda: compiled(given)

    counts = {k: batch if k else preset.batch for k in plans}
    # Compiling every K twice would take longer than all else.
    kinds = [(k, kind) for kind in asked for k in plans if not kind or k in ends]
    alone = seconds_in_turn({at: call(*at, None) for at in kinds}, preset.calls, 20.0)
    together = seconds_in_turn({at: call(*at, counts[at[0]]) for at in kinds}, 30, 20.0)
    rows = {row["refine_steps"]: row for row in steps}
    for k, kind in kinds:
        times = latency(alone[k, kind])
        rows[k] |= {f"ms_per_gate_batch1_{p}{kind}": times[p] for p in ("p50", "p95", "p99")}
        rows[k] |= {f"us_per_gate_batched{kind}": 1e6 * float(np.median(together[k, kind])) / counts[k]}
        rows[k] |= {"batch": counts[k], "calls": times["calls"]}


def _ratios(record: dict[str, Any]) -> dict[str, float | None]:
    """How many times faster ours is, to the same infidelity: the Inverter to its median, refined to 1e-10 in 99.9 % of gates."""
    ours = {
        "inverter": ("inverter_median", record["inverter"]),
        "refined": ("1e-10", record["refined_to_1e-10"]["p999"]),
    }
    found: dict[str, float | None] = {}
    for name, (goal, row) in ours.items():
        if row is None:
            continue
        alone, together = row["ms_per_gate_batch1_p50"], row["us_per_gate_batched"]
        qutip = record["qutip_grape"][goal]["ms_per_gate_batch1"]
        found[f"{name}_vs_qutip_batch1"] = qutip and qutip["p50"] / alone
        found[f"{name}_vs_qutip_batched"] = qutip and 1e3 * qutip["p50"] / together
        for method in ("grape", "newton"):
            other = record[method][goal]
            single, batched = other.get("ms_per_gate_batch1"), other.get("us_per_gate_batched")
            found[f"{name}_vs_{method}_batch1"] = single and single["p50"] / alone
            found[f"{name}_vs_{method}_batched"] = batched and batched / together
    return found
