"""Two levels with a learned model between them: sub-goals planned through what the motor level was seen to achieve.

    u = upper.plan(x, goal)[0],    subgoal = x + reach u  (the goal itself within ``near`` m),    a = motor.plan(state, subgoal)

The upper level knows positions alone. Its forward model maps a position and a sub-goal to where the motor level was after
``hold`` steps.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from invlearn_jax.inputs import Numbers, as_problem, check_whole, float_type
from invlearn_jax.keys import indexed
from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.types import Key, Problem, Result, gravest


class SubgoalParams(NamedTuple):
    """Parameters of both levels."""

    upper: PlannerParams
    motor: PlannerParams


class SubgoalPlan(NamedTuple):
    """A ``PlanOutput`` with the sub-goals it serves.

    Attributes:
        actions: ``[T, A]`` the motor level's, towards the first sub-goal.
        states: ``[T+1, S]`` as the motor model predicts them.
        cost: the upper level's: of reaching the goal.
        cost_terms: the cost by named term.
        proposal_cost: of the upper level.
        refine_trace: of the upper level.
        result: the graver one of the two levels'.
        subgoals: ``[N, P]`` where the motor level is to go, one after the other, metres.
        positions: ``[N+1, P]`` where the upper model says it will be; they and the cost are those of the upper level's own
            sub-goals, also within ``near`` of the goal.
    """

    actions: Float[Array, "*b T A"]
    states: Float[Array, "*b T1 S"]
    cost: Float[Array, "*b"]
    cost_terms: dict[str, Float[Array, "*b"]]
    proposal_cost: Float[Array, "*b"]
    refine_trace: Float[Array, "*b R"]
    result: Int[Array, "*b"]
    subgoals: Float[Array, "*b N P"]
    positions: Float[Array, "*b N1 P"]


class SubgoalPlanner:
    """The two levels as one planner; ``act`` re-plans the motor level in every step, ``plan`` both."""

    def __init__(
        self, upper: InversePlanner, motor: InversePlanner, reach: float, execute_steps: int, near: float = 0.0
    ) -> None:
        """Joins the two.

        Args:
            upper: plans sub-goals in units of ``reach`` for states that are positions.
            motor: plans actions for the whole state and a position to go to.
            reach: metres, how far a sub-goal lies from the position along each axis at most.
            execute_steps: motor steps between two plans of the upper level.
            near: metres from the goal within which the goal itself is the sub-goal; no wall may be thinner.

        Raises:
            ValueError: for a reach that is not positive, no step to execute or a fraction of one, or a negative ``near``.
        """
        check_whole(execute_steps=execute_steps)
        if reach <= 0 or execute_steps < 1 or near < 0:
            raise ValueError(
                f"reach is {reach} m, execute_steps {execute_steps}, near {near} m; give more than 0 m, at least 1 step, 0 m or "
                "more."
            )
        self.upper, self.motor, self.reach, self.execute_steps = upper, motor, reach, execute_steps
        self._near = near
        self.horizon, self.refine_steps, self.candidates = motor.horizon, motor.refine_steps, motor.candidates

    def init(self, key: Key) -> SubgoalParams:
        """Fresh parameters of both levels. The key is consumed."""
        first, second = jax.random.split(key)
        return SubgoalParams(self.upper.init(first), self.motor.init(second))

    def plan(self, params: SubgoalParams, key: Key, problem: Problem) -> SubgoalPlan:
        """Plans sub-goals from the state's position, then actions for the first. See ``InversePlanner.plan``.

        A problem that cannot be computed with gets zero actions and the result ``NON_FINITE``.
        """
        problem = as_problem(problem, float_type(params))
        upper_key, motor_key = jax.random.split(key)
        size = problem.goal.size
        out = self.upper.plan(params.upper, upper_key, Problem(problem.state[:size], problem.goal))
        begin = out.states[:-1]
        arrived = ((begin - problem.goal) ** 2).sum(-1, keepdims=True) <= self._near**2
        subgoals = jnp.where(arrived, problem.goal, begin + self.reach * out.actions)
        low = self.motor.plan(params.motor, motor_key, Problem(problem.state, subgoals[0]))
        result = gravest(out.result, low.result)
        return SubgoalPlan(
            jnp.where(result == Result.NON_FINITE, 0.0, low.actions),
            low.states,
            out.cost,
            out.cost_terms,
            out.proposal_cost,
            out.refine_trace,
            result,
            subgoals,
            out.states,
        )

    def act(
        self, params: SubgoalParams, plan: SubgoalPlan, step: Int[Array, ""] | int, state: Numbers
    ) -> Float[Array, " A"]:
        """The action in ``state``: the motor level's first, planned anew towards the plan's first sub-goal."""
        # Only refiners that sample draw anything; what they draw is the same in every episode.
        key = indexed(jax.random.key(0), step)
        low = self.motor.plan(params.motor, key, Problem(state, plan.subgoals[0]))
        return jnp.where(plan.result == Result.NON_FINITE, 0.0, low.actions[0])
