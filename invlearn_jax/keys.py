"""Random keys: a key is either split or turned into named streams, and its streams never meet its splits.

    stream(k, name) = fold_in(k, 2^31 + crc32(name) mod 2^31),    indexed(k, i) = fold_in(k, 2^30 + i),  0 <= i < 2^30

JAX derives every key by one bijection per parent: ``split(k, n)[i]`` *is* ``fold_in(k, i)``. Whoever splits a key and folds a
small number into it gets the same key twice, for two purposes. The numbers 0 .. 2^30 - 1 are therefore left to ``split``, the
next quarter to indices (the step of a loop, say), the upper half to names: keys from one parent that belong to different
quarters differ for certain, and so do those of different names unless their checksums agree, which ``streams`` refuses. No
other file of the library, the experiments or the benchmarks calls ``fold_in``; a test sees to it.
"""

import operator
import zlib
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

# ``jax.random.key`` keeps the lower 32 bits: greater seeds would repeat the smaller ones' keys.
MAX_SEED = 2**32 - 1

_INDICES, _NAMES = 2**30, 2**31


def check_seed(seed: Any) -> int:
    """A seed as an int, once it is found to have a key of its own.

    Raises:
        ValueError: for what is no whole number, or none of 0 to 2^32 - 1.
    """
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if isinstance(seed, bool) or not 0 <= number <= MAX_SEED:
        raise ValueError(f"seed is {seed!r}; give a whole number from 0 to 2^32 - 1 = {MAX_SEED}.")
    return number


def from_seed(seed: Any) -> PRNGKeyArray:
    """The key of a seed.

    Raises:
        ValueError: for a seed that ``check_seed`` refuses.
    """
    return jax.random.key(check_seed(seed))


def stream(key: PRNGKeyArray, name: str) -> PRNGKeyArray:
    """The key of one purpose; see the module's equation.

    Args:
        key: may give further streams, but must not be split or drawn from.
        name: of the purpose.
    """
    return jax.random.fold_in(key, _number(name))


def streams(key: PRNGKeyArray, *names: str) -> tuple[PRNGKeyArray, ...]:
    """A key for each of several purposes; see ``stream``.

    Raises:
        ValueError: if a name is repeated, or two names have the same checksum.
    """
    if len({_number(name) for name in names}) < len(names):
        raise ValueError(
            f"The streams {names} of one key repeat a name, or two names have the same checksum: both purposes would get the "
            "same key. Give each a name of its own."
        )
    return tuple(stream(key, name) for name in names)


def indexed(key: PRNGKeyArray, index: int | Int[Array, ""]) -> PRNGKeyArray:
    """The key of one step of a loop, say; see the module's equation.

    Args:
        key: gives the keys of all indices; must not be split or drawn from.
        index: 0 to 2^30 - 1; may be traced.

    Raises:
        ValueError: for an index outside that range, where it is known.
    """
    if isinstance(index, int | np.integer) and not 0 <= index < _INDICES:
        raise ValueError(f"index is {index}; give 0 to 2^30 - 1.")
    return jax.random.fold_in(key, index + _INDICES)


def generator(key: PRNGKeyArray) -> np.random.Generator:
    """A NumPy generator seeded by a key's value; what it draws has nothing to do with what JAX makes of the key."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel().tolist())


def _number(name: str) -> int:
    return _NAMES | zlib.crc32(name.encode())
