"""Judging planners: closed-loop episodes, estimates with intervals."""

from invlearn_jax.evaluate.closed_loop import Episodes, run_mjx, run_mujoco, start_states
from invlearn_jax.evaluate.metrics import (
    Interval,
    jerk,
    mean_ci,
    prediction_error,
    wilson,
)

__all__ = [
    "Episodes",
    "Interval",
    "jerk",
    "mean_ci",
    "prediction_error",
    "run_mjx",
    "run_mujoco",
    "start_states",
    "wilson",
]
