"""From the frame of gymnasium-robotics' AntMaze to that of D4RL's antmaze.

There the maze's centre is the origin, columns run along +x and rows along -y, with cells of size c in a maze of H x W:

    x = c (column + 1/2 - W/2),    y = c (H/2 - row - 1/2)

Source: gymnasium_robotics:envs/maze/maze_v4.py, ``cell_rowcol_to_xy``.
"""

import numpy as np

from invlearn_jax.data.dataset import Dataset
from invlearn_jax.tasks.antmaze import model as ant
from invlearn_jax.tasks.layouts import Layout

# Of the legs 1 to 4, which one is the mirror image across the x-z plane.
_MIRRORED_LEGS = (3, 2, 1, 0)
# Signs of a state's entries in a mirror across the x-z plane: x, y, z, quaternion, then the joints as (hip, ankle).
_JOINTS = np.tile([-1.0, 1.0], 4)
_POSE = np.array([1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0])
_TWIST = np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
_WITH_CONTACTS = 107  # numbers of an observation with contact forces


def mirrored_ant(states: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """States ``[N, 29]`` and actions ``[N, 8]`` of ants as a mirror across the x-z plane shows them: left legs become right."""
    joints = slice(len(_POSE), ant.QPOS_SIZE)
    speeds = slice(ant.QPOS_SIZE + len(_TWIST), ant.STATE_SIZE)
    order = np.array([2 * leg + joint for leg in _MIRRORED_LEGS for joint in range(2)])
    names = [f"{kind}_{leg}" for leg in range(1, 5) for kind in ("hip", "ankle")]
    motors = np.array([names.index(name) for name in ant.MOTORS])
    by_joint = actions[:, np.argsort(motors)]
    mirrored = np.concatenate(
        [
            states[:, : joints.start] * _POSE,
            states[:, joints][:, order] * _JOINTS,
            states[:, ant.QPOS_SIZE : speeds.start] * _TWIST,
            states[:, speeds][:, order] * _JOINTS,
        ],
        axis=1,
    )
    return mirrored, (by_joint[:, order] * _JOINTS)[:, motors]


def from_antmaze(dataset: Dataset, layout: Layout) -> Dataset:
    """AntMaze's rows in antmaze's frame: mirrored, since rows run the other way, and moved.

    ``x' = x + c (W/2 - 1/2 - column_0),  y' = -y + c (H/2 - 1/2 - row_0)`` with D4RL's origin in the cell (row_0, column_0); the
    ant is mirrored with its world, legs, spins and torques included. Its step (0.05 s) and torques (150 N m at 1) stay what
    they are there: they are not D4RL's (0.1 s, 30 N m), so that ``read_for`` an antmaze refuses such rows.

    Args:
        dataset: states ``[N, 29]`` or more (position, the rest; contact forces behind are left out), actions ``[N, 8]``, as
            ``read_minari`` gives them.
        layout: the maze.

    Returns:
        The rows, states ``[N, 29]`` as in ``model``.

    Raises:
        ValueError: for states or actions of another size.
    """
    found = dataset.states.shape[1], dataset.actions.shape[1]
    if found[0] not in (ant.STATE_SIZE, _WITH_CONTACTS) or found[1] != ant.ACTION_SIZE:
        raise ValueError(
            f"The rows have states and actions of {found[0]} and {found[1]} numbers; AntMaze's have {ant.STATE_SIZE} or "
            f"{_WITH_CONTACTS} and {ant.ACTION_SIZE}. Give its rows as read_minari reads them."
        )
    height, width = layout.walls.shape
    row, column = layout.free[0]
    states, actions = mirrored_ant(dataset.states[:, : ant.STATE_SIZE], dataset.actions)
    states[:, :2] += ant.CELL * np.array([width / 2 - 0.5 - column, height / 2 - 0.5 - row])
    return dataset._replace(states=states.astype(np.float32), actions=actions.astype(np.float32))
