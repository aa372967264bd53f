"""Pulses for gates: the Inverter and its refinement beside GRAPE, Newton's method and QuTiP; and pulses under errors.

    python -m benchmarks.pulses --systems=qubit --seed=20261130 --output=benchmarks/results/pulses_qubit.json
    python -m benchmarks.pulses --preset=quick --output=quick.json

Gates are drawn afresh from the Haar measure. All infidelities are measured in float64, of pulses made in double precision
(``infidelity``) and in single (``infidelity_single``). Times are of compiled calls, every one waited for, in single precision
but for GRAPE, which is faster in double: at batch 1 of a plan's actions, those of all numbers K of refinement steps taken in
turn; in batches per gate. Of no and of all steps there are times in double precision too. ``robust`` is the qubit under errors.
The file is written after each system.
"""

import os
from importlib.metadata import version
from typing import Any

import jax
from absl import flags

from benchmarks.pulse_record import PRESETS, RACES, system_record
from benchmarks.pulse_robust import robust_record
from invlearn_jax.files import write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.names import unknown_name

_EXTRA = ("qutip", "qutip-qtrl")

_ALL = (*RACES, "robust")
_SYSTEMS = flags.DEFINE_list("systems", list(_ALL), f"Which of {', '.join(_ALL)}.")
_GATES = flags.DEFINE_integer("gates", 10_000, "Gates per system for the quality.", lower_bound=2)
_PLANNERS = flags.DEFINE_string(
    "planners", "", "A folder of planners, or of their runs, by name; by default the shipped ones."
)
_PRESET = flags.DEFINE_enum("preset", "full", sorted(PRESETS), "How much to measure.")
_CORES = flags.DEFINE_integer(
    "cores", 0, "How many cores to run on, by default all; no thread is woken on one.", lower_bound=0
)
_SEED = define_seed(20261130, "Seed of the gates.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the record as JSON.", required=True)


def main(argv: list[str]) -> None:
    """Measures the systems of the flags."""
    for name in _SYSTEMS.value:
        if name not in _ALL:
            raise unknown_name("system", name, _ALL)
    if _CORES.value:
        # JAX makes as many threads as it finds cores, once it is first used.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: _CORES.value])
    preset, folder, seed = PRESETS[_PRESET.value], _PLANNERS.value, _SEED.value
    record: dict[str, Any] = {"preset": _PRESET.value, "gates": _GATES.value, "cores": len(os.sched_getaffinity(0))}
    record |= manifest(seed)
    record["versions"] |= _versions()
    with jax.enable_x64(True):
        for name in _SYSTEMS.value:
            if name == "robust":
                record[name] = robust_record(folder, seed + 1, preset.robust_gates, preset.mean_steps)
            else:
                record[name] = system_record(RACES[name], preset, folder, seed, _GATES.value)
                print(f"{name}: {record[name]['ratios']}", flush=True)
            write_json(_OUTPUT.value, record)


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _EXTRA}


if __name__ == "__main__":
    run_program(main)
