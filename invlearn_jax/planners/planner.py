"""The planner: ``plan = refine(invert(problem))``, scored by a forward model."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from invlearn_jax.refine.base import PlanCost, Refiner, refine
from invlearn_jax.rollout import Score, score
from invlearn_jax.types import ForwardModel, Inverter, Key, Objective, Params, PlanOutput, Problem, Result

# What gradients a model gives and a refiner needs, each including those before it.
_GRADIENT = {"none": 0, "nothing": 0, "forward": 1, "reverse": 2}


class PlannerParams(NamedTuple):
    """Everything a planner consumes: the Inverter's, the forward model's and the objective's parameters."""

    inverter: Params
    model: Params
    objective: Params


class InversePlanner:
    """Proposes with an Inverter, refines through a forward model, returns the plan with its evidence."""

    def __init__(
        self,
        inverter: Inverter,
        model: ForwardModel,
        objective: Objective,
        refiner: Refiner | None = None,
        refine_steps: int = 0,
        candidates: int = 1,
        execute_steps: int | None = None,
    ) -> None:
        """Puts the parts together.

        Args:
            inverter: makes the proposals.
            model: predicts and scores them; a learned net or a true simulator.
            objective: the cost.
            refiner: how to refine; needed for ``refine_steps > 0``.
            refine_steps: K.
            candidates: proposals per problem.
            execute_steps: how many of the T steps to execute before the next plan; by default half.

        Raises:
            ValueError: for a negative K, K without a refiner, a refiner that needs a gradient which the model lacks, no
                candidate, or steps to execute outside 1 .. T.
        """
        if refine_steps < 0:
            raise ValueError(f"refine_steps is {refine_steps}; give 0 (no refinement) or more.")
        if refine_steps and refiner is None:
            raise ValueError(f"refine_steps is {refine_steps}, but no refiner was given. Give one, or refine_steps=0.")
        if refine_steps and _GRADIENT[model.gradient] < _GRADIENT[refiner.needs]:
            raise ValueError(
                f"The refiner needs a {refiner.needs} gradient through the model, but that of {type(model).__name__} is "
                f"{model.gradient!r}. Refine by sampling, or give a model that has it (for a simulator, an environment "
                "with solver_iterations=1)."
            )
        if candidates < 1:
            raise ValueError(f"candidates is {candidates}; give at least 1.")
        if execute_steps is not None and not 1 <= execute_steps <= inverter.horizon:
            raise ValueError(f"execute_steps is {execute_steps}; allowed are 1 to the horizon, {inverter.horizon}.")
        self.inverter, self.model, self.objective = inverter, model, objective
        self.refiner, self.refine_steps, self.candidates = refiner, refine_steps, candidates
        # In closed loop, whoever starts from nothing else starts from the rest of its last plan.
        self.warm_start = getattr(inverter, "warm_start", False)
        self.horizon = inverter.horizon
        self.execute_steps = execute_steps or max(1, self.horizon // 2)

    def init(self, key: Key) -> PlannerParams:
        """Fresh parameters (of an objective that learns nothing: none). The key is consumed."""
        inverter_key, model_key, objective_key = jax.random.split(key, 3)
        objective = getattr(self.objective, "init", lambda key: ())
        return PlannerParams(self.inverter.init(inverter_key), self.model.init(model_key), objective(objective_key))

    def score(self, params: PlannerParams, problem: Problem, actions: Array) -> Score:
        """The cost of a sequence under the planner's model and objective."""
        return score(self.model, self.objective, params.model, params.objective, problem, actions)

    def plan(self, params: PlannerParams, key: Key, problem: Problem) -> PlanOutput:
        """Plans for one problem.

        Args:
            params: from training or ``init``.
            key: consumed.
            problem: where to start and what to reach.

        Returns:
            The plan. A problem that is not finite gets zero actions and the result ``NON_FINITE``; one whose position or
            goal lies outside the data the Inverter learned from gets the Inverter's best and ``OUTSIDE_DATA``.

        Raises:
            ValueError: for a state or goal of the wrong size.
        """
        given = jnp.array([jnp.isfinite(x).all() for x in jax.tree.leaves(problem)]).all()
        safe = jax.tree.map(lambda x: jnp.where(jnp.isfinite(x), x, 0.0), problem)
        covers = getattr(self.inverter, "covers", lambda params, problem: jnp.array(True))(params.inverter, safe)
        propose_key, refine_key = jax.random.split(key)
        proposals = self.inverter.propose(params.inverter, propose_key, safe, self.candidates)
        if self.candidates == 1 and self.refine_steps == 0:
            # Nothing to choose from: the score is evidence only, and the compiler drops it where it is not used.
            scored = self.score(params, safe, proposals[0])
            actions, cost, proposal_cost, trace = proposals[0], scored.cost, scored.cost, jnp.zeros((0,))
            finite = given & jnp.isfinite(actions).all()
        else:
            cost = PlanCost(
                lambda a: self.model.unroll(params.model, safe.state, a),
                lambda states, a: sum(self.objective(params.objective, states, a, safe.goal).values()),
            )
            refined = refine(self.refiner, refine_key, cost, proposals, self.refine_steps)
            actions, cost, proposal_cost, trace = refined
            scored = self.score(params, safe, actions)
            finite = given & jnp.isfinite(cost) & jnp.isfinite(actions).all()
        actions = jnp.where(finite, actions, 0.0)
        result = _result(actions, cost, proposal_cost, self.refine_steps)
        result = jnp.where(covers, result, Result.OUTSIDE_DATA)
        result = jnp.where(finite & jnp.isfinite(cost), result, Result.NON_FINITE)
        return PlanOutput(actions, scored.states, cost, scored.terms, proposal_cost, trace, result.astype(jnp.int32))


def _result(actions: Array, cost: Array, proposal_cost: Array, refine_steps: int) -> Array:
    result = jnp.where((jnp.abs(actions) >= 1.0).all(), Result.BOUND_SATURATED, Result.OK)
    if refine_steps:
        result = jnp.where(cost < proposal_cost, result, Result.NO_IMPROVEMENT)
    return result
