"""What the map knows: shortest ways through a maze2d, and a bound on what any controller can score. For judging only.

Each axis is limited on its own, so a way's length is its Chebyshev length and its shortest time, at 5 m/s,

    L = integral max(|dx|, |dy|),    T = L / 5.

On a grid with eight neighbours each move is ``pitch`` long, which is exact for this metric where nothing is in the way.
"""

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array

from invlearn_jax.tasks.d4rl import GOAL_RADIUS
from invlearn_jax.tasks.layouts import Layout
from invlearn_jax.tasks.maze2d import model as ball
from invlearn_jax.tasks.maze2d.environment import inside_maze
from invlearn_jax.types import Key

if TYPE_CHECKING:
    from invlearn_jax.tasks.maze2d.task import Maze2dTask

# What contacts let the simulator do beyond an ideal ball; found by driving some 100 k balls into walls and corners.
# The ball's centre gets up to 0.071 m deep at a corner and 0.050 m at a face (one step's way is 0.052 m). The chord
# between two positions 0.052 m deep at the two faces of a corner passes 0.070 m deep.
_PENETRATION = 0.08  # m
# A corner can turn speed of one axis into the other's (up to 6.8 m/s until the next clip): up to 0.057 m gained.
_CONTACT_GAIN = 0.06  # m
_MAP_PITCH = 0.05  # m, of a tabulated cost-to-go
_MAX_PITCH = 0.1  # m; the gap at two walls that touch by their corners, 0.28 m, stays closed
_MAX_BOUND_PITCH = 0.025  # m; the same with the walls _PENETRATION softer
_STEPS = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j])


class FreeSpace(NamedTuple):
    """A grid over the positions that the ball's centre can take.

    Attributes:
        layout: the maze.
        points: ``[M, 2]`` metres; the grid holds the origin.
        neighbours: ``[M, 8]`` int, indices of the free neighbours, ``M`` where there is none.
        graph: ``[M, M]`` sparse, seconds per move at the speed limit.
        tree: finds the nearest points.
        pitch: metres between points.
    """

    layout: Layout
    points: np.ndarray
    neighbours: np.ndarray
    graph: "scipy.sparse.csr_matrix"
    tree: "scipy.spatial.cKDTree"
    pitch: float


def free_space(layout: Layout, pitch: float = 0.05, slack: float = 0.0) -> FreeSpace:
    """Lays the grid.

    Args:
        layout: the maze.
        pitch: metres between points; divisors of 0.1 put points exactly on the limits of the ball's motion.
        slack: metres by which the ball's centre may come closer to the walls than its radius.

    Returns:
        The grid.

    Raises:
        ValueError: for a pitch outside (0, 0.1].
    """
    if not 0 < pitch <= _MAX_PITCH:
        raise ValueError(f"pitch is {pitch} m; give more than 0 and at most {_MAX_PITCH}.")
    axes = [np.arange(1, int(np.ceil(size / pitch))) for size in layout.walls.shape]
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    free = np.concatenate([inside_maze(layout, row * pitch, slack + 1e-6)[None] for row in cells])
    count = int(free.sum())
    index = np.full((free.shape[0] + 2, free.shape[1] + 2), count)
    index[1:-1, 1:-1][free] = np.arange(count)
    points = cells[free] * pitch
    neighbours = np.stack([index[tuple((cells[free] + step).T)] for step in _STEPS], axis=1)
    present = neighbours < count
    indptr = np.concatenate([[0], np.cumsum(present.sum(1))])
    moves = np.full(indptr[-1], pitch / ball.MAX_SPEED)
    graph = scipy.sparse.csr_matrix((moves, neighbours[present], indptr), shape=(count, count))
    return FreeSpace(layout, points, neighbours, graph, scipy.spatial.cKDTree(points), pitch)


def disc_distance(positions: np.ndarray, goal: np.ndarray, radius: float = GOAL_RADIUS) -> np.ndarray:
    """The Chebyshev distance to a disc, no walls: the least ``t`` with ``|max(|x - g| - t, 0)| <= radius``.

    Args:
        positions: ``[..., 2]`` metres.
        goal: ``[..., 2]`` the disc's centre.
        radius: metres.

    Returns:
        ``[...]`` metres, 0 inside the disc.
    """
    offset = np.abs(np.asarray(positions, float) - goal)
    far, near = offset.max(-1), offset.min(-1)
    along = far - radius  # one axis is enough
    root = np.sqrt(np.maximum(2 * radius**2 - (far - near) ** 2, 0.0))
    both = (far + near - root) / 2
    return np.where(np.hypot(far, near) <= radius, 0.0, np.where(along >= near, along, both))


def times_to(space: FreeSpace, goal: np.ndarray, radius: float = GOAL_RADIUS) -> np.ndarray:
    """Shortest times from every point of the grid to the goal's disc at the speed limit; see the module's equation.

    Near the disc the way to it is measured exactly, further off along the grid, which is too long by up to about a
    pitch at each corner of a wall.

    Args:
        space: the grid.
        goal: ``[2]`` metres.
        radius: metres; 0 asks for the goal itself.

    Returns:
        ``[M]`` seconds.

    Raises:
        ValueError: if no free position is in the disc or next to it.
    """
    goal = np.asarray(goal, float)
    way = disc_distance(space.points, goal, radius)
    touching = np.flatnonzero(way <= 2 * space.pitch)
    # The nearest point of the disc must be free itself.
    reach = way[touching, None]
    entry = np.clip(goal, space.points[touching] - reach, space.points[touching] + reach)
    touching = touching[inside_maze(space.layout, entry, slack=1e-6)]
    if not len(touching):
        raise ValueError(
            f"No free position is within {radius} m of the goal {goal.tolist()}; give a goal in a free cell."
        )
    count = len(space.points)
    # One more node for the disc; a weight of exactly zero would count as no link.
    links = (np.maximum(way[touching], 1e-12) / ball.MAX_SPEED, (np.zeros(len(touching), int), touching))
    row = scipy.sparse.csr_matrix(links, shape=(1, count + 1))
    space_rows = scipy.sparse.csr_matrix(
        (space.graph.data, space.graph.indices, space.graph.indptr), shape=(count, count + 1)
    )
    graph = scipy.sparse.vstack([space_rows, row], format="csr")
    return scipy.sparse.csgraph.dijkstra(graph, indices=count)[:count]


def free_space_times(
    layout: Layout, goal: np.ndarray, radius: float = GOAL_RADIUS, pitch: float = 0.05
) -> tuple[np.ndarray, np.ndarray]:
    """Shortest travel times of the ball's centre to the goal's disc, around the walls; see ``times_to``.

    Args:
        layout: the maze.
        goal: ``[2]`` metres.
        radius: of the disc, metres.
        pitch: of the grid, metres.

    Returns:
        ``[M, 2]`` free positions, metres, and ``[M]`` seconds.
    """
    space = free_space(layout, pitch)
    return space.points, times_to(space, goal, radius)


def geodesic(space: FreeSpace, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Chebyshev lengths of the shortest ways between pairs of positions.

    Where the straight line stays within ``pitch / sqrt(2)`` of the grid, its own length, else the grid's way between
    the points nearest to the two positions.

    Args:
        space: the grid.
        first: ``[N, 2]`` metres.
        second: ``[N, 2]`` metres.

    Returns:
        ``[N]`` metres, infinite where there is no way.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    length = np.abs(first - second).max(-1)
    if not len(first):
        return length
    share = np.linspace(0.0, 1.0, 2 + int(length.max() / space.pitch))[:, None, None]
    away = space.tree.query(first + share * (second - first))[0]
    blocked = np.flatnonzero((away > space.pitch * np.sqrt(0.5)).any(0))
    begin, end = space.tree.query(first[blocked])[1], space.tree.query(second[blocked])[1]
    for node in np.unique(begin):
        here = begin == node
        seconds = scipy.sparse.csgraph.dijkstra(space.graph, indices=node)[end[here]]
        length[blocked[here]] = ball.MAX_SPEED * seconds
    return length


def _path_lengths(layout: Layout, positions: np.ndarray, goals: np.ndarray, pitch: float) -> np.ndarray:
    """At most the true Chebyshev lengths ``[N]`` (m) of the ways from positions ``[N, 2]`` to the goals' discs.

    A way of length L, sampled every ``pitch``, takes at most ``L / pitch + 1`` moves between neighbouring cells of the
    grid, each of which holds a point of the way. So ``pitch (moves - 1) <= L`` on the grid of all cells that hold a
    possible position.
    """
    space = free_space(layout, pitch, slack=_PENETRATION + pitch * np.sqrt(0.5))
    length = disc_distance(positions, goals)
    node = space.tree.query(positions)[1]
    for goal in np.unique(goals, axis=0):
        here = (goals == goal).all(-1)
        sources = np.flatnonzero(disc_distance(space.points, goal) <= pitch / 2 + 1e-9)
        if not len(sources):
            raise ValueError(f"No free position is within {GOAL_RADIUS} m of the goal {goal.tolist()}.")
        moves = scipy.sparse.csgraph.dijkstra(space.graph, indices=sources, unweighted=True, min_only=True)[node[here]]
        length[here] = np.maximum(length[here], pitch * (moves - 1))
    return length


def time_bound(layout: Layout, starts: np.ndarray, goals: np.ndarray, pitch: float = 0.02) -> np.ndarray:
    """The least number of 0.01 s steps after which the ball can be within 0.5 m of the goal: no controller beats it.

    With ``u_0 = max(|v_x|, |v_y|)`` and full force on every axis, no step's way is longer than ``h u_{k+1}``, where

        u_{k+1} = c + h (100 - c) / (m + h),    c = min(u_k, 5 m/s),

    and the bound is the least n with ``h (u_1 + .. + u_n) >= L``, L being the Chebyshev length of the shortest way to
    the disc. To stay a bound, L is the larger of the way without walls and the way on a grid laid so that it can only
    be too short (by up to a pitch, and about ``pitch / sqrt(2)`` at each corner). The walls are taken 0.08 m softer
    than drawn and 0.06 m are subtracted from L, because the simulator's contacts let the ball in by up to 0.071 m and
    let corners turn speed from one axis to the other (both measured, not proven).

    Args:
        layout: the maze.
        starts: ``[N, 4]`` positions (m) and velocities (m/s).
        goals: ``[N, 2]`` metres. Each different goal costs one search (0.05 to 0.5 s).
        pitch: of the grid, metres.

    Returns:
        ``[N]`` int steps, 0 for starts in the disc, at least 1 for others.

    Raises:
        ValueError: for a pitch outside (0, 0.025] or a goal that is not reachable.
    """
    if not 0 < pitch <= _MAX_BOUND_PITCH:
        raise ValueError(f"pitch is {pitch} m; give more than 0 and at most {_MAX_BOUND_PITCH}.")
    starts, goals = np.asarray(starts, float), np.asarray(goals, float)
    outside = disc_distance(starts[:, :2], goals) > 0
    length = _path_lengths(layout, starts[:, :2], goals, pitch) - _CONTACT_GAIN
    speed, way = np.abs(starts[:, 2:]).max(-1), np.zeros(len(starts))
    steps = np.zeros(len(starts), int)
    while (short := outside & ((way < length) | (steps == 0))).any():
        clipped = np.minimum(speed, ball.MAX_SPEED)
        speed = clipped + ball.TIMESTEP * (ball.GEAR - ball.DAMPING * clipped) / (
            ball.MASS + ball.TIMESTEP * ball.DAMPING
        )
        way, steps = way + ball.TIMESTEP * speed, steps + short
    return steps


def bound_return(steps_bound: np.ndarray, episode_length: int, reward: str = "sparse") -> np.ndarray:
    """The most that rewards can sum to, paid for the state after each step.

        sparse: L - n,    dense: L - n + n exp(-0.5),    n = min(max(steps_bound - 1, 0), L),

    since before the goal's disc of 0.5 m is reached no dense reward exceeds exp(-0.5), and afterwards none exceeds 1.

    Args:
        steps_bound: ``[N]`` from ``time_bound``.
        episode_length: L, steps.
        reward: ``sparse`` or ``dense``.

    Returns:
        ``[N]`` returns.
    """
    before = np.minimum(np.maximum(np.asarray(steps_bound) - 1, 0), episode_length)
    return episode_length - before + (np.exp(-GOAL_RADIUS) * before if reward == "dense" else 0.0)


class MapCost:
    """``D(s, g)`` for the maze's own goal from the map: shortest times on a grid, interpolated, the look-ahead kept.

    Places inside walls take the time of the nearest free one, so that the slope there leads nowhere wrong.
    """

    name = "time_to_goal"

    def __init__(self, task: "Maze2dTask", look_ahead: float) -> None:
        """Tabulates the times; ``look_ahead`` in seconds."""
        layout = task.spec.layout
        space = free_space(layout, _MAP_PITCH)
        seconds = times_to(space, np.asarray(layout.goal), GOAL_RADIUS)
        axes = [np.arange(0.0, n, _MAP_PITCH) for n in layout.walls.shape]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        nearest = np.abs(grid.reshape(-1, 1, 2) - space.points[None]).max(-1).argmin(1)
        self._table = jnp.asarray(seconds[nearest].reshape(grid.shape[:2]), jnp.float32)
        self._task, self._look_ahead = task, look_ahead

    def init(self, key: Key) -> tuple:
        """No parameters; the key is ignored."""
        return ()

    def __call__(self, params: tuple, state: Array, goal: Array) -> Array:
        """Seconds from ``state`` to the maze's goal."""
        place = self._task.ahead(state, self._look_ahead) / _MAP_PITCH
        return jax.scipy.ndimage.map_coordinates(self._table, list(place), order=1, mode="nearest")
