"""Settings of methods for a maze, by its number of free cells: D4RL's three are the supports between which others lie."""

from collections.abc import Callable
from typing import Any

import numpy as np

from invlearn_jax.tasks import layouts
from invlearn_jax.tasks.d4rl import GOAL_RADIUS
from invlearn_jax.tasks.layouts import Layout, parse_layout
from invlearn_jax.tasks.maze2d.environment import Maze2dSpec
from invlearn_jax.tasks.maze2d.model import MAX_SPEED

# The mazes whose planners are shipped.
_SHIPPED = {getattr(layouts, size.upper()): f"maze2d-{size}-v1" for size in ("umaze", "medium", "large")}
_CELLS = [len(parse_layout(rows).free) for rows in _SHIPPED]
# About 450 updates of the model per free cell: with a third of them, and of the data, it let plans through walls.
_SIZES = {
    "rows": (1_000_000, 2_000_000, 4_000_000),
    "random_rows": (800_000, 2_400_000, 4_000_000),
    "model_steps": (4000, 15_000, 20_000),
    "tail_steps": (3000, 4000, 5000),
    "inverter_steps": (6000, 10_000, 12_000),
    "bc_steps": (10_000, 10_000, 20_000),
    "rebrac_steps": (20_000, 20_000, 30_000),
    "dt_steps": (8000, 16_000, 16_000),
    "diffuser_steps": (10_000, 9000, 60_000),
    "diffuser_stride": (4, 8, 12),
    "plan_steps": (12_000, 16_000, 20_000),
}
_HELD = ("rows", "inverter_steps")
_LONGER_THAN_EPISODES = 10_000  # Diffuser draws one plan an episode
_GRIDS = 2, 8  # points per metre of a large maze's grids of features
_NEAR_SHARE = 0.2
_MARGIN = 0.3  # m into the walls, which contacts let the ball and its model enter a little
_COORDINATES, _GROUP = 32, 192  # of a large maze's embedding, and of places in a batch for it
_BIN = 0.1  # m


def sizes(layout: Layout) -> dict[str, int]:
    """Rows and updates for a maze: linear between D4RL's three, in proportion to the free cells beyond the largest.

    Two do not grow beyond it: the controller's rows, of which there are plenty, and the Inverter's updates, after 10,000 of
    which its cost hardly falls (docs/tried.md).
    """
    cells = len(layout.free)
    beyond = max(1.0, cells / _CELLS[-1])
    return {
        name: round(float(np.interp(cells, _CELLS, values)) * (1.0 if name in _HELD else beyond))
        for name, values in _SIZES.items()
    }


def configure(spec: Maze2dSpec, multi_goal: bool, broad: bool, method: str, settings: Any) -> Any:
    """The settings of a method for a maze, given the method's own defaults; broad: whether there are broad random data."""
    if method == "hierarchy":
        return _two_levels(spec.layout, broad, settings)
    if method != "inverter" and method not in _BASELINES:
        return settings
    size = sizes(spec.layout)
    settings.data.rows = size["rows"]
    model, objective = settings.model, settings.objective
    model.chunk, model.hidden, model.octaves, model.steps = 8, (512, 512), 7, size["model_steps"]
    _tail(settings.tail, spec.layout, size, broad)
    if _large(spec.layout):
        # What is to be known of each place lies in grids, and of each pair of places in an embedding: what a network has to
        # know beside them does not grow with the maze.
        model.hidden, model.cells = (256, 256), _grids(spec.layout)
    objective.along, objective.smoothness = 0.3, 1e-4
    # Data from everywhere need no such guard, and with it balls keep away from walls, which costs time in the large maze.
    objective.unvisited = 0.0 if broad else 30.0
    settings.among, settings.normalise = _BIN, False
    if method == "inverter":
        settings.inverter.steps, settings.inverter.advance = size["inverter_steps"], (4, 8, 16)
        settings.correction.rounds = 0
        if model.cells:
            settings.net.cells = model.cells
        return settings
    settings.base = _SHIPPED.get(spec.layout.rows, "")
    if method in ("rebrac", "dt"):
        settings.one_goal, settings.same_goal = not multi_goal, GOAL_RADIUS
    _BASELINES[method](spec, size, settings)
    return settings


def _bc(spec: Maze2dSpec, size: dict[str, int], settings: Any) -> None:
    settings.steps = size["bc_steps"]


def _rebrac(spec: Maze2dSpec, size: dict[str, int], settings: Any) -> None:
    settings.steps = size["rebrac_steps"]
    if len(spec.layout.free) > _CELLS[0]:
        # Ways of four seconds and more: the value has to come further, and round more corners.
        settings.discount, settings.slowness, settings.octaves = 0.995, 0.2, 4


def _dt(spec: Maze2dSpec, size: dict[str, int], settings: Any) -> None:
    settings.steps, settings.return_steps = size["dt_steps"], spec.episode_length
    settings.target_return, settings.return_scale = 280.0, 100.0


def _decision_diffuser(spec: Maze2dSpec, size: dict[str, int], settings: Any) -> None:
    settings.stride, settings.gap, settings.training.steps = 15, 15, size["plan_steps"]


def _diffuser(spec: Maze2dSpec, size: dict[str, int], settings: Any) -> None:
    levels = 64 if len(spec.layout.free) <= _CELLS[0] else 256
    settings.train_steps = settings.denoise_steps = levels
    settings.stride, settings.gap, settings.training.steps = size["diffuser_stride"], 15, size["diffuser_steps"]
    settings.follow, settings.execute_steps = "pd", _LONGER_THAN_EPISODES


def _consistency(spec: Maze2dSpec, size: dict[str, int], settings: Any) -> None:
    _decision_diffuser(spec, size, settings)
    settings.teacher = f"{settings.base}-decision-diffuser" if settings.base else ""


_BASELINES: dict[str, Callable[[Maze2dSpec, dict[str, int], Any], None]] = {
    "bc": _bc,
    "rebrac": _rebrac,
    "dt": _dt,
    "diffuser": _diffuser,
    "decision-diffuser": _decision_diffuser,
    "consistency": _consistency,
}


def _two_levels(layout: Layout, broad: bool, settings: Any) -> Any:
    """Sub-goals up to the next cell but one, over the maze's shipped planner where there is one."""
    size, upper = sizes(layout), settings.upper
    settings.lower = _SHIPPED.get(layout.rows, "")
    settings.hold, settings.subgoals, settings.reach, settings.near, settings.execute_steps = 32, 4, 2.0, 1.5, 8
    upper.data.rows = size["rows"] // 4
    _tail(upper.tail, layout, size, broad)
    upper.objective.along, upper.objective.unvisited = 0.3, 30.0
    upper.among, upper.normalise = _BIN, False
    return settings


def near_share(layout: Layout) -> float:
    """Share of the Inverter's problems whose goal is near: in D4RL's mazes enough are so by chance."""
    return _NEAR_SHARE if _large(layout) else 0.0


def _large(layout: Layout) -> bool:
    return len(layout.free) > _CELLS[-1]


def _grids(layout: Layout) -> tuple[int, ...]:
    """Points per axis of grids over the places between the outer walls."""
    return tuple(per_metre * (max(layout.walls.shape) - 2) for per_metre in _GRIDS)


def _tail(tail: Any, layout: Layout, size: dict[str, int], broad: bool) -> None:
    """Shortest ways between the walls; each axis has its own limit of speed."""
    tail.kind, tail.max_speed, tail.per_axis = "graph", MAX_SPEED, True
    tail.bin_size, tail.steps, tail.look_ahead = _BIN, size["tail_steps"], 0.06
    if _large(layout):
        tail.coordinates, tail.batch = _COORDINATES, _GROUP**2
        # The controller's data keep away from walls: where cells touch at a corner, times continued from both could meet there.
        # (Reasoned, not measured: of D4RL's mazes the medium one alone has such corners, and its times are not continued.)
        tail.margin = _MARGIN if broad else 0.0
