"""Files that are whole or absent: written beside their place, then moved there."""

import contextlib
import errno
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any


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
