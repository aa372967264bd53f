"""Rebuilds every table and figure of run folders from their files, without training, as one HTML page.

python -m experiments.report runs/umaze-0 runs/umaze-1 --output=report.html

The figures are also written as PNG into the folders' own ``figures/``.
"""

import sys
from pathlib import Path

from absl import app, flags

from experiments.pipelines.reporting import write_report
from invlearn_jax.io.command import quiet
from invlearn_jax.io.compile_cache import use_compile_cache

_OUTPUT = flags.DEFINE_string("output", None, "Where to write the page; report.html in the first folder by default.")


def main(argv: list[str]) -> None:
    """Reports on the folders of the command line."""
    quiet()
    use_compile_cache()
    try:
        output = _OUTPUT.value or (Path(argv[1]) / "report.html" if argv[1:] else "report.html")
        write_report(argv[1:], output)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")
    print(f"Wrote {output}.")


if __name__ == "__main__":
    app.run(main)
