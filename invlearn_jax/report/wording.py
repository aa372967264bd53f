"""Numbers and names as the report writes them."""

import math
from collections.abc import Sequence

_LONGEST = 48  # characters of a name


def shorten(text: object, longest: int = _LONGEST) -> str:
    """A name of at most so many characters, its middle left out."""
    text = str(text)
    if len(text) <= longest:
        return text
    tail = longest // 3
    return f"{text[: longest - tail - 1]}…{text[-tail:]}"


def number(value: float | None, digits: int = 1) -> str:
    """A number with so many digits after the point; ``–`` for None, and a word for what is not finite."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "not finite"
    return f"{value:.{digits}f}" if abs(value) < 1e6 else f"{value:.3g}"


def significant(value: float | None) -> str:
    """A number of any size with four digits; see ``number``."""
    return f"{value:.4g}" if value is not None and math.isfinite(value) else number(value)


def span(pair: Sequence[float] | None, scale: float = 1.0) -> str:
    """An interval; empty for None."""
    return f"{number(scale * pair[0])} to {number(scale * pair[1])}" if pair else ""
