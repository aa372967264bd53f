"""Drawing mazes, on matplotlib axes: row 0 on top, ``(y, x)`` with x downwards."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from invlearn_jax.report.figures import BLUE, GREEN, INK, ORANGE, canvas, contour_step
from invlearn_jax.tasks.d4rl import GOAL_RADIUS
from invlearn_jax.tasks.layouts import Layout
from invlearn_jax.tasks.maze2d import model as ball
from invlearn_jax.tasks.maze2d.oracle import free_space, times_to
from invlearn_jax.tasks.task import Drawing

_WALL, _BAND = "#5d636e", "#c9ced6"
_BORDER = 0.4  # m of the outer walls that are shown
_WIDTH = 10.4  # inches of a picture as wide as the report's page


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


def draw_episode(axes: Any, path: np.ndarray, plans: np.ndarray, goal: np.ndarray, named: bool = True) -> None:
    """What happened in an episode as a broad band, with what was planned along it on top.

    Args:
        axes: to draw on, after ``draw_maze``.
        path: ``[t, 2]`` realised positions, metres.
        plans: ``[n, T+1, 2]`` predicted positions.
        goal: ``[2]`` metres.
        named: whether a legend is to name what is drawn.
    """

    def label(text: str) -> str:
        return text if named else ""

    draw_goal(axes, goal)
    axes.plot(path[:, 1], path[:, 0], color=_BAND, lw=6, zorder=2, label=label("realised"), solid_joinstyle="round")
    for index, plan in enumerate(plans):
        axes.plot(plan[:, 1], plan[:, 0], color=BLUE, lw=1.6, zorder=3, label=label("planned") if index == 0 else "")
    axes.plot(
        *plans[:, 0, ::-1].T, "o", color=INK, markersize=2.6, zorder=5, label=label("a plan's start"), linestyle=""
    )
    axes.plot(path[0, 1], path[0, 0], "o", color=INK, markersize=6, markeredgecolor="white", zorder=5)


def draw_times(layout: Layout, goal: np.ndarray, learned: Callable[[np.ndarray], np.ndarray]) -> Drawing:
    """A learned cost-to-go beside the map's true times.

    Args:
        layout: the maze.
        goal: ``[2]`` metres.
        learned: seconds ``[M]`` to the goal from rest at positions ``[M, 2]``.

    Returns:
        The picture.
    """
    space = free_space(layout)
    found, shortest = learned(space.points), times_to(space, goal, radius=0.0)
    height, width = maze_size(layout)
    figure, axes = canvas(1, 2, _WIDTH, 0.46 * _WIDTH * height / width + 0.4)
    highest = float(max(shortest.max(), found.max(where=np.isfinite(found), initial=0.0)))
    image = None
    titles = "learned from the data", f"the map's shortest way at {ball.MAX_SPEED:g} m/s"
    for axis, values, title in zip(axes[0], (found, shortest), titles, strict=True):
        draw_maze(axis, layout)
        draw_goal(axis, goal, filled=False)
        image = draw_field(axis, space.points, space.pitch, values, highest)
        axis.set_title(title)
    bar = figure.colorbar(image, ax=list(axes.flat), shrink=0.9, pad=0.015)
    bar.set_label(f"seconds to the goal, a line every {contour_step(highest):g} s")
    bar.outline.set_visible(False)
    caption = (
        "Seconds to the goal (star) from rest, wherever the ball's centre can be: the learned cost-to-go that plans are judged "
        f"by, beside the true shortest time, which training never sees. They differ by {np.abs(found - shortest).mean():.3f} s "
        "on average."
    )
    return Drawing("cost_to_go", "The learned cost-to-go", caption, figure)


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


_SLOW = 2.0  # how many times slower than real time
_PAUSE = 1.0  # s at the end of each round
_FRAMES, _STRIDE = 4, 2  # steps per key frame and per point of a trail
_STYLE = """
.floor { fill: #fff } .wall { fill: #5d636e; stroke: #5d636e } .goal { fill: #009e73; opacity: .2 } .ball { fill: #0072b2 }
.trail { fill: none; stroke: #cfd4dc; stroke-width: 4; stroke-linecap: round; stroke-linejoin: round }
@media (prefers-color-scheme: dark) {
  .floor { fill: #262b31 } .wall { fill: #8a8f98; stroke: #8a8f98 } .goal { fill: #2bc49a } .ball { fill: #56b4e9 }
  .trail { stroke: #4d5560 }
}
@media (prefers-reduced-motion: reduce) { .ball { display: none } }
"""


def animated(layout: Layout, paths: np.ndarray, goals: np.ndarray, dt: float) -> bytes:
    """Balls running in their maze, all at once and again and again, at half of real speed, as SVG without scripts.

    Args:
        layout: the maze.
        paths: ``[N, L+1, 2]`` positions, metres; one that is over stays where it was.
        goals: ``[N, 2]`` metres.
        dt: seconds per step.

    Returns:
        The SVG.
    """
    paths, goals = np.asarray(paths, float), np.asarray(goals, float)
    low = ball.WALL_OFFSET - ball.BODY_OFFSET - ball.WALL_HALF
    edge, (height, width) = low + 1 - _BORDER, maze_size(layout)
    box = " ".join(_unit(x) for x in (edge, edge, width, height))
    parts = [
        f'<rect class="floor" x="{_unit(edge)}" y="{_unit(edge)}" width="{_unit(width)}" height="{_unit(height)}"/>'
    ]
    for row, column in np.unique(goals, axis=0):
        parts.append(f'<circle class="goal" cx="{_unit(column)}" cy="{_unit(row)}" r="{_unit(GOAL_RADIUS)}"/>')
    walls = np.argwhere(layout.walls)
    boxes = "".join(f"M{_unit(column + low)} {_unit(row + low)}h100v100h-100z" for row, column in walls)
    parts.append(f'<path class="wall" d="{boxes}"/>')
    for path in paths:
        line = "L".join(f"{_unit(y)} {_unit(x)}" for x, y in path[::_STRIDE])
        parts.append(f'<path class="trail" d="M{line}"/>')
    steps = paths.shape[1] - 1
    seconds = _SLOW * dt * steps + _PAUSE
    for path in paths:
        frames = path[np.minimum(np.arange(0, steps + _FRAMES, _FRAMES), steps)]
        moves = _move("cx", frames[:, 1], seconds) + _move("cy", frames[:, 0], seconds)
        row, column = path[0]
        parts.append(
            f'<circle class="ball" cx="{_unit(column)}" cy="{_unit(row)}" r="{_unit(ball.RADIUS)}">{moves}</circle>'
        )
    size = f'width="{_unit(width)}" height="{_unit(height)}"'
    content = f"<style>{_STYLE}</style>{''.join(parts)}"
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="{box}">{content}</svg>'.encode()


def _unit(metres: float) -> str:
    """In the drawing's unit, centimetres, so that coordinates stay short."""
    return f"{100 * metres:.0f}"


def _move(name: str, metres: np.ndarray, seconds: float) -> str:
    # Equal spaces of time up to the last arrival, then a pause.
    times = [*np.linspace(0, 1 - _PAUSE / seconds, len(metres)), 1]
    values = ";".join(_unit(x) for x in [*metres, metres[-1]])
    marks = ";".join(f"{time:.4f}".rstrip("0").rstrip(".") for time in times)
    return (
        f'<animate attributeName="{name}" dur="{seconds:.2f}s" repeatCount="indefinite" values="{values}" '
        f'keyTimes="{marks}"/>'
    )
