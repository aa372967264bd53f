"""Forward models that predict ``chunk`` steps per network call, from one-step to one-shot, for any task.

    l = local(s_i),    l_{i+1 .. i+c} = l + delta * net([features(l), a_i .. a_{i+c-1}]),    s_{i+j} = world(l_{i+j})

``chunk = 1`` is the one-step residual model, ``chunk = T`` the one-shot sequence model whose cost does not grow with T in
sequential steps. In between, a chunk trades the length of the chain against the width of one call. Features and frame are the
task's.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.inputs import Numbers, as_floats
from invlearn_jax.networks import fourier_features, fourier_size, gridded_mlp
from invlearn_jax.parametrisation import Box
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key, Params

_SPAN = 1.9  # deviations of the positions on each side of their mean that grids span; an even spread has 1.73


class ChunkedParams(NamedTuple):
    """Parameters of a chunked model.

    Attributes:
        net: the network's weights; the only part that is trained.
        mean: ``[F]`` of the features.
        std: ``[F]`` of the features.
        delta: ``[c, S]`` root mean square of ``local(s_{i+j}) - local(s_i)``, j = 1 .. c.
    """

    net: Params
    mean: Float[Array, " F"]
    std: Float[Array, " F"]
    delta: Float[Array, "c S"]


class ChunkedModel:
    """A learned forward model that unrolls in chunks; see the module's equation."""

    gradient: Literal["reverse", "forward", "none"] = "reverse"

    def __init__(
        self,
        task: Task,
        chunk: int = 4,
        hidden: Sequence[int] = (256, 256),
        octaves: int = 6,
        cells: Sequence[int] = (),
    ) -> None:
        """Describes the model; ``init`` makes its parameters.

        Args:
            task: whose states are predicted.
            chunk: steps per network call.
            hidden: widths of the MLP.
            octaves: frequencies of the Fourier features of the task's leading ``fourier_size`` features.
            cells: points per axis of grids of learned features of these; see ``networks.gridded``.

        Raises:
            ValueError: for a chunk below 1, or grids for a task without such features.
        """
        if chunk < 1:
            raise ValueError(f"chunk is {chunk}; give at least 1 step per network call.")
        self.task, self.dt, self.chunk = task, task.dt, chunk
        self.state_size, self.action_size = task.state_size, task.action_size
        self._octaves, self._position = octaves, task.fourier_size
        self._box = Box(task.action_low, task.action_high, task.horizon)
        self.feature_size = jax.eval_shape(task.local_features, jax.ShapeDtypeStruct((task.state_size,), float)).shape[
            0
        ]
        size = self.feature_size - self._position + fourier_size(self._position, octaves)
        inputs, outputs = size + chunk * task.action_size, chunk * task.state_size
        self._net = gridded_mlp(inputs, hidden, outputs, cells, 1, self._position, skip=True)

    def init(self, key: Key) -> ChunkedParams:
        """Fresh parameters with identity scales; the learner sets the scales from data. The key is consumed."""
        ones = jnp.ones(self.feature_size)
        return ChunkedParams(self._net.init(key), 0 * ones, ones, jnp.ones((self.chunk, self.state_size)))

    def seen(self, state: Float[Array, "*b S"], reference: Float[Array, "*b S"]) -> Float[Array, "*b S"]:
        """The state in the frame of a reference state, in which scales are fitted and errors measured."""
        return self.task.frame.local(state, self.task.frame.reference(reference))

    def predict(
        self, params: ChunkedParams, state: Float[Array, " S"], actions: Float[Array, "c A"]
    ) -> Float[Array, "c S"]:
        """The next ``chunk`` states."""
        frame = self.task.frame
        reference = frame.reference(state)
        local = frame.local(state, reference)
        z = (self.task.features(local) - params.mean) / params.std
        # Normalised positions reach about +-2; halving keeps the lowest octave's period above the whole range.
        position = fourier_features(z[: self._position] / 2, self._octaves)
        x = jnp.concatenate([z[self._position :], position, self._box.encode(actions).reshape(-1)])
        change = self._net.apply(params.net, x, z[None, : self._position] / _SPAN)
        following = local + params.delta * change.reshape(self.chunk, self.state_size)
        return jax.vmap(lambda s: frame.world(s, reference))(following)

    def unroll(self, params: ChunkedParams, state: Numbers, actions: Numbers) -> Float[Array, "T1 S"]:
        """The states ``[T+1, S]`` under ``actions [T, A]``, in the parameters' floating type.

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
