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

    Raises:
        ValueError: for what is no optimiser of arrays, such as ``optax.lookahead``, which takes a pair of parameters.
    """
    optimizer = _checked(optimizer)

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
            return _step(optimizer, slope, opt_state, at, cost, cost_fn)

        change, opt_state = over_candidates(step)(slope, opt_state, candidates, costs)
        moved = optax.projections.projection_box(candidates + change, -limit, limit)
        costs, slope = evaluate(cost_fn, moved)
        return (moved, slope, opt_state, costs), moved, costs

    return Refiner(init, update, needs="reverse")


def _step(
    optimizer: optax.GradientTransformationExtraArgs,
    slope: Array,
    opt_state: optax.OptState,
    at: Array,
    cost: Array,
    cost_fn: CostFn,
) -> tuple[Array, optax.OptState]:
    change, opt_state = optimizer.update(slope, opt_state, at, value=cost, grad=slope, value_fn=cost_fn)
    return change.astype(at.dtype), opt_state


def _checked(optimizer: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """The optimiser, once traced on a small sequence: its change is an array like the actions, its state keeps its types."""

    def cost_fn(actions: Array) -> Array:
        return (actions**2).sum()

    def first_step(actions: Array) -> tuple:
        state = extended.init(actions)
        cost, slope = jax.value_and_grad(cost_fn)(actions)
        return actions, state, *_step(extended, slope, state, actions, cost, cost_fn)

    try:
        extended = optax.with_extra_args_support(optimizer)
        actions, before, change, after = jax.eval_shape(first_step, jnp.zeros((2, 1)))
        fits = change.shape == actions.shape and _types(before) == _types(after)
        reason = (
            f"its change of actions of shape {actions.shape} has shape {change.shape}, or its state changes its types"
        )
    except Exception as error:  # whatever an optimiser of the user's own raises
        fits, reason = False, f"{type(error).__name__}: {error}"
    if not fits:
        raise ValueError(
            f"{optimizer!r} cannot refine actions ({reason}). Give an optax optimiser whose init and update take arrays, as "
            "optax.adam does; one that wraps parameters, such as optax.lookahead, does not."
        )
    return extended


def _types(state: optax.OptState) -> list:
    return [(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in jax.tree.leaves(state)]
