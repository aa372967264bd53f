"""Rows that a run made and keeps: read back exactly as they were, with nothing inferred as from files of unknown origin."""

import io
import os
from pathlib import Path

import numpy as np

from invlearn_jax.data.dataset import Dataset, check_dataset
from invlearn_jax.files import read_npz, replace_files


def write_rows(path: str | os.PathLike, dataset: Dataset) -> None:
    """Writes a dataset as an npz file, all or nothing.

    Raises:
        ValueError: for wrong shapes, NaN or infinity, no rows.
        OSError: if the file cannot be written; an old file is left as it was.
    """
    arrays = check_dataset(dataset, f"Data for {os.fspath(path)}")._asdict()
    content = io.BytesIO()
    np.savez_compressed(content, **{name: array for name, array in arrays.items() if array is not None})
    replace_files({Path(path): content.getvalue()})


def read_rows(path: str | os.PathLike) -> Dataset:
    """Reads what ``write_rows`` wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged or holds something else; names the file.
    """
    arrays = read_npz(path)
    if not {"states", "actions", "ends"} <= set(arrays) <= set(Dataset._fields):
        raise ValueError(
            f"{os.fspath(path)} holds {sorted(arrays)}, no rows of a run. Delete it, and the run makes it again."
        )
    return check_dataset(Dataset(**arrays), os.fspath(path))
