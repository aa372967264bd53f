"""Writes the results tables of README and docs/hacking.md from ``benchmarks/results/``, between their markers.

python -m benchmarks.tables
"""

import json
from collections.abc import Callable
from pathlib import Path

from invlearn_jax.files import write_text
from invlearn_jax.io.command import run_program
from invlearn_jax.tasks.published import best_published

_ROOT = Path(__file__).resolve().parent.parent
_SIZES = ("umaze", "medium", "large")
_VARIANTS = ("umaze", "umaze-diverse", "medium-play", "medium-diverse", "large-play", "large-diverse")
_BEGIN, _END = "<!-- results -->", "<!-- end of results -->"
_ANT_BEGIN, _ANT_END = "<!-- antmaze -->", "<!-- end of antmaze -->"
# Files of planners that learned from their variant's rows alone, made with ``ant-v1`` and with the policy that very likely made
# D4RL's.
_ANT_ALONE, _ANT_REFERENCE = "antmaze_offline_", "antmaze_offline_reference_"
_ROBOTS = ("maze2d", "ant")


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


def antmaze() -> str:
    """The table of antmaze: success, steps to the goal and plan times of every variant."""
    records = {
        path.stem: json.loads(path.read_text()) for path in (_ROOT / "benchmarks/results").glob("antmaze_*.json")
    }
    found, alone, reference = (
        {record["env"]: record for stem, record in records.items() if _ant_kind(stem) == kind}
        for kind in ("", _ANT_ALONE, _ANT_REFERENCE)
    )
    lines = ["| success, % | " + " | ".join(_VARIANTS) + " |", "|---" * (len(_VARIANTS) + 1) + "|"]

    def line(name: str, cell: Callable[[dict], str], found: dict[str, dict] = found) -> None:
        cells = [found.get(f"antmaze-{variant}-v2") for variant in _VARIANTS]
        lines.append(f"| {name} | " + " | ".join(cell(record) if record else "" for record in cells) + " |")

    line("two Inverters, one pass each", lambda record: _success(_one_pass(record)))
    line("its own rows alone (of `ant-v1`), nothing executed", lambda record: _success(_one_pass(record)), alone)
    if reference:
        name = "its own rows alone (of the policy that very likely made D4RL's), nothing executed"
        line(name, lambda record: _success(_one_pass(record)), reference)
    line("best published", lambda record: _published(record["env"]))
    line("the policy that made the data, with the map", lambda record: _of_policy(record, "success_rate", 100, 1))
    line("steps to the goal, median", lambda record: f"{_one_pass(record)['steps_to_goal_median']:.0f}")
    line("of its own rows alone: steps", lambda record: f"{_one_pass(record)['steps_to_goal_median']:.0f}", alone)
    if reference:
        line(
            "the same, of that policy's: steps",
            lambda record: f"{_one_pass(record)['steps_to_goal_median']:.0f}",
            reference,
        )
    line("the data's policy: steps", lambda record: _of_policy(record, "steps_to_goal_median", 1, 0))
    line("flips per 1000 steps", lambda record: f"{_one_pass(record)['flips_per_1000_steps']:.3f}")
    line("one plan of both levels, ms", lambda record: f"{_one_pass(record)['plan_ms_p50']:.2f}")
    return "\n".join([*lines, ""])


def _ant_kind(stem: str) -> str:
    """The longest beginning of a file's name that says what its planners learned from; none for both levels executed."""
    return next((kind for kind in (_ANT_REFERENCE, _ANT_ALONE) if stem.startswith(kind)), "")


def hacking(robot: str) -> str:
    """The table of model hacking on one robot: a row per setting, and the detector's shares of all plans."""
    rows = json.loads((_ROOT / f"benchmarks/results/hacking_mitigations_{robot}.json").read_text())["rows"]
    lines = [
        "| | success, % | realised less predicted cost | error, m | hacked, % | noticed of these, % | false alarms, % |",
        "|---" * 7 + "|",
    ]
    for row in rows:
        low, high = (100 * bound for bound in row["success_ci95"])
        cells = [
            row["setting"],
            f"**{100 * row['success_rate']:.1f}** ({low:.0f} to {high:.0f})",
            f"{row['gap_mean']:.3f}",
            f"{row['error_median_m']:.2f}",
            f"{100 * row['hacked_share']:.1f}",
            *_noticed([row["detector"]]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, f"| all plans | | | | | {' | '.join(_noticed([row['detector'] for row in rows]))} |", ""])


def _noticed(detectors: list[dict]) -> list[str]:
    """Shares of the hacked and of the good plans that a second model flagged, in %; a dash where there is no such plan."""
    shares = []
    for share, kind in (("flagged_of_hacked", "hacked_plans"), ("false_alarms", "good_plans")):
        counted = [(row[kind], row[share]) for row in detectors if row[kind]]
        plans = sum(count for count, _ in counted)
        shares.append(f"{100 * sum(count * flagged for count, flagged in counted) / plans:.1f}" if plans else "–")
    return shares


def _one_pass(record: dict) -> dict:
    return next(row for row in record["table"] if row["refine_steps"] == 0)


def _of_policy(record: dict, key: str, scale: float, digits: int) -> str:
    """A figure of the data's policy, where it was measured."""
    return f"{scale * record['data_policy'][key]:.{digits}f}" if "data_policy" in record else ""


def _success(row: dict) -> str:
    low, high = (100 * bound for bound in row["success_ci95"])
    return f"**{100 * row['success_rate']:.1f}** ({low:.1f} to {high:.1f}; {row['episodes']} episodes)"


def _published(env: str) -> str:
    best = best_published(env, multi_goal=False)
    return f"{best.score:.1f} ({best.method})"


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
    """Rewrites the pages' blocks."""
    blocks = [("README.md", _BEGIN, _END, markdown()), ("README.md", _ANT_BEGIN, _ANT_END, antmaze())]
    blocks += [
        ("docs/hacking.md", f"<!-- {robot} -->", f"<!-- end of {robot} -->", hacking(robot)) for robot in _ROBOTS
    ]
    for page, begin, end, table in blocks:
        before, rest = (_ROOT / page).read_text().split(begin)
        write_text(_ROOT / page, before + begin + "\n" + table + end + rest.split(end)[1])


if __name__ == "__main__":
    run_program(main)
