"""From the frame of gymnasium-robotics' PointMaze to that of D4RL's maze2d.

There the maze's centre is the origin, columns run along +x and rows along -y, with cells of size c in a maze of H x W:

    x = c (column + 1/2 - W/2),    y = c (H/2 - row - 1/2)

Source: gymnasium_robotics:envs/maze/maze_v4.py, ``cell_rowcol_to_xy``.
"""

import numpy as np

from invlearn_jax.data.dataset import Dataset
from invlearn_jax.tasks.layouts import Layout
from invlearn_jax.tasks.maze2d import model as ball


def from_pointmaze(dataset: Dataset, layout: Layout) -> Dataset:
    """PointMaze's rows in maze2d's frame: turned by a right angle, and moved.

    ``x' = H/2 - 1/2 - y - o,  y' = W/2 - 1/2 + x - o``, o = 0.2 m, since D4RL's ball is off its cells' centres; velocities and
    actions turn likewise: ``(u, w) -> (-w, u)``. Mass, damping, gear, step and speed limit are the same.

    Args:
        dataset: states ``[N, 4]`` (x, y, their velocities), actions ``[N, 2]``.
        layout: the maze.

    Returns:
        The rows.

    Raises:
        ValueError: for states or actions of another size.
    """
    found = dataset.states.shape[1], dataset.actions.shape[1]
    if found != (4, 2):
        raise ValueError(
            f"The rows have states and actions of {found[0]} and {found[1]} numbers; PointMaze's have 4 and 2. Give its rows as "
            "read_minari reads them."
        )
    height, width = layout.walls.shape
    offset = ball.BODY_OFFSET - ball.WALL_OFFSET
    middle = np.array([height, width]) / 2 - 0.5 - offset
    position, velocity = _turned(dataset.states[:, :2]) + middle, _turned(dataset.states[:, 2:])
    states = np.concatenate([position, velocity], axis=1).astype(np.float32)
    return dataset._replace(states=states, actions=_turned(dataset.actions))


def _turned(vectors: np.ndarray) -> np.ndarray:
    return np.stack([-vectors[:, 1], vectors[:, 0]], axis=1)
