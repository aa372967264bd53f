"""Refiners: ways to improve an action sequence in K steps, one contract."""

from invlearn_jax.refine.base import PlanCost, Refined, Refiner, finite_or_worst, refine
from invlearn_jax.refine.gauss_newton import ResidualCost, by_latents, gauss_newton
from invlearn_jax.refine.gradient import gradient
from invlearn_jax.refine.ilqr import ilqr
from invlearn_jax.refine.sampling import cem, dial, mppi, predictive_sampling

__all__ = [
    "PlanCost",
    "Refined",
    "Refiner",
    "ResidualCost",
    "by_latents",
    "cem",
    "dial",
    "finite_or_worst",
    "gauss_newton",
    "gradient",
    "ilqr",
    "mppi",
    "predictive_sampling",
    "refine",
]
