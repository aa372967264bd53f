"""One door to all data files."""

import os
from pathlib import Path

from invlearn_jax.data.consistency import Motion, check_motion
from invlearn_jax.data.d4rl import read_d4rl
from invlearn_jax.data.dataset import Dataset
from invlearn_jax.data.hdf5 import PathLike
from invlearn_jax.data.minari import DATA_FILE, read_minari
from invlearn_jax.data.ogbench import read_ogbench

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


def read_checked(path: PathLike, motion: Motion) -> Dataset:
    """Reads a data file for a system, and checks that its motion is the system's.

    Args:
        path: see ``read``.
        motion: what is known of the system.

    Returns:
        The rows.

    Raises:
        FileNotFoundError: if there is nothing at that path.
        ValueError: see ``read`` and ``check_motion``: another robot, frame, unit, step length or place.
        ImportError: if a package that the kind needs is not installed.
    """
    return check_motion(read(path), motion, os.fspath(path))
