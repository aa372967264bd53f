"""One door to all data files."""

import os
from pathlib import Path

from invlearn_jax.data.consistency import check_motion
from invlearn_jax.data.d4rl import read_d4rl
from invlearn_jax.data.dataset import Dataset
from invlearn_jax.data.hdf5 import PathLike
from invlearn_jax.data.minari import DATA_FILE, read_minari
from invlearn_jax.data.motions import motion_of
from invlearn_jax.data.ogbench import read_ogbench
from invlearn_jax.envs.maze2d import Maze2dSpec
from invlearn_jax.tasks.antmaze.environment import AntmazeSpec
from invlearn_jax.tasks.antmaze.model import ACTION_SIZE, STATE_SIZE, check_ant_states

_BY_SUFFIX = {".hdf5": read_d4rl, ".h5": read_d4rl, ".npz": read_ogbench}


def read(path: PathLike) -> Dataset:
    """Reads a data file with the reader for its kind.

    Args:
        path: a D4RL file (``.hdf5`` or ``.h5``), an OGBench file (``.npz``) or a Minari folder.

    Returns:
        The rows; see ``read_d4rl``, ``read_ogbench`` and ``read_minari``.

    Raises:
        FileNotFoundError: if there is nothing at that path.
        ValueError: if the kind is none of these (lists what is allowed), or the content is at fault.
        ImportError: if a package that the kind needs is not installed.
    """
    path = Path(path)
    if (path / DATA_FILE).is_file():
        return read_minari(path)
    if path.suffix.lower() in _BY_SUFFIX and not path.is_dir():
        return _BY_SUFFIX[path.suffix.lower()](path)
    fault, problem = (
        (ValueError, "the kind of data is not known") if path.exists() else (FileNotFoundError, "there is nothing here")
    )
    raise fault(
        f"{path}: {problem}. Allowed are a D4RL file (.hdf5, .h5), an OGBench file (.npz), or a Minari folder that "
        f"holds {DATA_FILE}; a Minari id goes to read_minari."
    )


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
