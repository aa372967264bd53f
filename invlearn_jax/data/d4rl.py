"""D4RL's HDF5 files: reading and writing, and the file handling that the other formats share.

key                                   shape    what
observations, actions                 [N, D]   float32
rewards                               [N]      float32 (optional when reading), in maze2d of the row's own observation, in
                                               antmaze of the next
terminals, timeouts                   [N]      bool, true in the last row of an episode (timeouts optional)
infos/goal, infos/qpos, infos/qvel    [N, D]   float32, the goal and the simulator's true state (optional), in antmaze that
                                               after the step
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from invlearn_jax.data.dataset import Dataset, check_rows
from invlearn_jax.files import replace_files
from invlearn_jax.names import unknown_name

PathLike = str | os.PathLike[str]

_ENV_STATES = ("infos", "observations")
_NEEDED = ("observations", "actions", "terminals")
_STATE = ("infos/qpos", "infos/qvel")
_NDIM = {
    "observations": 2,
    "actions": 2,
    "rewards": 1,
    "terminals": 1,
    "timeouts": 1,
    "infos/goal": 2,
    "infos/qpos": 2,
    "infos/qvel": 2,
}
_KEYS_SHOWN = 16


def import_h5py() -> ModuleType:
    """The h5py module.

    Raises:
        ImportError: names the extra that brings it.
    """
    try:
        import h5py  # noqa: PLC0415
    except ImportError as error:
        raise ImportError(
            "HDF5 files need the h5py package. Install it with `pip install invlearn_jax[data]`."
        ) from error
    return h5py


@contextlib.contextmanager
def open_hdf5(path: PathLike) -> Iterator[Any]:
    """Opens an HDF5 file for reading.

    Args:
        path: the file.

    Yields:
        The ``h5py.File``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is truncated or not HDF5.
        ImportError: if h5py is not installed.
    """
    h5py = import_h5py()
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: there is no such file. Give the path of an existing HDF5 file.")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        if error.errno is not None:  # the operating system's refusal, not the content
            raise
        raise ValueError(
            f"{path}: truncated, or not an HDF5 file ({error}). Copy or download it again, or give another file."
        ) from error
    with file:
        yield file


def read_array(group: Any, key: str, source: str) -> Any:
    """Reads one array of an open HDF5 file or group.

    Args:
        group: the ``h5py.File`` or ``h5py.Group``.
        key: path of the array in it.
        source: the file's (and group's) name, for the message.

    Returns:
        What h5py gives for it, as a rule a numpy array.

    Raises:
        ValueError: if the key is missing (says which exist), is a group, or cannot be decoded.
    """
    if not hasattr(group.get(key), "shape"):
        names: list[str] = []

        def collect(name: str, node: Any) -> bool | None:
            names.extend([name] if hasattr(node, "shape") else [])
            return True if len(names) > _KEYS_SHOWN else None  # True ends the visit

        group.visititems(collect)
        listed = ", ".join(names[:_KEYS_SHOWN]) + ", ..." * (len(names) > _KEYS_SHOWN)
        raise ValueError(
            f"{source}: there is no array {key!r}. The keys are: {listed or 'none'}. Give a file that has it."
        )
    try:
        return group[key][()]
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"{source}: {key!r} is damaged and cannot be read ({error}). Copy or download the file again."
        ) from error


def hdf5_content(fill: Callable[[Any], None]) -> bytes:
    """The bytes of an HDF5 file, made in memory: HDF5 itself cannot recover from a disk that fills up under it.

    Args:
        fill: gets the empty ``h5py.File`` and writes into it.

    Returns:
        The file's content.

    Raises:
        ImportError: if h5py is not installed.
    """
    h5py = import_h5py()
    with h5py.File("in_memory.hdf5", "w", driver="core", backing_store=False, block_size=2**22) as file:
        fill(file)
        file.flush()
        return file.id.get_file_image()


def read_d4rl(path: PathLike, env_state: str = "infos") -> Dataset:
    """Reads a D4RL HDF5 file.

    An episode ends where ``terminals`` or ``timeouts`` says so, and in the last row. D4RL's maze2d repeats an
    observation after each new goal; ``infos/qpos`` and ``infos/qvel`` hold the truth, so they are the states unless
    asked otherwise. D4RL's antmaze records them after the step, one row late, which is told by the first rows; its states are
    the observations.

    Args:
        path: the file.
        env_state: ``"infos"`` takes ``[infos/qpos, infos/qvel]`` as the states where the file has both and they are not
            late, else the observations; ``"observations"`` always takes the observations.

    Returns:
        The rows, in the units of the file (metres, radians, seconds); rewards are None if it has none.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for an unknown ``env_state``; for a truncated file, a missing key, wrong shapes, NaN or infinity, no
            rows; names key and row.
        ImportError: if h5py is not installed.

    Source: D4RL:d4rl/pointmaze and scripts/generation/generate_maze2d_datasets.py, generate_ant_maze_datasets.py.
    """
    if env_state not in _ENV_STATES:
        raise unknown_name("env_state", env_state, _ENV_STATES)
    source = os.fspath(path)
    with open_hdf5(path) as file:
        from_infos = env_state == "infos" and all(key in file for key in _STATE)
        optional = [key for key in ("rewards", "timeouts") if key in file]
        raw = {key: read_array(file, key, source) for key in (*_NEEDED, *optional, *(_STATE if from_infos else ()))}
    rows = len(check_rows(raw["observations"], "observations", source, 2))
    arrays = {key: check_rows(raw[key], key, source, _NDIM[key], rows) for key in raw}
    states = arrays["observations"]
    if from_infos:
        truth = np.concatenate([arrays[key] for key in _STATE], axis=1)
        states = states if _late(truth, states) else truth
    ends = arrays["terminals"].astype(bool) | arrays.get("timeouts", np.zeros(rows)).astype(bool)
    ends[-1] = True
    return Dataset(states, arrays["actions"], ends, arrays.get("rewards"))


def _late(truth: np.ndarray, observations: np.ndarray) -> bool:
    """Whether row 0 of the simulator's states is the observation of row 1, and not its own."""
    if len(truth) < 2 or truth.shape != observations.shape:
        return False
    return np.array_equal(truth[0], observations[1]) and not np.array_equal(truth[0], observations[0])


def write_d4rl(path: PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a D4RL HDF5 file, gzip-compressed, all or nothing.

    Args:
        path: the file to write or replace.
        arrays: D4RL's keys, as the generators (``controller_data``, ``antmaze_data``, ..) give them: ``observations``,
            ``actions`` and ``terminals``, and any of ``rewards, timeouts, infos/goal, infos/qpos, infos/qvel``. Stored as
            float32, ``terminals`` and ``timeouts`` as bool.

    Raises:
        ValueError: for an unknown or missing key, wrong shapes, NaN or infinity, no rows; names key and row.
        OSError: if the file cannot be written; an old file is left as it was.
        ImportError: if h5py is not installed.
    """
    source = f"Data for {os.fspath(path)}"
    for key in arrays:
        if key not in _NDIM:
            raise unknown_name("D4RL key", key, _NDIM)
    for key in _NEEDED:
        if key not in arrays:
            raise ValueError(f"{source}: {key!r} is missing; the keys given are: {', '.join(arrays) or 'none'}.")
    rows = len(check_rows(arrays["observations"], "observations", source, 2))
    checked = {key: check_rows(array, key, source, _NDIM[key], rows) for key, array in arrays.items()}

    def fill(file: Any) -> None:
        for key, array in checked.items():
            dtype = bool if key in ("terminals", "timeouts") else np.float32
            file.create_dataset(key, data=array.astype(dtype), compression="gzip")

    replace_files({Path(path): hdf5_content(fill)})
