"""What is measured of executed plans: how far predictions fall short, which are hacked, and what a second model notices."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from invlearn_jax.evaluate.model_gap import GapReport
from invlearn_jax.methods import inverter
from invlearn_jax.planners.watched import WatchedParams, calibrate, plans_needed
from invlearn_jax.rollout import total
from invlearn_jax.settings import with_settings
from invlearn_jax.tasks.task import Task


def gap(task: Task, settings: inverter.Settings, params: WatchedParams, plans: GapReport) -> np.ndarray:
    """``[N]`` realised less predicted cost, under the planner's objective without what guards it."""
    plain = with_settings(settings, {"objective.unvisited": 0.0, "objective.disagreement": 0.0})
    objective, held = inverter.unwatched(task, plain).objective, params.planner.objective
    cost = jax.jit(jax.vmap(lambda s, a, g: total(objective(held, s, a, g))))
    realised, predicted = (cost(s, plans.actions, plans.problems.goal) for s in (plans.realised, plans.predicted))
    return np.asarray(realised - predicted)


def error(plans: GapReport) -> np.ndarray:
    """``[N]`` the largest distance between predicted and realised positions along a plan, metres."""
    return np.linalg.norm(plans.predicted[..., :2] - plans.realised[..., :2], axis=-1).max(1)


def kinds(harm: tuple[float, float], gaps: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which plans are hacked, and which are good; those that are off without any gain are neither."""
    metres, cost = harm
    off = errors > metres
    return off & (gaps > cost), ~off


def detection(
    apart: np.ndarray, hacked: np.ndarray, good: np.ndarray, episode: np.ndarray, held_out: float
) -> dict[str, Any]:
    """What a second model says of the plans of odd episodes.

    Args:
        apart: ``[N]`` how far the two models part over a plan, metres.
        hacked: ``[N]`` which plans are hacked.
        good: ``[N]`` which are good.
        episode: ``[N]`` which one each plan's start is from.
        held_out: the threshold of held-out data, where the even episodes have too few good plans.

    Returns:
        The threshold and where it is from, and the shares of hacked and of good plans that exceed it.
    """
    held, tried = episode % 2 == 0, episode % 2 == 1
    enough = (good & held).sum() >= plans_needed()
    threshold = float(calibrate(jnp.asarray(apart[good & held]))) if enough else held_out
    flagged, hacked, good = ~(apart[tried] <= threshold), hacked[tried], good[tried]
    return {
        "threshold_m": threshold,
        "threshold_from": "good plans" if enough else "held-out data",
        "hacked_plans": int(hacked.sum()),
        "good_plans": int(good.sum()),
        "flagged_of_hacked": float(flagged[hacked].mean()) if hacked.any() else None,
        "false_alarms": float(flagged[good].mean()) if good.any() else None,
    }
