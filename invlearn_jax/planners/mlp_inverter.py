"""The Inverter: state and goal in, the whole action sequence out, in one forward pass.

a[0:T] = limit * tanh(net([features(x), v, features(g)]))
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from invlearn_jax.inputs import as_problem, float_type
from invlearn_jax.models.coverage import CELLS, cell_coordinates, within_scales
from invlearn_jax.networks import fourier_features, fourier_size, mlp
from invlearn_jax.parametrisation import Box
from invlearn_jax.types import Key, Params, Problem


class InverterParams(NamedTuple):
    """Parameters of an Inverter.

    Attributes:
        net: the network's weights; the only part that is trained.
        centre: ``[P]`` of the box that the training data's positions fill.
        half: ``[P]`` its half-widths.
        scale: ``[R]`` size of the state entries that are no position.
        visited: ``[G, ..., G]`` which cells of ``models.coverage`` the training data were in.
    """

    net: Params
    centre: Float[Array, " P"]
    half: Float[Array, " P"]
    scale: Float[Array, " R"]
    visited: Bool[Array, "..."]


class MlpInverter:
    """An MLP Inverter for states ``[position [P], rest [R]]`` and goals ``[P]``; see the module's equation."""

    def __init__(
        self,
        state_size: int,
        action_size: int,
        horizon: int,
        position_size: int = 2,
        hidden: Sequence[int] = (256, 256, 256),
        octaves: int = 5,
        spread: float = 0.3,
    ) -> None:
        """Describes the network.

        Args:
            state_size: S = P + R.
            action_size: A; actions lie in [-1, 1].
            horizon: T.
            position_size: P.
            hidden: widths of the MLP.
            octaves: Fourier features of position and goal.
            spread: standard deviation of the second and further candidates around the first, held for T/8 steps.
        """
        self.state_size, self.action_size, self.horizon = state_size, action_size, horizon
        self.parametrisation = Box(-np.ones(action_size), np.ones(action_size), horizon)
        self.position_size, self._octaves, self._spread = position_size, octaves, spread
        features = 2 * fourier_size(position_size, octaves) + state_size - position_size
        # A small last layer: saturated early outputs stop depending on the goal.
        self._net = mlp(features, hidden, horizon * action_size, final_scale=1e-2)

    def init(self, key: Key) -> InverterParams:
        """Fresh parameters; the learner sets the scales. The key is consumed."""
        ones = jnp.ones(self.position_size)
        everywhere = jnp.ones((CELLS,) * self.position_size, bool)
        rest = jnp.ones(self.state_size - self.position_size)
        return InverterParams(self._net.init(key), 0 * ones, ones, rest, everywhere)

    def covers(self, params: InverterParams, problem: Problem) -> Bool[Array, ""]:
        """Whether position and goal lie where the training data were (``visited``), the rest within 10 times its ``scale``.

        Raises:
            ValueError: for a state or goal of the wrong size.
        """
        self._check(problem)
        places = jnp.stack([problem.state[: self.position_size], problem.goal])
        cell = jnp.round(cell_coordinates(places, params.centre, params.half)).astype(int)
        inside = (cell >= 0) & (cell < CELLS)
        near = within_scales(problem.state[self.position_size :], 0.0, params.scale).all()
        return near & inside.all() & params.visited[tuple(jnp.clip(cell, 0, CELLS - 1).T)].all()

    def _check(self, problem: Problem) -> None:
        for name, given, size in (
            ("state", problem.state, self.state_size),
            ("goal", problem.goal, self.position_size),
        ):
            if jnp.shape(given) != (size,):
                raise ValueError(
                    f"The {name} has shape {jnp.shape(given)}; this Inverter takes ({size},). "
                    "Give one problem, and use jax.vmap for a batch."
                )

    def logits(self, params: InverterParams, problem: Problem) -> Float[Array, "T A"]:
        """The network's output before tanh.

        Raises:
            ValueError: for a state or goal of the wrong size.
        """
        self._check(problem)
        size = self.position_size
        position = fourier_features((problem.state[:size] - params.centre) / params.half, self._octaves)
        goal = fourier_features((problem.goal - params.centre) / params.half, self._octaves)
        x = jnp.concatenate([position, problem.state[size:] / params.scale, goal])
        return self._net.apply(params.net, x).reshape(self.horizon, self.action_size)

    def propose(self, params: InverterParams, key: Key, problem: Problem, num: int) -> Float[Array, "K T A"]:
        """``num`` sequences: the network's own first, then noisy copies. The key is consumed."""
        problem = as_problem(problem, float_type(params))
        return with_copies(key, jnp.tanh(self.logits(params, problem)), num, self._spread)


def with_copies(key: Key, actions: Float[Array, "T A"], num: int, spread: float) -> Float[Array, "K T A"]:
    """A sequence and ``num - 1`` noisy copies.

    Args:
        key: consumed.
        actions: the sequence.
        num: K.
        spread: standard deviation of the noise, held for T/8 steps.

    Returns:
        The sequences, within [-1, 1].
    """
    if num == 1:
        return actions[None]
    horizon, size = actions.shape
    knots = jax.random.normal(key, (num - 1, min(8, horizon), size), actions.dtype)
    held = jnp.repeat(knots, -(-horizon // knots.shape[1]), axis=1)[:, :horizon]
    return jnp.concatenate([actions[None], jnp.clip(actions + spread * held, -1.0, 1.0)])
