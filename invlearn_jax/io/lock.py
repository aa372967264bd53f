"""A lock on a folder, so that two processes never write it at once."""

import contextlib
import fcntl
import json
import os
import platform
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from invlearn_jax.io.command import command_line


@contextlib.contextmanager
def folder_lock(folder: str | os.PathLike) -> Iterator[None]:
    """Holds ``folder/lock``, which names the process that holds it.

    The operating system holds the lock, not the file: it ends with the process, however that ends, and the file may stay.

    Raises:
        BlockingIOError: if another process holds it; says which.
        OSError: if the file cannot be made or written.

    Warns:
        UserWarning: where the disk has no locks; the block then runs without.
    """
    file = Path(folder) / "lock"
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise OSError(f"Could not make {file} ({error}). Give a folder you may write to.") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(
                f"{folder} is in use by {_holder(file)}. Wait until that has ended, end it, or give another folder."
            ) from error
        except OSError as error:
            # Some disks of clusters are mounted without locks; runs must be possible there.
            warnings.warn(
                f"{file} could not be locked ({error}). Let no second process use {folder} at the same time.",
                stacklevel=2,
            )
        about = {
            "pid": os.getpid(),
            "host": platform.node(),
            "command": command_line(),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps(about).encode())
        yield
    finally:
        os.close(handle)


def _holder(file: Path) -> str:
    """Who holds a lock, from its file: written by another process, maybe just now."""
    try:
        about = json.loads(file.read_bytes())
        return f"process {about['pid']} on {about['host']} since {about['started']} ({about['command']})"
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"
