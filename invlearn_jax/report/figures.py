"""What pictures are drawn with, on matplotlib axes: a style, curves, values with intervals, names of points."""

import contextlib
import io
import itertools
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from invlearn_jax.report.wording import shorten

# Okabe and Ito's colours, told apart with any colour vision.
BLUE, ORANGE, GREEN, PURPLE, INK, GREY = "#0072b2", "#d55e00", "#009e73", "#aa4499", "#23272e", "#8a8f98"
_LARGEST = 1e100  # of a drawn value
_STYLE: dict[Any, Any] = {
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


def canvas(rows: int, columns: int, width: float | int, height: float | int, **options: Any) -> tuple[Any, np.ndarray]:
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
        label_decades(axes.yaxis, fine=bool(finite.max() < 30 * finite.min()))
    axes.set(title=title, xlim=(0, max(float(steps.max()), 1)))


def label_decades(axis: Any, fine: bool) -> None:
    """Plain numbers on a logarithmic axis: at each decade, and if ``fine`` also at its 2 and 5."""

    def label(value: float, _: int | None) -> str:
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


def draw_values(
    axes: Any,
    x: Sequence[float | int],
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


def points_with_errors(
    axes: Any, x: Sequence[float], y: Sequence[float], sem: Sequence[float], look: tuple[str, str], label: str
) -> None:
    """Points ``[n]`` joined by a thin line, from left to right, with 1.96 standard errors up and down.

    Args:
        axes: to draw on.
        x: ``[n]``, in any order.
        y: ``[n]`` means.
        sem: ``[n]`` their standard errors.
        look: colour and marker.
        label: for the legend.
    """
    order = sorted(range(len(x)), key=lambda i: x[i])
    axes.errorbar(
        [x[i] for i in order],
        [y[i] for i in order],
        [1.96 * sem[i] for i in order],
        color=look[0],
        marker=look[1],
        markersize=6,
        linewidth=1,
        elinewidth=0.8,
        label=label,
    )


def label_points(
    axes: Any,
    x: Sequence[float | int],
    y: Sequence[float | int],
    labels: Sequence[str],
    color: str = INK,
    fontsize: float = 8.5,
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
