"""D4RL's HDF5 files: reading and writing.

key                                   shape    what
observations, actions                 [N, D]   float32
rewards                               [N]      float32 (optional when reading), in maze2d of the row's own observation, in
                                               antmaze of the next
terminals, timeouts                   [N]      bool, true in the last row of an episode; read also are truncations,
                                               terminations, dones, and masks, which are 0 there
next_observations                     [N, D]   float32, after the step (optional)
infos/goal, infos/qpos, infos/qvel    [N, D]   float32, the goal and the simulator's true state (optional), in antmaze that
                                               after the step
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from invlearn_jax.data.dataset import Dataset, check_rows
from invlearn_jax.data.episodes import NEEDED, OPTIONAL, rows_of
from invlearn_jax.data.hdf5 import PathLike, find, hdf5_content, open_hdf5, read_array
from invlearn_jax.files import replace_files
from invlearn_jax.names import unknown_name

_ENV_STATES = ("infos", "observations")
_WRITTEN = (*NEEDED, "terminals")
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


def read_d4rl(path: PathLike, env_state: str = "infos") -> Dataset:
    """Reads a D4RL HDF5 file.

    An episode ends where a flag says so (``terminals``, ``timeouts``, .., any of them), where ``next_observations`` or the motion
    do, and in the last row; see ``data.episodes``. D4RL's maze2d repeats an observation after each new goal; ``infos/qpos``
    and ``infos/qvel`` hold the truth, so they are the states unless asked otherwise. D4RL's antmaze records them after the
    step, one row late, which is told by comparing all rows; its states are the observations.

    Args:
        path: the file.
        env_state: ``"infos"`` takes ``[infos/qpos, infos/qvel]`` as the states where the file has both and they are those of
            the observations, else the observations; ``"observations"`` always takes the observations.

    Returns:
        The rows, in the units of the file (metres, radians, seconds); rewards are None if it has none.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for an unknown ``env_state``; for a damaged file, a missing key, wrong shapes, NaN or infinity, no
            rows; if nothing tells where episodes end; names key and row.
        ImportError: if h5py is not installed.

    Source: D4RL:d4rl/pointmaze and scripts/generation/generate_maze2d_datasets.py, generate_ant_maze_datasets.py;
    D4RL:d4rl/__init__.py, ``qlearning_dataset``.
    """
    if env_state not in _ENV_STATES:
        raise unknown_name("env_state", env_state, _ENV_STATES)
    source = os.fspath(path)
    with open_hdf5(path) as file:
        from_infos = env_state == "infos" and all(find(file, key, source) is not None for key in _STATE)
        optional = [key for key in OPTIONAL if find(file, key, source) is not None]
        raw = {key: read_array(file, key, source) for key in (*NEEDED, *optional, *(_STATE if from_infos else ()))}
    return rows_of(raw, source, _STATE if from_infos else ())


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
    for key in _WRITTEN:
        if key not in arrays:
            raise ValueError(f"{source}: {key!r} is missing; the keys given are: {', '.join(arrays) or 'none'}.")
    rows = len(check_rows(arrays["observations"], "observations", source, 2))
    checked = {key: check_rows(array, key, source, _NDIM[key], rows) for key, array in arrays.items()}

    def fill(file: Any) -> None:
        for key, array in checked.items():
            dtype = bool if key in ("terminals", "timeouts") else np.float32
            file.create_dataset(key, data=array.astype(dtype), compression="gzip")

    replace_files({Path(path): hdf5_content(fill)})
