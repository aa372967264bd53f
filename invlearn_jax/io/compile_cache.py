"""JAX's persistent compile cache, switched on by programs, ``load_planner`` and ``fit`` (never by importing the library)."""

import os
from pathlib import Path

import jax


def use_compile_cache(folder: str | os.PathLike | None = None) -> Path:
    """Keeps compiled programs on disk, so that a second start is fast.

    Args:
        folder: where; by default ``$JAX_COMPILATION_CACHE_DIR``, or ``invlearn_jax`` in the user's cache folder.

    Returns:
        The folder.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = Path(folder or os.environ.get("JAX_COMPILATION_CACHE_DIR") or home / "invlearn_jax" / "jax")
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    return folder


def ensure_compile_cache() -> None:
    """Switches the cache on where nobody has chosen one; ``INVLEARN_COMPILE_CACHE=off`` leaves it off."""
    chosen = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]  # JAX adds its options at run time.
    if chosen is None and os.environ.get("INVLEARN_COMPILE_CACHE") != "off":
        use_compile_cache()
