"""Writes the frontier page from the rows of ``benchmarks.compute_budget``, its pictures, and the README's summary of it.

    python -m benchmarks.frontier

Writes ``docs/frontier.md`` and ``docs/frontier-{maze}.png``.
"""

from pathlib import Path

from absl import flags

from benchmarks.frontier_page import RESULTS, by_maze, draw, joined, markdown, summary
from invlearn_jax.files import replace_files
from invlearn_jax.io.command import run_program

_DOCS = Path(__file__).resolve().parent.parent / "docs"
_INPUT = flags.DEFINE_list("input", [], "Files of benchmarks.compute_budget; by default all in benchmarks/results.")
_OUTPUT = flags.DEFINE_string("output", str(_DOCS), "The folder to write to.")
_README = flags.DEFINE_string(
    "readme", str(_DOCS.parent / "README.md"), "Gets a summary between its markers; empty: none."
)

_BEGIN, _END = "<!-- frontier -->", "<!-- end of frontier -->"


def main(argv: list[str]) -> None:
    """Writes the page, its pictures and the README's summary."""
    record = joined([Path(name) for name in _INPUT.value] or sorted(RESULTS.glob("compute_budget*.json")))
    folder = Path(_OUTPUT.value)
    files = {folder / "frontier.md": markdown(record).encode()}
    for env, rows in by_maze(record["rows"]).items():
        files[folder / f"frontier-{env.split('-')[1]}.png"] = draw(env, rows)
    if _README.value:
        readme = Path(_README.value)
        before, rest = readme.read_text().split(_BEGIN)
        files[readme] = f"{before}{_BEGIN}\n{summary(record)}{_END}{rest.split(_END)[1]}".encode()
    replace_files(files)


if __name__ == "__main__":
    run_program(main)
