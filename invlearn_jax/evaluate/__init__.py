"""Judging planners: closed-loop episodes, scores with intervals, the map's bound, model hacking, cost-to-go quality."""

from invlearn_jax.evaluate.closed_loop import Episodes, run_mjx, run_mujoco, start_states
from invlearn_jax.evaluate.cost_to_go import cost_to_go_quality, false_minima
from invlearn_jax.evaluate.hacking import HackingReport, hacking_gap, hacking_summary, wrong_side
from invlearn_jax.evaluate.metrics import (
    Interval,
    controller_returns,
    controller_states,
    jerk,
    mean_ci,
    normalized_score,
    prediction_error,
    returns_of,
    steps_to_goal,
    success,
    wilson,
)
from invlearn_jax.evaluate.oracle import (
    FreeSpace,
    bound_return,
    disc_distance,
    free_space,
    free_space_times,
    geodesic,
    time_bound,
    times_to,
)

__all__ = [
    "Episodes",
    "FreeSpace",
    "HackingReport",
    "Interval",
    "bound_return",
    "controller_returns",
    "controller_states",
    "cost_to_go_quality",
    "disc_distance",
    "false_minima",
    "free_space",
    "free_space_times",
    "geodesic",
    "hacking_gap",
    "hacking_summary",
    "jerk",
    "mean_ci",
    "normalized_score",
    "prediction_error",
    "returns_of",
    "run_mjx",
    "run_mujoco",
    "start_states",
    "steps_to_goal",
    "success",
    "time_bound",
    "times_to",
    "wilson",
    "wrong_side",
]
