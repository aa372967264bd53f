"""Progress of long work, for people who wait: silent in a library, switched on by programs with ``show_progress``.

    for batch in progress(batches, "evaluation", unit="plan"):
        ...
    with announce("compiling the plan"):
        ...

A terminal gets a bar with rate and time left, a log file now and then a line. Work that is over in a few seconds says
nothing. All goes to stderr.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar

_Item = TypeVar("_Item")

PATIENCE = 3.0  # s that work may take without a word
_LINES = 20.0  # s between the lines in a log file
_LINE = "{desc}: {n_fmt}/{total_fmt} {unit}s, {rate_fmt}, {remaining} left"
_OPEN_LINE = "{desc}: {n_fmt} {unit}s, {rate_fmt}"  # where the total is unknown

_shown = False


def show_progress(on: bool = True) -> None:
    """Switches progress on or off for the process; programs call it once, at their start."""
    global _shown  # noqa: PLW0603
    _shown = on


def progress(items: Iterable[_Item], what: str, total: int | None = None, unit: str = "step") -> Iterator[_Item]:
    """The items themselves, with the loop's progress shown meanwhile.

    The first item often waits for a compiler; that is announced, see ``announce``.

    Args:
        items: to loop over.
        what: the work, a noun: "evaluation".
        total: how many items there are; by default their length, where they have one.
        unit: one item, in the singular.

    Yields:
        The items.

    Raises:
        ImportError: where progress is switched on, without tqdm; names the extra.
    """
    if not _shown:
        yield from items
        return
    total = len(items) if total is None and isinstance(items, Sized) else total
    meter = _meter()(total=total, desc=what, unit=unit, delay=PATIENCE, disable=not sys.stderr.isatty())
    begin = said = time.monotonic()
    try:
        for done, item in enumerate(items, start=1):
            first = announce(f"{what}: the first {unit}, with compiling", PATIENCE)
            with first if done == 1 else contextlib.nullcontext():
                yield item
            meter.update()
            now = time.monotonic()
            if meter.disable and now - said > _LINES:
                said = now
                layout = _LINE if total else _OPEN_LINE
                line = meter.format_meter(done, total, now - begin, unit=unit, prefix=what, bar_format=layout)
                say(" ".join(line.split()))  # tqdm pads the rate
    finally:
        meter.close()


class Counter:
    """Progress of work that counts by itself, training say: a bar on a terminal, a line now and then in a log file."""

    def __init__(self, what: str, total: int, done: int = 0, unit: str = "step") -> None:
        """Begins at ``done`` of ``total``; see ``progress``."""
        self._what, self._total, self._unit, self._first = what, total, unit, done
        self._begin = self._said = time.monotonic()
        self._bar = None
        if _shown:
            self._bar = _meter()(total=total, initial=done, desc=what, unit=unit, disable=not sys.stderr.isatty())

    def update(self, done: int, note: str = "") -> None:
        """Shows that ``done`` are done, with a note."""
        if self._bar is None:
            return
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(done - self._bar.n)
        now = time.monotonic()
        if self._bar.disable and (now - self._said > _LINES or done >= self._total):
            self._said = now
            rate = (done - self._first) / max(now - self._begin, 1e-9)
            left = (self._total - done) / max(rate, 1e-9)
            say(f"{self._what}: {done}/{self._total} {self._unit}s, {rate:.1f}/s, {left:.0f} s left, {note}")

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()


@contextlib.contextmanager
def announce(what: str, after: float = PATIENCE) -> Iterator[None]:
    """Says what goes on inside, once it has taken ``after`` seconds, and at the end how long it took.

    Args:
        what: the work: "compiling the plan".
        after: seconds.
    """
    if not _shown:
        yield
        return
    begin, told = time.monotonic(), threading.Event()

    def tell() -> None:
        told.set()
        say(f"{what} ...")

    timer = threading.Timer(after, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if told.is_set():
            say(f"{what}: {time.monotonic() - begin:.0f} s")


def say(text: str) -> None:
    """One line to stderr, where progress is switched on."""
    if _shown:
        print(text, file=sys.stderr, flush=True)


def _meter() -> Any:
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError("Progress needs tqdm. Install it with `pip install invlearn_jax[runner]`.") from error
    return tqdm
