"""Writes the README's results table from ``benchmarks/results/maze2d_*.json``, between its two markers.

python -m benchmarks.tables
"""

import json
from pathlib import Path

from experiments.flag_config import run_program
from experiments.pipelines.published import best_published
from invlearn_jax.files import write_text

_ROOT = Path(__file__).resolve().parent.parent
_SIZES = ("umaze", "medium", "large")
_BEGIN, _END = "<!-- results -->", "<!-- end of results -->"


def results() -> dict[str, dict[str, dict]]:
    """The tables on disk by data and maze."""
    found: dict[str, dict[str, dict]] = {}
    for path in sorted((_ROOT / "benchmarks" / "results").glob("maze2d_*.json")):
        table = json.loads(path.read_text())
        size = table["table"][0]["env"].split("-")[1]
        found.setdefault(table["data"], {})[size] = table
    return found


def markdown() -> str:
    """The table: a block for D4RL's task and one for random goals."""
    lines = []
    found = results()
    for multi_goal, title in ((False, "the maze's own goal (D4RL)"), (True, "random goals (multi2d)")):
        lines += [f"| {title} | umaze | medium | large |", "|---|---|---|---|"]
        for data, tables in found.items():
            steps = sorted({row["refine_steps"] for table in tables.values() for row in table["table"]})
            for refine_steps in steps:
                name = "one forward pass" if refine_steps == 0 else f"refined, K = {refine_steps}"
                cells = [_cell(tables.get(size), multi_goal, refine_steps) for size in _SIZES]
                lines.append(f"| {name}; trained on {data} | {' | '.join(cells)} |")
        reference = next(iter(found.values()))
        for key, name in (
            ("bound_score", "bound: no controller is faster"),
            ("controller_score", "D4RL's data controller"),
        ):
            cells = [
                f"{_row(reference.get(size), multi_goal, 0)[key]:.1f}" if size in reference else "" for size in _SIZES
            ]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        published = [best_published(f"maze2d-{size}-v1", multi_goal) for size in _SIZES]
        lines += [f"| best published | {' | '.join(f'{best.score} ({best.method})' for best in published)} |", ""]
    return "\n".join(lines)


def _row(table: dict | None, multi_goal: bool, refine_steps: int) -> dict | None:
    rows = table["table"] if table else []
    return next((r for r in rows if r["multi_goal"] == multi_goal and r["refine_steps"] == refine_steps), None)


def _cell(table: dict | None, multi_goal: bool, refine_steps: int) -> str:
    row = _row(table, multi_goal, refine_steps)
    if row is None:
        return ""
    seeds = "" if row["training_seeds"] == 1 else f", {row['training_seeds']} seeds"
    return (
        f"**{row['score_mean']:.1f}** ± {1.96 * row['score_sem']:.1f} ({100 * row['success_rate']:.1f} % arrive{seeds})"
    )


def main(argv: list[str]) -> None:
    """Rewrites the README's block."""
    path = _ROOT / "README.md"
    text = path.read_text()
    before, rest = text.split(_BEGIN)
    write_text(path, before + _BEGIN + "\n" + markdown() + _END + rest.split(_END)[1])


if __name__ == "__main__":
    run_program(main)
