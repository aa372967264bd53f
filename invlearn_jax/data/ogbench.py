"""OGBench's npz files: ``observations, actions [N, D]``, ``terminals [N]``; the published ones add ``qpos, qvel``."""

import io
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from invlearn_jax.data.d4rl import PathLike
from invlearn_jax.data.dataset import Dataset, check_dataset, check_rows
from invlearn_jax.files import replace_files

_NDIM = {"observations": 2, "actions": 2, "terminals": 1}
_STATE = {"qpos": 2, "qvel": 2}
_DAMAGED = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


def _load(path: PathLike) -> dict[str, np.ndarray]:
    source = os.fspath(path)
    if not Path(path).is_file():
        raise FileNotFoundError(f"{source}: there is no such file. Give the path of an existing npz file.")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{source}: truncated, or not an npz file. Copy or download it again, or give another file.")
    with np.load(path, allow_pickle=False) as file:
        for key in _NDIM:
            if key not in file.files:
                raise ValueError(
                    f"{source}: there is no array {key!r}. The keys are: {', '.join(file.files) or 'none'}. "
                    "Give a file that has it."
                )
        wanted = [*_NDIM, *(_STATE if all(key in file.files for key in _STATE) else ())]
        arrays = {}
        for key in wanted:
            try:
                arrays[key] = file[key]
            except _DAMAGED as error:
                raise ValueError(
                    f"{source}: {key!r} is damaged or no plain array and cannot be read ({error}). "
                    "Copy or download the file again."
                ) from error
    return arrays


def read_ogbench(path: PathLike) -> Dataset:
    """Reads an OGBench npz file.

    Args:
        path: the file.

    Returns:
        The rows; states are ``[qpos, qvel]`` where the file has both, else the observations; an episode ends where
        ``terminals`` is set, and in the last row; rewards are None.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no npz, for a missing key, wrong shapes, NaN or infinity, no rows; names key and row.

    Source: ogbench:data_gen_scripts/generate_locomaze.py.
    """
    source, raw = os.fspath(path), _load(path)
    rows = len(check_rows(raw["observations"], "observations", source, 2))
    arrays = {key: check_rows(array, key, source, (_NDIM | _STATE)[key], rows) for key, array in raw.items()}
    from_state = all(key in arrays for key in _STATE)
    states = np.concatenate([arrays[key] for key in _STATE], axis=1) if from_state else arrays["observations"]
    ends = arrays["terminals"].astype(bool)
    ends[-1] = True
    return Dataset(states, arrays["actions"], ends)


def write_ogbench(path: PathLike, dataset: Dataset) -> None:
    """Writes an OGBench npz file, all or nothing.

    Args:
        path: the file to write or replace; the name is taken as it is.
        dataset: its states become ``observations``; the format has no place for rewards.

    Raises:
        ValueError: for wrong shapes, NaN or infinity, no rows; names key and row.
        OSError: if the file cannot be written; an old file is left as it was.
    """
    dataset = check_dataset(dataset, f"Data for {os.fspath(path)}")
    content = io.BytesIO()
    np.savez_compressed(content, observations=dataset.states, actions=dataset.actions, terminals=dataset.ends)
    replace_files({Path(path): content.getvalue()})
