"""Writes the pulses page and its pictures from the files of ``benchmarks.pulses``, which hold a system or several each.

    python -m benchmarks.pulses_page

Writes ``docs/pulses.md``, ``docs/pulses-race.png`` and, where errors were measured, ``docs/pulses-robust.png``.
"""

import json
from pathlib import Path

from absl import flags

from benchmarks.pulse_figures import TITLES, draw_race, draw_robust, markdown, systems_of
from invlearn_jax.files import replace_files
from invlearn_jax.io.command import run_program

_ROOT = Path(__file__).resolve().parent.parent
_INPUT = flags.DEFINE_list("input", [], "Files of benchmarks.pulses; by default benchmarks/results/pulses*.json.")
_OUTPUT = flags.DEFINE_string("output", str(_ROOT / "docs"), "The folder to write to.")


def main(argv: list[str]) -> None:
    """Writes the page."""
    paths = [Path(path) for path in _INPUT.value] or sorted((_ROOT / "benchmarks/results").glob("pulses*.json"))
    records = [json.loads(path.read_text()) for path in paths]
    for name in (*TITLES, "robust"):
        holding = [str(path) for path, part in zip(paths, records, strict=True) if name in part]
        if len(holding) > 1:
            raise ValueError(f"{name} is in {' and '.join(holding)}; say which files to take by --input.")
    record = {name: value for part in records for name, value in part.items()}
    record["command"], folder = "\n".join(part["command"] for part in records), Path(_OUTPUT.value)
    files = {folder / "pulses.md": markdown(record).encode()}
    if systems := systems_of(record):
        files[folder / "pulses-race.png"] = draw_race(systems)
    if "robust" in record:
        files[folder / "pulses-robust.png"] = draw_robust(record["robust"])
    replace_files(files)


if __name__ == "__main__":
    run_program(main)
