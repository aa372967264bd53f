"""Maze layouts: rows of ``#`` (wall), ``O`` (free) and ``G`` (free, and the goal).

A layout is written top row first. In maze2d row index is the world ``x`` axis and column index the world ``y`` axis, as in
D4RL (``d4rl/pointmaze/maze_model.py``, where the strings of the named layouts come from); in antmaze it is the other way
round (``d4rl/locomotion/maze_env.py``).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

OPEN = ("#######", "#OOOOO#", "#OOGOO#", "#OOOOO#", "#######")
UMAZE = ("#####", "#GOO#", "###O#", "#OOO#", "#####")
MEDIUM = ("########", "#OO##OO#", "#OO#OOO#", "##OOO###", "#OO#OOO#", "#O#OO#O#", "#OOO#OG#", "########")
LARGE = (
    "############",
    "#OOOO#OOOOO#",
    "#O##O#O#O#O#",
    "#OOOOOO#OOO#",
    "#O####O###O#",
    "#OO#O#OOOOO#",
    "##O#O#O#O###",
    "#OO#OOO#OGO#",
    "############",
)
EVAL_UMAZE = ("#####", "#OOG#", "#O###", "#OOO#", "#####")
EVAL_MEDIUM = ("########", "#OOOOOG#", "#O#O##O#", "#OOOO#O#", "###OO###", "#OOOOOO#", "#OO##OO#", "########")
EVAL_LARGE = (
    "############",
    "#OO#OOO#OGO#",
    "##O###O#O#O#",
    "#OO#O#OOOOO#",
    "#O##O#OO##O#",
    "#OOOOOO#OOO#",
    "#O##O#O#O###",
    "#OOOO#OOOOO#",
    "############",
)
# antmaze's medium and large are maze2d's; its umaze has the goal at the other end.
ANT_UMAZE = ("#####", "#OOO#", "###O#", "#GOO#", "#####")


class Layout(NamedTuple):
    """A parsed maze: boolean grids and the goal cell, all in (row, column) indices. The arrays are read-only.

    Attributes:
        walls: ``[rows, columns]`` bool, true where a wall stands.
        free: ``[cells, 2]`` int, the free cells in row-major order.
        goal: ``[2]`` int, the cell marked ``G``.
        rows: the layout as it was written.
    """

    walls: np.ndarray
    free: np.ndarray
    goal: np.ndarray
    rows: tuple[str, ...]


def parse_layout(rows: Sequence[str]) -> Layout:
    """Parses rows of ``#``, ``O`` and ``G`` and checks that every free cell can reach the goal.

    Args:
        rows: the maze, one string a row, e.g. ``("#####", "#GOO#", "#####")``.

    Returns:
        The parsed layout.

    Raises:
        ValueError: for no rows, ragged rows, an unknown character, a number of ``G`` other than one, an open border, or a
            free cell from which the goal cannot be reached through neighbouring (4-connected) free cells.
    """
    if isinstance(rows, str):
        raise ValueError(f"A maze is a sequence of rows, but one string was given: {rows!r}. Split it with .split().")
    rows = tuple(str(row) for row in rows)
    if not rows or not rows[0]:
        raise ValueError("The maze has no rows. Give rows of '#', 'O' and 'G', e.g. ('#####', '#GOO#', '#####').")
    for index, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"The maze's rows are ragged: row {index} has {len(row)} characters, row 0 has {len(rows[0])}. "
                "Give every row the same length."
            )
        unknown = sorted(set(row) - set("#OG"))
        if unknown:
            raise ValueError(
                f"Unknown character {unknown[0]!r} in row {index} of the maze; allowed are '#' (wall), 'O' (free), 'G' (goal)."
            )
    grid = np.array([list(row) for row in rows])
    walls = grid == "#"
    if walls.all():
        raise ValueError("The maze has no free cell. Mark free cells with 'O' and the goal with 'G'.")
    goals = np.argwhere(grid == "G")
    if len(goals) != 1:
        raise ValueError(f"The maze has {len(goals)} goal cells; exactly one 'G' is allowed.")
    border = np.concatenate([walls[0], walls[-1], walls[:, 0], walls[:, -1]])
    if not border.all():
        raise ValueError("The maze's border has a gap. Close the outer rows and columns with '#'.")
    distance = cell_distances(walls, goals[0])
    unreached = np.argwhere(~walls & (distance < 0))
    if len(unreached):
        raise ValueError(
            f"The goal {tuple(goals[0].tolist())} cannot be reached from the free cell {tuple(unreached[0].tolist())}. "
            "Join the cells or make the closed-off ones '#'."
        )
    free, goal = np.argwhere(~walls), goals[0].copy()
    # A named maze's layout is shared by all who ask for it.
    for array in (walls, free, goal):
        array.setflags(write=False)
    return Layout(walls, free, goal, rows)


def cell_distances(walls: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Breadth-first distances in cells from ``source`` over 4-connected free cells; -1 where there is no way."""
    distance = np.full(walls.shape, -1, dtype=int)
    distance[tuple(source)] = 0
    frontier = [tuple(int(i) for i in source)]
    while frontier:
        following: list[tuple[int, ...]] = []
        for row, column in frontier:
            for cell in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
                if not walls[cell] and distance[cell] < 0:
                    distance[cell] = distance[row, column] + 1
                    following.append(cell)
        frontier = following
    return distance
