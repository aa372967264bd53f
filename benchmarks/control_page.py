"""Writes the control page from a record of ``benchmarks.control``.

    python -m benchmarks.control_page

Writes ``docs/control.md``, which shows the picture beside the record.
"""

import os
from pathlib import Path

from absl import flags

from benchmarks.control_figures import draw, markdown
from invlearn_jax.files import read_json, replace_files
from invlearn_jax.io.command import run_program

_ROOT = Path(__file__).resolve().parent.parent
_INPUT = flags.DEFINE_string("input", str(_ROOT / "benchmarks/results/control.json"), "A file of benchmarks.control.")
_OUTPUT = flags.DEFINE_string("output", str(_ROOT / "docs/control.md"), "The page to write.")


def main(argv: list[str]) -> None:
    """Writes the page, and the picture anew."""
    source, page = Path(_INPUT.value), Path(_OUTPUT.value)
    picture, record = source.with_suffix(".png"), read_json(source)
    shown = Path(os.path.relpath(picture, page.parent)).as_posix()
    replace_files({picture: draw(record["rows"]), page: markdown(record, shown).encode()})


if __name__ == "__main__":
    run_program(main)
