"""Inverse dynamics: which action leads from a state to the state ``gap`` steps later.

    a_t = f(clip(s_t, -limits, limits), s_{t+gap}),

by regression, or as a mixture of Gaussians over a_t. The clip is the environment's own, where it has one: D4RL's maze2d clips
the speed before each step, a kink that a network would round off. Several actions, or none, may explain a pair: a wall takes
whatever force it is pressed with, redundant actuators share theirs, and over a gap only the sum of the actions shows.
Regression then answers with a middle that nobody chose; the mixture says so by its spread, the ``ambiguity``.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.networks import fourier_features, fourier_size, mlp
from invlearn_jax.types import Key, Params

_LOG_SCALE = (-7.0, 1.0)  # of a component; narrower ones make the likelihood of exact data unbounded


class InverseDynamicsParams(NamedTuple):
    """Parameters of an inverse dynamics model.

    Attributes:
        net: the network's weights; the only part that is trained.
        mean: ``[S]`` of the states.
        std: ``[S]`` of the states.
        delta: ``[S]`` root mean square of ``s_{t+gap} - s_t``.
    """

    net: Params
    mean: Float[Array, " S"]
    std: Float[Array, " S"]
    delta: Float[Array, " S"]


class Mixture(NamedTuple):
    """M Gaussians over an action: ``weights [M]``, ``means [M, A]``, ``scales [M, A]``."""

    weights: Float[Array, " M"]
    means: Float[Array, "M A"]
    scales: Float[Array, "M A"]


class InverseDynamics:
    """``f(s_t, s_{t+gap}) -> a_t`` of the module's equation."""

    def __init__(
        self,
        state_size: int,
        action_size: int,
        gap: int = 1,
        components: int = 1,
        hidden: Sequence[int] = (256, 256),
        position_size: int = 0,
        octaves: int = 5,
        limits: Sequence[float] | None = None,
    ) -> None:
        """Describes the model; ``init`` makes its parameters.

        Args:
            state_size: S.
            action_size: A.
            gap: steps between the two states.
            components: M; 1 is regression, more are a mixture.
            hidden: widths of the MLP.
            position_size: how many leading state dimensions get Fourier features (those in which walls stand).
            octaves: frequencies of these features.
            limits: S numbers above 0, in the state's units: the environment clips a state to ``[-limits, limits]`` before it
                steps. Infinity where it does not; None if nowhere.

        Raises:
            ValueError: for a gap or a number of components below 1, or limits that are not S numbers above 0.
        """
        if gap < 1 or components < 1:
            raise ValueError(f"gap is {gap}, components is {components}; give at least 1 of each.")
        limits = (np.inf,) * state_size if limits is None else tuple(limits)
        if len(limits) != state_size or not all(x > 0 for x in limits):
            raise ValueError(
                f"limits are {limits}; give {state_size} numbers above 0, infinity where nothing is clipped."
            )
        self.state_size, self.action_size, self.gap, self.components = state_size, action_size, gap, components
        self._position, self._octaves, self._limits = position_size, octaves, np.array(limits, np.float32)
        features = 2 * state_size - position_size + fourier_size(position_size, octaves)
        outputs = action_size if components == 1 else components * (1 + 2 * action_size)
        self._net = mlp(features, hidden, outputs, final_scale=0.1, skip=True)

    def init(self, key: Key) -> InverseDynamicsParams:
        """Fresh parameters with identity scales; the learner sets the scales from data. The key is consumed."""
        ones = jnp.ones(self.state_size)
        return InverseDynamicsParams(self._net.init(key), 0 * ones, ones, ones)

    def _outputs(self, params: InverseDynamicsParams, state: Array, following: Array) -> Array:
        state = jnp.clip(state, -self._limits, self._limits)
        z = (state - params.mean) / params.std
        position = fourier_features(z[: self._position] / 2, self._octaves)
        x = jnp.concatenate([z[self._position :], position, (following - state) / params.delta])
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
