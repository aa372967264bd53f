"""Refiners by name, for settings and command lines. A new refiner is registered here, in one line."""

from collections.abc import Callable

import optax

from invlearn_jax.names import unknown_name
from invlearn_jax.refine.base import Refiner
from invlearn_jax.refine.gauss_newton import gauss_newton
from invlearn_jax.refine.gradient import gradient
from invlearn_jax.refine.ilqr import ilqr
from invlearn_jax.refine.sampling import cem, dial, mppi, predictive_sampling

# From a learning rate, a number of samples per step and the latents' limit, each for those that take it.
REFINERS: dict[str, Callable[[float, int, float], Refiner]] = {
    "adam": lambda rate, samples, limit: gradient(optax.adam(rate), limit),
    "sgd": lambda rate, samples, limit: gradient(optax.sgd(rate), limit),
    "lbfgs": lambda rate, samples, limit: gradient(optax.lbfgs(), limit),
    "gauss_newton": lambda rate, samples, limit: gauss_newton(),
    "ilqr": lambda rate, samples, limit: ilqr(limit=limit),
    "predictive_sampling": lambda rate, samples, limit: predictive_sampling(samples, limit=limit),
    "mppi": lambda rate, samples, limit: mppi(samples, limit=limit),
    "cem": lambda rate, samples, limit: cem(samples, limit=limit),
    "dial": lambda rate, samples, limit: dial(samples, limit=limit),
}


def named_refiner(name: str, rate: float, samples: int = 64, limit: float = 1.0) -> Refiner:
    """A refiner by name.

    Args:
        name: one of ``REFINERS``.
        rate: learning rate of the gradient methods.
        samples: per step, of the sampling methods.
        limit: half-width of the box that latents are kept in.

    Returns:
        The refiner.

    Raises:
        ValueError: for an unknown name; the nearest known ones are listed.
    """
    if name not in REFINERS:
        raise unknown_name("refiner", name, REFINERS)
    return REFINERS[name](rate, samples, limit)
