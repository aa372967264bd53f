"""Discrete actions of the classic worlds."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def choice(action: Float[Array, " 1"], choices: int) -> Int[Array, ""]:
    """The index that an action holds: its one number, rounded, of 0 to ``choices - 1``."""
    return jnp.clip(jnp.round(action[0]), 0, choices - 1).astype(int)
