"""The rows of the report's results table: one for each evaluation, and means over seeds."""

import json
from typing import NamedTuple

import numpy as np
import scipy.stats

from experiments.pipelines.run_files import RunFiles, part
from invlearn_jax.tasks.published import Published, best_published


class Row(NamedTuple):
    """One line of the table. Scores are normalised ones, rates are shares of 1; None is what the record does not have.

    Attributes:
        refine_steps: K.
        multi_goal: whether every episode has a goal of its own.
        score: the mean.
        sem: its standard error, over episodes or over seeds.
        score_ci: its 95 % interval.
        success: share of episodes that reach the goal.
        success_ci: its 95 % interval; None for a mean over seeds.
        cost: the mean, lower is better.
        cost_sem: its standard error.
        returns: the mean.
        bound: the bound's score.
        ratio: score over the bound's score.
        controller: score of the controller that made the data, on the same starts and goals.
        steps: to the goal, the median.
        plan_ms: median milliseconds per plan.
        plan_ms_p99: the slowest in a hundred.
        published: the best published score of the task.
    """

    refine_steps: int | None
    multi_goal: bool
    score: float | None
    sem: float | None
    score_ci: tuple[float, float] | None
    success: float | None
    success_ci: tuple[float, float] | None
    cost: float | None
    cost_sem: float | None
    returns: float | None
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
        env: the task.
        data: what was learned from, in words.
        seeds: of the runs.
        rows: the evaluations.
    """

    env: str
    data: str
    seeds: tuple[int, ...]
    rows: list[Row]


def data_in_words(config: dict) -> str:
    """What a run learned from, e.g. ``1 M D4RL-style + 0.8 M random rows``; of a stack, what it stands on; else empty."""
    if below := part(config, "stack").get("motor"):
        return f"stack over {below}"
    data = part(config, "data")
    rows, random, path = (data.get(name) for name in ("rows", "random_rows", "path"))
    extra = [f"{_rows(random)} random"] if _is_count(random) and random else []
    if isinstance(path, str) and path:
        files = ", ".join(name.rsplit("/", 1)[-1] for name in path.split(",") if name)
        return " + ".join([files, *(f"{text} rows" for text in extra)])
    return " + ".join([f"{_rows(rows)} D4RL-style", *extra]) + " rows" if _is_count(rows) else ""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _rows(count: int) -> str:
    return f"{count / 1e6:.3g} M" if 1e5 <= count < 1e15 else f"{count:,}"


def run_group(run: RunFiles) -> Group:
    """The rows of one run, as its evaluations are ordered."""
    return Group(run.env, data_in_words(run.config), (run.seed,), [_row(run.env, record) for record in run.evaluations])


def _row(env: str, record: dict) -> Row:
    score, sem, interval = (record[name] for name in ("score_mean", "score_sem", "score_ci95"))
    if interval is None and None not in (score, sem):
        half = float(scipy.stats.norm.ppf(0.975)) * sem
        interval = (score - half, score + half)
    return Row(
        record["refine_steps"],
        record["multi_goal"],
        score,
        sem,
        interval and tuple(interval),
        record["success_rate"],
        record["success_ci95"] and tuple(record["success_ci95"]),
        record["cost_mean"],
        record["cost_sem"],
        record["return_mean"],
        record["bound_score"],
        record["score_ratio_to_bound"],
        record["controller_score"],
        record["steps_to_goal_median"],
        record["plan_ms_p50"],
        record["plan_ms_p99"],
        best_published(env, record["multi_goal"]),
    )


def all_groups(runs: list[RunFiles]) -> list[Group]:
    """The table: runs of equal settings side by side, followed by their mean where there are several seeds."""
    alike: dict[str, list[RunFiles]] = {}
    for run in runs:
        # How a run is evaluated does not change what was trained.
        settings = {name: part for name, part in run.config.items() if name != "evaluation"}
        alike.setdefault(json.dumps(settings, sort_keys=True), []).append(run)
    groups = []
    for members in alike.values():
        own = [run_group(run) for run in members if run.evaluations]
        groups += own
        if len({group.seeds for group in own}) == len(own) > 1:
            groups.append(_mean(own))
    return groups


def _mean(groups: list[Group]) -> Group:
    together: dict[tuple[bool, int | None], list[Row]] = {}
    for group in groups:
        for row in group.rows:
            together.setdefault((row.multi_goal, row.refine_steps), []).append(row)
    rows = [_mean_row(rows) for rows in together.values() if len(rows) == len(groups)]
    seeds = tuple(sorted(group.seeds[0] for group in groups))
    return Group(groups[0].env, groups[0].data, seeds, rows)


def _mean_row(rows: list[Row]) -> Row:
    """The means over n seeds; those of score and cost with their error, the score with its interval.

    Student's interval is ``mean -+ t(n - 1) s / sqrt(n)``.
    """
    score, sem = _mean_of(rows, "score")
    cost, cost_sem = _mean_of(rows, "cost")
    half = None if sem is None else float(scipy.stats.t.ppf(0.975, len(rows) - 1)) * sem
    others = ("success", "returns", "bound", "controller", "steps", "plan_ms", "plan_ms_p99")
    means = {name: _mean_of(rows, name)[0] for name in others}
    bound = means["bound"]
    return rows[0]._replace(
        score=score,
        sem=sem,
        score_ci=None if half is None else (score - half, score + half),
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
