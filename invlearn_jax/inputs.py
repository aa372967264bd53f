"""What callers hand in: numbers of every kind made arrays of the right type, and counts that must be whole.

States and goals get the floating type of the parameters, so that a planner computes in one precision whatever it was given.
"""

import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, PyTree

from invlearn_jax.types import Problem

Numbers = ArrayLike | Sequence


def float_type(*trees: PyTree) -> np.dtype:
    """The floating type that all floating arrays of these trees are promoted to; JAX's default where there is none."""
    found = [jnp.result_type(leaf) for leaf in jax.tree.leaves(trees)]
    found = [dtype for dtype in found if jnp.issubdtype(dtype, jnp.floating)]
    return np.dtype(jnp.result_type(*found) if found else jnp.zeros(()).dtype)


def as_array(name: str, value: Any, dtype: np.dtype | type | None = None) -> Array:
    """An array of what was given: a list, a tuple, a NumPy or JAX array, of any real type.

    Args:
        name: what it is, for the error.
        value: the numbers.
        dtype: the type wanted. A complex type takes complex numbers too; None keeps the value's own type.

    Returns:
        The array; numbers beyond the type's range become infinite.

    Raises:
        ValueError: for what are no numbers, rows of unequal length, or complex numbers where real ones are wanted.
    """
    # Lists that hold JAX's own arrays are left to JAX: under ``jit`` their numbers are not known yet.
    lists = isinstance(value, Sequence) and any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(value))
    try:
        array = value if isinstance(value, jax.Array) else jnp.asarray(value) if lists else np.asarray(value)
        numeric = jnp.issubdtype(array.dtype, jnp.number) or array.dtype == bool
    except (TypeError, ValueError):
        numeric = False
    if not numeric:
        raise ValueError(f"The {name} is {value!r}; give an array of numbers.")
    if dtype is not None and jnp.iscomplexobj(array) and not jnp.issubdtype(dtype, jnp.complexfloating):
        raise ValueError(f"The {name} holds complex numbers ({array.dtype}); give real ones.")
    kind = jax.dtypes.canonicalize_dtype(array.dtype if dtype is None else dtype)
    with np.errstate(over="ignore"):
        # Cast by NumPy where it can be: JAX compiles a cast for every new shape.
        return jnp.asarray(array if array.dtype == kind else array.astype(kind), kind)


def as_problem(problem: Problem, dtype: np.dtype | type) -> Problem:
    """The problem as arrays of a floating type; a goal of several parts is a dict or a NamedTuple of them.

    Raises:
        ValueError: see ``as_array``; names the part.
    """

    def cast(name: str, part: PyTree) -> PyTree:
        return jax.tree.map(lambda x: as_array(name, x, dtype), part, is_leaf=lambda x: type(x) in (list, tuple))

    return Problem(*(cast(name, part) for name, part in zip(Problem._fields, problem, strict=True)))


def as_floats(params: PyTree, state: Numbers, actions: Numbers) -> tuple[Array, Array]:
    """State and actions for a model: in its parameters' floating type, or of a model without in their own."""
    arrays = as_array("state", state), as_array("action sequence", actions)
    dtype = float_type(params if _has_floats(params) else arrays)
    return as_array("state", arrays[0], dtype), as_array("action sequence", arrays[1], dtype)


def _has_floats(params: PyTree) -> bool:
    return any(jnp.issubdtype(jnp.result_type(leaf), jnp.floating) for leaf in jax.tree.leaves(params))


def usable(problem: Problem) -> tuple[Problem, Bool[Array, ""]]:
    """A problem that can be computed with, and whether it is the one that was given.

    NaN, infinite numbers and such whose square overflows their type are replaced by 0; every entry of state, goal and guess
    counts.
    """
    good = jax.tree.map(lambda x: jnp.isfinite(x * x), problem)
    safe = jax.tree.map(lambda x, fine: jnp.where(fine, x, 0), problem, good)
    return safe, jnp.array([fine.all() for fine in jax.tree.leaves(good)]).all()


def check_whole(**counts: Any) -> None:
    """Refuses counts that are not whole numbers, ``True`` and ``2.0`` among them; None stands for a default.

    Raises:
        ValueError: names the argument.
    """
    for name, value in counts.items():
        try:
            whole = value is None or (operator.index(value) is not None and not isinstance(value, bool | np.bool_))
        except TypeError:
            whole = False
        if not whole:
            raise ValueError(f"{name} is {value!r}; give a whole number.")
