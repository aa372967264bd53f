"""Stacks of Inverters: sub-goals on top, motor commands below.

A level's Inverter together with the model under it is itself a forward model, whose action is a sub-goal u in [-1, 1]^P:

    goal = x + reach * u,    state' = unroll(state, pi_motor(state, goal))[T]

so the level above is trained and refined through it exactly as the motor level is through the motor model, and levels
stack without end.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.inputs import as_problem, check_whole, float_type, usable
from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.types import ForwardModel, Inverter, Key, Params, PlanOutput, Problem, Result


class LevelParams(NamedTuple):
    """Parameters of a level seen from above: its Inverter's and those of the model under it."""

    inverter: Params
    model: Params


class LevelModel:
    """The forward model that an Inverter and the model under it make together; see the module's equation."""

    def __init__(self, inverter: Inverter, model: ForwardModel, position_size: int, reach: float) -> None:
        """Joins the two.

        Args:
            inverter: of the lower level, ``horizon`` T.
            model: what the lower level acts on; may be a ``LevelModel`` itself.
            position_size: P, the leading state entries in which goals live.
            reach: how far a sub-goal can lie from the position along each axis, metres.
        """
        self._inverter, self._model = inverter, model
        self._position, self._reach = position_size, reach
        self.horizon, self.dt = inverter.horizon, inverter.horizon * model.dt
        self.gradient: Literal["reverse", "forward", "none"] = model.gradient

    def init(self, key: Key) -> LevelParams:
        """Fresh parameters. The key is consumed."""
        first, second = jax.random.split(key)
        return LevelParams(self._inverter.init(first), self._model.init(second))

    def _lower(self, params: LevelParams, state: Array, subgoal: Array) -> tuple[Array, Array]:
        problem = Problem(state, state[: self._position] + self._reach * subgoal)
        # One proposal is the Inverter's own, for which no randomness is used.
        actions = self._inverter.propose(params.inverter, jax.random.key(0), problem, 1)[0]
        return actions, self._model.unroll(params.model, state, actions)

    def unroll(
        self, params: LevelParams, state: Float[Array, " S"], actions: Float[Array, "N P"]
    ) -> Float[Array, "N1 S"]:
        """The states ``[N+1, S]`` at the ends of the lower level's sequences, for sub-goals ``[N, P]``."""

        def step(state: Array, subgoal: Array) -> tuple[Array, Array]:
            last = self._lower(params, state, subgoal)[1][-1]
            return last, last

        return jnp.concatenate([state[None], jax.lax.scan(step, state, actions)[1]])

    def expand(
        self, params: LevelParams, state: Float[Array, " S"], actions: Float[Array, "N P"]
    ) -> tuple[Float[Array, "NT A"], Float[Array, "NT1 S"]]:
        """The motor actions ``[N T, A]`` and states ``[N T + 1, S]`` that sub-goals ``[N, P]`` come to."""

        def step(state: Array, subgoal: Array) -> tuple[Array, tuple]:
            lower, states = self._lower(params, state, subgoal)
            if isinstance(self._model, LevelModel):
                lower, states = self._model.expand(params.model, state, lower)
            return states[-1], (lower, states[1:])

        motor, states = jax.lax.scan(step, state, actions)[1]
        motor, states = (x.reshape(-1, x.shape[-1]) for x in (motor, states))
        return motor, jnp.concatenate([state[None], states])


class Stack:
    """A planner whose plans are sub-goals, handed down to motor actions."""

    def __init__(self, upper: InversePlanner, execute_steps: int) -> None:
        """Wraps a planner over a ``LevelModel``.

        Args:
            upper: plans sub-goals; its model is a ``LevelModel``.
            execute_steps: motor steps to execute before the next plan.

        Raises:
            ValueError: if the planner's model is not a ``LevelModel``, or for steps outside 1 .. horizon.
        """
        check_whole(execute_steps=execute_steps)
        if not isinstance(upper.model, LevelModel):
            raise ValueError(f"A Stack plans through a LevelModel, but was given {type(upper.model).__name__}.")
        self.upper, self.execute_steps = upper, execute_steps
        self.horizon = upper.horizon * upper.model.horizon
        if not 1 <= execute_steps <= self.horizon:
            raise ValueError(f"execute_steps is {execute_steps}; allowed are 1 to the horizon, {self.horizon}.")
        self.refine_steps, self.candidates, self.objective = upper.refine_steps, upper.candidates, upper.objective

    def init(self, key: Key) -> PlannerParams:
        """Fresh parameters of all levels. The key is consumed."""
        return self.upper.init(key)

    def plan(self, params: PlannerParams, key: Key, problem: Problem) -> PlanOutput:
        """Plans sub-goals, refines them, and expands them to motor actions. See ``InversePlanner.plan``."""
        out = self.upper.plan(params, key, problem)
        safe, _ = usable(as_problem(problem, float_type(params)))
        actions, states = self.upper.model.expand(params.model, safe.state, out.actions)
        failed = out.result == Result.NON_FINITE
        return out._replace(actions=jnp.where(failed, 0.0, actions), states=states)
