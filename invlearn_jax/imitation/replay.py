"""A ring of transitions on the device."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from invlearn_jax.types import Key


class Rows(NamedTuple):
    """Transitions; N rows.

    Attributes:
        states: ``[N, S]``.
        actions: ``[N, A]`` as shares of their box.
        following: ``[N, S]``.
        over: ``[N]`` whether ``following`` is after an episode's end for good; a time limit is none.
        rewards: ``[N]`` the task's own; 0 where they are not known.
    """

    states: Float[Array, "N S"]
    actions: Float[Array, "N A"]
    following: Float[Array, "N S"]
    over: Bool[Array, " N"]
    rewards: Float[Array, " N"]


def empty_rows(capacity: int, state_size: int, action_size: int) -> Rows:
    """Room for so many rows."""
    states = jnp.zeros((capacity, state_size))
    flags = jnp.zeros(capacity, bool)
    return Rows(states, jnp.zeros((capacity, action_size)), jnp.zeros_like(states), flags, jnp.zeros(capacity))


def written(rows: Rows, row: Rows, count: Int[Array, ""]) -> Rows:
    """The ring with one more row, a ``Rows`` without its leading axis; ``count`` were written before."""
    at = count % rows.over.shape[0]
    return jax.tree.map(lambda x, new: jax.lax.dynamic_update_index_in_dim(x, new, at, 0), rows, row)


def drawn(rows: Rows, key: Key, batch: int, count: Int[Array, ""] | int | None = None) -> Rows:
    """Rows drawn uniformly with replacement from those written, by default all. The key is consumed."""
    capacity = rows.over.shape[0]
    filled = capacity if count is None else jnp.clip(count, 1, capacity)
    at = jax.random.randint(key, (batch,), 0, filled)
    return jax.tree.map(lambda x: x[at], rows)
