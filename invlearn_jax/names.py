"""Look-ups by name whose failure names the nearest known entries."""

import difflib
from collections.abc import Iterable


def unknown_name(kind: str, name: object, known: Iterable[str]) -> ValueError:
    """The error for a name that is not known.

    Args:
        kind: what the name names, e.g. ``"environment"``.
        name: what was given.
        known: the names that exist.

    Returns:
        A ``ValueError`` that lists the nearest known names, or all of them where none is near.
    """
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    hint = f"Nearest known: {', '.join(near)}." if near else f"Known: {', '.join(known) or 'none'}."
    return ValueError(f"Unknown {kind} {name!r}. {hint}")
