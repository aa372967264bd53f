"""A forward model for any number of steps, from one that predicts in chunks."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.inputs import Numbers, as_floats
from invlearn_jax.models.chunked import ChunkedModel, ChunkedParams
from invlearn_jax.types import Key


class PaddedModel:
    """Holds the last action until the model's last chunk is full, and leaves out the states past the horizon."""

    def __init__(self, model: ChunkedModel) -> None:
        """Wraps a model; parameters and gradient are its own."""
        self.model, self.dt, self.gradient = model, model.dt, model.gradient

    def init(self, key: Key) -> ChunkedParams:
        """The model's fresh parameters. The key is consumed."""
        return self.model.init(key)

    def unroll(self, params: ChunkedParams, state: Numbers, actions: Numbers) -> Float[Array, "T1 S"]:
        """The states ``[T+1, S]`` under ``actions [T, A]``, for any T of at least 1."""
        state, actions = as_floats(params, state, actions)
        horizon = actions.shape[0]
        held = jnp.repeat(actions[-1:], -horizon % self.model.chunk, axis=0)
        return self.model.unroll(params, state, jnp.concatenate([actions, held]))[: horizon + 1]
