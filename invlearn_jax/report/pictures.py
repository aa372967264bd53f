"""The figures of one run, each with its caption, drawn from the run's files."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from invlearn_jax.report import figures
from invlearn_jax.report.episodes import Shown
from invlearn_jax.report.results import Measure, Row, judged_by, run_group
from invlearn_jax.report.run_files import Curve, RunFiles
from invlearn_jax.tasks.task import Drawing, Episodes, Illustrates, has_success

_WIDTH = 10.4  # inches of a figure as wide as the page
_MOST_POINTS = 400  # of a plotted curve
_MOST_CURVES = 60  # of a figure
# What stages train by; the curves of these come first.
_LOSSES = {("model", "model_loss"): "loss", ("tail", "cost_to_go_loss"): "loss", ("inverter", "cost"): "cost"}
_STAGES = {
    "model": ("forward model", figures.ORANGE),
    "tail": ("cost beyond the horizon", figures.GREEN),
    "inverter": ("Inverter", figures.BLUE),
}


class Picture(NamedTuple):
    """A finished figure.

    Attributes:
        name: of its file, without suffix.
        title: a heading.
        caption: what is seen, one or two sentences.
        png: for the run's folder.
        svg: for the page.
    """

    name: str
    title: str
    caption: str
    png: bytes
    svg: bytes


def draw_pictures(run: RunFiles, shown: Shown | None) -> list[Picture]:
    """All figures that the run's files allow.

    Args:
        run: its files.
        shown: episodes of its planner, or None where there are none.

    Returns:
        The figures in the page's order.
    """
    parts: list[Drawing] = []
    with figures.style():
        if values := _values(run):
            parts.append(values)
        if shown is not None:
            parts.append(draw_episodes(shown))
            if isinstance(shown.task, Illustrates):
                parts += shown.task.illustrate(shown.planner, shown.params)
        if run.model_errors:
            parts.append(_model_error(run.model_errors))
        if run.curves:
            parts.append(_training(run.curves))
        return [Picture(name, title, caption, *figures.encode(figure)) for name, title, caption, figure in parts]


def _values(run: RunFiles) -> Drawing | None:
    """What the run is judged by against refinement and time; None where no finite value is left to draw."""
    rows = run_group(run).rows
    measure = judged_by(rows)
    if measure is None:
        return None
    rows = [row for row in rows if np.isfinite(figures.drawable(measure.mean_of(row)))]
    if not rows:
        return None
    refined = [(row.refine_steps, row) for row in rows if row.refine_steps is not None]
    timed = [(row.plan_ms, row) for row in rows if row.plan_ms is not None and 0 < row.plan_ms < np.inf]
    steps = sorted({count for count, _ in refined})
    figure, axes = figures.canvas(1, 2, _WIDTH, 3.0, sharey="row")
    left, right = axes[0]
    _series(left, measure, [(steps.index(count), row) for count, row in refined])
    _series(right, measure, timed)
    for panel in (left, right):
        _references(panel, measure, rows, named=panel is right)
    title = measure.name.capitalize()
    left.set(title=title, ylabel=measure.axis, xlabel="refinement steps K")
    left.set_xticks(range(len(steps)), [str(k) for k in steps])
    left.set_xlim(-0.5, max(len(steps), 1) - 0.5)
    right.set(title=f"{title} against planning time", xlabel="median time per plan (ms)", xscale="log")
    times = [time for time, _ in timed] or [1.0]
    right.set_xlim(0.5 * min(times), 2.5 * max(times))
    figures.label_decades(right.xaxis, fine=max(times) < 10 * min(times))
    # Last, when every axis has its limits.
    names = ["" if row.refine_steps is None else f"K = {row.refine_steps}" for _, row in timed]
    figures.label_points(right, [time for time, _ in timed], [measure.mean_of(row) for _, row in timed], names)
    caption = (
        f"Mean {measure.name} over the episodes with its 95 % interval where it was recorded, against the refinement steps and "
        "against the time they take."
    )
    if measure.name == "score" and any(
        x is not None for row in rows for x in (row.bound, row.controller, row.published)
    ):
        caption += (
            " Lines mark the upper bound, the best published score and the controller that made the data, where known."
        )
    return Drawing("scores", "What refinement buys", caption, figure)


def _series(axes: Any, measure: Measure, placed: Sequence[tuple[float | int, Row]]) -> None:
    """Draws the rows' values, each at its place."""
    if placed:
        means, intervals = [measure.mean_of(row) for _, row in placed], [measure.of(row)[2] for _, row in placed]
        figures.draw_values(axes, [place for place, _ in placed], means, intervals, figures.BLUE, "o", measure.name)


def _references(axes: Any, measure: Measure, rows: list[Row], named: bool) -> None:
    """Sets the limits, with lines for what a score is compared with."""
    lines = []
    if measure.name == "score":
        published = rows[0].published.score if rows[0].published else None
        lines = [
            (value, label, color, dash)
            for value, label, color, dash in (
                (rows[0].bound, "upper bound", figures.INK, "-"),
                (rows[0].controller, "data controller", figures.GREY, ":"),
                (published, "best published", figures.ORANGE, "--"),
            )
            if value is not None and np.isfinite(figures.drawable(value))
        ]
    told = [measure.of(row) for row in rows]
    ends = [x for mean, _, interval in told for x in (mean, *(interval or ()))]
    shown = figures.drawable([value for value, *_ in lines] + ends)
    low, high = np.nanmin(shown), np.nanmax(shown)
    room = 0.08 * (max(high - low, 1.0) if measure.name == "score" else (high - low or abs(high) or 1.0))
    axes.set_ylim(low - room, high + room)
    figures.draw_references(axes, lines, named)


def draw_episodes(shown: Shown) -> Drawing:
    """A panel for each episode, as the task draws it."""
    count = len(shown.episodes.states)
    columns = min(3, count)
    rows = -(-count // columns)
    figure, axes = figures.canvas(rows, columns, _WIDTH, 3.0 * rows)
    for index, axis in enumerate(axes.flat):
        if index >= count:
            axis.set_visible(False)
            continue
        shown.task.draw(axis, Episodes(*(part[index : index + 1] for part in shown.episodes)))
        arrival = shown.arrivals[index]
        if has_success(shown.task):
            axis.set_title("not at the goal" if arrival is None else f"at the goal after {arrival:.2f} s", fontsize=9)
    first = axes[0, 0]
    if first.get_aspect() == 1.0:
        (left, right), (bottom, top) = first.get_xlim(), first.get_ylim()
        shape = min(max(abs((top - bottom) / (right - left)), 0.3), 1.5)
        figure.set_size_inches(_WIDTH, rows * (_WIDTH / columns * shape + 0.3) + 0.4)
    handles, labels = first.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper center", ncols=4)
    caption = f"{count} closed-loop episodes on the task's simulator, one forward pass per plan, the longest first."
    return Drawing("episodes", "Episodes", caption, figure)


def _model_error(errors: dict[str, dict]) -> Drawing:
    figure, axes = figures.canvas(1, len(errors), _WIDTH, 2.8, sharey=True)
    for axis, (name, rows) in zip(axes[0], errors.items(), strict=True):
        figures.draw_model_error(axis, rows, f"{figures.plain(name)} data")
    axes[0, 0].set_ylabel("error (RMS)")
    axes[0, 0].set_ylim(bottom=0)
    axes[0, 0].legend(loc="upper left")
    caption = (
        "Open-loop error of the forward model on held-out windows, against the steps predicted ahead: of whole states in units "
        "of their deviation in the data, and of the place in goal space (achieved) in the task's units."
    )
    return Drawing("model_error", "How far the forward model can be trusted", caption, figure)


def _training(curves: list[Curve]) -> Drawing:
    curves = sorted(curves, key=lambda curve: (curve.stage, curve.name) not in _LOSSES)
    curves, left_out = curves[:_MOST_CURVES], len(curves[_MOST_CURVES:])
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    figure, axes = figures.canvas(rows, columns, _WIDTH, 2.0 * rows + 0.2)
    for index, axis in enumerate(axes.flat):
        if index >= len(curves):
            axis.set_visible(False)
            continue
        curve = curves[index]
        stage, color = _STAGES.get(curve.stage, (figures.plain(curve.stage, 16), figures.INK))
        name = _LOSSES.get((curve.stage, curve.name), figures.plain(curve.name.replace("_", " "), 24))
        stride = -(-len(curve.steps) // _MOST_POINTS)
        figures.draw_curve(axis, curve.steps[::stride], curve.values[::stride], f"{stage}: {name}", color)
        if index >= len(curves) - columns:
            axis.set_xlabel("update")
    caption = (
        "Every metric of the training, one panel each, logarithmic where a value spans more than a factor of three."
    )
    caption += f" {left_out} further metrics are in metrics.csv alone." if left_out else ""
    return Drawing("training", "Training", caption, figure)
