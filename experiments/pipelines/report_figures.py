"""The figures of one run, each with its caption, drawn from the run's files."""

from typing import Any, NamedTuple

import numpy as np

from experiments.pipelines.ant_showcase import Walks
from experiments.pipelines.results import Measure, Row, judged_by, run_group
from experiments.pipelines.run_files import Curve, RunFiles
from experiments.pipelines.showcase import Showcase
from invlearn_jax.report import figures
from invlearn_jax.tasks.antmaze.drawing import draw_tracks
from invlearn_jax.tasks.maze2d import drawing

_WIDTH = 10.4  # inches of a figure as wide as the page
_MOST_POINTS = 400  # of a plotted curve
_MOST_CURVES = 60  # of a figure
_LOSSES = {
    ("model", "model_loss"): "loss",
    ("level_model", "model_loss"): "loss",
    ("cost_to_go", "cost_to_go_loss"): "loss",
    ("inverter", "cost"): "cost",
}
_STAGES = {
    "level_model": ("upper level's model", figures.ORANGE),
    "model": ("forward model", figures.ORANGE),
    "cost_to_go": ("cost-to-go", figures.GREEN),
    "inverter": ("Inverter", figures.BLUE),
}
_DATA = {"d4rl": "D4RL-style data", "own": "the given files", "random": "random data"}


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


def draw_pictures(run: RunFiles, showcase: Showcase | Walks | None) -> list[Picture]:
    """All figures that the run's files allow.

    Args:
        run: its files.
        showcase: of its planner (of an ant's, its walks), or None where there is none.

    Returns:
        The figures in the page's order.
    """
    parts = []
    with figures.style():
        if values := _values(run):
            parts.append(values)
        if isinstance(showcase, Walks):
            parts.append(_tracks(showcase))
        elif showcase is not None:
            parts += [_plans(showcase), _cost_to_go(showcase)]
        if run.model_errors:
            parts.append(_model_error(run.model_errors))
        if run.hacking is not None and isinstance(showcase, Showcase):
            parts.append(_hacking(run.hacking, showcase))
        if run.curves:
            parts.append(_training(run.curves))
        return [Picture(name, title, caption, *figures.encode(figure)) for name, title, caption, figure in parts]


def _values(run: RunFiles) -> tuple[str, str, str, Any] | None:
    """What the run is judged by against refinement and time; None where no finite value is left to draw."""
    rows = run_group(run).rows
    measure = judged_by(rows)
    if measure is None:
        return None
    rows = [row for row in rows if np.isfinite(figures.drawable(np.nan if (v := measure.of(row)[0]) is None else v))]
    if not rows:
        return None
    tasks = [task for task in (False, True) if any(row.multi_goal is task for row in rows)]
    labels = {False: "the task's goal", True: "a random goal per episode"}
    steps = sorted({row.refine_steps for row in rows if row.refine_steps is not None})
    figure, axes = figures.canvas(len(tasks), 2, _WIDTH, 3.0 * len(tasks), sharey="row")
    named = []
    for (left, right), task, color in zip(axes, tasks, (figures.BLUE, figures.PURPLE), strict=False):
        of_task = [row for row in rows if row.multi_goal is task]
        refined = [row for row in of_task if row.refine_steps is not None]
        timed = [row for row in of_task if row.plan_ms is not None and 0 < row.plan_ms < np.inf]
        _series(left, measure, refined, [steps.index(row.refine_steps) for row in refined], color, labels[task])
        _series(right, measure, timed, [row.plan_ms for row in timed], color, labels[task])
        named.append((right, timed))
        for panel in (left, right):
            _references(panel, measure, of_task, named=panel is right)
        title = measure.name.capitalize()
        left.set(title=f"{title}, {labels[task]}", ylabel=measure.axis, xlabel="refinement steps K")
        left.set_xticks(range(len(steps)), [str(k) for k in steps])
        left.set_xlim(-0.5, max(len(steps), 1) - 0.5)
        right.set(title=f"{title} against planning time", xlabel="median time per plan (ms)", xscale="log")
        times = [row.plan_ms for row in timed] or [1.0]
        right.set_xlim(0.5 * min(times), 2.5 * max(times))
        figures.label_decades(right.xaxis, fine=max(times) < 10 * min(times))
    # Last, when every axis has its limits.
    for panel, timed in named:
        names = ["" if row.refine_steps is None else f"K = {row.refine_steps}" for row in timed]
        places = [row.plan_ms for row in timed], [measure.of(row)[0] for row in timed]
        figures.label_points(panel, *places, names)
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
    return "scores", "What refinement buys", caption, figure


def _series(axes: Any, measure: Measure, rows: list[Row], places: list[float], color: str, label: str) -> None:
    if rows:
        values, _, intervals = zip(*map(measure.of, rows), strict=True)
        figures.draw_values(axes, places, values, intervals, color, "o", label)


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


def _plans(showcase: Showcase) -> tuple[str, str, str, Any]:
    height, width = drawing.maze_size(showcase.layout)
    count = len(showcase.examples)
    columns = min(3, count)
    rows = -(-count // columns)
    panel = _WIDTH / columns * height / width
    figure, axes = figures.canvas(rows, columns, _WIDTH, rows * panel + 0.5)
    for index, axis in enumerate(axes.flat):
        if index >= count:
            axis.set_visible(False)
            continue
        example = showcase.examples[index]
        drawing.draw_maze(axis, showcase.layout)
        drawing.draw_goal(axis, showcase.goal)
        drawing.draw_plans(axis, example.path, example.proposed, example.refined)
        arrived = f"at the goal after {showcase.dt * (example.arrival or 0):.2f} s"
        axis.set_title("never at the goal" if example.arrival is None else arrived, fontsize=9)
    drawing.draw_scale_bar(axes[0, 0])
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    caption = (
        "Episodes on C MuJoCo from starts spread over the maze, one forward pass per plan, to the goal's disc (green). Where a "
        f"prediction, as proposed or after {showcase.refine_steps} refinement steps, leaves the grey band, a later plan "
        "took another way or the world did not follow the model. Lines are of the ball's centre, its radius is 0.1 m."
    )
    return "plans", "Plans and what came of them", caption, figure


def _tracks(walks: Walks) -> tuple[str, str, str, Any]:
    arrived = sum(step is not None for step in walks.arrivals)
    caption = (
        f"{len(walks.arrivals)} episodes on C MuJoCo, one forward pass of each level per plan; {arrived} reach the goal's disc. "
        "Walls are grey; a track ends at the goal, or with the episode."
    )
    return "tracks", "Where the ants went", caption, draw_tracks(walks.layout, walks.tracks(), walks.goals)


def _cost_to_go(showcase: Showcase) -> tuple[str, str, str, Any]:
    field = showcase.field
    height, width = drawing.maze_size(showcase.layout)
    figure, axes = figures.canvas(1, 2, _WIDTH, 0.46 * _WIDTH * height / width + 0.4)
    finite = np.isfinite(field.learned)
    highest = float(max(field.shortest.max(), field.learned.max(where=finite, initial=0.0)))
    image = None
    for axis, values, title in (
        (axes[0, 0], field.learned, "learned from the data"),
        (axes[0, 1], field.shortest, "the map's shortest way at 5 m/s"),
    ):
        drawing.draw_maze(axis, showcase.layout)
        drawing.draw_goal(axis, showcase.goal, filled=False)
        image = drawing.draw_field(axis, field.points, field.pitch, values, highest)
        axis.set_title(title)
    bar = figure.colorbar(image, ax=list(axes.flat), shrink=0.9, pad=0.015)
    bar.set_label(f"seconds to the goal, a line every {figures.contour_step(highest):g} s")
    bar.outline.set_visible(False)
    error = float(np.abs(field.learned - field.shortest).mean())
    caption = (
        "Seconds to the goal (star) from rest, wherever the ball's centre can be: the learned cost-to-go that plans are judged "
        f"by, beside the true shortest time, which training never sees. They differ by {error:.3f} s on average."
    )
    return "cost_to_go", "The learned cost-to-go", caption, figure


def _model_error(errors: dict[str, dict]) -> tuple[str, str, str, Any]:
    figure, axes = figures.canvas(1, len(errors), _WIDTH, 2.8, sharey=True)
    for axis, (name, rows) in zip(axes[0], errors.items(), strict=True):
        figures.draw_model_error(axis, rows, _DATA.get(name, figures.plain(name)))
    axes[0, 0].set_ylabel("error (RMS)")
    axes[0, 0].set_ylim(bottom=0)
    axes[0, 0].legend(loc="upper left")
    caption = (
        "Open-loop error of the forward model on held-out windows, against the steps predicted ahead: of the place in goal space "
        "(achieved) or the position (all; free: away from contact, wall: in windows with contact) in the task's units, of whole "
        "states in units of their deviation in the data."
    )
    return "model_error", "How far the forward model can be trusted", caption, figure


def _hacking(summary: dict, showcase: Showcase) -> tuple[str, str, str, Any]:
    height, width = drawing.maze_size(showcase.layout)
    across = 0.62 * _WIDTH
    figure, axes = figures.canvas(1, 1, across, across * height / width + 0.4)
    axis = axes[0, 0]
    drawing.draw_maze(axis, showcase.layout)
    drawing.draw_hacking(axis, summary["worst"])
    drawing.draw_scale_bar(axis)
    if summary["worst"]:
        figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    rate, low, high = (100 * summary[f"wrong_side_{part}"] for part in ("rate", "low", "high"))
    caption = (
        f"The {len(summary['worst'])} plans of {summary['problems']} that turned out worst against their own prediction, "
        f"executed open loop; lines join start and end. In {rate:.1f} % of all plans (95 %: {low:.1f} to {high:.1f}) a wall "
        f"lies between predicted and realised end; costs come out {summary['gap_mean']:.3f} above prediction on average."
    )
    return "hacking", "Where the model is exploited", caption, figure


def _training(curves: list[Curve]) -> tuple[str, str, str, Any]:
    # The stages' own losses come first.
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
        "Every metric of the training, one panel each, by stage. Scales are "
        "logarithmic where a value spans more than a factor of three."
    )
    caption += f" {left_out} further metrics are in metrics.csv alone." if left_out else ""
    return "training", "Training", caption, figure
