"""Files that are written whole or not at all, and readers that trust nothing a file says of itself.

Every error of a reader names the file and says what to do; sizes are checked before memory is taken.
"""

import contextlib
import csv
import errno
import io
import json
import math
import os
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

MAX_ARRAY_BYTES = 4 * 2**30
MAX_TEXT_BYTES = 64 * 2**20

_RESTORE = "Restore it from a copy, or write it again with the program that made it."
# Deflate packs at most 1032 bytes into one; NumPy writes no other compression.
_PACKED = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: 1032}


def replace_files(contents: Mapping[Path, bytes]) -> None:
    """Writes files all or nothing: first all beside their places, then each moved into its place.

    Args:
        contents: what to write, by path; missing folders are made.

    Raises:
        OSError: if a file cannot be written; says which. Then old files are as they were and nothing new is left,
            save that of several files those already moved stay when the move of a later one fails.
    """
    temporaries = {path: path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp") for path in contents}
    try:
        for path, temporary in temporaries.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                file.write(contents[path])
                file.flush()
                os.fsync(file.fileno())
        for path, temporary in temporaries.items():
            os.replace(temporary, path)
    except OSError as error:
        raise OSError(
            error.errno or errno.EIO,
            f"Could not write {path}: {error.strerror or error}. A file already there was left as it was. "
            "Give a path in a folder that may be written to, on a disk with free space",
        ) from error
    finally:
        for temporary in temporaries.values():
            with contextlib.suppress(OSError):
                temporary.unlink()


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes one UTF-8 text file; see ``replace_files``."""
    replace_files({Path(path): text.encode()})


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes indented JSON; NaN is refused, since JSON has none. See ``replace_files``."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_npz(path: str | os.PathLike, max_bytes: int = MAX_ARRAY_BYTES) -> dict[str, np.ndarray]:
    """Reads all arrays of an npz file: real numbers and truth values, nothing that needs pickle.

    Args:
        path: the file.
        max_bytes: what the arrays may take together when unpacked.

    Returns:
        The arrays by name.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, encrypted, too large, or holds text, objects, complex numbers or records.
    """
    source = os.fspath(path)
    if not Path(path).is_file():
        raise FileNotFoundError(f"{source}: there is no such file. Give the path of an existing npz file.")
    try:
        archive = zipfile.ZipFile(path)
    # A damaged directory makes zipfile raise errors of many kinds.
    except Exception as error:
        raise ValueError(
            f"{source}: truncated, or not an npz file ({error}). Copy or download it again, or give another file."
        ) from error
    with archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        if total > max_bytes:
            raise ValueError(
                f"{source}: its arrays take {total} bytes when unpacked; allowed are {max_bytes}. "
                "Give a smaller file, or a part of it."
            )
        return {member.filename.removesuffix(".npy"): _member(archive, member, source) for member in members}


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, source: str) -> np.ndarray:
    """One array of an archive, after its header agrees with what the archive says of its size."""
    name = member.filename.removesuffix(".npy")
    if member.flag_bits & 1:
        raise ValueError(f"{source}: {name!r} is encrypted. Give a file without a password.")
    if member.file_size > _PACKED.get(member.compress_type, 0) * member.compress_size:
        raise ValueError(
            f"{source}: {name!r} is damaged, or packed otherwise than NumPy does: its {member.compress_size} bytes cannot "
            f"hold the {member.file_size} they should. Copy or download the file again."
        )
    try:
        with archive.open(member) as file:
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = header(file)
            begin = file.tell()
        if dtype.kind in "biuf":
            stated = begin + math.prod(shape) * dtype.itemsize
            if min(shape, default=0) < 0 or stated != member.file_size:
                raise ValueError(f"its header states {stated} bytes where the file has {member.file_size}")
            # Read to the end, where the checksum shows an altered byte.
            with archive.open(member) as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
            # JAX takes the machine's own byte order alone.
            return array.astype(dtype.newbyteorder("="), copy=False)
    # Altered bytes make zipfile, zlib and NumPy raise errors of many kinds.
    except Exception as error:
        raise ValueError(
            f"{source}: {name!r} is damaged or no plain array and cannot be read ({error}). "
            "Copy or download the file again."
        ) from error
    raise ValueError(
        f"{source}: {name!r} is no plain array of numbers but of {dtype.name}; allowed are real numbers and truth values. "
        "Give a file that holds such."
    )


def read_text(path: str | os.PathLike, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Reads a text file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is too large or not UTF-8; names the file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: there is no such file. {_RESTORE}")
    with open(path, "rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"{path} is larger than the {max_bytes} bytes that are allowed. {_RESTORE}")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error}). {_RESTORE}") from error


def read_json(path: str | os.PathLike, kind: type = dict) -> Any:
    """Reads a JSON file.

    Args:
        path: the file.
        kind: what it must hold: ``dict`` or ``list``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not valid JSON (NaN and infinity are not), or holds another kind; names the file.
    """
    text = read_text(path)
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}). {_RESTORE}") from error
    if not isinstance(value, kind):
        raise ValueError(f"{path} holds a {type(value).__name__}, not a {kind.__name__}. {_RESTORE}")
    return value


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number in JSON")


def read_csv(path: str | os.PathLike, columns: Sequence[str]) -> list[dict[str, str]]:
    """Reads a CSV file with a header; a row of another length, such as one cut short by a kill, is left out.

    Args:
        path: the file.
        columns: the names its header must have.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not text, or has other columns; names the file.
    """
    try:
        header, *rows = list(csv.reader(io.StringIO(read_text(path), newline=""))) or [[]]
    except csv.Error as error:
        raise ValueError(f"{path} is not a CSV file ({error}). {_RESTORE}") from error
    if header != list(columns):
        raise ValueError(
            f"{path} has the columns {', '.join(header) or 'none'}; they must be {', '.join(columns)}. {_RESTORE}"
        )
    return [dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)]
