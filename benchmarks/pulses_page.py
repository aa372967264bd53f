"""Writes the pulses page and its pictures from the files of ``benchmarks.pulses``, which hold a system or several each.

    python -m benchmarks.pulses_page

Writes ``docs/pulses.md``, ``docs/pulses-race.png`` and, where errors were measured, ``docs/pulses-robust.png``.
"""

from pathlib import Path

from absl import flags

from benchmarks.pulse_figures import write_page
from invlearn_jax.io.command import run_program

_ROOT = Path(__file__).resolve().parent.parent
_INPUT = flags.DEFINE_list("input", [], "Files of benchmarks.pulses; by default benchmarks/results/pulses*.json.")
_OUTPUT = flags.DEFINE_string("output", str(_ROOT / "docs"), "The folder to write to.")


def main(argv: list[str]) -> None:
    """Writes the page."""
    paths = [Path(path) for path in _INPUT.value] or sorted((_ROOT / "benchmarks/results").glob("pulses*.json"))
    write_page(paths, Path(_OUTPUT.value))


if __name__ == "__main__":
    run_program(main)
