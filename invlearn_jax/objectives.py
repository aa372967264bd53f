"""Costs of predicted trajectories as weighted, named terms. Lower is better; nothing here is a reward.

A term maps ``(params, states [T+1, S], actions [T, A], goal)`` to a scalar; ``weighted_sum`` joins terms to an Objective.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from invlearn_jax.keys import streams
from invlearn_jax.parametrisation import Box
from invlearn_jax.settings import bounded
from invlearn_jax.types import Key, Params, Problem

Term = Callable[[Params, Array, Array, Array], Array]


class WeightedSum(NamedTuple):
    """An Objective: ``{name: weight * term(...)}``; the cost is the sum of the values."""

    terms: dict[str, tuple[float, Term]]

    def __call__(
        self, params: Params, states: Float[Array, "T1 S"], actions: Float[Array, "T A"], goal: Array
    ) -> dict[str, Float[Array, ""]]:
        """The weighted terms for one trajectory."""
        return {name: weight * term(params, states, actions, goal) for name, (weight, term) in self.terms.items()}


def weighted_sum(**terms: tuple[float, Term]) -> WeightedSum:
    """Joins terms: ``weighted_sum(reach=(1.0, reach(2)), effort=(1e-3, effort))``."""
    return WeightedSum(terms)


def reach(position_size: int) -> Term:
    """``|x_T - g|^2``: squared distance of the last position from the goal, m^2."""
    return lambda params, states, actions, goal: ((states[-1, :position_size] - goal) ** 2).sum()


def effort(params: Params, states: Float[Array, "T1 S"], actions: Float[Array, "T A"], goal: Array) -> Float[Array, ""]:
    """``mean_t |a_t|^2``."""
    return (actions**2).sum(-1).mean()


def smoothness(
    params: Params, states: Float[Array, "T1 S"], actions: Float[Array, "T A"], goal: Array
) -> Float[Array, ""]:
    """``mean_t |a_{t+1} - a_t|^2``; of a single action 0."""
    change = (jnp.diff(actions, axis=0) ** 2).sum(-1)
    return change.mean() if change.size else jnp.zeros(())


def bounds(limit: float) -> Term:
    """``mean_t |max(|a_t| - limit, 0)|^2``: how far actions leave a box of half-width ``limit``."""
    return lambda params, states, actions, goal: (jnp.maximum(jnp.abs(actions) - limit, 0.0) ** 2).sum(-1).mean()


def off_pace(pace: float, position_size: int) -> Term:
    """``mean_t |x_t - p_t|``, t = 1 .. T, metres: behind, before or beside a point that goes straight to the goal.

    ``p_t = x_0 + min(pace t, |d|) d / |d|``, ``d = g - x_0``. A legged robot that is only asked to be fast falls.

    Args:
        pace: metres per step.
        position_size: leading state entries that are the position.

    Returns:
        The term.
    """

    def term(params: Params, states: Array, actions: Array, goal: Array) -> Array:
        begin = states[0, :position_size]
        # Roots are kept away from zero, where their gradient is infinite.
        distance = jnp.sqrt(((goal - begin) ** 2).sum() + 1e-6)
        way = jnp.minimum(pace * jnp.arange(1, len(states)), distance)
        offset = states[1:, :position_size] - begin - way[:, None] * (goal - begin) / distance
        return jnp.sqrt((offset**2).sum(-1) + 1e-4).mean()

    return term


def tilt(upright: float) -> Term:
    """``mean_t max(upright - u_t, 0)``, t = 1 .. T: how far a floating body leans over.

    ``u = 1 - 2 (q_x^2 + q_y^2)`` is the vertical part of its own vertical axis (1 upright, -1 upside down), for states whose
    entries 3 to 6 are its unit quaternion (w, x, y, z).
    """

    def term(params: Params, states: Array, actions: Array, goal: Array) -> Array:
        up = 1 - 2 * (states[1:, 4:6] ** 2).sum(-1)
        return jnp.maximum(upright - up, 0.0).mean()

    return term


def disagreement(params: Params, states: Array, actions: Array, goal: Array) -> Float[Array, ""]:
    """``mean_t d_t``, t = 1 .. T, for a model whose states end with its members' disagreement d (``DisagreementModel``)."""
    return states[1:, -1].mean()


@dataclasses.dataclass
class ObjectiveWeights:
    """Weights of a ``TaskObjective`` beside the task's own terms.

    Attributes:
        final: of the cost beyond the horizon, at the plan's end.
        along: of its mean along the plan, so that early steps count.
        smoothness: of the mean squared change of action.
        effort: of the mean squared action.
        unvisited: of the mean distance from the data.
        disagreement: of an ensemble's mean disagreement; needs a model of several members.
    """

    final: float = bounded(1.0, low=0.0)
    along: float = bounded(0.0, low=0.0)
    smoothness: float = bounded(0.0, low=0.0)
    effort: float = bounded(0.0, low=0.0)
    unvisited: float = bounded(1.0, low=0.0)
    disagreement: float = bounded(0.0, low=0.0)


class ObjectiveParams(NamedTuple):
    """Parameters of a ``TaskObjective``.

    Attributes:
        tail: of the cost beyond the horizon; none where there is none.
        coverage: of the distance from the data; none where it is not known.
        scale: cost that a unit of that distance, or of disagreement, is worth, in the task's units.
    """

    tail: Params
    coverage: Params
    scale: Float[Array, ""]


class TaskObjective:
    """What a planner minimises: the task's own terms, the cost beyond the horizon, and what regularises a plan.

        J = task.trajectory_cost(s, a, g) + w_final D(s_T, g) + w_along mean_t D(s_t, g)
            + scale (w_unvisited mean_t d(covered(s_t)) + w_disagreement mean_t v_t)
            + w_smooth mean_t |u_{t+1} - u_t|^2 + w_effort mean_t |u_t|^2

    D is the cost beyond the horizon, d the distance from the data, v an ensemble's disagreement, u the actions as shares of their
    box.
    """

    def __init__(
        self, task: Any, weights: ObjectiveWeights, tail: Any = None, coverage: Any = None, stride: int = 1
    ) -> None:
        """Joins the terms.

        Args:
            task: a ``Task``.
            weights: of the terms; a term of weight 0 is left out.
            tail: cost beyond the horizon, ``tail(params, state, goal)`` with ``init(key)`` and the ``name`` of its term, or None.
            coverage: distance from the data (``models.data_coverage.Coverage``), or None. It also tells which problems lie
                among the data, charged or not.
            stride: the means of D and d take every so many-th state.
        """
        self.task, self.weights, self.tail, self.stride = task, weights, tail, stride
        self.coverage = coverage
        self._box = Box(task.action_low, task.action_high, task.horizon)

    def init(self, key: Key) -> ObjectiveParams:
        """Fresh parameters. The key is consumed."""
        tail_key, coverage_key = streams(key, "tail", "coverage")
        return ObjectiveParams(
            self.tail.init(tail_key) if self.tail else (),
            self.coverage.init(coverage_key) if self.coverage else (),
            jnp.ones(()),
        )

    def covers(self, params: ObjectiveParams, problem: Problem) -> Bool[Array, ""]:
        """Whether the state, and a goal that is a place of the same kind, lie among the data; see ``types.KnowsData``."""
        if self.coverage is None:
            return jnp.array(True)
        inside = self.coverage.covers(params.coverage, self.task.covered(problem.state))
        goal = self.task.covered_goal(problem.goal)
        return inside if goal is None else inside & self.coverage.covers(params.coverage, goal)

    def __call__(
        self, params: ObjectiveParams, states: Float[Array, "T1 S"], actions: Float[Array, "T A"], goal: Array
    ) -> dict[str, Float[Array, ""]]:
        """The weighted terms for one trajectory; see ``types.Objective``."""
        weights, task = self.weights, self.task
        # A model may say more of a state than the state is (its uncertainty, say).
        own = states[:, : task.state_size]
        added = {}
        if self.tail is not None:
            added[self.tail.name] = weights.final * self.tail(params.tail, own[-1], goal)
            if weights.along:
                along = jax.vmap(lambda s: self.tail(params.tail, s, goal))(own[self.stride :: self.stride])
                added[f"mean_{self.tail.name}"] = weights.along * along.mean()
        coverage = self.coverage
        if coverage is not None and weights.unvisited:
            away = jax.vmap(lambda s: coverage.distance(params.coverage, task.covered(s)))(
                own[self.stride :: self.stride]
            )
            added["unvisited"] = weights.unvisited * params.scale * away.mean()
        if weights.smoothness:
            added["smoothness"] = weights.smoothness * smoothness(params, own, self._box.encode(actions), goal)
        if weights.effort:
            added["effort"] = weights.effort * effort(params, own, self._box.encode(actions), goal)
        if weights.disagreement:
            away = disagreement(params, states, actions, goal)
            added["disagreement"] = weights.disagreement * params.scale * away
        terms = dict(task.trajectory_cost(own, actions, goal))
        # A term of the task's may bear the same name.
        return terms | {name: terms.get(name, 0.0) + value for name, value in added.items()}
