"""What the frontier page shows: score at equal budget, all rows, pictures, baselines beside their published figures."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from invlearn_jax.report.figures import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    canvas,
    encode,
    label_points,
    points_with_errors,
    style,
)

RESULTS = Path(__file__).resolve().parent / "results"
_SCORE = ("score_mean", "score_sem", "success_rate", "episodes")
_BUDGETS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)

_AMBER = "#b37400"
# Colour and markers of planners, by how their names begin or, with a leading comma, end; the first that fits.
_LOOKS = (
    ("Inverter", BLUE, "osD"),
    ("Diffuser", ORANGE, "sph"),
    ("Decision Diffuser", PURPLE, "Dd8"),
    ("Modern recipe", GREEN, "^><"),
    (", learned model", GREY, "v<>^sdo"),
    (", true simulator", _AMBER, "v<>^sdo"),
    ("", INK, "P*oXspD^v<>"),  # policies and all others
)


class Published(NamedTuple):
    """D4RL's normalised scores on umaze, medium and large, where they are printed, and why ours may differ."""

    scores: tuple[float, float, float]
    source: str
    difference: str


PUBLISHED = {
    "Diffuser, PD controller": Published(
        (113.9, 121.5, 123.0),
        "Diffuser's score by Hierarchical Diffuser, table 1",
        "every 4th, 8th or 12th step is a token, a U-Net of a quarter of the weights, 9,000 to 60,000 updates for 2 million",
    ),
    "Diffuser, own actions": Published(
        (6.3, 13.5, 6.3), "Diffusion Forcing, table 1", "as above, and actions linear between tokens"
    ),
    "Modern recipe": Published(
        (136.6, 150.7, 203.6),
        "Diffusion Veteran, table 1",
        "the goal is a condition, candidates are ranked by our forward model and cost-to-go, a plan serves 8 steps for 1, "
        "12,000 to 20,000 updates for a million",
    ),
    "ReBRAC": Published(
        (106.9, 105.1, 78.3),
        "CORL, last checkpoint",
        "Fourier features, other penalties, 20,000 or 30,000 updates for a million",
    ),
    "Decision Transformer": Published(
        (18.1, 31.7, 35.7),
        "CORL, last checkpoint",
        "8 steps of context, rolled out through the forward model",
    ),
    "Goal-conditioned BC": Published((3.8, 30.3, 5.0), "Diffusion Veteran, table 1", "ours is given the goal"),
    "MPPI, true simulator": Published(
        (33.2, 10.2, 5.1), "Hierarchical Diffuser, table 1", "ours plans with the learned cost-to-go"
    ),
}


def joined(paths: list[Path]) -> dict[str, Any]:
    """The rows of several files, with their commands.

    A row that an earlier file has timed alone takes its score from a later one, and keeps its times: those are only
    comparable within a run.

    Raises:
        ValueError: if there is none.
    """
    if not paths:
        raise ValueError(f"There is no compute_budget*.json in {RESULTS}; run benchmarks.compute_budget first.")
    records = [json.loads(path.read_text()) for path in paths]
    merged: dict[str, dict[str, Any]] = {}
    for row in (row for record in records for row in record["rows"]):
        same = json.dumps([row[name] for name in ("planner", "setting", "env")])
        earlier = merged.get(same, row)
        merged[same] = earlier | {name: row[name] for name in _SCORE if earlier["score_mean"] is None}
    rows = list(merged.values())
    # From the smallest maze to the largest, each maze's rows in their own order.
    rows.sort(key=lambda row: ("umaze", "medium", "large").index(row["env"].split("-")[1]))
    return {
        "rows": rows,
        "command": "\n".join(f"{record['command']}  # {record['git_revision'][:7]}" for record in records),
        "device": " and ".join(dict.fromkeys(record["device"] for record in records)),
    }


def options_in_words(row: dict[str, Any]) -> str:
    """A row's setting in words."""
    names = {
        "refine_steps": "K = {}",
        "candidates": "{} candidates",
        "sampler": "{}",
        "denoise_steps": "{} steps",
        "guidance": "w = {}",
        "temperature": "temperature {}",
        "tokens": "{} tokens",
    }
    told = [text.format(row["setting"][key]) for key, text in names.items() if key in row["setting"]]
    return ", ".join(told).replace("_", "-") or "-"


def by_maze(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows by environment, in the order given."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["env"], []).append(row)
    return found


def at_budget(rows: list[dict[str, Any]], budget_ms: float) -> dict[str, dict[str, Any]]:
    """For each planner the best-scored row whose median plan time is within the budget."""
    best: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["score_mean"] is None or row["plan_ms_p50"] > budget_ms:
            continue
        if row["planner"] not in best or row["score_mean"] > best[row["planner"]]["score_mean"]:
            best[row["planner"]] = row
    return best


def _looks(planners: list[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each planner, no two alike as long as a colour's markers last."""
    looks, markers = {}, {kind: itertools.cycle(marks) for kind, _, marks in _LOOKS}
    for planner in planners:
        kind, color, _ = next(look for look in _LOOKS if _fits(planner, look[0]))
        looks[planner] = (color, next(markers[kind]))
    return looks


def _fits(planner: str, kind: str) -> bool:
    return planner.endswith(kind) if kind.startswith(",") else planner.startswith(kind)


def draw(env: str, rows: list[dict[str, Any]]) -> bytes:
    """Score against milliseconds and against FLOPs, both on logarithmic axes, every point with its setting, as PNG."""
    rows = [row for row in rows if row["score_mean"] is not None]
    looks = _looks(list(dict.fromkeys(row["planner"] for row in rows)))
    with style():
        figure, axes = canvas(1, 2, 12.5, 5.8)
        for axis, key, label in (
            (axes.flat[0], "plan_ms_p50", "milliseconds per plan, batch 1 (median)"),
            (axes.flat[1], "flops_per_plan", "floating-point operations per plan"),
        ):
            for planner, look in looks.items():
                own = [row for row in rows if row["planner"] == planner]
                columns = ([row[column] for row in own] for column in (key, "score_mean", "score_sem"))
                points_with_errors(axis, *columns, look, planner)
            axis.set_xscale("log")
            axis.set_xlabel(label)
            axis.set_ylabel("D4RL score, 95 % interval")
        axes.flat[0].set_title(f"{env}: score against time")
        axes.flat[1].set_title("against arithmetic")
        figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8.5)
        for axis, key in ((axes.flat[0], "plan_ms_p50"), (axes.flat[1], "flops_per_plan")):
            for row in rows:
                label_points(axis, [row[key]], [row["score_mean"]], [_short(row)], looks[row["planner"]][0], fontsize=7)
        return encode(figure)[0]


def _short(row: dict[str, Any]) -> str:
    """The part of a row's setting that differs between rows of its planner, short enough to stand beside a point."""
    names = {"refine_steps": "K = {}", "denoise_steps": "{} steps"}
    return ", ".join(text.format(row["setting"][name]) for name, text in names.items() if name in row["setting"])


def markdown(record: dict[str, Any]) -> str:
    """The whole page."""
    mazes = by_maze(record["rows"])
    device = record["device"]
    episodes = max(row["episodes"] for row in record["rows"])
    lines = [
        "# Score against compute",
        "",
        f"Every planner on one device ({device}) and in one evaluation: D4RL's score on C MuJoCo, {episodes} episodes from the "
        "same starts, one training seed. All learned from D4RL's data regenerated; the Inverter, the forward model (hence "
        "model-based control, the ranking of candidates and refinement) and inverse dynamics also from broad random data, "
        "which the published methods did not have.",
        "",
        "Times are of single calls at batch 1, taken in turn; a step is one of the environment's, of 0.01 s. Operations are "
        "XLA's count before its optimisations: the simulator's contact solver and the eigenvalues of iLQR count too little. "
        "A compile time near 0 was loaded, an earlier maze having had the same program. Rows that are timed only "
        "have random weights, or scores that take this machine minutes. Made by these commands, of the revisions "
        "beside them:",
        "",
        "```",
        str(record["command"]),
        "python -m benchmarks.frontier",
        "```",
        "",
    ]
    for env, rows in mazes.items():
        lines += [f"## {env}", "", f"![Score against time and arithmetic](frontier-{env.split('-')[1]}.png)", ""]
        lines += [*_budget_table(rows), "", *_full_table(rows), ""]
    lines += ["## Baselines beside their published scores", "", *_published_table(mazes), ""]
    return "\n".join(lines)


def _budget_table(rows: list[dict[str, Any]]) -> Iterator[str]:
    best = [at_budget(rows, budget) for budget in _BUDGETS]
    yield "| best score within | " + " | ".join(f"{budget:g} ms" for budget in _BUDGETS) + " |"
    yield "|---|" + "---|" * len(_BUDGETS)
    for planner in dict.fromkeys(row["planner"] for row in rows if row["score_mean"] is not None):
        cells = [f"{found[planner]['score_mean']:.1f}" if planner in found else "" for found in best]
        if any(cells):
            yield f"| {planner} | {' | '.join(cells)} |"


def _full_table(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "| planner | setting | ms p50 / p99 | per step | plans/s (batch) | MFLOP | per step | MB | compile s | score | arrive |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        scored = row["score_mean"] is not None
        cells = (
            row["planner"],
            options_in_words(row),
            _times(row),
            f"{row['ms_per_step']:.3g}",
            f"{row['plans_per_s']:,.3g} ({row['batch']})",
            f"{row['flops_per_plan'] / 1e6:,.3g}",
            f"{row['flops_per_step'] / 1e6:,.3g}",
            f"{row['peak_bytes'] / 1e6:,.3g}",
            f"{row['compile_s']:.1f}",
            f"{row['score_mean']:.1f} ± {1.96 * row['score_sem']:.1f}" if scored else "time only",
            f"{100 * row['success_rate']:.0f} %" if scored else "",
        )
        yield f"| {' | '.join(cells)} |"


def _times(row: dict[str, Any]) -> str:
    worst = "" if row["calls"] >= 100 else f" (worst of {row['calls']})"
    return f"{row['plan_ms_p50']:.3g} / {row['plan_ms_p99']:.3g}{worst}"


def _published_table(mazes: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    yield "| planner | here (best setting), umaze / medium / large | published | source | what differs |"
    yield "|---|---|---|---|---|"
    for planner, published in PUBLISHED.items():
        best = [
            [
                row["score_mean"]
                for row in mazes.get(f"maze2d-{size}-v1", [])
                if row["planner"] == planner and row["score_mean"] is not None
            ]
            for size in ("umaze", "medium", "large")
        ]
        if not any(best):
            continue
        cells = [
            "-" if not own else f"{max(own):.1f}" + (" (**below**)" if max(own) < wanted else "")
            for own, wanted in zip(best, published.scores, strict=True)
        ]
        theirs = " / ".join(map(str, published.scores))
        yield f"| {planner} | {' / '.join(cells)} | {theirs} | {published.source} | {published.difference} |"


def summary(record: dict[str, Any]) -> str:
    """The README's picture and table: the best score of each kind of planner within each budget, in the largest maze."""
    env, rows = list(by_maze(record["rows"]).items())[-1]
    kinds = {row["planner"]: _kind(row["planner"]) for row in rows if row["score_mean"] is not None}
    lines = [
        f"![Score against time and arithmetic in {env}](docs/frontier-{env.split('-')[1]}.png)",
        "",
        f"| {env}: best score within | " + " | ".join(f"{budget:g} ms" for budget in _BUDGETS) + " |",
        "|---|" + "---|" * len(_BUDGETS),
    ]
    for kind in dict.fromkeys(kinds.values()):
        cells = []
        for budget in _BUDGETS:
            scores = [best["score_mean"] for name, best in at_budget(rows, budget).items() if kinds[name] == kind]
            cells.append(f"{max(scores):.1f}" if scores else "")
        if any(cells):
            lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _kind(planner: str) -> str:
    for where in ("true simulator", "learned model"):
        if where in planner:
            return f"model-based control, {where}: the best"
    return planner
