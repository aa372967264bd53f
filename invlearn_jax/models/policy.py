"""Policies for one goal: what to do now, given what was seen so far."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.networks import fourier_features, fourier_size, mlp
from invlearn_jax.types import Key, Params


class PolicyParams(NamedTuple):
    """Parameters of a policy for one goal.

    Attributes:
        net: the network's weights; the only part that is trained.
        mean: ``[S]`` of the states.
        std: ``[S]`` of the states.
        goal: ``[P]`` the goal that its rewards were computed for.
    """

    net: Params
    mean: Float[Array, " S"]
    std: Float[Array, " S"]
    goal: Float[Array, " P"]


@runtime_checkable
class Policy(Protocol):
    """What acts step by step. ``memory`` is any pytree; a policy that reacts to the state alone keeps just that."""

    state_size: int
    action_size: int
    position_size: int

    def init(self, key: Key) -> PolicyParams:
        """Fresh parameters. The key is consumed."""

    def begin(self, params: PolicyParams, state: Float[Array, " S"]) -> Any:
        """The memory of who has seen ``state`` only."""

    def act(self, params: PolicyParams, memory: Any) -> Float[Array, " A"]:
        """The action, in [-1, 1]."""

    def observe(
        self, params: PolicyParams, memory: Any, action: Float[Array, " A"], following: Float[Array, " S"]
    ) -> Any:
        """The memory after ``action`` has led to ``following``."""


class MlpPolicy:
    """``a = tanh(net(features((s - mean) / std)))``: a deterministic policy of the state alone."""

    def __init__(
        self,
        state_size: int,
        action_size: int,
        position_size: int = 2,
        hidden: Sequence[int] = (256, 256, 256),
        octaves: int = 0,
    ) -> None:
        """Describes the network.

        Args:
            state_size: S.
            action_size: A.
            position_size: P, the leading state entries that are the position.
            hidden: widths of the MLP.
            octaves: Fourier features of the position.
        """
        self.state_size, self.action_size, self.position_size = state_size, action_size, position_size
        self._octaves = octaves
        self.features_size = state_size - position_size + fourier_size(position_size, octaves)
        self.net = mlp(self.features_size, hidden, action_size, activation=jax.nn.relu)

    def init(self, key: Key) -> PolicyParams:
        """Fresh parameters with identity scales; the learner sets the scales and the goal. The key is consumed."""
        ones = jnp.ones(self.state_size)
        return PolicyParams(self.net.init(key), 0 * ones, ones, jnp.zeros(self.position_size))

    def features(self, params: PolicyParams, state: Float[Array, "*b S"]) -> Float[Array, "*b F"]:
        """What the network is given of a state."""
        z = (state - params.mean) / params.std
        # Normalised positions reach about +-2; halving keeps the lowest octave's period above the whole range.
        position = fourier_features(z[..., : self.position_size] / 2, self._octaves)
        return jnp.concatenate([z[..., self.position_size :], position], axis=-1)

    def begin(self, params: PolicyParams, state: Float[Array, " S"]) -> Float[Array, " S"]:
        """The state itself."""
        return state

    def act(self, params: PolicyParams, memory: Float[Array, "*b S"]) -> Float[Array, "*b A"]:
        """The action in the state ``memory``."""
        return jnp.tanh(self.net.apply(params.net, self.features(params, memory)))

    def observe(
        self,
        params: PolicyParams,
        memory: Float[Array, " S"],
        action: Float[Array, " A"],
        following: Float[Array, " S"],
    ) -> Float[Array, " S"]:
        """The state that followed."""
        return following
