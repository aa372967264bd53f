"""Sampling refiners under the same contract: predictive sampling, MPPI, CEM and DIAL.

Each step draws sequences around a mean, ``a = clip(mean + sigma * eps, -limit, limit)``, and moves the mean. The noise ``eps``
is held over ``T / knots`` steps: white noise on single steps of 0.01 s averages out in the motion.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.inputs import check_whole
from invlearn_jax.refine.base import CostFn, Refiner, finite_or_worst
from invlearn_jax.types import Key


def _held_noise(key: Key, num: int, like: Array, knots: int) -> Array:
    horizon, size = like.shape
    knots = min(knots, horizon)
    noise = jax.random.normal(key, (num, knots, size), like.dtype)
    return jnp.repeat(noise, -(-horizon // knots), axis=1)[:, :horizon]


class Sampled(NamedTuple):
    """The state of a sampling refiner: the sequence that it draws around, and the noise's standard deviation.

    Attributes:
        mean: ``[T, A]``; what the published controllers execute, where ``refine`` returns the best sequence seen.
        deviation: ``[T, A]``.
    """

    mean: Float[Array, "T A"]
    deviation: Float[Array, "T A"]


# ``(sequences tried [M, T, A], costs [M], deviation [T, A]) -> (mean, deviation)``.
Move = Callable[[Array, Array, Array], tuple[Array, Array]]


def _sampler(
    num: int, sigma: float, knots: int, limit: float, move: Move, spread: Callable[[Array], Array] = jnp.ones_like
) -> Refiner:
    """A refiner whose noise has the deviation ``sigma * spread(mean)`` at first."""
    check_whole(num=num, knots=knots)
    if num < 1:
        raise ValueError(f"A sampling refiner was given {num} samples; give at least 1.")

    def init(cost_fn: CostFn, candidates: Array) -> tuple[Sampled, Array]:
        costs = jax.vmap(cost_fn)(candidates)
        mean = candidates[jnp.argmin(finite_or_worst(costs))]
        return Sampled(mean, sigma * spread(mean)), costs

    def update(key: Key, cost_fn: CostFn, state: Sampled) -> tuple[Sampled, Array, Array]:
        mean, deviation = state
        drawn = jnp.clip(mean + deviation * _held_noise(key, num, mean, knots), -limit, limit)
        tried = jnp.concatenate([mean[None], drawn])
        costs = finite_or_worst(jax.vmap(cost_fn)(tried))
        return Sampled(*move(tried, costs, deviation)), tried, costs

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
    return _sampler(num, sigma, knots, limit, lambda tried, costs, deviation: (tried[jnp.argmin(costs)], deviation))


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
    return _sampler(
        num, sigma, knots, limit, lambda tried, costs, deviation: (_weighted(tried, costs, temperature), deviation)
    )


def _weighted(tried: Array, costs: Array, temperature: float) -> Array:
    """The mean of sequences by the weights of MPPI."""
    finite = jnp.isfinite(costs)
    spread = jnp.std(costs, where=finite) + 1e-9
    # Where no cost is finite, min is infinite; the weights then fall back to the first sequence, the mean.
    excess = jnp.where(finite, costs - jnp.min(costs, where=finite, initial=jnp.inf), jnp.inf)
    weight = jnp.exp(-excess / (temperature * spread))
    weight = jnp.where(finite.any(), weight, jnp.arange(len(costs)) == 0)
    return jnp.einsum("k,kta->ta", weight / weight.sum(), tried)


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

    def move(tried: Array, costs: Array, deviation: Array) -> tuple[Array, Array]:
        kept = tried[jax.lax.top_k(-costs, elites)[1]]
        # A floor keeps the search alive when the elites agree.
        return kept.mean(0), jnp.maximum(kept.std(0), 0.02)

    return _sampler(num, sigma, knots, limit, move)


def dial(
    num: int,
    sigma: float = 0.3,
    temperature: float = 0.05,
    knots: int = 8,
    limit: float = 1.0,
    round_decay: float = 0.5,
    horizon_decay: float = 0.9,
) -> Refiner:
    """DIAL (arXiv 2409.15610): MPPI whose noise is annealed over the steps and is smaller for what is executed sooner.

        sigma_{i,h} = sigma * round_decay^i * horizon_decay^(H - h),    step i = 0, 1, ..; value h = 1 .. H of the noise

    Args:
        num: samples per step.
        sigma: standard deviation of the noise in the first step at the horizon's end.
        temperature: in units of the costs' spread, see ``mppi``.
        knots: values H of the noise over the horizon.
        limit: half-width of the action box.
        round_decay: factor from one step to the next.
        horizon_decay: factor from one value to the one before it.

    Returns:
        The refiner.

    Raises:
        ValueError: for factors outside 0 to 1.
    """
    if not (0 < round_decay <= 1 and 0 < horizon_decay <= 1):
        raise ValueError(
            f"DIAL was given round_decay {round_decay} and horizon_decay {horizon_decay}; allowed are factors above 0 up to 1."
        )

    def spread(mean: Array) -> Array:
        values = min(knots, len(mean))
        held = jnp.arange(len(mean)) // -(-len(mean) // values)
        return jnp.ones_like(mean) * (horizon_decay ** (held[-1] - held))[:, None].astype(mean.dtype)

    def move(tried: Array, costs: Array, deviation: Array) -> tuple[Array, Array]:
        return _weighted(tried, costs, temperature), round_decay * deviation

    return _sampler(num, sigma, knots, limit, move, spread)
