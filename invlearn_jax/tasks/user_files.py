"""Users' data files for the mazes: read, and checked to be of the environment that they are for."""

import os

from invlearn_jax.data.consistency import check_motion
from invlearn_jax.data.dataset import Dataset
from invlearn_jax.data.hdf5 import PathLike
from invlearn_jax.data.readers import read
from invlearn_jax.tasks.antmaze.environment import AntmazeSpec
from invlearn_jax.tasks.antmaze.model import ACTION_SIZE, STATE_SIZE, check_ant_states
from invlearn_jax.tasks.maze2d.environment import Maze2dSpec
from invlearn_jax.tasks.motions import motion_of


def read_for(spec: Maze2dSpec | AntmazeSpec, path: PathLike) -> Dataset:
    """Reads a data file for an environment, and checks that its motion is the environment's.

    Args:
        spec: the environment.
        path: see ``read``.

    Returns:
        The rows.

    Raises:
        FileNotFoundError: if there is nothing at that path.
        ValueError: see ``read`` and ``check_motion``: another robot, frame, unit, step length or maze.
        ImportError: if a package that the kind needs is not installed.
    """
    return check_motion(read(path), motion_of(spec), os.fspath(path))


def read_ant(path: PathLike) -> Dataset:
    """Reads a data file of an ant with the reader for its kind, and checks that it is one.

    Args:
        path: see ``read``.

    Returns:
        The rows: states ``[N, 29]`` as in ``tasks.antmaze.model``, actions ``[N, 8]``.

    Raises:
        FileNotFoundError: if there is nothing at that path.
        ValueError: see ``read``; for the data of another robot, and for states without unit quaternions.
        ImportError: if a package that the kind needs is not installed.
    """
    source, dataset = os.fspath(path), read(path)
    sizes = dataset.states.shape[1], dataset.actions.shape[1]
    if sizes != (STATE_SIZE, ACTION_SIZE):
        raise ValueError(
            f"{source} has states and actions of {sizes[0]} and {sizes[1]} numbers; an ant has {STATE_SIZE} and {ACTION_SIZE}. "
            "Give the data of an ant, with D4RL's or OGBench's 29 numbers."
        )
    check_ant_states(dataset.states, f"The states in {source}")
    return dataset
