"""The report's table: a column for all that at least one run has."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from invlearn_jax.report.results import Group, Measure, Row
from invlearn_jax.report.wording import number, significant, span

_STRIP = 116  # pixels


class _Column(NamedTuple):
    """A column: its two-line head, its cell of a row, how it is set, and whether a row has anything for it."""

    head: str
    below: str
    cell: Callable[[Row], dict[str, Any]]
    has: Callable[[Row], bool]
    text: bool = False
    whole: bool = False


def result_table(groups: list[Group]) -> dict[str, Any] | None:
    """The table as the template takes it; None where nothing was evaluated."""
    rows = [row for group in groups for row in group.rows]
    if not rows:
        return None
    columns = [column for column in _COLUMNS if any(map(column.has, rows))]
    head = {"head": "Run", "below": "", "text": True}
    return {
        "columns": [head, *({"head": c.head, "below": c.below, "text": c.text} for c in columns)],
        "rows": [row for group in groups for row in _group_rows(group, columns)],
        "notes": _notes(groups, rows),
    }


def _group_rows(group: Group, columns: list[_Column]) -> list[dict[str, Any]]:
    several = len(group.seeds) > 1
    seeds = f"mean of seeds {', '.join(map(str, group.seeds))}" if several else f"seed {group.seeds[0]}"
    head = {"task": group.task, "size": len(group.rows), "lines": [line for line in (group.method, seeds) if line]}
    return [
        {
            "kind": " ".join(["mean"] * several + ["first"] * (index == 0)),
            "group": head if index == 0 else None,
            "cells": [_NOTHING | column.cell(row) | {"column": column} for column in columns],
        }
        for index, row in enumerate(group.rows)
    ]


_NOTHING: dict[str, Any] = {"text": "", "strong": "", "lines": (), "strip": None}


def value_text(measure: Measure, row: Row, error: bool = True) -> str:
    """A row's value, with its standard error where it has one."""
    mean, sem, _ = measure.of(row)
    write = number if measure.name == "score" else significant
    text = f"{percent(row.success)}" if measure.name == "success" else write(mean)
    return f"{text} ± {write(sem)}" if error and sem is not None else text


def percent(share: float | None) -> str:
    """No share but the whole reads 100 %."""
    if share is None or not math.isfinite(share):
        return number(share)
    return f"{number(100 * share, 0 if share == 1 or share < 0.99 else 1)} %"


def _score(row: Row) -> dict[str, Any]:
    error = f" ± {number(row.sem)}" if row.sem is not None else " "
    return {"strong": number(row.score), "text": error, "lines": [span(row.score_ci)] if row.score_ci else []}


def _success(row: Row) -> dict[str, Any]:
    if row.success is None:
        return {}
    lines = [span(row.success_ci, 100.0)] if row.success_ci else []
    lines += [f"{number(row.steps, 0)} steps"] if row.steps is not None else []
    return {"text": f"{number(100 * row.success)} %", "lines": lines}


def _cost(row: Row) -> dict[str, Any]:
    error = f" ± {significant(row.cost_sem)}" if row.cost_sem is not None else ""
    return {"text": f"{significant(row.cost)}{error}"}


def _ratio(row: Row) -> dict[str, Any]:
    if row.ratio is None:
        return {}
    return {"text": f"{number(100 * row.ratio)} %", "lines": [number(row.bound)]}


def _published(row: Row) -> dict[str, Any]:
    return {"text": f"{row.published.score:.1f}", "lines": [row.published.method]} if row.published else {}


def _strip(row: Row) -> dict[str, Any]:
    """The score on a line from 0 to the bound (or beyond, where something lies beyond); no line without either."""
    score = row.score
    if score is None or not _has_strip(row):
        return {}
    bound = 100.0 if row.bound is None else row.bound
    interval = row.score_ci if row.score_ci and all(map(math.isfinite, row.score_ci)) else None
    controller = row.controller if row.controller is not None and math.isfinite(row.controller) else None
    marks = [bound, score, controller or 0.0, interval[1] if interval else 0.0]
    end = max(*marks, row.published.score if row.published else 0.0, 1e-9)

    def place(value: float | None) -> str:
        return "" if value is None else f"{4 + (_STRIP - 8) * min(max(value, 0.0), end) / end:.1f}"

    return {
        "strip": {
            "width": _STRIP,
            "label": f"score {number(score)} of {number(bound)}",
            "bound": place(bound),
            "controller": place(controller),
            "published": place(row.published.score if row.published else None),
            "low": place(interval and interval[0]),
            "high": place(interval and interval[1]),
            "score": place(score),
        }
    }


def _has_strip(row: Row) -> bool:
    finite = row.score is not None and math.isfinite(row.score) and math.isfinite(row.bound or 0.0)
    return finite and (row.bound is not None or row.published is not None)


def _field(head: str, below: str, name: str, write: Callable[[Any], str]) -> _Column:
    """The column of one field."""
    return _Column(head, below, lambda row: {"text": write(getattr(row, name))}, lambda row: _has(row, name))


def _has(row: Row, name: str) -> bool:
    return getattr(row, name) is not None


_COLUMNS = (
    _field("K", "", "refine_steps", lambda steps: "–" if steps is None else str(steps)),
    _Column("Score ± s.e.", "95 % interval", _score, lambda row: row.score is not None, whole=True),
    # Where there is a score, it says what cost and return would, in less room.
    _Column("Cost ± s.e.", "", _cost, lambda row: row.cost is not None and row.score is None, whole=True),
    _field("Cost above", "predicted", "gap", significant),
    _Column(
        "Return",
        "",
        lambda row: {"text": significant(row.returns)},
        lambda row: _has(row, "returns") and row.score is None,
    ),
    _Column("Against the bound", "", _strip, _has_strip, text=True),
    _Column("At the goal", "95 % interval", _success, lambda row: row.success is not None, whole=True),
    _Column("Of the", "bound", _ratio, lambda row: row.ratio is not None, whole=True),
    _field("Data", "controller", "controller", number),
    _Column("Best", "published", _published, lambda row: row.published is not None, text=True, whole=True),
    _field("Plan", "(ms)", "plan_ms", lambda ms: number(ms, 2)),
    _field("99 %", "(ms)", "plan_ms_p99", lambda ms: number(ms, 2)),
)


def _notes(groups: list[Group], rows: list[Row]) -> list[str]:
    text = "K counts refinement steps; 0 is one forward pass. Standard errors and intervals are over episodes"
    text += " (of a mean over seeds: over seeds, Student's)." if any(len(g.seeds) > 1 for g in groups) else "."
    if any(row.bound is not None for row in rows):
        text += " The bound and the controller that made the data have the same starts and goals."
    if any(row.gap is not None for row in rows):
        text += " By how much whole plans, executed open loop, cost more than the model predicted shows where it is exploited."
    if any(row.steps is not None for row in rows):
        text += " Steps are to the goal, in the median."
    if any(map(_has_strip, rows)):
        text += (
            " Strips run from 0 to the bound (100 where a task has none): a blue dot and bar for the score and its interval, an "
            "orange tick for the best published score, a grey tick for the controller."
        )
    notes = [text]
    used = {row.published: None for row in rows if row.published}
    if used:
        sources = "; ".join(f"{p.score:.1f} {p.method} ({p.source})" for p in used)
        notes.append(
            f"Best published final-checkpoint scores: {sources}. They learn from D4RL's own files; where a run learned from "
            "other data too, or from executing its own plans, compare with care."
        )
    return notes
