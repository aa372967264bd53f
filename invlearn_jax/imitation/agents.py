"""Soft Q-functions and their policies, over discrete and over continuous actions.

    discrete      V(s) = tau log sum_a exp(Q(s, a) / tau),           pi(a | s) = softmax(Q(s, .) / tau)
    continuous    V(s) = Q(s, a) - tau log pi(a | s),  a ~ pi,       pi(a | s) = tanh(Normal(mu(s), sigma(s)))

Actions are as policies put them out: shares of their box, in [-1, 1]; a choice i of n is the share 2 i / (n - 1) - 1.
Functions are of batches: B rows, F features.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.networks import Network, mlp
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key, Params

_LOG_STD = (-5.0, 2.0)  # of the tanh-Gaussian policy


class AgentParams(NamedTuple):
    """Parameters of an agent: of Q, of the policy where it has its own, and the reward of resting in the absorbing state."""

    critic: Params
    actor: Params
    absorbing: Float[Array, ""]


@runtime_checkable
class Agent(Protocol):
    """A soft Q-function with its policy, of normalised features."""

    temperature: float

    def init(self, key: Key) -> AgentParams:
        """Fresh parameters. The key is consumed."""

    def q(self, critic: Params, x: Float[Array, "B F"], action: Float[Array, "B A"]) -> Float[Array, "H B"]:
        """Q(s, a) by each of H critics."""

    def value(self, params: AgentParams, critic: Params, key: Key, x: Float[Array, "B F"]) -> Float[Array, "B"]:
        """V(s) by ``critic`` under the policy of ``params``; a policy of its own gets no gradient. The key is consumed."""

    def sample(self, params: AgentParams, key: Key, x: Float[Array, "F"]) -> Float[Array, "A"]:
        """An action drawn from the policy. The key is consumed."""

    def act(self, params: AgentParams, x: Float[Array, "F"]) -> Float[Array, "A"]:
        """The policy's likeliest action, or its mean."""

    def actor_loss(self, actor: Params, critic: Params, key: Key, x: Float[Array, "B F"]) -> Float[Array, ""]:
        """``E[tau log pi(a | s) - Q(s, a)]``, a ~ pi; 0 where the policy is the critic's. The key is consumed."""


class DiscreteAgent:
    """The soft-optimal policy of a Q-function over a few choices: nothing is learned but Q."""

    def __init__(
        self, features: int, choices: int, hidden: Sequence[int], temperature: float, critics: int = 1
    ) -> None:
        """Describes the networks: MLPs with ELU.

        Args:
            features: F.
            choices: n.
            hidden: widths.
            temperature: tau.
            critics: H; V takes the least.
        """
        self.temperature, self._choices = temperature, choices
        self._net = _stacked(mlp(features, hidden, choices, 1.0, activation=jax.nn.elu), critics)

    def init(self, key: Key) -> AgentParams:
        """See ``Agent``."""
        return AgentParams(self._net.init(key), (), jnp.zeros(()))

    def all_q(self, critic: Params, x: Float[Array, "*b F"]) -> Float[Array, "H *b n"]:
        """Q of every choice."""
        return self._net.apply(critic, x)

    def q(self, critic: Params, x: Float[Array, "B F"], action: Float[Array, "B A"]) -> Float[Array, "H B"]:
        """See ``Agent``."""
        chosen = jnp.round((action[:, 0] + 1) / 2 * (self._choices - 1)).astype(jnp.int32)
        return jnp.take_along_axis(self.all_q(critic, x), chosen[None, :, None], axis=-1)[..., 0]

    def value(self, params: AgentParams, critic: Params, key: Key, x: Float[Array, "B F"]) -> Float[Array, " B"]:
        """See ``Agent``; the key is ignored."""
        tau = self.temperature
        return (tau * jax.nn.logsumexp(self.all_q(critic, x) / tau, axis=-1)).min(0)

    def sample(self, params: AgentParams, key: Key, x: Float[Array, " F"]) -> Float[Array, " A"]:
        """See ``Agent``."""
        return self._share(jax.random.categorical(key, self.all_q(params.critic, x).min(0) / self.temperature))

    def act(self, params: AgentParams, x: Float[Array, " F"]) -> Float[Array, " A"]:
        """See ``Agent``."""
        return self._share(self.all_q(params.critic, x).min(0).argmax())

    def actor_loss(self, actor: Params, critic: Params, key: Key, x: Float[Array, "B F"]) -> Float[Array, ""]:
        """See ``Agent``."""
        return jnp.zeros(())

    def _share(self, choice: Array) -> Array:
        return (2.0 * choice / (self._choices - 1) - 1.0)[None]


class ContinuousAgent:
    """Soft actor-critic's networks (arXiv 1812.05905): critics of (s, a), and a tanh-Gaussian actor."""

    def __init__(
        self,
        features: int,
        actions: int,
        hidden: Sequence[int],
        temperature: float,
        critics: int = 1,
        normed: bool = False,
    ) -> None:
        """Describes the networks: MLPs with ReLU.

        Args:
            features: F.
            actions: A.
            hidden: widths of actor and critics.
            temperature: tau.
            critics: H; V takes the least.
            normed: layer normalisation in the critics, which bounds what they say of actions far from the data.
        """
        self.temperature = temperature
        critic = mlp(features + actions, hidden, 1, 1.0, activation=jax.nn.relu, normed=normed)
        self._critic = _stacked(critic, critics)
        self._actor = mlp(features, hidden, 2 * actions, 1e-2, activation=jax.nn.relu)

    def init(self, key: Key) -> AgentParams:
        """See ``Agent``."""
        critic_key, actor_key = jax.random.split(key)
        return AgentParams(self._critic.init(critic_key), self._actor.init(actor_key), jnp.zeros(()))

    def q(self, critic: Params, x: Float[Array, "B F"], action: Float[Array, "B A"]) -> Float[Array, "H B"]:
        """See ``Agent``."""
        return self._critic.apply(critic, jnp.concatenate([x, action], axis=-1))[..., 0]

    def value(self, params: AgentParams, critic: Params, key: Key, x: Float[Array, "B F"]) -> Float[Array, " B"]:
        """See ``Agent``: one drawn action a state."""
        action, log_density = self.draw(params.actor, key, x)
        action, log_density = jax.lax.stop_gradient((action, log_density))
        return self.q(critic, x, action).min(0) - self.temperature * log_density

    def sample(self, params: AgentParams, key: Key, x: Float[Array, " F"]) -> Float[Array, " A"]:
        """See ``Agent``."""
        return self.draw(params.actor, key, x)[0]

    def act(self, params: AgentParams, x: Float[Array, " F"]) -> Float[Array, " A"]:
        """See ``Agent``."""
        return jnp.tanh(self._moments(params.actor, x)[0])

    def actor_loss(self, actor: Params, critic: Params, key: Key, x: Float[Array, "B F"]) -> Float[Array, ""]:
        """See ``Agent``."""
        action, log_density = self.draw(actor, key, x)
        return (self.temperature * log_density - self.q(critic, x, action).min(0)).mean()

    def draw(self, actor: Params, key: Key, x: Float[Array, "*b F"]) -> tuple[Float[Array, "*b A"], Float[Array, "*b"]]:
        """Actions from the policy and their log-densities, differentiable in the actor. The key is consumed."""
        mean, log_std = self._moments(actor, x)
        noise = jax.random.normal(key, mean.shape, mean.dtype)
        latent = mean + jnp.exp(log_std) * noise
        # log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u)), without the cancellation.
        squashed = 2 * (jnp.log(2.0) - latent - jax.nn.softplus(-2 * latent))
        log_density = (-0.5 * noise**2 - log_std - 0.5 * jnp.log(2 * jnp.pi) - squashed).sum(-1)
        return jnp.tanh(latent), log_density

    def _moments(self, actor: Params, x: Array) -> tuple[Array, Array]:
        mean, raw = jnp.split(self._actor.apply(actor, x), 2, axis=-1)
        low, high = _LOG_STD
        return mean, low + (high - low) * (jnp.tanh(raw) + 1) / 2


def _stacked(net: Network, count: int) -> Network:
    """So many networks side by side: parameters and outputs get a leading axis."""
    if count == 1:
        # Without a batched matrix product, which is slower than a plain one.
        return Network(
            lambda key: jax.tree.map(lambda x: x[None], net.init(key)),
            lambda params, x: net.apply(jax.tree.map(lambda p: p[0], params), x)[None],
        )
    return Network(
        lambda key: jax.vmap(net.init)(jax.random.split(key, count)),
        jax.vmap(net.apply, in_axes=(0, None)),
    )


def agent_of(
    task: Task, features: int, hidden: Sequence[int], temperature: float, critics: int = 1, normed: bool = False
) -> Agent:
    """The agent that suits a task's actions; see ``DiscreteAgent``, which has no use for ``normed``, and ``ContinuousAgent``.

    Raises:
        ValueError: for a temperature that is not positive.
    """
    if not temperature > 0:
        raise ValueError(
            f"temperature is {temperature}; give one above 0. At 0 the policy is greedy and V has no gradient: 0.001 is near it."
        )
    if task.choices:
        return DiscreteAgent(features, task.choices, hidden, temperature, critics)
    return ContinuousAgent(features, task.action_size, hidden, temperature, critics, normed)
