"""The rows of the report's results table: one for each evaluation, and means over seeds."""

import json
import math
from typing import Any, NamedTuple

import numpy as np
import scipy

from invlearn_jax.report.run_files import RunFiles
from invlearn_jax.tasks.published import Published


class Row(NamedTuple):
    """One line of the table. Scores are normalised ones, rates are shares of 1; None is what the record does not have.

    Attributes:
        refine_steps: K.
        score: the mean.
        sem: its standard error, over episodes or over seeds.
        score_ci: its 95 % interval.
        success: share of episodes that reach the goal.
        success_ci: its 95 % interval; None for a mean over seeds.
        cost: the mean, lower is better.
        cost_sem: its standard error.
        returns: the mean.
        gap: by how much whole plans cost more than predicted, the mean.
        bound: the bound's score.
        ratio: score over the bound's score.
        controller: score of the controller that made the data, on the same starts and goals.
        steps: to the goal, the median.
        plan_ms: median milliseconds per plan.
        plan_ms_p99: the slowest in a hundred.
        published: the best published score of the task.
    """

    refine_steps: int | None
    score: float | None
    sem: float | None
    score_ci: tuple[float, float] | None
    success: float | None
    success_ci: tuple[float, float] | None
    cost: float | None
    cost_sem: float | None
    returns: float | None
    gap: float | None
    bound: float | None
    ratio: float | None
    controller: float | None
    steps: float | None
    plan_ms: float | None
    plan_ms_p99: float | None
    published: Published | None


class Measure(NamedTuple):
    """What rows are judged by.

    Attributes:
        name: in a sentence.
        axis: in a picture.
        mean: the row's field.
        sem: the field of its standard error, or None.
        interval: the field of its 95 % interval, or None.
        scale: from the field to what is shown.
    """

    name: str
    axis: str
    mean: str
    sem: str | None
    interval: str | None
    scale: float = 1.0

    def of(self, row: Row) -> tuple[float | None, float | None, tuple[float, float] | None]:
        """Mean, standard error and 95 % interval, scaled, each None where the row has none."""
        mean, sem, interval = (getattr(row, name) if name else None for name in (self.mean, self.sem, self.interval))
        return (
            None if mean is None else self.scale * mean,
            None if sem is None else self.scale * sem,
            None if interval is None else (self.scale * interval[0], self.scale * interval[1]),
        )

    def mean_of(self, row: Row) -> float:
        """The mean, scaled; NaN where the row has none."""
        mean = self.of(row)[0]
        return math.nan if mean is None else mean


# The first that a run has.
_MEASURES = (
    Measure("score", "normalised score", "score", "sem", "score_ci"),
    Measure("success", "episodes at the goal (%)", "success", None, "success_ci", 100.0),
    Measure("cost", "mean cost", "cost", "cost_sem", None),
    Measure("return", "mean return", "returns", None, None),
)


def judged_by(rows: list[Row]) -> Measure | None:
    """The measure of a run: the first of score, success, cost and return that its rows have; None without any."""
    return next((m for m in _MEASURES if any(getattr(row, m.mean) is not None for row in rows)), None)


class Group(NamedTuple):
    """Rows that share their run, or their mean over seeds.

    Attributes:
        task: its name.
        method: its name; empty where unknown.
        seeds: of the runs.
        rows: the evaluations.
    """

    task: str
    method: str
    seeds: tuple[int, ...]
    rows: list[Row]


def method_of(config: dict) -> str:
    """The method's name; empty where the configuration names none."""
    name = config.get("method")
    return name if isinstance(name, str) else ""


def run_group(run: RunFiles) -> Group:
    """The rows of one run, as its evaluations are ordered."""
    published = run.world.published if run.world is not None else None
    return Group(run.task, method_of(run.config), (run.seed,), [_row(record, published) for record in run.evaluations])


def _row(record: dict, published: Published | None) -> Row:
    score, sem, interval = (record[name] for name in ("score_mean", "score_sem", "score_ci95"))
    if interval is None and None not in (score, sem):
        half = float(scipy.stats.norm.ppf(0.975)) * sem
        interval = (score - half, score + half)
    return Row(
        record["refine_steps"],
        score,
        sem,
        interval and tuple(interval),
        record["success_rate"],
        record["success_ci95"] and tuple(record["success_ci95"]),
        record["cost_mean"],
        record["cost_sem"],
        record["return_mean"],
        record["gap_mean"],
        record["bound_score"],
        record["score_ratio_to_bound"],
        record["controller_score"],
        record["steps_to_goal_median"],
        record["plan_ms_p50"],
        record["plan_ms_p99"],
        published,
    )


def all_groups(runs: list[RunFiles]) -> list[Group]:
    """The table: runs of equal settings side by side, followed by their mean where there are several seeds."""
    alike: dict[str, list[RunFiles]] = {}
    for run in runs:
        alike.setdefault(json.dumps(run.config, sort_keys=True), []).append(run)
    groups = []
    for members in alike.values():
        own = [run_group(run) for run in members if run.evaluations]
        groups += own
        if len({group.seeds for group in own}) == len(own) > 1:
            groups.append(_mean(own))
    return groups


def _mean(groups: list[Group]) -> Group:
    together: dict[int | None, list[Row]] = {}
    for group in groups:
        for row in group.rows:
            together.setdefault(row.refine_steps, []).append(row)
    rows = [_mean_row(rows) for rows in together.values() if len(rows) == len(groups)]
    seeds = tuple(sorted(group.seeds[0] for group in groups))
    return groups[0]._replace(seeds=seeds, rows=rows)


def _mean_row(rows: list[Row]) -> Row:
    """The means over n seeds; those of score and cost with their error, the score with its interval.

    Student's interval is ``mean -+ t(n - 1) s / sqrt(n)``.
    """
    score, sem = _mean_of(rows, "score")
    cost, cost_sem = _mean_of(rows, "cost")
    half = None if sem is None else float(scipy.stats.t.ppf(0.975, len(rows) - 1)) * sem
    others = ("success", "returns", "gap", "bound", "controller", "steps", "plan_ms", "plan_ms_p99")
    means: dict[str, Any] = {name: _mean_of(rows, name)[0] for name in others}
    bound = means["bound"]
    return rows[0]._replace(
        score=score,
        sem=sem,
        score_ci=None if half is None or score is None else (score - half, score + half),
        success_ci=None,
        cost=cost,
        cost_sem=cost_sem,
        ratio=score / bound if score is not None and bound else None,
        **means,
    )


def _mean_of(rows: list[Row], name: str) -> tuple[float | None, float | None]:
    """Mean and standard error of a field over seeds; None where one of them has none, NaN where one is not finite."""
    values = [getattr(row, name) for row in rows]
    if None in values:
        return None, None
    if not np.isfinite(values).all():
        return float("nan"), float("nan")
    with np.errstate(over="ignore", invalid="ignore"):  # near the largest float, the result is not finite
        return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))
