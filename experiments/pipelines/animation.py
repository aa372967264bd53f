"""A maze with balls running in it, as inline SVG without scripts."""

import numpy as np

from experiments.pipelines.showcase import Showcase
from invlearn_jax.tasks.d4rl import GOAL_RADIUS
from invlearn_jax.tasks.maze2d import model as ball

_SLOW = 2.0  # how many times slower than real time
_PAUSE = 1.0  # s at the end of each round
_FRAMES, _STRIDE = 4, 2  # steps per key frame and per point of a trail
_BORDER = 0.25  # m of the outer walls that are shown
_CENTIMETRES = 100  # the drawing's unit: coordinates stay short


def animate(showcase: Showcase) -> str:
    """The showcase's episodes, all at once and again and again, at half of real speed.

    Args:
        showcase: the episodes.

    Returns:
        An ``<svg>`` element. Moving parts have the class ``moving``, so that a style sheet can hide them.
    """
    layout, low = showcase.layout, ball.WALL_OFFSET - ball.BODY_OFFSET - ball.WALL_HALF
    edge, rows, columns = low + 1 - _BORDER, *layout.walls.shape
    width, height = columns - 2 + 2 * _BORDER, rows - 2 + 2 * _BORDER
    box = " ".join(_unit(x) for x in (edge, edge, width, height))
    parts = [
        f'<rect class="floor" x="{_unit(edge)}" y="{_unit(edge)}" width="{_unit(width)}" height="{_unit(height)}"/>'
    ]
    row, column = showcase.goal
    parts.append(f'<circle class="goal" cx="{_unit(column)}" cy="{_unit(row)}" r="{_unit(GOAL_RADIUS)}"/>')
    walls = np.argwhere(layout.walls)
    boxes = "".join(f"M{_unit(column + low)} {_unit(row + low)}h100v100h-100z" for row, column in walls)
    parts.append(f'<path class="wall" d="{boxes}"/>')
    longest = max(len(example.path) for example in showcase.examples)
    seconds = _SLOW * showcase.dt * longest + _PAUSE
    for example in showcase.examples:
        line = "L".join(f"{_unit(y)} {_unit(x)}" for x, y in example.path[::_STRIDE])
        parts.append(f'<path class="trail" d="M{line}"/>')
    for example in showcase.examples:
        frames = np.minimum(np.arange(0, longest + _FRAMES, _FRAMES), len(example.path) - 1)
        moves = "".join(_move(name, example.path[frames, axis], longest, seconds, showcase.dt) for name, axis in _AXES)
        x, y = example.path[0]
        parts.append(
            f'<circle class="moving" cx="{_unit(y)}" cy="{_unit(x)}" r="{_unit(ball.RADIUS)}">{moves}</circle>'
        )
    label = f"{len(showcase.examples)} balls running to the goal at half of real speed"
    return f'<svg class="maze" viewBox="{box}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


_AXES = (("cx", 1), ("cy", 0))


def _unit(metres: float) -> str:
    return f"{_CENTIMETRES * metres:.0f}"


def _move(name: str, metres: np.ndarray, longest: int, seconds: float, dt: float) -> str:
    # Equal spaces of time up to the last arrival, then a pause.
    share = _SLOW * dt * longest / seconds
    times = [*np.linspace(0, share, len(metres)), 1]
    values = ";".join(_unit(x) for x in [*metres, metres[-1]])
    marks = ";".join(f"{time:.4f}".rstrip("0").rstrip(".") for time in times)
    return (
        f'<animate attributeName="{name}" dur="{seconds:.2f}s" repeatCount="indefinite" values="{values}" '
        f'keyTimes="{marks}"/>'
    )
