"""Policies as Inverters: a plan is what the policy does in closed loop with the forward model.

    a_t = pi(h_t),    s_{t+1} = model(s_t, a_t),    h_{t+1} = what the policy keeps of h_t, a_t, s_{t+1};    t = 0 .. T-1

A plan of one step needs no model.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from invlearn_jax.inputs import as_problem, check_whole, float_type
from invlearn_jax.models.policy import Policy, PolicyParams
from invlearn_jax.parametrisation import Box
from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.types import ForwardModel, Key, Params, PlanOutput, Problem

_FAR = 10.0  # deviations from the mean of the data: further off lies what they did not hold


class RolloutParams(NamedTuple):
    """Parameters of a ``PolicyInverter``: the policy's, and the model's (none for plans of one step)."""

    policy: PolicyParams
    model: Params


class PolicyInverter:
    """Proposes what a policy does over T steps of the forward model; see the module's equation.

    A policy for one goal does not look at a problem's goal, but ``covers`` tells where it is another one.
    """

    def __init__(
        self,
        policy: Policy,
        horizon: int = 1,
        model: ForwardModel | None = None,
        spread: float = 0.3,
        same_goal: float = 1e-6,
    ) -> None:
        """Puts a policy and a model together.

        Args:
            policy: what acts.
            horizon: T.
            model: predicts what follows an action; for one step None.
            spread: standard deviation of the offset from the policy's actions, as shares of their box, at which a second and
                further candidates are held.
            same_goal: how far from the goal of a policy for one goal another one still counts as that.

        Raises:
            ValueError: for a horizon below 1, or one above 1 without a model.
        """
        check_whole(horizon=horizon)
        if horizon < 1 or (horizon > 1 and model is None):
            raise ValueError(
                f"horizon is {horizon} and the model is {'missing' if model is None else 'given'}; give 1 step or more, "
                "and a model for more than 1."
            )
        self.policy, self.horizon, self._spread, self._same_goal = policy, horizon, spread, same_goal
        self.parametrisation = Box(policy.task.action_low, policy.task.action_high, horizon)
        self._model = model if horizon > 1 else None

    def init(self, key: Key) -> RolloutParams:
        """Fresh parameters of both. The key is consumed."""
        policy_key, model_key = jax.random.split(key)
        return RolloutParams(self.policy.init(policy_key), () if self._model is None else self._model.init(model_key))

    def covers(self, params: RolloutParams, problem: Problem) -> Bool[Array, ""]:
        """Whether what the policy sees lies within 10 deviations of the data's; of a policy for one goal, whether it is that.

        Raises:
            ValueError: for a state or goal of the wrong size.
        """
        self._check(problem)
        near = [(jnp.abs(z) <= _FAR).all() for z in self.policy.inputs(params.policy, problem)]
        if self.policy.inputs.one_goal:
            near.append(jnp.linalg.norm(problem.goal - params.policy.goal) <= self._same_goal)
        return jnp.stack(near).all()

    def latents(self, params: RolloutParams, key: Key, problem: Problem, num: int) -> Float[Array, "K T A"]:
        """``num`` sequences, as shares of the actions' box: the policy's own first, then such with an offset. Consumes the key.

        Raises:
            ValueError: for a state or goal of the wrong size.
        """
        problem = as_problem(problem, float_type(params))
        self._check(problem)
        kind, size = problem.state.dtype, self.policy.task.action_size
        drawn = jax.random.normal(key, (num - 1, size), kind)
        offsets = self._spread * jnp.concatenate([jnp.zeros((1, size), kind), drawn])
        return jax.vmap(lambda offset: self._rollout(params, problem, offset))(offsets)

    def propose(self, params: RolloutParams, key: Key, problem: Problem, num: int) -> Float[Array, "K T A"]:
        """The same in the task's units. The key is consumed."""
        return self.parametrisation.decode(self.latents(params, key, problem, num))

    def _check(self, problem: Problem) -> None:
        task = self.policy.task
        for name, given, size in (("state", problem.state, task.state_size), ("goal", problem.goal, task.goal_size)):
            if jnp.shape(given) != (size,):
                raise ValueError(
                    f"The {name} has shape {jnp.shape(given)}; this policy takes ({size},). "
                    "Give one problem, and use jax.vmap for a batch."
                )

    def _rollout(self, params: RolloutParams, problem: Problem, offset: Array) -> Array:
        policy, model, decode = self.policy, self._model, self.parametrisation.decode

        def act(memory: Any) -> Array:
            return jnp.clip(policy.act(params.policy, memory) + offset, -1.0, 1.0)

        memory = policy.begin(params.policy, problem)
        if model is None:
            return act(memory)[None]

        def step(carry: tuple, _: None) -> tuple[tuple, Array]:
            memory, state = carry
            action = act(memory)
            following = model.unroll(params.model, state, decode(action)[None])[1]
            return (policy.observe(params.policy, memory, action, following), following), action

        return jax.lax.scan(step, (memory, problem.state), length=self.horizon)[1]


class PolicyPlanner(InversePlanner):
    """A planner whose ``PolicyInverter`` uses the planner's own forward model: the model's parameters are kept once."""

    def init(self, key: Key) -> PlannerParams:
        """Fresh parameters. The key is consumed."""
        params = super().init(key)
        return params._replace(inverter=params.inverter._replace(model=()))

    def plan(self, params: PlannerParams, key: Key, problem: Problem) -> PlanOutput:
        """Plans for one problem; see ``InversePlanner.plan``. The key is consumed."""
        lent = params.inverter._replace(model=params.model)
        return super().plan(params._replace(inverter=lent), key, problem)
