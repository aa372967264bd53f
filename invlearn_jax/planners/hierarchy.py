"""Two levels: sub-goals planned through a model of what the lower level achieves, actions planned towards the first of them.

    x = place(s),    u = upper.plan(x, g)[0],    subgoal = x + reach u  (g within ``near``),    a = lower.plan(s, subgoal)

The upper level knows places of goal space alone. Its model maps a place and a sub-goal to where the lower
level was a while later.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from invlearn_jax.inputs import Numbers, as_array, as_problem, check_whole, float_type
from invlearn_jax.keys import indexed
from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.types import Key, PlanOutput, Problem, Result, gravest


class HierarchyParams(NamedTuple):
    """Parameters of both levels."""

    upper: PlannerParams
    lower: PlannerParams


class Hierarchy:
    """The two levels as one planner; ``plan`` plans both, ``act`` the lower level anew in every step."""

    def __init__(
        self,
        upper: InversePlanner,
        lower: InversePlanner,
        place: Callable[[Float[Array, " S"]], Float[Array, " G"]],
        reach: float,
        execute_steps: int,
        near: float = 0.0,
    ) -> None:
        """Joins the two.

        Args:
            upper: plans sub-goals in units of ``reach``, for states that are places of goal space.
            lower: plans actions for the whole state and a place to go to.
            place: a state's place, in which the upper level plans.
            reach: how far a sub-goal lies from the place along each axis at most, in the places' units.
            execute_steps: steps of the lower level between two plans of the upper one.
            near: from the goal, within which the goal itself is the sub-goal; no wall may be thinner.

        Raises:
            ValueError: for a reach that is not positive, no step to execute or a fraction of one, or a negative ``near``.
        """
        check_whole(execute_steps=execute_steps)
        if reach <= 0 or execute_steps < 1 or near < 0:
            raise ValueError(
                f"reach is {reach}, execute_steps {execute_steps}, near {near}; give more than 0, at least 1 step, 0 or more."
            )
        self.upper, self.lower, self.reach, self.execute_steps = upper, lower, reach, execute_steps
        self._place, self._near = place, near
        self.horizon, self.refine_steps, self.candidates = lower.horizon, lower.refine_steps, lower.candidates

    def init(self, key: Key) -> HierarchyParams:
        """Fresh parameters of both levels. The key is consumed."""
        first, second = jax.random.split(key)
        return HierarchyParams(self.upper.init(first), self.lower.init(second))

    def plan(self, params: HierarchyParams, key: Key, problem: Problem) -> PlanOutput:
        """Plans sub-goals from the state's place, then actions for the first. See ``InversePlanner.plan``.

        Args:
            params: of both levels.
            key: consumed.
            problem: where to start and what to reach.

        Returns:
            The lower level's actions and states, with the upper level's cost (of reaching the goal) and the graver result of the
            two. ``info`` has ``subgoals [N, G]``, where the lower level is to go, one after the other, and ``positions
            [N+1, G]``, where the upper model says that it will be; cost and positions are those of the upper level's own
            sub-goals, also within ``near`` of the goal. A problem that cannot be computed with gets zero actions and the
            result ``NON_FINITE``.
        """
        problem = as_problem(problem, float_type(params))
        upper_key, lower_key = jax.random.split(key)
        out = self.upper.plan(params.upper, upper_key, Problem(self._place(problem.state), problem.goal))
        begin = out.states[:-1]
        arrived = ((begin - problem.goal) ** 2).sum(-1, keepdims=True) <= self._near**2
        subgoals = jnp.where(arrived, problem.goal, begin + self.reach * out.actions)
        low = self.lower.plan(params.lower, lower_key, Problem(problem.state, subgoals[0]))
        result = gravest(out.result, low.result)
        return out._replace(
            actions=jnp.where(result == Result.NON_FINITE, 0.0, low.actions),
            states=low.states,
            result=result,
            info={"subgoals": subgoals, "positions": out.states},
        )

    def act(
        self, params: HierarchyParams, plan: PlanOutput, step: Int[Array, ""] | int, state: Numbers
    ) -> Float[Array, " A"]:
        """The action in ``state``: the lower level's first, planned anew towards the plan's first sub-goal."""
        # Only refiners that sample draw anything; what they draw is the same in every episode.
        key = indexed(jax.random.key(0), step)
        here = as_array("state", state)
        low = self.lower.plan(params.lower, key, Problem(here, plan.info["subgoals"][0]))
        return jnp.where(plan.result == Result.NON_FINITE, 0.0, low.actions[0])
