"""Writes the pulses page and its pictures from the record of ``benchmarks.pulses``.

    python -m benchmarks.pulses_page

Writes ``docs/pulses.md``, ``docs/pulses-race.png`` and, where errors were measured, ``docs/pulses-robust.png``.
"""

import json
from pathlib import Path

from absl import flags

from benchmarks.pulse_figures import draw_race, draw_robust, markdown, systems_of
from experiments.flag_config import run_program
from invlearn_jax.files import replace_files

_ROOT = Path(__file__).resolve().parent.parent
_INPUT = flags.DEFINE_string("input", str(_ROOT / "benchmarks/results/pulses.json"), "The file of benchmarks.pulses.")
_OUTPUT = flags.DEFINE_string("output", str(_ROOT / "docs"), "The folder to write to.")


def main(argv: list[str]) -> None:
    """Writes the page."""
    record, folder = json.loads(Path(_INPUT.value).read_text()), Path(_OUTPUT.value)
    files = {folder / "pulses.md": markdown(record).encode(), folder / "pulses-race.png": draw_race(systems_of(record))}
    if "robust" in record:
        files[folder / "pulses-robust.png"] = draw_robust(record["robust"])
    replace_files(files)


if __name__ == "__main__":
    run_program(main)
