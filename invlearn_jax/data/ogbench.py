"""OGBench's npz files: ``observations, actions [N, D]``, ``terminals [N]``; the published ones add ``qpos, qvel``."""

import io
import os
from pathlib import Path

import numpy as np

from invlearn_jax.data.dataset import Dataset, check_dataset
from invlearn_jax.data.episodes import NEEDED, rows_of
from invlearn_jax.data.hdf5 import PathLike
from invlearn_jax.files import read_npz, replace_files

_STATE = ("qpos", "qvel")


def read_ogbench(path: PathLike) -> Dataset:
    """Reads an OGBench npz file.

    Args:
        path: the file.

    Returns:
        The rows; states are ``[qpos, qvel]`` where the file has both, else the observations; an episode ends where a flag
        says so (``terminals`` in OGBench's own files), where ``next_observations`` or the motion do, and in the last row; see
        ``data.episodes``. Rewards are None.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no npz, or damaged; for a missing key, wrong shapes, NaN or infinity, no rows; if nothing tells
            where episodes end; names key and row.

    Source: ogbench:data_gen_scripts/generate_locomaze.py.
    """
    source, raw = os.fspath(path), read_npz(path)
    for key in NEEDED:
        if key not in raw:
            raise ValueError(
                f"{source}: there is no array {key!r}. The keys are: {', '.join(raw) or 'none'}. Give a file that has it."
            )
    # The format has no place for rewards.
    raw.pop("rewards", None)
    return rows_of(raw, source, _STATE)


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
