"""Inverse dynamics: which action leads from a state to the state ``gap`` steps later.

    a_t = f(clip(s_t, -limits, limits), s_{t+gap}),

by regression, or as a mixture of Gaussians over a_t. What the network sees are the task's features of s_t, and the change up to
s_{t+gap} in the task's frame. The clip is the task's own, where its world clips a state before each step (a limit of speed,
say), a kink that a network would round off. Several actions, or none, may explain a pair: a wall takes whatever force it is
pressed with, redundant actuators share theirs, and over a gap only the sum of the actions shows. Regression then answers with a
middle that nobody chose; the mixture says so by its spread, the ``ambiguity``.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.networks import fourier_features, fourier_size, mlp
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key, Params

_LOG_SCALE = (-7.0, 1.0)  # of a component; narrower ones make the likelihood of exact data unbounded


class InverseDynamicsParams(NamedTuple):
    """Parameters of an inverse dynamics model.

    Attributes:
        net: the network's weights; the only part that is trained.
        mean: ``[F]`` of the states' features.
        std: ``[F]`` of the states' features.
        delta: ``[S]`` root mean square of ``s_{t+gap} - s_t``, in the frame of ``s_t``.
    """

    net: Params
    mean: Float[Array, " F"]
    std: Float[Array, " F"]
    delta: Float[Array, " S"]


class Mixture(NamedTuple):
    """M Gaussians over an action: ``weights [M]``, ``means [M, A]``, ``scales [M, A]``."""

    weights: Float[Array, " M"]
    means: Float[Array, "M A"]
    scales: Float[Array, "M A"]


class InverseDynamics:
    """``f(s_t, s_{t+gap}) -> a_t`` of the module's equation."""

    def __init__(
        self, task: Task, gap: int = 1, components: int = 1, hidden: Sequence[int] = (256, 256), octaves: int = 5
    ) -> None:
        """Describes the model; ``init`` makes its parameters.

        Args:
            task: whose actions are found, as shares of their box.
            gap: steps between the two states.
            components: M; 1 is regression, more are a mixture.
            hidden: widths of the MLP.
            octaves: Fourier features of the task's leading ``fourier_size`` features.

        Raises:
            ValueError: for a gap or a number of components below 1, or a task whose ``state_limits`` are not S numbers above 0.
        """
        if gap < 1 or components < 1:
            raise ValueError(f"gap is {gap}, components is {components}; give at least 1 of each.")
        limits = np.full(task.state_size, np.inf) if task.state_limits is None else np.asarray(task.state_limits)
        if limits.shape != (task.state_size,) or not (limits > 0).all():
            raise ValueError(
                f"state_limits of {task.name} are {limits.tolist()}; give {task.state_size} numbers above 0, infinity where "
                "nothing is clipped."
            )
        self.task, self.gap, self.components = task, gap, components
        self.action_size, self._position, self._octaves = task.action_size, task.fourier_size, octaves
        self._limits = limits.astype(np.float32)
        state = jax.ShapeDtypeStruct((task.state_size,), float)
        self.feature_size = jax.eval_shape(task.local_features, state).shape[0]
        seen = self.feature_size - self._position + fourier_size(self._position, octaves)
        outputs = task.action_size if components == 1 else components * (1 + 2 * task.action_size)
        self._net = mlp(seen + task.state_size, hidden, outputs, final_scale=0.1, skip=True)

    def init(self, key: Key) -> InverseDynamicsParams:
        """Fresh parameters with identity scales; the learner sets the scales from data. The key is consumed."""
        ones = jnp.ones(self.feature_size)
        return InverseDynamicsParams(self._net.init(key), 0 * ones, ones, jnp.ones(self.task.state_size))

    def seen(self, state: Float[Array, "*b S"], reference: Float[Array, "*b S"]) -> Float[Array, "*b S"]:
        """The state in the frame of a reference state, in which changes are measured."""
        return self.task.frame.local(state, self.task.frame.reference(reference))

    def _outputs(self, params: InverseDynamicsParams, state: Array, following: Array) -> Array:
        state = jnp.clip(state, -self._limits, self._limits)
        here = self.seen(state, state)
        z = (self.task.features(here) - params.mean) / params.std
        position = fourier_features(z[: self._position] / 2, self._octaves)
        x = jnp.concatenate([z[self._position :], position, (self.seen(following, state) - here) / params.delta])
        return self._net.apply(params.net, x)

    def mixture(
        self, params: InverseDynamicsParams, state: Float[Array, " S"], following: Float[Array, " S"]
    ) -> Mixture:
        """The mixture over the action.

        Raises:
            ValueError: for a model of one component, which is a regression.
        """
        if self.components == 1:
            raise ValueError("This inverse dynamics model is a regression; give components=2 or more for a mixture.")
        y = self._outputs(params, state, following).reshape(self.components, 1 + 2 * self.action_size)
        weights, means, raw = y[:, 0], y[:, 1 : 1 + self.action_size], y[:, 1 + self.action_size :]
        low, high = _LOG_SCALE
        return Mixture(jax.nn.softmax(weights), means, jnp.exp(low + (high - low) * jax.nn.sigmoid(raw)))

    def __call__(
        self, params: InverseDynamicsParams, state: Float[Array, " S"], following: Float[Array, " S"]
    ) -> Float[Array, " A"]:
        """The action: the regression's, or the mean of the most likely component."""
        if self.components == 1:
            return self._outputs(params, state, following)
        found = self.mixture(params, state, following)
        return found.means[jnp.argmax(found.weights)]

    def ambiguity(
        self, params: InverseDynamicsParams, state: Float[Array, " S"], following: Float[Array, " S"]
    ) -> Float[Array, " A"]:
        """``sqrt(sum_m w_m (sigma_m^2 + mu_m^2) - (sum_m w_m mu_m)^2)``: standard deviation of each action given the pair."""
        found = self.mixture(params, state, following)
        centre = found.weights @ found.means
        return jnp.sqrt(found.weights @ (found.scales**2 + (found.means - centre) ** 2))

    def log_likelihood(
        self,
        params: InverseDynamicsParams,
        state: Float[Array, " S"],
        following: Float[Array, " S"],
        action: Float[Array, " A"],
    ) -> Float[Array, ""]:
        """``log sum_m w_m N(a; mu_m, sigma_m^2)``."""
        found = self.mixture(params, state, following)
        each = jax.scipy.stats.norm.logpdf(action, found.means, found.scales).sum(-1)
        return jax.nn.logsumexp(each, b=found.weights)
