"""A Decision Transformer as a policy (arXiv 2106.01345): asked for a return, it continues the steps it has seen.

    a_t = net(R_{t-K+1}, s_{t-K+1}, a_{t-K+1}, .., R_t, s_t),    R_{t+1} = R_t - reward(s_{t+1})

A plan begins with one state and the target return; its context grows by a step of the forward model at a time.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from invlearn_jax.models.policy import PolicyParams
from invlearn_jax.networks import decision_network
from invlearn_jax.types import Key


class Context(NamedTuple):
    """The last K steps at most.

    Attributes:
        held: how many of the K steps hold something.
        returns: ``[K]`` still to come from each step on.
        states: ``[K, S]``.
        actions: ``[K, A]``; that of the newest step is not known yet.
    """

    held: Int[Array, ""]
    returns: Float[Array, " K"]
    states: Float[Array, "K S"]
    actions: Float[Array, "K A"]


class DecisionTransformer:
    """The policy of the module's equation."""

    def __init__(
        self,
        state_size: int,
        action_size: int,
        context: int,
        target_return: float,
        return_scale: float,
        reward: Callable[[Array, Array], Array],
        position_size: int = 2,
        width: int = 128,
        layers: int = 3,
        heads: int = 1,
        dropout: float = 0.1,
    ) -> None:
        """Describes the policy.

        Args:
            state_size: S.
            action_size: A.
            context: K, steps.
            target_return: what is asked for at the beginning of a plan, in units of the reward.
            return_scale: the network is given returns over this.
            reward: ``(position [P], goal [P]) -> reward`` of arriving there.
            position_size: P, the leading state entries that are the position.
            width: of a token.
            layers: of self-attention.
            heads: of each layer.
            dropout: in training.

        Raises:
            ValueError: for a scale that is not positive, or what ``decision_network`` refuses.
        """
        if return_scale <= 0:
            raise ValueError(f"return_scale is {return_scale}; give a positive number.")
        self.state_size, self.action_size, self.position_size = state_size, action_size, position_size
        self.context, self.target_return, self.return_scale = context, target_return, return_scale
        self._reward = reward
        self.net = decision_network(state_size, action_size, context, width, layers, heads, dropout)

    def init(self, key: Key) -> PolicyParams:
        """Fresh parameters with identity scales; the learner sets the scales and the goal. The key is consumed."""
        ones = jnp.ones(self.state_size)
        return PolicyParams(self.net.init(key), 0 * ones, ones, jnp.zeros(self.position_size))

    def actions(
        self,
        params: PolicyParams,
        returns: Float[Array, "*b K"],
        states: Float[Array, "*b K S"],
        actions: Float[Array, "*b K A"],
        key: Key | None = None,
    ) -> Float[Array, "*b K A"]:
        """The action of every step, from what comes before it. The key is that of dropout and is consumed."""
        z = (states - params.mean) / params.std
        return self.net.apply(params.net, returns / self.return_scale, z, actions, key)

    def begin(self, params: PolicyParams, state: Float[Array, " S"]) -> Context:
        """A context of one step."""
        kind = state.dtype
        returns = jnp.zeros(self.context, kind).at[0].set(self.target_return)
        states = jnp.zeros((self.context, self.state_size), kind).at[0].set(state)
        return Context(jnp.ones((), jnp.int32), returns, states, jnp.zeros((self.context, self.action_size), kind))

    def act(self, params: PolicyParams, memory: Context) -> Float[Array, " A"]:
        """The action of the newest step."""
        return self.actions(params, memory.returns, memory.states, memory.actions)[memory.held - 1]

    def observe(
        self,
        params: PolicyParams,
        memory: Context,
        action: Float[Array, " A"],
        following: Float[Array, " S"],
    ) -> Context:
        """The context with one step more; a full one loses its oldest."""
        newest = memory.held - 1
        left = memory.returns[newest] - self._reward(following[: self.position_size], params.goal)
        parts = memory.returns, memory.states, memory.actions.at[newest].set(action)
        full = memory.held == self.context
        returns, states, actions = (jnp.where(full, jnp.roll(x, -1, axis=0), x) for x in parts)
        free = jnp.where(full, newest, memory.held)
        # A roll brings the oldest action to the newest step, whose own is not known yet.
        actions = actions.at[free].set(0.0)
        return Context(free + 1, returns.at[free].set(left), states.at[free].set(following), actions)
