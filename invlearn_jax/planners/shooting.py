"""Inverters that have learned nothing: where model-based control starts from.

Together with a refiner they are the usual controllers: candidates alone are random shooting; with ``gradient``, gradient
shooting from zero; with ``predictive_sampling``, ``cem``, ``mppi`` or ``ilqr``, those methods as published.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.inputs import as_problem, float_type
from invlearn_jax.types import Key, Problem


class Shooting:
    """Proposes the problem's ``guess`` (zeros where it has none), then random sequences."""

    warm_start = True

    def __init__(self, horizon: int, action_size: int, knots: int = 4) -> None:
        """Describes the proposals.

        Args:
            horizon: T.
            action_size: A; actions lie in [-1, 1].
            knots: a random sequence holds this many values, uniform on [-1, 1], for T / knots steps each.
        """
        self.horizon, self.action_size, self._knots = horizon, action_size, min(knots, horizon)

    def init(self, key: Key) -> tuple:
        """No parameters; the key is ignored."""
        return ()

    def propose(self, params: tuple, key: Key, problem: Problem, num: int) -> Float[Array, "K T A"]:
        """The guess, cut to the bounds, or zeros; then ``num - 1`` random sequences. The key is consumed.

        Raises:
            ValueError: for a guess of the wrong size.
        """
        shape, dtype = (self.horizon, self.action_size), float_type(problem)
        guess = as_problem(problem, dtype).guess
        if guess is not None and guess.shape != shape:
            raise ValueError(f"The guess has shape {guess.shape}; this Inverter takes {shape}.")
        first = jnp.zeros(shape, dtype) if guess is None else jnp.clip(guess, -1.0, 1.0)
        drawn = jax.random.uniform(key, (num - 1, self._knots, self.action_size), dtype, minval=-1.0, maxval=1.0)
        held = jnp.repeat(drawn, -(-self.horizon // self._knots), axis=1)[:, : self.horizon]
        return jnp.concatenate([first[None], held])
