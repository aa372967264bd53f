"""Settings of methods for a maze, by its number of free cells: D4RL's three are the supports between which others lie."""

from typing import Any

import numpy as np

from invlearn_jax.tasks import layouts
from invlearn_jax.tasks.layouts import Layout, parse_layout
from invlearn_jax.tasks.maze2d.model import MAX_SPEED

_SHIPPED = {getattr(layouts, size.upper()): f"maze2d-{size}-v1" for size in ("umaze", "medium", "large")}
_CELLS = [len(parse_layout(rows).free) for rows in _SHIPPED]
# About 450 updates of the model per free cell: with a third of them, and of the data, it let plans through walls.
_SIZES = {
    "rows": (1_000_000, 2_000_000, 4_000_000),
    "random_rows": (800_000, 2_400_000, 4_000_000),
    "model_steps": (4000, 15_000, 20_000),
    "tail_steps": (3000, 4000, 5000),
    "inverter_steps": (6000, 10_000, 12_000),
}
_WIDTH = 512  # of the model, up to the largest of these mazes
_BIN = 0.1  # m


def sizes(layout: Layout) -> dict[str, int]:
    """Rows and updates for a maze: linear between D4RL's three, in proportion to the free cells beyond the largest."""
    cells = len(layout.free)
    beyond = max(1.0, cells / _CELLS[-1])
    found = {name: round(float(np.interp(cells, _CELLS, values)) * beyond) for name, values in _SIZES.items()}
    return found | {"width": 64 * round(_WIDTH * beyond**0.5 / 64)}


def configure(layout: Layout, method: str, settings: Any) -> Any:
    """The settings of a method for a maze, given the method's own defaults."""
    if method == "hierarchy":
        return _two_levels(layout, settings)
    if method != "inverter":
        return settings
    size = sizes(layout)
    settings.data.rows = size["rows"]
    model, objective, inverter = settings.model, settings.objective, settings.inverter
    model.chunk, model.hidden, model.octaves, model.steps = 8, (size["width"],) * 2, 7, size["model_steps"]
    _tail(settings.tail, size)
    objective.along, objective.smoothness, objective.unvisited = 0.3, 1e-4, 30.0
    settings.among, settings.normalise = _BIN, False
    inverter.steps, inverter.advance = size["inverter_steps"], (4, 8, 16)
    settings.correction.rounds = 0
    return settings


def _two_levels(layout: Layout, settings: Any) -> Any:
    """Sub-goals up to the next cell but one, over the maze's shipped planner where there is one."""
    size, upper = sizes(layout), settings.upper
    settings.lower = _SHIPPED.get(layout.rows, "")
    settings.hold, settings.subgoals, settings.reach, settings.near, settings.execute_steps = 32, 4, 2.0, 1.5, 8
    upper.data.rows = size["rows"] // 4
    _tail(upper.tail, size)
    upper.objective.along, upper.objective.unvisited = 0.3, 30.0
    upper.among, upper.normalise = _BIN, False
    return settings


def _tail(tail: Any, size: dict[str, int]) -> None:
    """Shortest ways between the walls; each axis has its own limit of speed."""
    tail.kind, tail.max_speed, tail.per_axis = "graph", MAX_SPEED, True
    tail.bin_size, tail.steps, tail.look_ahead = _BIN, size["tail_steps"], 0.06
