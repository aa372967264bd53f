"""Refinement: K fixed steps on action sequences, keeping the best seen.

A ``Refiner`` is, like an optax transformation, a pair of pure functions over a state of arrays. ``refine`` runs it in one
scan. Since the best so far is kept, the result is never worse than the proposal, and zero steps are the identity.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.inputs import check_whole
from invlearn_jax.types import Key

CostFn = Callable[[Float[Array, "T A"]], Float[Array, ""]]


class PlanCost(NamedTuple):
    """The cost of a sequence in its two parts, for refiners that use the structure: ``cost(unroll(actions), actions)``.

    Attributes:
        unroll: ``actions [T, A] -> states [T+1, S]``.
        cost: ``(states, actions) -> scalar``.
    """

    unroll: Callable[[Float[Array, "T A"]], Float[Array, "T1 S"]]
    cost: Callable[[Float[Array, "T1 S"], Float[Array, "T A"]], Float[Array, ""]]

    def __call__(self, actions: Float[Array, "T A"]) -> Float[Array, ""]:
        """The whole cost."""
        return self.cost(self.unroll(actions), actions)


class Refiner(NamedTuple):
    """A refinement method.

    Attributes:
        init: ``(cost_fn, candidates [K, T, A]) -> (state, costs [K])``.
        update: ``(key, cost_fn, state) -> (state, candidates [M, T, A], costs [M])``: one step, with every sequence whose
            cost it came to know. The key is consumed.
        needs: the gradient it takes through the model; a model with a reverse gradient has a forward one too.
        uses_residuals: whether the cost must come with its residuals (``gauss_newton.ResidualCost``).
    """

    init: Callable[[CostFn, Array], tuple[Any, Array]]
    update: Callable[[Key, CostFn, Any], tuple[Any, Array, Array]]
    needs: Literal["nothing", "forward", "reverse"] = "nothing"
    uses_residuals: bool = False


class Refined(NamedTuple):
    """The outcome of ``refine``.

    Attributes:
        actions: ``[T, A]`` the best sequence seen.
        cost: its cost.
        proposal_cost: the best cost among the candidates that were given.
        trace: ``[steps]`` the best cost after each step.
    """

    actions: Float[Array, "T A"]
    cost: Float[Array, ""]
    proposal_cost: Float[Array, ""]
    trace: Float[Array, " steps"]


def refine(
    refiner: Refiner | None, key: Key, cost_fn: CostFn, candidates: Float[Array, "K T A"], steps: int
) -> Refined:
    """Runs ``steps`` refinement steps from ``candidates``.

    Args:
        refiner: the method; not needed for 0 steps.
        key: consumed.
        cost_fn: the cost of one sequence.
        candidates: ``[K, T, A]`` proposals.
        steps: how many steps; 0 returns the best candidate.

    Returns:
        The best sequence, its cost and the trace. Costs that are not finite, minus infinity among them, count as infinite.

    Raises:
        ValueError: for a number of steps that is negative or no whole one, steps without a method, or no candidates.
    """
    check_whole(steps=steps)
    if steps < 0:
        raise ValueError(f"refine steps is {steps}; give 0 (no refinement) or more.")
    if candidates.shape[0] < 1:
        raise ValueError("There are no candidates to refine; give at least 1.")
    if steps == 0:
        actions, cost = _best(candidates, over_candidates(cost_fn)(candidates))
        return Refined(actions, cost, cost, jnp.zeros((0,), cost.dtype))
    if refiner is None:
        raise ValueError(f"refine steps is {steps}, but no refiner was given. Give one, or 0 steps.")
    state, costs = refiner.init(cost_fn, candidates)
    first = _best(candidates, costs)

    def step(carry: tuple, key: Key) -> tuple[tuple, Array]:
        state, actions, cost = carry
        state, tried, costs = refiner.update(key, cost_fn, state)
        new_actions, new_cost = _best(tried, costs)
        better = new_cost < cost
        actions, cost = jnp.where(better, new_actions, actions), jnp.where(better, new_cost, cost)
        return (state, actions, cost), cost

    (_, actions, cost), trace = jax.lax.scan(step, (state, *first), jax.random.split(key, steps))
    return Refined(actions, cost, first[1], trace)


def over_candidates(function: Callable) -> Callable:
    """``jax.vmap``, but that a lone candidate is taken by itself.

    Under the caller's own ``vmap`` over problems an axis of size 1 makes the compiler's loops up to ten times slower.
    """

    def mapped(*arguments: Any) -> Any:
        if len(jax.tree.leaves(arguments)[0]) > 1:
            return jax.vmap(function)(*arguments)
        alone = function(*jax.tree.map(lambda x: x[0], arguments))
        return jax.tree.map(lambda x: x[None], alone)

    return mapped


def finite_or_worst(costs: Float[Array, " K"]) -> Float[Array, " K"]:
    """Costs with infinity for what is not finite: minus infinity is no good plan, but a model or objective that broke down."""
    return jnp.where(jnp.isfinite(costs), costs, jnp.inf)


def _best(candidates: Array, costs: Array) -> tuple[Array, Array]:
    costs = finite_or_worst(costs)
    index = jnp.argmin(costs)
    return candidates[index], costs[index]
