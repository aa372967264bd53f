"""The Inverter: state and goal in, the whole action sequence out, in one forward pass.

    u = tanh(net([features(local(s)), goal_features(s, g)])),    a[0:T] = decode(u)

Features and frame are the task's; ``decode`` scales to its actions, or blends spline coefficients (``parametrisation``).
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from invlearn_jax.inputs import as_problem, float_type
from invlearn_jax.networks import fourier_features, fourier_size, gridded_mlp
from invlearn_jax.parametrisation import Box, Parametrisation
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key, Params, Problem

# Files of parameters hold finite numbers alone.
_ANYTHING = float(jnp.finfo(jnp.float32).max)


class Scales(NamedTuple):
    """How inputs are normalised, and what was seen of them in training; all ``[F]``.

    Attributes:
        mean: subtracted.
        std: divided by.
        low: least value for which the Inverter answers.
        high: greatest one.
    """

    mean: Float[Array, " F"]
    std: Float[Array, " F"]
    low: Float[Array, " F"]
    high: Float[Array, " F"]


class NetworkParams(NamedTuple):
    """Parameters of a ``NetworkInverter``: the network's weights, which are trained, and the scales of states and goals."""

    net: Params
    state: Scales
    goal: Scales


class NetworkInverter:
    """An MLP Inverter for any task; see the module's equation."""

    def __init__(
        self,
        task: Task,
        hidden: Sequence[int] = (256, 256, 256),
        octaves: int = 5,
        parametrisation: Parametrisation | None = None,
        spread: float = 0.3,
        horizon: int | None = None,
        cells: Sequence[int] = (),
    ) -> None:
        """Describes the network.

        Args:
            task: whose problems are inverted.
            hidden: widths of the MLP.
            octaves: Fourier features of the task's leading ``fourier_size`` features, of state and goal.
            parametrisation: what the network puts out; by default one number per action.
            spread: standard deviation of the second and further candidates around the first, held for an eighth of the plan.
            horizon: T; the task's by default.
            cells: points per axis of grids of learned features of positions, of state and goal; see ``networks.gridded``.

        Raises:
            ValueError: for grids for a task without such features.
        """
        self.task, self.horizon = task, horizon or task.horizon
        self.state_size, self.action_size, self.goal_size = task.state_size, task.action_size, task.goal_size
        self.parametrisation = parametrisation or Box(task.action_low, task.action_high, self.horizon)
        self._octaves, self._spread, self._fourier = octaves, spread, task.fourier_size
        state, goal = (jax.ShapeDtypeStruct((size,), float) for size in (task.state_size, task.goal_size))
        self._state_features = jax.eval_shape(task.local_features, state).shape[0]
        self._goal_features = jax.eval_shape(task.goal_features, state, goal).shape[0]
        # Goals among walls get the features of positions too.
        self._goal_fourier = min(self._fourier, self._goal_features)
        size = sum(
            features - positions + fourier_size(positions, octaves)
            for features, positions in (
                (self._state_features, self._fourier),
                (self._goal_features, self._goal_fourier),
            )
        )
        # A small last layer: saturated early outputs stop depending on the goal.
        latents = self.parametrisation.length * self.parametrisation.size
        # Only goals of a position's size have places of their own.
        self._places = 1 + (self._goal_fourier == self._fourier)
        self._net = gridded_mlp(size, hidden, latents, cells, self._places, self._fourier, final_scale=1e-2)

    def init(self, key: Key) -> NetworkParams:
        """Fresh parameters; the learner sets the scales. The key is consumed."""

        def open_scales(size: int) -> Scales:
            ones = jnp.ones(size)
            return Scales(0 * ones, ones, -_ANYTHING * ones, _ANYTHING * ones)

        return NetworkParams(self._net.init(key), open_scales(self._state_features), open_scales(self._goal_features))

    def inputs(self, problem: Problem) -> tuple[Float[Array, " F"], Float[Array, " Fg"]]:
        """The features of state and goal.

        Raises:
            ValueError: for a state or goal of the wrong size.
        """
        for name, given, size in (
            ("state", problem.state, self.state_size),
            ("goal", problem.goal, self.goal_size),
        ):
            if jnp.shape(given) != (size,):
                raise ValueError(
                    f"The {name} has shape {jnp.shape(given)}; this Inverter takes ({size},). "
                    "Give one problem, and use jax.vmap for a batch."
                )
        return self.task.local_features(problem.state), self.task.goal_features(problem.state, problem.goal)

    def covers(self, params: NetworkParams, problem: Problem) -> Bool[Array, ""]:
        """Whether every entry of state and goal lies in the range that training saw.

        Raises:
            ValueError: for a state or goal of the wrong size.
        """
        inside = [
            ((scales.low <= x) & (x <= scales.high)).all()
            for x, scales in zip(self.inputs(problem), (params.state, params.goal), strict=True)
        ]
        return inside[0] & inside[1]

    def logits(self, params: NetworkParams, problem: Problem) -> Float[Array, "L C"]:
        """The network's output before tanh.

        Raises:
            ValueError: for a state or goal of the wrong size.
        """
        state, goal = self.inputs(problem)
        z, zg = (state - params.state.mean) / params.state.std, (goal - params.goal.mean) / params.goal.std
        p, q = self._fourier, self._goal_fourier
        x = jnp.concatenate(
            [fourier_features(z[:p], self._octaves), z[p:], fourier_features(zg[:q], self._octaves), zg[q:]]
        )
        places = jnp.stack([z[:p], zg[:q]][: self._places])
        return self._net.apply(params.net, x, places).reshape(self.parametrisation.length, self.parametrisation.size)

    def latents(self, params: NetworkParams, key: Key, problem: Problem, num: int) -> Float[Array, "K L C"]:
        """``num`` latent sequences: the network's own first, then noisy copies. The key is consumed."""
        return with_copies(key, jnp.tanh(self.logits(params, problem)), num, self._spread)

    def propose(self, params: NetworkParams, key: Key, problem: Problem, num: int) -> Float[Array, "K T A"]:
        """``num`` action sequences: the network's own first, then noisy copies. The key is consumed."""
        problem = as_problem(problem, float_type(params))
        return jax.vmap(self.parametrisation.decode)(self.latents(params, key, problem, num))


def with_copies(key: Key, latents: Float[Array, "L C"], num: int, spread: float) -> Float[Array, "K L C"]:
    """A sequence and ``num - 1`` noisy copies.

    Args:
        key: consumed.
        latents: the sequence.
        num: K.
        spread: standard deviation of the noise, held for L/8 entries.

    Returns:
        The sequences, within [-1, 1].
    """
    if num == 1:
        return latents[None]
    length, size = latents.shape
    knots = jax.random.normal(key, (num - 1, min(8, length), size))
    held = jnp.repeat(knots, -(-length // knots.shape[1]), axis=1)[:, :length]
    return jnp.concatenate([latents[None], jnp.clip(latents + spread * held, -1.0, 1.0)])
