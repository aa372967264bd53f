"""SIGTERM and Ctrl-C as a request to stop: at once where nothing is lost, at the next safe place where something would be."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Terminals and wrappers such as ``timeout`` send one request twice; a later signal is a second request.
_SAME_REQUEST = 0.5  # s


class Stopped(BaseException):
    """The process was told to stop, and work ended where it can be continued.

    Like ``KeyboardInterrupt`` no ``Exception``, so that no handler of errors takes it for one.

    Attributes:
        signum: the signal that told it.
        progress: ``(stage, step, steps)`` where the work that stopped knows it.
    """

    def __init__(self, signum: int, progress: tuple[str, int, int] | None = None) -> None:
        """Keeps what is given."""
        self.signum, self.progress = signum, progress
        super().__init__(f"stopped by {signal.Signals(signum).name}")

    @property
    def exit_code(self) -> int:
        """What shells expect of a process that a signal ended: 143 for SIGTERM, 130 for Ctrl-C."""
        return 128 + self.signum


class _Request:
    """The process's one request to stop: signals know no other scope than the process."""

    signum: int | None = None
    deferred = 0


@contextlib.contextmanager
def stop_on_signals() -> Iterator[None]:
    """Turns SIGTERM and Ctrl-C into ``Stopped`` within the block; a second signal ends the process at once.

    Must be entered in the main thread.

    Raises:
        Stopped: at the first signal; within ``deferred`` at its next ``check``.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    # Python runs its handlers between its own instructions alone, so not while XLA computes; the thread sees signals at once.
    watcher = threading.Thread(target=_watch, args=(reader,), daemon=True)
    watcher.start()
    wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    handlers = {signum: signal.signal(signum, _handle) for signum in _SIGNALS}
    try:
        yield
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
        signal.set_wakeup_fd(wakeup)
        writer.close()
        watcher.join()
        reader.close()
        _Request.signum = None


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Holds ``Stopped`` back to the block's ``check`` or its end, so that work in progress is not lost.

    Raises:
        Stopped: at the end, if a signal came and no ``check`` saw it.
    """
    check()
    _Request.deferred += 1
    try:
        yield
    finally:
        _Request.deferred -= 1
    check()


def requested() -> bool:
    """Whether a signal told the process to stop; work that is deferred then saves what it has and calls ``check``."""
    return _Request.signum is not None


def check(progress: tuple[str, int, int] | None = None) -> None:
    """Stops here if a signal told the process to.

    Args:
        progress: ``(stage, step, steps)``, for the status.

    Raises:
        Stopped: if so.
    """
    if _Request.signum is not None:
        raise Stopped(_Request.signum, progress)


def _handle(signum: int, frame: FrameType | None) -> None:
    # What a second one would interrupt is the end that the first began; the watcher ends the process then.
    if _Request.signum is None:
        _Request.signum = signum
        if not _Request.deferred:
            raise Stopped(signum)


def _watch(reader: socket.socket) -> None:
    """Says that the first signal was heard, and ends the process at the second."""
    first = None
    while received := reader.recv(1):
        if received[0] not in _SIGNALS:
            continue
        now = time.monotonic()
        if first is None:
            first, name = now, signal.Signals(received[0]).name
            print(f"{name}: stopping as soon as nothing is lost; a second signal ends at once.", file=sys.stderr)
        elif now - first > _SAME_REQUEST:
            os._exit(128 + received[0])
