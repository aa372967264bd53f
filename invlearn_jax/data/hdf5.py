"""HDF5 files read without trust in what they say of themselves, and written from memory.

Every error names the file. Sizes are checked before memory is taken; links that leave the file are not followed.
"""

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from invlearn_jax.files import MAX_ARRAY_BYTES

PathLike = str | os.PathLike[str]

_KEYS_SHOWN = 16
# Deflate packs at most 1032 bytes into one, HDF5's other own filters fewer; small arrays need no proof.
_PACKED, _SMALL = 1032, 2**24
_AGAIN = "Copy or download the file again."


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
    # Altered bytes make h5py raise errors of many kinds.
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # the operating system's refusal, not the content
            raise
        raise ValueError(
            f"{path}: truncated, or not an HDF5 file ({error}). Copy or download it again, or give another file."
        ) from error
    with file:
        yield file


def names(group: Any, source: str) -> list[str]:
    """The names in a file or group.

    Raises:
        ValueError: if its directory is damaged.
    """
    with _guarded(source, "the directory"):
        return [_text(name) for name in group]


def find(group: Any, key: str, source: str) -> Any:
    """What is stored under a key, without a step outside the file.

    Args:
        group: the ``h5py.File`` or ``h5py.Group``.
        key: path in it.
        source: the file's (and group's) name, for the message.

    Returns:
        The ``h5py.Group`` or ``h5py.Dataset``; None if there is none.

    Raises:
        ValueError: if the way there is damaged, or is a soft or external link.
    """
    h5py = import_h5py()
    with _guarded(source, repr(key)):
        for name in key.split("/"):
            link = group.get(name, getlink=True) if isinstance(group, h5py.Group) else None
            if link is None:
                return None
            if not isinstance(link, h5py.HardLink):
                break
            group = group[name]
        else:
            return group
    raise ValueError(
        f"{source}: {key!r} is a soft or external link, which is not followed. Give a file that holds the array itself."
    )


def read_array(group: Any, key: str, source: str) -> np.ndarray:
    """Reads one array of an open HDF5 file or group.

    Args:
        group: the ``h5py.File`` or ``h5py.Group``.
        key: path of the array in it.
        source: the file's (and group's) name, for the message.

    Returns:
        The array.

    Raises:
        ValueError: if the key is missing (says which exist), is a group or a link, cannot be decoded, holds no real numbers,
            is stored outside the file, or is larger than its bytes in the file can hold.
    """
    node = find(group, key, source)
    if not hasattr(node, "shape"):
        listed = ", ".join(_arrays(group, source)) or "none"
        raise ValueError(f"{source}: there is no array {key!r}. The keys are: {listed}. Give a file that has it.")
    with _guarded(source, repr(key)):
        kind, stored = node.dtype, node.id.get_storage_size()
        size = math.prod(node.shape or ()) * kind.itemsize
        elsewhere, empty = node.is_virtual or bool(node.external), node.shape is None
    if empty:
        raise ValueError(f"{source}: {key!r} holds nothing. Give a file with at least one row.")
    if elsewhere:
        raise ValueError(
            f"{source}: {key!r} is stored in other files, which are not read. Give a file that holds it all."
        )
    if kind.kind not in "biuf":
        raise ValueError(f"{source}: {key!r} holds {kind}; real numbers or bools are needed.")
    if size > MAX_ARRAY_BYTES:
        raise ValueError(
            f"{source}: {key!r} takes {size} bytes when unpacked; allowed are {MAX_ARRAY_BYTES}. Give a part of the data."
        )
    if size > max(_SMALL, _PACKED * stored):
        raise ValueError(
            f"{source}: {key!r} is damaged or was never filled: its {stored} bytes in the file cannot hold the {size} it should "
            f"have. {_AGAIN}"
        )
    with _guarded(source, repr(key)):
        return np.asarray(node[()])


def _text(name: str | bytes) -> str:
    """A name; h5py gives those with altered bytes as bytes."""
    return name.decode(errors="replace") if isinstance(name, bytes) else name


@contextlib.contextmanager
def _guarded(source: str, what: str) -> Iterator[None]:
    """Turns whatever h5py raises on altered bytes into one error with the file's name."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{source}: {what} is damaged and cannot be read ({error}). {_AGAIN}") from error


def _arrays(group: Any, source: str) -> list[str]:
    """Names of the first arrays in a group, for a message."""
    found: list[str] = []

    def collect(name: str, node: Any) -> bool | None:
        found.extend([_text(name)] if hasattr(node, "shape") else [])
        return True if len(found) > _KEYS_SHOWN else None  # True ends the visit

    with _guarded(source, "the directory"):
        group.visititems(collect)
    return found[:_KEYS_SHOWN] + ["..."] * (len(found) > _KEYS_SHOWN)


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
