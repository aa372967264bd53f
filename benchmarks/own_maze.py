"""Mazes that nobody has seen: drawn by a seed."""

import numpy as np


def random_maze(seed: int, size: int = 15, opened: float = 0.1) -> str:
    """A maze with a few loops: a recursive backtracker's, and a share of the walls left between its rooms taken out.

    Args:
        seed: of the maze.
        size: rows and columns, odd; every second cell of them is a room.
        opened: share of the walls between two rooms, of those that the backtracker left, that are taken out.

    Returns:
        Its rows joined by ``/``, as a task's name; the goal is in a random room.

    Raises:
        ValueError: for an even size, or one below 5.
    """
    if size < 5 or size % 2 == 0:
        raise ValueError(f"size is {size}; give an odd number of at least 5.")
    rng, rooms = np.random.default_rng(seed), size // 2
    grid = np.full((size, size), "#")

    def beside(room: tuple[int, int]) -> list[tuple[int, int]]:
        near = [(room[0] + i, room[1] + j) for i, j in ((0, 1), (1, 0), (0, -1), (-1, 0))]
        return [other for other in near if min(other) >= 0 and max(other) < rooms]

    def between(room: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
        return room[0] + other[0] + 1, room[1] + other[1] + 1

    way = [(0, 0)]
    seen = set(way)
    while way:
        fresh = [other for other in beside(way[-1]) if other not in seen]
        if not fresh:
            way.pop()
            continue
        following = fresh[rng.integers(len(fresh))]
        grid[between(way[-1], following)] = "O"
        seen.add(following)
        way.append(following)
    grid[1::2, 1::2] = "O"
    left = [
        wall
        for room in sorted(seen)
        for other in beside(room)
        if room < other and grid[wall := between(room, other)] == "#"
    ]
    for chosen in rng.permutation(len(left))[: round(opened * len(left))]:
        grid[left[chosen]] = "O"
    goal = rng.integers(rooms, size=2)
    grid[tuple(2 * goal + 1)] = "G"
    return "/".join("".join(row) for row in grid)
