"""Sampling refiners under the same contract: predictive sampling, MPPI and CEM.

Each step draws sequences around a mean, ``a = clip(mean + sigma * eps, -limit, limit)``, and moves the mean. The noise ``eps``
is held over ``T / knots`` steps: white noise on single steps of 0.01 s averages out in the motion.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from invlearn_jax.inputs import check_whole
from invlearn_jax.refine.base import CostFn, Refiner, finite_or_worst
from invlearn_jax.types import Key


def _held_noise(key: Key, num: int, like: Array, knots: int) -> Array:
    horizon, size = like.shape
    knots = min(knots, horizon)
    noise = jax.random.normal(key, (num, knots, size), like.dtype)
    return jnp.repeat(noise, -(-horizon // knots), axis=1)[:, :horizon]


def _sampler(num: int, sigma: float, knots: int, limit: float, move: Callable, adapt_sigma: bool = False) -> Refiner:
    check_whole(num=num, knots=knots)
    if num < 1:
        raise ValueError(f"A sampling refiner was given {num} samples; give at least 1.")

    def init(cost_fn: CostFn, candidates: Array) -> tuple:
        costs = jax.vmap(cost_fn)(candidates)
        mean = candidates[jnp.argmin(finite_or_worst(costs))]
        return (mean, jnp.full_like(mean, sigma)), costs

    def update(key: Key, cost_fn: CostFn, state: tuple) -> tuple:
        mean, deviation = state
        drawn = jnp.clip(mean + deviation * _held_noise(key, num, mean, knots), -limit, limit)
        tried = jnp.concatenate([mean[None], drawn])
        costs = finite_or_worst(jax.vmap(cost_fn)(tried))
        mean, fitted = move(tried, costs)
        return (mean, fitted if adapt_sigma else deviation), tried, costs

    return Refiner(init, update)


def predictive_sampling(num: int, sigma: float = 0.3, knots: int = 8, limit: float = 1.0) -> Refiner:
    """Predictive sampling (arXiv 2212.00541): the mean becomes the best sample.

    Args:
        num: samples per step.
        sigma: standard deviation of the noise.
        knots: values of the noise over the horizon.
        limit: half-width of the action box.

    Returns:
        The refiner.
    """
    return _sampler(num, sigma, knots, limit, lambda tried, costs: (tried[jnp.argmin(costs)], None))


def mppi(num: int, sigma: float = 0.3, temperature: float = 0.05, knots: int = 8, limit: float = 1.0) -> Refiner:
    """MPPI (arXiv 1707.02342): the mean becomes ``sum_i w_i a_i``, ``w_i ~ exp(-(J_i - min J) / (temperature * spread))``.

    The spread is the standard deviation of the finite costs, so that the temperature needs no tuning to a cost's units.

    Args:
        num: samples per step.
        sigma: standard deviation of the noise.
        temperature: in units of the costs' spread.
        knots: values of the noise over the horizon.
        limit: half-width of the action box.

    Returns:
        The refiner.
    """

    def move(tried: Array, costs: Array) -> tuple[Array, None]:
        finite = jnp.isfinite(costs)
        spread = jnp.std(costs, where=finite) + 1e-9
        # Where no cost is finite, min is infinite; the weights then fall back to the first sequence, the mean.
        excess = jnp.where(finite, costs - jnp.min(costs, where=finite, initial=jnp.inf), jnp.inf)
        weight = jnp.exp(-excess / (temperature * spread))
        weight = jnp.where(finite.any(), weight, jnp.arange(len(costs)) == 0)
        return jnp.einsum("k,kta->ta", weight / weight.sum(), tried), None

    return _sampler(num, sigma, knots, limit, move)


def cem(num: int, sigma: float = 0.3, elites: int = 8, knots: int = 8, limit: float = 1.0) -> Refiner:
    """Cross-entropy method: mean and standard deviation are refitted to the ``elites`` best samples.

    Args:
        num: samples per step.
        sigma: initial standard deviation of the noise.
        elites: how many samples are kept, at most ``num``.
        knots: values of the noise over the horizon.
        limit: half-width of the action box.

    Returns:
        The refiner.

    Raises:
        ValueError: if there are more elites than samples.
    """
    check_whole(num=num, elites=elites)
    if not 1 <= elites <= num:
        raise ValueError(f"CEM was given {elites} elites of {num} samples; allowed are 1 to {num}.")

    def move(tried: Array, costs: Array) -> tuple[Array, Array]:
        kept = tried[jax.lax.top_k(-costs, elites)[1]]
        # A floor keeps the search alive when the elites agree.
        return kept.mean(0), jnp.maximum(kept.std(0), 0.02)

    return _sampler(num, sigma, knots, limit, move, adapt_sigma=True)
