"""Forward models that predict ``chunk`` steps per network call, from one-step to one-shot.

    states[i+1 .. i+c] = states[i] + scale * net(features(states[i]), actions[i .. i+c-1]),    i = 0, c, 2c, ...

``chunk = 1`` is the one-step residual model, ``chunk = T`` the one-shot sequence model whose cost does not grow with T in
sequential steps. In between, a chunk trades the length of the chain against the width of one call.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.inputs import Numbers, as_floats
from invlearn_jax.networks import fourier_features, fourier_size, mlp
from invlearn_jax.types import Key, Params


class SequenceParams(NamedTuple):
    """Parameters of a sequence model.

    Attributes:
        net: the network's weights; the only part that is trained.
        mean: ``[S]`` of the states.
        std: ``[S]`` of the states.
        delta: ``[c, S]`` root mean square of ``states[i+j] - states[i]``, j = 1 .. c.
    """

    net: Params
    mean: Float[Array, " S"]
    std: Float[Array, " S"]
    delta: Float[Array, "c S"]


class SequenceModel:
    """A learned forward model that unrolls in chunks; see the module's equation."""

    gradient: Literal["reverse", "forward", "none"] = "reverse"

    def __init__(
        self,
        state_size: int,
        action_size: int,
        dt: float,
        chunk: int = 4,
        hidden: Sequence[int] = (256, 256),
        position_size: int = 0,
        octaves: int = 6,
    ) -> None:
        """Describes the model; ``init`` makes its parameters.

        Args:
            state_size: S.
            action_size: A.
            dt: seconds per step.
            chunk: steps per network call.
            hidden: widths of the MLP.
            position_size: how many leading state dimensions get Fourier features (those in which walls stand).
            octaves: frequencies of these features.

        Raises:
            ValueError: for a chunk below 1.
        """
        if chunk < 1:
            raise ValueError(f"chunk is {chunk}; give at least 1 step per network call.")
        self.state_size, self.action_size, self.dt, self.chunk = state_size, action_size, dt, chunk
        self._position, self._octaves = position_size, octaves
        features = state_size - position_size + fourier_size(position_size, octaves) + chunk * action_size
        self._net = mlp(features, hidden, chunk * state_size, skip=True)

    def init(self, key: Key) -> SequenceParams:
        """Fresh parameters with identity scales; the learner sets the scales from data. The key is consumed."""
        ones = jnp.ones(self.state_size)
        return SequenceParams(self._net.init(key), 0 * ones, ones, jnp.ones((self.chunk, self.state_size)))

    def seen(self, state: Float[Array, "*b S"], reference: Float[Array, "*b S"]) -> Float[Array, "*b S"]:
        """The state in the frame of the reference, in which scales are fitted and errors measured: here the world's own."""
        return state

    def predict(
        self, params: SequenceParams, state: Float[Array, " S"], actions: Float[Array, "c A"]
    ) -> Float[Array, "c S"]:
        """The next ``chunk`` states."""
        z = (state - params.mean) / params.std
        # Normalised positions reach about +-2; halving keeps the lowest octave's period above the whole range.
        position = fourier_features(z[: self._position] / 2, self._octaves)
        x = jnp.concatenate([z[self._position :], position, actions.reshape(-1)])
        return state + params.delta * self._net.apply(params.net, x).reshape(self.chunk, self.state_size)

    def unroll(self, params: SequenceParams, state: Numbers, actions: Numbers) -> Float[Array, "T1 S"]:
        """The states ``[T+1, S]`` under ``actions [T, A]``, both cast to the parameters' floating type.

        Raises:
            ValueError: if T is not a multiple of the chunk.
        """
        state, actions = as_floats(params, state, actions)
        horizon = actions.shape[0]
        if horizon % self.chunk:
            raise ValueError(
                f"The horizon is {horizon} steps; this model predicts in chunks of {self.chunk}, give a multiple."
            )

        def step(state: Array, chunk: Array) -> tuple[Array, Array]:
            states = self.predict(params, state, chunk)
            return states[-1], states

        chunks = actions.reshape(horizon // self.chunk, self.chunk, self.action_size)
        states = jax.lax.scan(step, state, chunks)[1].reshape(horizon, self.state_size)
        return jnp.concatenate([state[None], states])
