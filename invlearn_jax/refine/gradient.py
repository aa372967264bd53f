"""Gradient refinement with any optax optimiser."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from invlearn_jax.refine.base import CostFn, Refiner
from invlearn_jax.types import Key


def gradient(optimizer: optax.GradientTransformation, limit: float = 1.0) -> Refiner:
    """Projected descent on each candidate: ``a <- clip(a + update(grad J(a)), -limit, limit)``.

    Every step costs one gradient, which also gives the cost of the next sequence to be judged: the step evaluates where the
    last one led.

    Args:
        optimizer: e.g. ``optax.adam(0.05)``.
        limit: half-width of the action box.

    Returns:
        The refiner.
    """

    def init(candidates: Array, costs: Array) -> tuple:
        return candidates, jax.vmap(optimizer.init)(candidates)

    def update(key: Key, cost_fn: CostFn, state: tuple) -> tuple:
        candidates, opt_state = state
        slope = jax.vmap(jax.grad(cost_fn))(candidates)
        # A candidate whose gradient is not finite stays where it is.
        slope = jnp.where(jnp.isfinite(slope), slope, 0.0)
        change, opt_state = jax.vmap(optimizer.update)(slope, opt_state, candidates)
        moved = optax.projections.projection_box(candidates + change, -limit, limit)
        return (moved, opt_state), moved, jax.vmap(cost_fn)(moved)

    return Refiner(init, update)
