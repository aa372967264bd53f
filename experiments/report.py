"""Rebuilds every table and figure of run folders from their files, without training, as one HTML page.

python -m experiments.report runs/umaze-0 runs/umaze-1 --output=report.html
python -m experiments.report runs/reach --task=my_robot.py:Reach

The figures are also written as PNG into the folders' own ``figures/``. Episodes are drawn of registered tasks, and of the one
that --task names: a report never runs a file because a run's folder names it.
"""

from pathlib import Path

from absl import flags

from invlearn_jax.io.command import run_program
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.report.build import write_report
from invlearn_jax.tasks.registry import make_task

_OUTPUT = flags.DEFINE_string("output", None, "Where to write the page; report.html in the first folder by default.")
_TASK = flags.DEFINE_string("task", None, "A task of your own, FILE.py:CLASS, to draw the episodes of its runs.")


def main(argv: list[str]) -> None:
    """Reports on the folders of the command line."""
    use_compile_cache()
    output = _OUTPUT.value or (Path(argv[1]) / "report.html" if argv[1:] else "report.html")
    write_report(argv[1:], output, make_task(_TASK.value) if _TASK.value else None)
    print(f"Wrote {output}.")


if __name__ == "__main__":
    run_program(main, arguments=True)
