"""Gradient refinement with any optax optimiser."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from invlearn_jax.refine.base import CostFn, Refiner, over_candidates
from invlearn_jax.types import Key


def gradient(optimizer: optax.GradientTransformation, limit: float = 1.0) -> Refiner:
    """Projected descent on each candidate: ``a <- clip(a + update(grad J(a)), -limit, limit)``.

    K steps cost K + 1 gradients, each of which also gives the cost of its sequence.

    Args:
        optimizer: e.g. ``optax.adam(0.05)``, or ``optax.lbfgs()``, whose line search is given the cost.
        limit: half-width of the action box.

    Returns:
        The refiner.
    """
    optimizer = optax.with_extra_args_support(optimizer)

    def evaluate(cost_fn: CostFn, candidates: Array) -> tuple[Array, Array]:
        costs, slope = over_candidates(jax.value_and_grad(cost_fn))(candidates)
        # A candidate whose gradient is not finite stays where it is.
        return costs, jnp.where(jnp.isfinite(slope), slope, 0.0)

    def init(cost_fn: CostFn, candidates: Array) -> tuple:
        costs, slope = evaluate(cost_fn, candidates)
        return (candidates, slope, over_candidates(optimizer.init)(candidates), costs), costs

    def update(key: Key, cost_fn: CostFn, state: tuple) -> tuple:
        candidates, slope, opt_state, costs = state

        def step(slope: Array, opt_state: optax.OptState, at: Array, cost: Array) -> tuple[Array, optax.OptState]:
            return optimizer.update(slope, opt_state, at, value=cost, grad=slope, value_fn=cost_fn)

        change, opt_state = over_candidates(step)(slope, opt_state, candidates, costs)
        moved = optax.projections.projection_box(candidates + change, -limit, limit)
        costs, slope = evaluate(cost_fn, moved)
        return (moved, slope, opt_state, costs), moved, costs

    return Refiner(init, update, needs="reverse")
