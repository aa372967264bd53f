"""Rebuilds every table and figure of run folders from their files, without training, as one HTML page.

python -m experiments.report runs/umaze-0 runs/umaze-1 --output=report.html

The figures are also written as PNG into the folders' own ``figures/``.
"""

import sys

from absl import app, flags

from experiments.flag_config import quiet
from experiments.pipelines.reporting import write_report
from invlearn_jax.io.compile_cache import use_compile_cache

_OUTPUT = flags.DEFINE_string("output", "report.html", "Where to write the page.")


def main(argv: list[str]) -> None:
    """Reports on the folders of the command line."""
    quiet()
    use_compile_cache()
    try:
        write_report(argv[1:], _OUTPUT.value)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")
    print(f"Wrote {_OUTPUT.value}.")


if __name__ == "__main__":
    app.run(main)
