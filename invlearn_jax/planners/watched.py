"""A planner that is watched by a second model, to notice plans that are good because its own model is wrong.

    d = max_t |x_t - x'_t|,    x the plan's predicted places, x' those of the second model under the plan's actions

A plan with d above a threshold gets the result ``MODEL_DISAGREES``. The planner was trained to please its own model, not the
second one: where the data are, the two agree; where a plan has left them, each is wrong in its own way. A second model that also
learned from what such plans did is wrong less often, and notices more.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import scipy
from jaxtyping import Array, Float

from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.types import ForwardModel, Key, Params, PlanOutput, Problem, Result, finding, gravest


class WatchedParams(NamedTuple):
    """Parameters of the planner and of the second model, and the threshold, in the units of ``place``."""

    planner: PlannerParams
    watcher: Params
    threshold: Float[Array, ""]


class WatchedPlanner:
    """A planner whose plans a second model looks at."""

    def __init__(self, planner: InversePlanner, watcher: ForwardModel, place: Callable[[Array], Array]) -> None:
        """Joins the two.

        Args:
            planner: what plans.
            watcher: the second model, trained from other initial weights, at best also on executed plans of this planner.
            place: what of a state ``[S]`` the two are compared in, ``[P]``: a task's ``achieved``, or ``covered`` where all of
                the state counts.
        """
        self.planner, self.watcher, self._place = planner, watcher, jax.vmap(place)
        self.horizon, self.execute_steps = planner.horizon, planner.execute_steps
        self.refine_steps, self.candidates = planner.refine_steps, planner.candidates

    def init(self, key: Key) -> WatchedParams:
        """Fresh parameters and no threshold. The key is consumed."""
        first, second = jax.random.split(key)
        return WatchedParams(self.planner.init(first), self.watcher.init(second), jnp.array(jnp.inf))

    def disagreement(
        self, params: WatchedParams, states: Float[Array, "T1 S"], actions: Float[Array, "T A"]
    ) -> Float[Array, ""]:
        """How far the two models part, in the units of ``place``, given what the planner's model makes of the actions."""
        other = self.watcher.unroll(params.watcher, states[0], actions)
        apart = self._place(states) - self._place(other)
        return jnp.sqrt((apart**2).sum(-1)).max()

    def plan(self, params: WatchedParams, key: Key, problem: Problem) -> PlanOutput:
        """The planner's plan; where the models part, its result is ``MODEL_DISAGREES``, unless it is a graver one.

        How far they part is in ``info["watcher_distance"]``.
        """
        out = self.planner.plan(params.planner, key, problem)
        # A second model that leaves the finite numbers does not agree either.
        apart = self.disagreement(params, out.states, out.actions)
        flagged = finding(Result.MODEL_DISAGREES, ~(apart <= params.threshold))
        return out._replace(result=gravest(out.result, flagged), info=out.info | {"watcher_distance": apart})


def plans_needed(false_alarms: float = 0.05, confidence: float = 0.95) -> int:
    """How many plans ``calibrate`` needs: the least N with ``(1 - share)^N <= 1 - confidence``, 59 by default."""
    return math.ceil(math.log1p(-confidence) / math.log1p(-false_alarms))


def calibrate(
    disagreements: Float[Array, " N"], false_alarms: float = 0.05, confidence: float = 0.95
) -> Float[Array, ""]:
    """The threshold that no more than a share of all good plans exceeds, with some confidence over which N were drawn.

    The k-th smallest of N independent draws is such a limit for the least k with ``P(Binomial(N, 1 - share) < k) >= confidence``,
    whatever their distribution (Wilks, 1941).

    Args:
        disagreements: of plans or windows of data that came out as predicted, metres; independent, or the confidence is less.
        false_alarms: the share.
        confidence: that the share is kept.

    Returns:
        Metres.

    Raises:
        ValueError: for shares outside 0 .. 1, fewer plans than ``plans_needed``, or a threshold that is not finite.
    """
    if not 0 < false_alarms < 1 or not 0 < confidence < 1:
        raise ValueError(f"false_alarms is {false_alarms} and confidence {confidence}; give shares between 0 and 1.")
    count, needed = len(disagreements), plans_needed(false_alarms, confidence)
    if count < needed:
        raise ValueError(
            f"There are {count} plans; a threshold for false_alarms of {false_alarms} at a confidence of {confidence} needs "
            f"{needed}. Give more plans, allow more false alarms, or ask for less confidence."
        )
    rank = int(scipy.stats.binom.ppf(confidence, count, 1 - false_alarms)) + 1
    threshold = jnp.sort(disagreements)[rank - 1]
    if not jnp.isfinite(threshold):
        raise ValueError(
            f"The threshold is {threshold}: too many of the {count} disagreements are not finite. Train a watcher that is."
        )
    return threshold
