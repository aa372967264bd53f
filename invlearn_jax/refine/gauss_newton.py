"""Gauss-Newton refinement for costs that are a few squares: the shortest change that brings the residual to 0.

    a <- a - J' (J J' + mu |J|^2 / R)^{-1} r(a),   J = dr/da [R, T A]

With fewer residuals than unknowns the plain step (``mu = 0``) goes to the nearest solution of the linearised residual, and the
error is squared by every step (Nocedal and Wright, Numerical Optimization, section 10.3).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Float

from invlearn_jax.refine.base import CostFn, Refiner, over_candidates
from invlearn_jax.types import Key


class ResidualCost(NamedTuple):
    """A cost that is 0 where a residual is.

    Attributes:
        cost: ``actions [T, A] -> scalar``.
        residual: ``actions [T, A] -> [R]``.
        jacobian: ``actions [T, A] -> [R, T, A]`` of the residual, where there is a quicker way than R reverse passes; it may be
            of less precision.
    """

    cost: CostFn
    residual: Callable[[Float[Array, "T A"]], Float[Array, " R"]]
    jacobian: Callable[[Float[Array, "T A"]], Float[Array, "R T A"]] | None = None

    def __call__(self, actions: Float[Array, "T A"]) -> Float[Array, ""]:
        """The cost."""
        return self.cost(actions)


def by_latents(
    decode: Callable[[Array], Array], latents: Float[Array, "L C"], jacobian: Float[Array, "R T A"]
) -> Float[Array, "R L C"]:
    """A Jacobian by the actions as one by the latents that ``decode`` makes them of, in the Jacobian's own precision."""
    pull = jax.vjp(decode, latents.astype(jacobian.dtype))[1]
    return jax.vmap(pull)(jacobian)[0]


def gauss_newton(damping: float = 0.0, longest: float = 1.0) -> Refiner:
    """Gauss-Newton on each candidate, without bounds.

    Needs a ``ResidualCost``, and a reverse gradient where it brings no Jacobian: a step takes R of them.

    Args:
        damping: ``mu``, relative to the mean eigenvalue of ``J J'``.
        longest: the step's norm is cut to this.

    Returns:
        The refiner.

    Raises:
        ValueError: for a negative damping or no length; in use, for a cost that is no ``ResidualCost``.
    """
    if not damping >= 0 or not longest > 0:
        raise ValueError(
            f"Gauss-Newton was given damping {damping} and length {longest}; give 0 or more, and more than 0."
        )

    def move(cost_fn: ResidualCost, actions: Array) -> Array:
        residual = cost_fn.residual(actions)
        jacobian = (cost_fn.jacobian or jax.jacrev(cost_fn.residual))(actions).reshape(residual.size, -1)
        gram = jacobian @ jacobian.T
        gram = gram + (damping * jnp.trace(gram) / residual.size + 1e-30) * jnp.eye(residual.size, dtype=gram.dtype)
        step = jacobian.T @ cho_solve(cho_factor(gram), residual)
        step = step * jnp.minimum(1.0, longest / jnp.maximum(jnp.linalg.norm(step), 1e-30))
        # A candidate without a finite step stays where it is.
        return actions - jnp.where(jnp.isfinite(step).all(), step, 0.0).reshape(actions.shape)

    def init(cost_fn: CostFn, candidates: Array) -> tuple:
        return candidates, over_candidates(_with_residual(cost_fn).__call__)(candidates)

    def update(key: Key, cost_fn: CostFn, candidates: Array) -> tuple:
        cost = _with_residual(cost_fn)
        moved = over_candidates(lambda a: move(cost, a))(candidates)
        return moved, moved, over_candidates(cost.__call__)(moved)

    return Refiner(init, update, needs="reverse", uses_residuals=True)


def _with_residual(cost_fn: CostFn) -> ResidualCost:
    if not isinstance(cost_fn, ResidualCost):
        raise ValueError(
            "Gauss-Newton needs the cost with its residual, as a ResidualCost (of a planner: an objective "
            "with residuals, types.HasResiduals); give one, or refine by gradient."
        )
    return cost_fn
