"""Drawing functions for the report, on matplotlib axes. Mazes are drawn row 0 on top: ``(y, x)`` with x downwards."""

import contextlib
import io
import itertools
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from experiments.pipelines.wording import shorten
from invlearn_jax.tasks.d4rl import GOAL_RADIUS
from invlearn_jax.tasks.layouts import Layout
from invlearn_jax.tasks.maze2d import model as ball

# Okabe and Ito's colours, told apart with any colour vision.
BLUE, ORANGE, GREEN, PURPLE, INK, GREY = "#0072b2", "#d55e00", "#009e73", "#aa4499", "#23272e", "#8a8f98"
_WALL, _BAND = "#5d636e", "#c9ced6"
_LARGEST = 1e100  # of a drawn value
_BORDER = 0.4  # m of the outer walls that are shown
_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": "#b6bbc4",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e9ebef",
    "text.color": INK,
    "xtick.color": "#4a4f58",
    "ytick.color": "#4a4f58",
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "svg.hashsalt": "report",
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The report's look for all that is drawn inside.

    Raises:
        ImportError: without matplotlib; names the extra to install.
    """
    try:
        import matplotlib  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("Figures need matplotlib. Install it with `pip install invlearn_jax[figures]`.") from error
    with matplotlib.rc_context(_STYLE):
        yield


def canvas(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Any, np.ndarray]:
    """A figure of ``width x height`` inches on the Agg canvas and its axes ``[rows, columns]``; within ``style``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def encode(figure: Any) -> tuple[bytes, bytes]:
    """The figure as PNG and as SVG; the same figure gives the same bytes."""
    png, svg = io.BytesIO(), io.BytesIO()
    with warnings.catch_warnings():
        # Names may be in any script; letters that the font lacks are drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(png, format="png", dpi=180, metadata={"Software": None})
        figure.set_layout_engine("none")  # laid out already
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    return png.getvalue(), svg.getvalue()


def plain(text: object, longest: int = 40) -> str:
    """A name from a file as text that is drawn as it stands: no mathematics, no control characters, not too long."""
    printable = "".join(letter if letter.isprintable() else " " for letter in shorten(text, longest))
    return printable.replace("$", r"\$")


def drawable(values: Any) -> np.ndarray:
    """Values as floats, with gaps where one is not finite or so large that axes cannot hold it."""
    values = np.asarray(values, float)
    return np.where(np.abs(values) < _LARGEST, values, np.nan)


def maze_size(layout: Layout) -> tuple[float, float]:
    """Height and width of the part of a maze that is drawn, metres."""
    rows, columns = layout.walls.shape
    return rows - 2 + 2 * _BORDER, columns - 2 + 2 * _BORDER


def draw_maze(axes: Any, layout: Layout) -> None:
    """The walls where the ball meets them: those of cell w span ``[w - 0.7, w + 0.3]`` in the ball's coordinates."""
    from matplotlib.patches import PathPatch  # noqa: PLC0415
    from matplotlib.path import Path  # noqa: PLC0415

    low = ball.WALL_OFFSET - ball.BODY_OFFSET - ball.WALL_HALF
    edge = low + 2 * ball.WALL_HALF - _BORDER
    height, width = maze_size(layout)
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])
    # One path for all: renderers leave seams between neighbours that are drawn one by one.
    walls = Path.make_compound_path(
        *(Path(square + cell[::-1] + low, closed=True) for cell in np.argwhere(layout.walls))
    )
    axes.add_patch(PathPatch(walls, facecolor=_WALL, linewidth=0, zorder=1.6))
    axes.set(xlim=(edge, edge + width), ylim=(edge + height, edge), aspect="equal", xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def draw_goal(axes: Any, goal: np.ndarray, filled: bool = True) -> None:
    """The goal and the disc of 0.5 m that counts as reached, filled or as a ring; walls hide it."""
    angle = np.linspace(0, 2 * np.pi, 90)
    x, y = goal[1] + GOAL_RADIUS * np.cos(angle), goal[0] + GOAL_RADIUS * np.sin(angle)
    if filled:
        axes.fill(x, y, GREEN, alpha=0.18, zorder=1.5)
    else:
        axes.plot(x, y, color="white", lw=1.2, linestyle=(0, (2, 2)), zorder=1.5)
    color = GREEN if filled else ORANGE
    axes.plot(goal[1], goal[0], "*", color=color, markersize=11, markeredgecolor="white", zorder=6)


def draw_scale_bar(axes: Any) -> None:
    """One metre, in the lower border of a maze."""
    left, bottom = axes.get_xlim()[0] + 0.3, axes.get_ylim()[0] - 0.17
    axes.plot([left, left + 1], [bottom, bottom], color="white", lw=2, solid_capstyle="butt", zorder=7)
    axes.text(left + 1.1, bottom, "1 m", color="white", va="center", fontsize=8, zorder=7)


def draw_curve(axes: Any, steps: np.ndarray, values: np.ndarray, title: str, color: str = BLUE) -> None:
    """A metric against the update; logarithmic where all values allow it and their range asks for it.

    Args:
        axes: to draw on.
        steps: ``[n]``.
        values: ``[n]``, gaps where not finite.
        title: its name, see ``plain``.
        color: of the line.
    """
    values = drawable(values)
    finite = values[np.isfinite(values)]
    axes.plot(steps, values, color=color, marker="o" if len(values) == 1 else None)
    if len(finite) and finite.min() > 0 and finite.max() > 3 * finite.min():
        axes.set_yscale("log")
        label_decades(axes.yaxis, fine=finite.max() < 30 * finite.min())
    axes.set(title=title, xlim=(0, max(float(steps.max()), 1)))


def label_decades(axis: Any, fine: bool) -> None:
    """Plain numbers on a logarithmic axis: at each decade, and if ``fine`` also at its 2 and 5."""

    def label(value: float, _: int) -> str:
        leading = value / 10 ** np.floor(np.log10(value) + 1e-9)
        return f"{value:.3g}" if round(leading) in (1, 2, 5) else ""

    axis.set_major_formatter(label)
    axis.set_minor_formatter(label if fine else "")


def draw_model_error(axes: Any, errors: dict[str, list[float]], title: str) -> None:
    """Open-loop errors of a forward model against the steps ahead.

    Args:
        axes: to draw on.
        errors: root mean squares after each step, by what they are of; empty lists are left out.
        title: the data's name.
    """
    for index, (part, values) in enumerate(errors.items()):
        if values:
            # The lists may begin with the given state, whose error is zero.
            start = 0 if values[0] == 0 else 1
            axes.plot(np.arange(start, start + len(values)), drawable(values), color=f"C{index}", label=plain(part))
    axes.set(title=title, xlabel="steps ahead", xlim=(0, None))


def contour_step(highest: float) -> float:
    """A round number of seconds that divides ``highest`` into at most a dozen parts."""
    return next(step for step in (0.05, 0.1, 0.25, 0.5, 1.0, highest / 5) if highest / step <= 12)


def draw_field(axes: Any, points: np.ndarray, pitch: float, seconds: np.ndarray, highest: float) -> Any:
    """A field over the free positions as a heat map with contours (see ``contour_step``), on a drawn maze.

    Args:
        axes: to draw on, after ``draw_maze``.
        points: ``[M, 2]`` of a grid through the origin, metres.
        pitch: of the grid, metres.
        seconds: ``[M]``, left blank where not finite.
        highest: end of the colour scale, seconds.

    Returns:
        What a colour bar needs.
    """
    cells = np.round(points / pitch).astype(int)
    size = cells.max(0) + 2
    grid = np.ma.array(np.zeros(size), mask=True)
    grid[tuple(cells.T)] = np.ma.masked_invalid(seconds)
    rows, columns = np.arange(size[0]) * pitch, np.arange(size[1]) * pitch
    image = axes.pcolormesh(
        columns, rows, grid, cmap="viridis_r", vmin=0, vmax=highest, shading="nearest", rasterized=True, zorder=1
    )
    levels = contour_step(highest) * np.arange(1, 13)
    levels = levels[(levels > grid.min()) & (levels < grid.max())]
    if len(levels):
        axes.contour(columns, rows, grid, levels, colors="white", linewidths=0.8, zorder=2)
    return image


def draw_plans(axes: Any, path: np.ndarray, proposed: np.ndarray, refined: np.ndarray) -> None:
    """What happened in an episode as a broad band, with what was planned along it on top.

    Args:
        axes: to draw on, after ``draw_maze``.
        path: ``[t, 2]`` realised positions, metres.
        proposed: ``[n, T+1, 2]`` predictions of one-pass plans.
        refined: ``[n, T+1, 2]`` predictions after refinement.
    """
    axes.plot(path[:, 1], path[:, 0], color=_BAND, lw=6, zorder=2, label="realised, one pass", solid_joinstyle="round")
    for index, (first, second) in enumerate(zip(proposed, refined, strict=True)):
        names = ("proposed: one pass", "after refinement") if index == 0 else (None, None)
        axes.plot(first[:, 1], first[:, 0], color=BLUE, lw=1.6, zorder=3, label=names[0])
        axes.plot(second[:, 1], second[:, 0], "--", color=ORANGE, lw=1.4, zorder=4, label=names[1])
    axes.plot(proposed[:, 0, 1], proposed[:, 0, 0], "o", color=INK, markersize=2.6, zorder=5, label="planned from here")
    axes.plot(path[0, 1], path[0, 0], "o", color=INK, markersize=6, markeredgecolor="white", zorder=5)


def draw_values(
    axes: Any,
    x: Sequence[float],
    values: Sequence[float],
    intervals: Sequence[tuple[float, float] | None],
    color: str,
    marker: str,
    label: str,
) -> None:
    """Values with their intervals.

    Args:
        axes: to draw on.
        x: ``[n]`` places.
        values: ``[n]``, finite.
        intervals: ``[n]`` low and high ends; None where a value has none.
        color: of the series.
        marker: of the series.
        label: of the series.
    """
    place, middle = np.asarray(x, float), np.asarray(values, float)
    low, high = np.array([pair or (value, value) for pair, value in zip(intervals, values, strict=True)]).T
    axes.errorbar(
        place,
        middle,
        yerr=np.maximum(drawable([middle - low, high - middle]), 0.0),
        fmt=marker,
        color=color,
        markersize=6,
        markeredgecolor="white",
        capsize=3,
        elinewidth=1.4,
        label=label,
    )


_GAP = 2.0  # pixels between names and all else
# Points right and up of a point, and the side of the name that is there: beside it, then at its corners, then above and below.
_PLACES = (
    *((8, -3, "left"), (-8, -3, "right")),
    *((7, 4, "left"), (7, -11, "left"), (-7, 4, "right"), (-7, -11, "right")),
    *((0, 8, "center"), (0, -15, "center"), (13, -14, "left"), (-13, -14, "right")),
)
_MARK = 4.0  # pixels from a point to the edge of its mark


def label_points(
    axes: Any, x: Sequence[float], y: Sequence[float], labels: Sequence[str], color: str = INK, fontsize: float = 8.5
) -> None:
    """Names points, each where its name lies neither on another nor on anything drawn; a name without such a place is left out.

    Args:
        axes: to draw on, with all else drawn and its limits set.
        x: ``[n]``.
        y: ``[n]``.
        labels: ``[n]``; empty for none.
        color: of the names.
        fontsize: of the names.
    """
    figure = axes.figure
    figure.draw_without_rendering()  # gives axes and texts their places
    renderer = figure.canvas.get_renderer()
    marks = _drawn(axes)
    taken = [text.get_window_extent(renderer).padded(_GAP) for text in axes.texts]
    for place in zip(x, y, labels, strict=True):
        for right, up, side in _PLACES if place[2] else ():
            text = axes.annotate(
                place[2],
                place[:2],
                xytext=(right, up),
                textcoords="offset points",
                ha=side,
                color=color,
                fontsize=fontsize,
            )
            box = text.get_window_extent(renderer).padded(_GAP)
            inside = axes.bbox.contains(box.x0, box.y0) and axes.bbox.contains(box.x1, box.y1)
            if inside and not box.count_contains(marks) and not box.count_overlaps(taken):
                taken.append(box)
                break
            text.remove()


def _drawn(axes: Any) -> np.ndarray:
    """Points ``[n, 2]`` in pixels, close together along all lines and error bars and around their marks."""
    lines = [line for line in axes.lines if line.get_transform().contains_branch(axes.transData)]
    # The caps of error bars are lines of marks alone.
    joined = {line: line.get_linestyle() != "None" for line in lines}
    paths = [line.get_xydata() for line in lines if joined[line]]
    paths += [mark[None] for line in lines if not joined[line] for mark in line.get_xydata()]
    paths += [segment for bars in axes.collections for segment in getattr(bars, "get_segments", list)()]
    points = [np.zeros((0, 2))]
    for path in paths:
        corners = axes.transData.transform(path)
        corners = corners[np.isfinite(corners).all(-1)]
        points += [corners + shift for shift in _MARK * np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)])]
        points += [np.linspace(a, b, 2 + int(np.hypot(*(b - a)) / 4)) for a, b in itertools.pairwise(corners)]
    return np.concatenate(points)


def draw_references(axes: Any, lines: Sequence[tuple[float, str, str, str]], named: bool) -> None:
    """Horizontal lines, their names and values at the right outside the axes, apart even where lines are close.

    Args:
        axes: to draw on; its limits are set already.
        lines: value, name, colour and dash of each.
        named: whether to write the names.
    """
    low, high = axes.get_ylim()
    place = -np.inf
    for value, label, color, dash in sorted(lines):
        axes.axhline(value, color=color, linestyle=dash, lw=1.3, zorder=1)
        place = max(value, place + 0.065 * (high - low))
        if named:
            axes.annotate(
                f"{label} {value:.1f}",
                (1.0, place),
                xycoords=("axes fraction", "data"),
                xytext=(5, 0),
                textcoords="offset points",
                color=color,
                fontsize=8,
                va="center",
                annotation_clip=False,
            )


def draw_hacking(axes: Any, worst: Sequence[dict]) -> None:
    """Where plans go wrong: from each start a dotted line to the predicted end and a full one to the realised end.

    Args:
        axes: to draw on, after ``draw_maze``.
        worst: rows of ``hacking_summary``.
    """
    for index, row in enumerate(worst):
        start, predicted, realised = (np.array(row[name][:2]) for name in ("start", "predicted_end", "realised_end"))
        names = ("start", "predicted end", "realised end") if index == 0 else (None,) * 3
        axes.plot(*np.stack([start, predicted])[:, ::-1].T, ":", color=ORANGE, lw=1.4, zorder=3)
        axes.plot(*np.stack([start, realised])[:, ::-1].T, color=BLUE, lw=1.4, zorder=3)
        axes.plot(start[1], start[0], "o", color=INK, markersize=3.5, zorder=4, label=names[0], lw=0)
        axes.plot(predicted[1], predicted[0], "X", color=ORANGE, markersize=7, zorder=5, label=names[1], lw=0)
        axes.plot(realised[1], realised[0], "o", color=BLUE, markersize=6, zorder=5, label=names[2], lw=0)
