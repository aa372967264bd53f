"""The planner: ``plan = refine(invert(problem))``, scored by a forward model."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from invlearn_jax.inputs import as_problem, check_whole, float_type, usable
from invlearn_jax.parametrisation import Latents
from invlearn_jax.refine.base import PlanCost, Refined, Refiner, refine
from invlearn_jax.refine.gauss_newton import ResidualCost, by_latents
from invlearn_jax.rollout import Score, score, total
from invlearn_jax.types import (
    ForwardModel,
    HasResiduals,
    Inverter,
    Key,
    KnowsData,
    Objective,
    Params,
    PlanOutput,
    Problem,
    ReadsProblems,
    Result,
    finding,
    gravest,
)

# What gradients a model gives and a refiner needs, each including those before it.
_GRADIENT = {"none": 0, "nothing": 0, "forward": 1, "reverse": 2}


class PlannerParams(NamedTuple):
    """Everything a planner consumes: the Inverter's, the forward model's and the objective's parameters."""

    inverter: Params
    model: Params
    objective: Params


class InversePlanner:
    """Proposes with an Inverter, refines through a forward model, returns the plan with its evidence.

    What is refined are the Inverter's latents where it has a parametrisation (``parametrisation.Latents``), else its actions.
    """

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
            ValueError: for counts that are not whole, a negative K, K without a refiner, a refiner that needs a gradient which
                the model lacks, no candidate, or steps to execute outside 1 .. T.
        """
        check_whole(refine_steps=refine_steps, candidates=candidates, execute_steps=execute_steps)
        if refine_steps < 0:
            raise ValueError(f"refine_steps is {refine_steps}; give 0 (no refinement) or more.")
        if refine_steps and refiner is None:
            raise ValueError(f"refine_steps is {refine_steps}, but no refiner was given. Give one, or refine_steps=0.")
        if refine_steps and refiner is not None and _GRADIENT[model.gradient] < _GRADIENT[refiner.needs]:
            raise ValueError(
                f"The refiner needs a {refiner.needs} gradient through the model, but that of {type(model).__name__} is "
                f"{model.gradient!r}. Refine by sampling, or give a model that has it (the simulator of "
                "task.differentiable(), where a task has such)."
            )
        if candidates < 1:
            raise ValueError(f"candidates is {candidates}; give at least 1.")
        if execute_steps is not None and not 1 <= execute_steps <= inverter.horizon:
            raise ValueError(f"execute_steps is {execute_steps}; allowed are 1 to the horizon, {inverter.horizon}.")
        self.inverter, self.model, self.objective = inverter, model, objective
        self.refiner, self.refine_steps, self.candidates = refiner, refine_steps, candidates
        self.horizon = inverter.horizon
        self.execute_steps = execute_steps or max(1, self.horizon // 2)
        own = inverter.parametrisation if isinstance(inverter, Latents) else None
        self._limit = 1.0 if own is None else own.limit
        self.decode: Callable[[Array], Array] = _same if own is None else own.decode

    def init(self, key: Key) -> PlannerParams:
        """Fresh parameters (of an objective that learns nothing: none). The key is consumed."""
        inverter_key, model_key, objective_key = jax.random.split(key, 3)
        objective = getattr(self.objective, "init", lambda key: ())
        return PlannerParams(self.inverter.init(inverter_key), self.model.init(model_key), objective(objective_key))

    def score(self, params: PlannerParams, problem: Problem, actions: Array) -> Score:
        """The cost of a sequence under the planner's model and objective."""
        return score(self.model, self.objective, params.model, params.objective, problem, actions)

    def propose(self, params: PlannerParams, key: Key, problem: Problem) -> Float[Array, "K L C"]:
        """The Inverter's proposals as latents, or actions where it has none; see ``decode``. Consumes the key."""
        draw = self.inverter.latents if isinstance(self.inverter, Latents) else self.inverter.propose
        return draw(params.inverter, key, problem, self.candidates)

    def plan(self, params: PlannerParams, key: Key, problem: Problem) -> PlanOutput:
        """Plans for one problem.

        Args:
            params: from training or ``init``.
            key: consumed.
            problem: where to start and what to reach; cast to the parameters' floating type (or as an Inverter that
                ``ReadsProblems`` does it).

        Returns:
            The plan. A problem that cannot be computed with gets zero actions and the result ``NON_FINITE``, one that the system
            cannot have zero actions and ``INVALID_PROBLEM``; one whose state or goal lies outside the data the Inverter learned
            from gets the Inverter's best and ``OUTSIDE_DATA``. A cost that is not finite is ``NON_FINITE`` too; the actions are
            then zero where a cost was needed to choose them.

        Raises:
            ValueError: for a state or goal of the wrong size, or of what are no real numbers.
        """
        possible: Bool[Array, ""] | bool = True
        if isinstance(self.inverter, ReadsProblems):
            safe, given, possible = self.inverter.read(params.inverter, problem)
        else:
            safe, given = usable(as_problem(problem, float_type(params)))
        covered = jnp.array(True)
        for part, own in ((self.inverter, params.inverter), (self.objective, params.objective)):
            covered = covered & part.covers(own, safe) if isinstance(part, KnowsData) else covered
        propose_key, refine_key = jax.random.split(key)
        proposals = self.propose(params, propose_key, safe)
        if self.candidates == 1 and self.refine_steps == 0:
            # Nothing to choose from: the score is evidence only, and the compiler drops it where it is not used.
            latents, actions = proposals[0], self.decode(proposals[0])
            scored = self.score(params, safe, actions)
            cost, proposal_cost, trace = scored.cost, scored.cost, jnp.zeros((0,))
            finite = given & jnp.isfinite(actions).all()
        else:
            cost_of: Any = self.cost_of(params, safe)  # mypy takes a NamedTuple with __call__ for no callable
            latents, cost, proposal_cost, trace = self.refined(refine_key, cost_of, proposals)
            actions = self.decode(latents)
            scored = self.score(params, safe, actions)
            finite = given & jnp.isfinite(cost) & jnp.isfinite(actions).all()
        actions = jnp.where(finite & possible, actions, 0.0)
        result = gravest(
            finding(Result.NON_FINITE, ~(finite & jnp.isfinite(cost))),
            finding(Result.INVALID_PROBLEM, jnp.logical_not(possible)),
            finding(Result.OUTSIDE_DATA, jnp.logical_not(covered)),
            finding(Result.NO_IMPROVEMENT, (self.refine_steps > 0) & ~(cost < proposal_cost)),
            finding(Result.BOUND_SATURATED, (jnp.abs(latents) >= self._limit).all()),
        )
        return PlanOutput(actions, scored.states, cost, scored.terms, proposal_cost, trace, result)

    def refined(self, key: Key, cost_of: Any, proposals: Float[Array, "K L C"]) -> Refined:
        """What refinement makes of the proposals: the best sequence seen. Consumes the key."""
        return refine(self.refiner, key, cost_of, proposals, self.refine_steps)

    def cost_of(self, params: PlannerParams, problem: Problem) -> PlanCost | ResidualCost:
        """The cost of latents, with its residuals where the objective has them; what refinement lowers."""
        objective, goal, decode = self.objective, problem.goal, self.decode

        def unroll(z: Array) -> Array:
            return self.model.unroll(params.model, problem.state, decode(z))

        def cost(states: Array, z: Array) -> Array:
            return total(objective(params.objective, states, decode(z), goal))

        whole = PlanCost(unroll, cost)
        if not (isinstance(objective, HasResiduals) and self.refiner is not None and self.refiner.uses_residuals):
            return whole

        def residual(z: Array) -> Array:
            return objective.residual(params.objective, unroll(z), decode(z), goal)

        def jacobian(z: Array) -> Array:
            found = objective.jacobian(params.objective, problem.state, decode(z), goal)
            return jax.jacrev(residual)(z) if found is None else by_latents(decode, z, found)

        return ResidualCost(whole.__call__, residual, jacobian)


def _same(actions: Array) -> Array:
    return actions
