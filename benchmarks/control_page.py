"""Writes the control page from records of ``benchmarks.control``.

    python -m benchmarks.control_page

Writes ``docs/control.md``, which shows the pictures beside the records.
"""

import os
from pathlib import Path

from absl import flags

from benchmarks.control_figures import draw, markdown
from invlearn_jax.files import read_json, replace_files
from invlearn_jax.io.command import run_program

_ROOT = Path(__file__).resolve().parent.parent
_RECORDS = (
    "control",
    "control_acrobot",
    "control_two_link",
    "control_push",
    "control_seven_joint",
    "control_robots",
    "control_noise",
    "control_quadrotor_noise",
)
_INPUTS = flags.DEFINE_list(
    "inputs", [str(_ROOT / f"benchmarks/results/{name}.json") for name in _RECORDS], "Files of benchmarks.control."
)
_OUTPUT = flags.DEFINE_string("output", str(_ROOT / "docs/control.md"), "The page to write.")


def main(argv: list[str]) -> None:
    """Writes the page, and the pictures anew."""
    page, written, shown = Path(_OUTPUT.value), {}, []
    for source in map(Path, _INPUTS.value):
        picture, record = source.with_suffix(".png"), read_json(source)
        written[picture] = draw(record["rows"])
        shown.append((record, Path(os.path.relpath(picture, page.parent)).as_posix()))
    replace_files({**written, page: markdown(shown).encode()})


if __name__ == "__main__":
    run_program(main)
