"""Drawing mazes, on matplotlib axes: row 0 on top, ``(y, x)`` with x downwards."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from invlearn_jax.report.figures import BLUE, GREEN, INK, ORANGE, contour_step
from invlearn_jax.tasks.d4rl import GOAL_RADIUS
from invlearn_jax.tasks.layouts import Layout
from invlearn_jax.tasks.maze2d import model as ball

_WALL, _BAND = "#5d636e", "#c9ced6"
_BORDER = 0.4  # m of the outer walls that are shown


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
