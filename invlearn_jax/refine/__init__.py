"""Refiners: ways to improve an action sequence in K steps, one contract."""

from invlearn_jax.refine.base import Refined, Refiner, refine
from invlearn_jax.refine.gradient import gradient
from invlearn_jax.refine.sampling import cem, mppi, predictive_sampling

__all__ = ["Refined", "Refiner", "cem", "gradient", "mppi", "predictive_sampling", "refine"]
