"""The control page's picture and text, from a record of ``benchmarks.control``."""

from collections.abc import Iterable, Iterator
from typing import Any

from invlearn_jax.report.figures import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    canvas,
    encode,
    label_decades,
    label_points,
    points_with_errors,
    style,
)

_LOOKS = {
    "Inverter": (BLUE, "o"),
    "Predictive sampling": (ORANGE, "s"),
    "MPPI": (GREEN, "^"),
    "CEM": (PURPLE, "D"),
    "DIAL": (GREY, "v"),
}
# Figures of tasks' own by name: their heading and how they are written.
_OWN = {
    "upright_share": ("upright, last 2 s", "{:.0%}"),
    "upright_after_s": ("upright after", "{:.2g} s"),
    "tip_error_median": ("tip's distance", "{:.2g} m"),
    "near_share": ("within 5 cm", "{:.0%}"),
}
# What every row has; all else is the task's own.
_SHARED = {
    *("task", "planner", "refine_steps", "samples", "sigma", "knots", "simulator", "horizon_s", "execute_steps"),
    *("plan_ms_p50", "plan_ms_p99", "calls", "train_s", "cost_mean", "cost_sem", "success_rate"),
    *("episodes", "diverged", "costs", "played_s"),
}


def told(setting: dict[str, Any]) -> str:
    """A row's setting in words."""
    if "samples" not in setting:
        return f"K = {setting['refine_steps']}"
    rounds = f", {setting['refine_steps']} rounds" if setting["refine_steps"] > 1 else ""
    noise = f", sigma {setting['sigma']:g}" if "sigma" in setting else ""
    return f"{setting['samples']} samples{rounds}{noise}" + (", MJX" if setting["simulator"] == "MJX" else "")


def by_task(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows by task, in the order given."""
    return {name: [row for row in rows if row["task"] == name] for name in dict.fromkeys(row["task"] for row in rows)}


def draw(rows: list[dict[str, Any]]) -> bytes:
    """Cost against milliseconds per plan, a panel a task, with standard errors, every point with its setting; as PNG."""
    tasks = by_task([row for row in rows if row["cost_mean"] is not None])
    with style():
        figure, axes = canvas(1, len(tasks), max(6.4, 5.4 * len(tasks)), 4.6)
        for axis, (name, played) in zip(axes.flat, tasks.items(), strict=True):
            for planner in dict.fromkeys(row["planner"] for row in played):
                own = [row for row in played if row["planner"] == planner]
                columns = ([row[key] for row in own] for key in ("plan_ms_p50", "cost_mean", "cost_sem"))
                points_with_errors(axis, *columns, _LOOKS.get(planner, (INK, "P")), planner)
            _draw_on_mjx(axis, played, [row for row in rows if row["task"] == name])
            axis.set(xscale="log", xlabel="milliseconds per plan, batch 1 (median)", title=name)
            axis.margins(x=0.16, y=0.12)
            label_decades(axis.xaxis, fine=False)
        axes.flat[0].set_ylabel("cost of an episode, ± 1.96 standard errors")
        handles: dict[str, Any] = {}
        for axis in axes.flat:
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
                handles.setdefault(label, handle)
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=5)
        for axis, played in zip(axes.flat, tasks.values(), strict=True):
            for row in played:
                color = _LOOKS.get(row["planner"], (INK, ""))[0]
                label_points(axis, [row["plan_ms_p50"]], [row["cost_mean"]], [_short(row)], color, fontsize=7.5)
        return encode(figure)[0]


def _draw_on_mjx(axis: Any, played: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """An open mark at MJX's time for each setting that was timed there too, at the cost that it has on C MuJoCo."""
    for row in rows:
        same = [other for other in played if _setting(other) == _setting(row)] if row["simulator"] == "MJX" else []
        for other in same:
            color, marker = _LOOKS.get(row["planner"], (INK, "P"))
            axis.plot(
                [row["plan_ms_p50"]], [other["cost_mean"]], marker, color=color, markerfacecolor="white", markersize=6
            )
            axis.annotate(
                "on MJX",
                (row["plan_ms_p50"], other["cost_mean"]),
                xytext=(0, 7),
                textcoords="offset points",
                ha="center",
                color=color,
                fontsize=7,
            )


def _setting(row: dict[str, Any]) -> list[Any]:
    return [row.get(name) for name in ("planner", "samples", "refine_steps", "sigma", "knots")]


def _short(row: dict[str, Any]) -> str:
    """A row's setting, short enough to stand beside its point."""
    if "samples" not in row:
        return told(row)
    return f"{row['samples']}" + (f" x {row['refine_steps']}" if row["refine_steps"] > 1 else "")


def markdown(records: Iterable[tuple[dict[str, Any], str]]) -> str:
    """The whole page.

    Args:
        records: of ``benchmarks.control``, each with where its picture lies, seen from the page.
    """
    lines = [
        "# Control: a trained Inverter against sampling MPC",
        "",
        "Who plans best, and in how many milliseconds? The Inverter has learned a model and, where a task takes longer than a "
        "plan, the cost beyond its plan; K = 10 refines each plan by ten gradient steps through that model. The rivals need no "
        "training and are given the true model: predictive sampling, MPPI, CEM and DIAL as users of hydrax, judo and mujoco_mpc "
        "run them, 1 s ahead, noise held for 1/8 s, each plan starting from the rest of the last one, on C MuJoCo. All plan "
        "equally often. Physics wait for a plan as long as it takes: in real time one that takes longer than the steps it is "
        "executed for would come too late.",
        "",
        "Costs are of whole episodes on C MuJoCo from the same held-out starts, ± 1.96 standard errors. Rivals that play fewer "
        "episodes play the first of them, and their errors are rough. Looking further ahead, or other noise (sigma, as a share "
        "of half the actions' range), may make a rival stronger (docs/tried.md has such runs). Open marks in a picture are times "
        "on MJX: which engine is faster depends on the model. Times are of single plans taken in turn.",
        "",
    ]
    for record, picture in records:
        for name, rows in by_task(record["rows"]).items():
            lines += [f"## {name}", "", *_table(rows), ""]
        cores = f"{record['cores']} core" + ("s" if record["cores"] > 1 else "")
        lines += [
            f"On {cores} of {record['device']}, starts of seed {record['seed']}, by",
            "",
            "```",
            record["command"],
            "```",
            "",
        ]
        lines += [f"![Cost against milliseconds per plan]({picture})", ""]
    return "\n".join([*lines, "This page is written by `python -m benchmarks.control_page`.", ""])


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    own = list(dict.fromkeys(name for row in rows for name in row if name not in _SHARED))
    heads = [
        "planner",
        "setting",
        "cost",
        "success",
        *(_OWN.get(name, (name.replace("_", " "), ""))[0] for name in own),
    ]
    heads += ["ms p50", "ms p99", "training", "episodes"]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for row in rows:
        played = row["cost_mean"] is not None
        cells = [
            row["planner"],
            told(row),
            f"{row['cost_mean']:.3g} ± {1.96 * row['cost_sem']:.2g}" if played else "time only",
            f"{row['success_rate']:.0%}" if row["success_rate"] is not None else "-",
            *(_cell(name, row.get(name)) if played else "-" for name in own),
            f"{row['plan_ms_p50']:.3g}",
            f"{row['plan_ms_p99']:.3g}",
            f"{row['train_s']:.0f} s" if row["train_s"] is not None else "-",
            f"{row['episodes']}",
        ]
        yield f"| {' | '.join(cells)} |"


def _cell(name: str, value: Any) -> str:
    if not isinstance(value, int | float):
        return "never" if value is None else str(value)
    return _OWN.get(name, ("", "{:.3g}"))[1].format(value)
