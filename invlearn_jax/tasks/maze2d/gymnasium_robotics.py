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
    return dataset._replace(
        states=states_from_pointmaze(dataset.states, layout).astype(np.float32), actions=_turned(dataset.actions)
    )


def states_from_pointmaze(states: np.ndarray, layout: Layout) -> np.ndarray:
    """PointMaze's states ``[..., 4]``, or places ``[..., 2]``, in maze2d's frame; see ``from_pointmaze``."""
    parts = np.split(states, states.shape[-1] // 2, axis=-1)
    return np.concatenate([_turned(parts[0]) + _middle(layout), *(_turned(part) for part in parts[1:])], axis=-1)


def states_to_pointmaze(states: np.ndarray, layout: Layout) -> np.ndarray:
    """maze2d's states ``[..., 4]``, or places ``[..., 2]``, in PointMaze's frame."""
    parts = np.split(states, states.shape[-1] // 2, axis=-1)
    return np.concatenate(
        [turned_back(parts[0] - _middle(layout)), *(turned_back(part) for part in parts[1:])], axis=-1
    )


def turned_back(vectors: np.ndarray) -> np.ndarray:
    """maze2d's forces or velocities ``[..., 2]`` in PointMaze's frame."""
    return np.stack([vectors[..., 1], -vectors[..., 0]], axis=-1)


def _middle(layout: Layout) -> np.ndarray:
    """Where PointMaze's origin is in maze2d's frame."""
    offset = ball.BODY_OFFSET - ball.WALL_OFFSET
    return np.array(layout.walls.shape) / 2 - 0.5 - offset


def _turned(vectors: np.ndarray) -> np.ndarray:
    return np.stack([-vectors[..., 1], vectors[..., 0]], axis=-1)
