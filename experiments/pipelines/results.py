"""The rows of the report's results table: one for each evaluation, and means over seeds."""

import json
from typing import NamedTuple

import numpy as np
import scipy.stats

from experiments.pipelines.published import Published, best_published
from experiments.pipelines.run_files import RunFiles


class Row(NamedTuple):
    """One line of the table. Scores are D4RL's normalised ones, rates are shares of 1.

    Attributes:
        refine_steps: K.
        multi_goal: whether every episode has a goal of its own.
        score: the mean.
        sem: its standard error, over episodes or over seeds.
        score_ci: its 95 % interval.
        success: share of episodes that reach the goal.
        success_ci: its 95 % interval, or None for a mean over seeds.
        bound: the bound's score; this and the next two are None for an antmaze.
        ratio: score over the bound's score.
        controller: score of the controller that made the data, on the same starts and goals.
        steps: to the goal, the median; None where none was reached, and for maze2d, where episodes go on.
        plan_ms: median milliseconds per plan.
        published: the best published score of the task, or None.
    """

    refine_steps: int
    multi_goal: bool
    score: float
    sem: float
    score_ci: tuple[float, float]
    success: float
    success_ci: tuple[float, float] | None
    bound: float | None
    ratio: float | None
    controller: float | None
    steps: float | None
    plan_ms: float
    published: Published | None


class Group(NamedTuple):
    """Rows that share their run, or their mean over seeds.

    Attributes:
        env: the environment.
        data: what was learned from, in words.
        seeds: of the runs.
        rows: the evaluations.
    """

    env: str
    data: str
    seeds: tuple[int, ...]
    rows: list[Row]


def data_in_words(config: dict) -> str:
    """What a run learned from, e.g. ``1 M D4RL-style + 0.8 M random rows``; of a stack, what it stands on."""
    if "stack" in config:
        return f"stack over {config['stack'].get('motor')}"
    data = config.get("data", {})
    if data.get("path"):
        parts = [", ".join(path.rsplit("/", 1)[-1] for path in data["path"].split(",") if path)]
        return " + ".join(parts + ([f"{_count(data['random_rows'])} random rows"] if data.get("random_rows") else []))
    if "rows" not in data:
        return ""
    parts = [f"{_count(data['rows'])} D4RL-style"]
    parts += [f"{_count(data['random_rows'])} random"] if data.get("random_rows") else []
    return " + ".join(parts) + " rows"


def _count(rows: int) -> str:
    return f"{rows / 1e6:.3g} M" if rows >= 1e5 else f"{rows:,}"


def run_group(run: RunFiles) -> Group:
    """The rows of one run."""
    rows = [
        Row(
            record["refine_steps"],
            record["multi_goal"],
            record["score_mean"],
            record["score_sem"],
            tuple(record["score_ci95"]),
            record["success_rate"],
            tuple(record["success_ci95"]),
            record.get("bound_score"),
            record.get("score_ratio_to_bound"),
            record.get("controller_score"),
            record.get("steps_to_goal_median"),
            record["plan_ms_p50"],
            best_published(run.env, record["multi_goal"]),
        )
        for record in run.evaluations
    ]
    return Group(run.env, data_in_words(run.config), (run.seed,), rows)


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
    together: dict[tuple[bool, int], list[Row]] = {}
    for group in groups:
        for row in group.rows:
            together.setdefault((row.multi_goal, row.refine_steps), []).append(row)
    rows = [_mean_row(rows) for _, rows in sorted(together.items()) if len(rows) == len(groups)]
    seeds = tuple(sorted(group.seeds[0] for group in groups))
    return Group(groups[0].env, groups[0].data, seeds, rows)


def _mean_row(rows: list[Row]) -> Row:
    """The mean over n seeds with Student's interval ``mean -+ t(n - 1) s / sqrt(n)``."""
    scores = np.array([row.score for row in rows])
    mean, sem = float(scores.mean()), float(scores.std(ddof=1) / np.sqrt(len(scores)))
    half = float(scipy.stats.t.ppf(0.975, len(scores) - 1)) * sem
    bound, controller, steps = (
        _mean_of([getattr(row, name) for row in rows]) for name in ("bound", "controller", "steps")
    )
    return rows[0]._replace(
        score=mean,
        sem=sem,
        score_ci=(mean - half, mean + half),
        success=float(np.mean([row.success for row in rows])),
        success_ci=None,
        bound=bound,
        ratio=None if bound is None else mean / bound,
        controller=controller,
        steps=steps,
        plan_ms=float(np.median([row.plan_ms for row in rows])),
    )


def _mean_of(values: list[float | None]) -> float | None:
    """None where one of them is."""
    return None if None in values else float(np.mean(values))
