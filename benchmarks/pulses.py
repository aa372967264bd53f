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

from absl import flags

from benchmarks.pulse_record import NAMES, PRESETS, records
from invlearn_jax.files import write_json
from invlearn_jax.io.command import define_seed, run_program

_SYSTEMS = flags.DEFINE_list("systems", list(NAMES), f"Which of {', '.join(NAMES)}.")
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
    if _CORES.value:
        # JAX makes as many threads as it finds cores, once it is first used.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: _CORES.value])
    about = {"preset": _PRESET.value, "gates": _GATES.value, "cores": len(os.sched_getaffinity(0))}
    given = (PRESETS[_PRESET.value], _PLANNERS.value, _SEED.value, _GATES.value)
    for record in records(_SYSTEMS.value, *given):
        write_json(_OUTPUT.value, about | record)


if __name__ == "__main__":
    run_program(main)
