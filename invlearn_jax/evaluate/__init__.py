"""Judging planners: closed-loop episodes, estimates with intervals, latency, model hacking."""

from invlearn_jax.evaluate.metrics import Interval, jerk, mean_ci, wilson

__all__ = ["Interval", "jerk", "mean_ci", "wilson"]
