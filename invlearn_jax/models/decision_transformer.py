"""A Decision Transformer as a policy (arXiv 2106.01345): asked for a return, it continues the steps it has seen.

    a_t = net(R_{t-K+1}, s_{t-K+1}, a_{t-K+1}, .., R_t, s_t),    R_{t+1} = R_t - reward(s_{t+1}, a_t, g)

A plan begins with one state and the target return; its context grows by a step of the forward model at a time.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from invlearn_jax.models.policy import PolicyInputs, PolicyParams
from invlearn_jax.networks import decision_network
from invlearn_jax.parametrisation import Box
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key, Problem


class Context(NamedTuple):
    """The last K steps at most.

    Attributes:
        goal: ``[G]``.
        held: how many of the K steps hold something.
        returns: ``[K]`` still to come from each step on.
        states: ``[K, S]``.
        actions: ``[K, A]`` as shares of their box; that of the newest step is not known yet.
    """

    goal: Float[Array, " G"]
    held: Int[Array, ""]
    returns: Float[Array, " K"]
    states: Float[Array, "K S"]
    actions: Float[Array, "K A"]


class DecisionTransformer:
    """The policy of the module's equation; a goal that it is given stands beside every state."""

    def __init__(
        self,
        task: Task,
        context: int,
        target_return: float,
        return_scale: float,
        width: int = 128,
        layers: int = 3,
        heads: int = 1,
        dropout: float = 0.1,
        one_goal: bool = False,
    ) -> None:
        """Describes the policy.

        Args:
            task: what to act in; its reward is what returns are of.
            context: K, steps.
            target_return: the target at the beginning of a plan, in units of the reward.
            return_scale: the network is given returns over this.
            width: of a token.
            layers: of self-attention.
            heads: of each layer.
            dropout: in training.
            one_goal: whether the policy is for one goal, which it then is not given.

        Raises:
            ValueError: for a scale that is not positive, or what ``decision_network`` refuses.
        """
        if return_scale <= 0:
            raise ValueError(f"return_scale is {return_scale}; give a positive number.")
        self.task, self.inputs = task, PolicyInputs(task, one_goal)
        self.context, self.target_return, self.return_scale = context, target_return, return_scale
        self._box = Box(task.action_low, task.action_high, context)
        seen = self.inputs.state_features + self.inputs.goal_features
        self.net = decision_network(seen, task.action_size, context, width, layers, heads, dropout)

    def init(self, key: Key) -> PolicyParams:
        """Fresh parameters with identity scales; the learner sets the scales and the goal. The key is consumed."""
        return self.inputs.fresh(self.net.init(key))

    def actions(
        self,
        params: PolicyParams,
        returns: Float[Array, "*b K"],
        problems: Problem,
        actions: Float[Array, "*b K A"],
        key: Key | None = None,
    ) -> Float[Array, "*b K A"]:
        """The action of every step, from what comes before it.

        Args:
            params: the parameters.
            returns: still to come from each step on.
            problems: states ``[*b, K, S]``, and the goal ``[*b, K, G]`` beside each.
            actions: as shares of their box.
            key: of dropout; consumed.

        Returns:
            The actions, as shares of their box.
        """

        def see(state: Array, goal: Array) -> Array:
            return jnp.concatenate(self.inputs(params, Problem(state, goal)))

        z = jnp.vectorize(see, signature="(s),(g)->(f)")(problems.state, problems.goal)
        return self.net.apply(params.net, returns / self.return_scale, z, actions, key)

    def begin(self, params: PolicyParams, problem: Problem) -> Context:
        """A context of one step."""
        kind = problem.state.dtype
        returns = jnp.zeros(self.context, kind).at[0].set(self.target_return)
        states = jnp.zeros((self.context, self.task.state_size), kind).at[0].set(problem.state)
        actions = jnp.zeros((self.context, self.task.action_size), kind)
        goal = params.goal if self.inputs.one_goal else problem.goal
        return Context(goal, jnp.ones((), jnp.int32), returns, states, actions)

    def act(self, params: PolicyParams, memory: Context) -> Float[Array, " A"]:
        """The action of the newest step."""
        goals = jnp.broadcast_to(memory.goal, (self.context, *memory.goal.shape))
        found = self.actions(params, memory.returns, Problem(memory.states, goals), memory.actions)
        return found[memory.held - 1]

    def observe(
        self,
        params: PolicyParams,
        memory: Context,
        action: Float[Array, " A"],
        following: Float[Array, " S"],
    ) -> Context:
        """The context with one step more; a full one loses its oldest."""
        newest = memory.held - 1
        left = memory.returns[newest] - self.task.reward(following, self._box.decode(action), memory.goal)
        parts = memory.returns, memory.states, memory.actions.at[newest].set(action)
        full = memory.held == self.context
        returns, states, actions = (jnp.where(full, jnp.roll(x, -1, axis=0), x) for x in parts)
        free = jnp.where(full, newest, memory.held)
        # A roll brings the oldest action to the newest step, whose own is not known yet.
        actions = actions.at[free].set(0.0)
        return Context(memory.goal, free + 1, returns.at[free].set(left), states.at[free].set(following), actions)
