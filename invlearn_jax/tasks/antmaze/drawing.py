"""Ants in their maze, seen from above, as a GIF."""

import tempfile
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float

from invlearn_jax.report.figures import canvas, style
from invlearn_jax.tasks.antmaze import model as ant
from invlearn_jax.tasks.d4rl import GOAL_RADIUS
from invlearn_jax.tasks.layouts import Layout

_COLORS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#e69f00", "#56b4e9", "#882255", "#117733")
_WALL = "#4d4d4d"
_WIDTH = 7.0  # inches
_BORDER = 0.5  # m of the outer walls that are shown


def limbs(states: Float[np.ndarray, "N S"]) -> Float[np.ndarray, "N C 2 2"]:
    """The ends ``(x, y)`` of the ants' capsules, metres."""
    model = mujoco.MjModel.from_xml_string(ant.ant_xml())
    data = mujoco.MjData(model)
    capsules = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_CAPSULE)
    half, ends = model.geom_size[capsules, 1, None], []
    for state in states:
        data.qpos[:] = state[: ant.QPOS_SIZE]
        mujoco.mj_kinematics(model, data)
        along = half * data.geom_xmat[capsules].reshape(-1, 3, 3)[:, :2, 2]
        middle = data.geom_xpos[capsules, :2]
        ends.append(np.stack([middle - along, middle + along], axis=1))
    return np.stack(ends)


def _corners(layout: Layout) -> np.ndarray:
    """``[M, 2]`` the lower corners of the walls' cells, metres."""
    return ant.cell_centre(layout, np.argwhere(layout.walls)) - ant.CELL / 2


def draw_maze(axes: Any, layout: Layout) -> None:
    """The walls, in metres."""
    from matplotlib.patches import PathPatch  # noqa: PLC0415
    from matplotlib.path import Path as Outline  # noqa: PLC0415

    corners = _corners(layout)
    low, high = corners.min(0) + ant.CELL - _BORDER, corners.max(0) + _BORDER
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", xticks=[], yticks=[])
    axes.grid(False)
    square = ant.CELL * np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])
    # One path for all: renderers leave seams between neighbours that are drawn one by one.
    walls = Outline.make_compound_path(*(Outline(square + corner, closed=True) for corner in corners))
    axes.add_patch(PathPatch(walls, facecolor=_WALL, linewidth=0))


def draw_tracks(axes: Any, layout: Layout, tracks: Float[np.ndarray, "N L 2"], goals: Float[np.ndarray, "N 2"]) -> None:
    """The ways that ants went between the walls, from the dot to the goal's disc."""
    from matplotlib.patches import Circle  # noqa: PLC0415

    draw_maze(axes, layout)
    for index, (track, goal) in enumerate(zip(tracks, goals, strict=True)):
        color = _COLORS[index % len(_COLORS)]
        axes.add_patch(Circle(goal, GOAL_RADIUS, color=color, alpha=0.25, linewidth=0))
        axes.plot(*track.T, color=color, linewidth=1.0, alpha=0.8)
        axes.plot(*track[0], "o", color=color, markersize=3)


def ant_gif(
    layout: Layout, states: Float[np.ndarray, "N L S"], goals: Float[np.ndarray, "N 2"], stride: int = 3, dpi: int = 70
) -> bytes:
    """Episodes side by side in one maze, each ant with its track and its goal.

    Args:
        layout: the maze.
        states: ``[N, L, 29]``; as many as there are colours, 8, at most.
        goals: ``[N, 2]`` m.
        stride: steps of 0.1 s between frames, which are shown for that long divided by 3.
        dpi: dots per inch.

    Returns:
        The GIF; an episode that is over stays where it was.
    """
    from matplotlib.animation import FuncAnimation, PillowWriter  # noqa: PLC0415
    from matplotlib.collections import LineCollection  # noqa: PLC0415
    from matplotlib.patches import Circle  # noqa: PLC0415

    shown = states[: len(_COLORS), ::stride]
    with style():
        size = np.ptp(_corners(layout), axis=0) - ant.CELL + 2 * _BORDER
        figure, axes = canvas(1, 1, _WIDTH, _WIDTH * size[1] / size[0])
        place = axes[0, 0]
        draw_maze(place, layout)
        bodies, tracks, torsos = [], [], []
        for goal, color in zip(goals, _COLORS, strict=False):
            place.add_patch(Circle(goal, GOAL_RADIUS, color=color, alpha=0.25, linewidth=0))
            tracks.append(place.plot([], [], color=color, linewidth=0.8, alpha=0.6)[0])
            bodies.append(place.add_collection(LineCollection([], colors=color, linewidths=2.0)))
            torsos.append(place.add_patch(Circle((0, 0), 0.25, color=color, linewidth=0)))
        legs = [limbs(episode) for episode in shown]

        def draw(frame: int) -> None:
            for episode, leg, track, body, torso in zip(shown, legs, tracks, bodies, torsos, strict=False):
                track.set_data(*episode[: frame + 1, :2].T)
                body.set_segments(leg[frame])
                torso.center = episode[frame, :2]

        animation = FuncAnimation(figure, draw, frames=shown.shape[1], blit=False)
        # matplotlib writes animations to files alone.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ants.gif"
            animation.save(path, writer=PillowWriter(fps=round(30 / stride)), dpi=dpi)
            return path.read_bytes()
