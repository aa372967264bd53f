"""iLQR: Gauss-Newton steps through the model, in the space of the actions.

With ``J = d states / d actions`` and the cost's own second derivatives, one step solves

    (H + mu I) da = -g,    H = J' L_ss J + J' L_sa + L_as J + L_aa,    g = J' L_s + L_a,

over the actions that do not lie pressed against their bound (projected Newton, Bertsekas 1982). It leaves out the dynamics'
second derivatives, as iLQR does (Li and Todorov 2004; Tassa et al. 2012). The usual backward recursion solves the same system
stage by stage; here it is solved at once, since a model that predicts in chunks, or in one shot, has no single steps to
recurse over. H is made positive by the size of its eigenvalues; ``mu`` follows Levenberg and Marquardt: down by a factor
after a step that lowered the cost, up after one that did not, which is taken back.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from invlearn_jax.refine.base import CostFn, PlanCost, Refiner, finite_or_worst, over_candidates
from invlearn_jax.types import Key


def ilqr(damping: float = 1e-3, factor: float = 5.0, limit: float = 1.0) -> Refiner:
    """ILQR on each candidate, with damping and a projection onto the action box.

    Needs a ``PlanCost``, and a model with ``gradient`` ``reverse`` or ``forward``: the Jacobian is taken forward.

    Args:
        damping: first ``mu``, relative to the largest eigenvalue of H.
        factor: by which it goes down and up.
        limit: half-width of the action box.

    Returns:
        The refiner.

    Raises:
        ValueError: for a damping that is not positive or a factor of 1 or less; in use, for a cost that is no ``PlanCost``.
    """
    if damping <= 0 or factor <= 1:
        raise ValueError(f"iLQR was given damping {damping} and factor {factor}; give more than 0 and more than 1.")

    def direction(cost_fn: PlanCost, actions: Array, mu: Array) -> Array:
        shape = actions.shape
        states, jacobian = cost_fn.unroll(actions), jax.jacfwd(cost_fn.unroll)(actions)
        jacobian = jacobian.reshape(states.size, actions.size)

        def joint(flat: Array) -> Array:
            return cost_fn.cost(flat[: states.size].reshape(states.shape), flat[states.size :].reshape(shape))

        at = jnp.concatenate([states.ravel(), actions.ravel()])
        # How states and actions together move with the actions.
        moves = jnp.concatenate([jacobian, jnp.eye(actions.size, dtype=actions.dtype)])
        slope = jax.grad(joint)(at) @ moves
        curved = jax.vmap(lambda move: jax.jvp(jax.grad(joint), (at,), (move,))[1], in_axes=1, out_axes=1)(moves)
        # Actions that the slope presses against their bound stay there; the others are solved for without them.
        flat = actions.ravel()
        free = ~(((flat >= limit) & (slope < 0)) | ((flat <= -limit) & (slope > 0)))
        slope = jnp.where(free, slope, 0.0)
        hessian = jnp.where(free[:, None] & free[None], moves.T @ curved, 0.0)
        values, vectors = jnp.linalg.eigh((hessian + hessian.T) / 2)
        size = jnp.abs(values)
        step = vectors @ ((vectors.T @ slope) / (size + mu * size.max() + 1e-12))
        return -jnp.where(jnp.isfinite(step).all(), step, 0.0).reshape(shape)

    def init(cost_fn: CostFn, candidates: Array) -> tuple:
        costs = finite_or_worst(over_candidates(_in_parts(cost_fn).__call__)(candidates))
        return (candidates, costs, jnp.full_like(costs, damping)), costs

    def update(key: Key, cost_fn: CostFn, state: tuple) -> tuple:
        cost, (candidates, costs, mu) = _in_parts(cost_fn), state
        moved = candidates + over_candidates(lambda a, m: direction(cost, a, m))(candidates, mu)
        moved = jnp.clip(moved, -limit, limit)
        tried = finite_or_worst(over_candidates(cost.__call__)(moved))
        better = tried < costs
        kept = jnp.where(better[:, None, None], moved, candidates)
        following = (kept, jnp.where(better, tried, costs), jnp.where(better, mu / factor, mu * factor))
        return following, moved, tried

    return Refiner(init, update, needs="forward")


def _in_parts(cost_fn: CostFn) -> PlanCost:
    if not isinstance(cost_fn, PlanCost):
        raise ValueError("iLQR needs the cost as a PlanCost, its unroll and its cost apart; give one.")
    return cost_fn
