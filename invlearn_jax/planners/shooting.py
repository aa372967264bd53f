"""Inverters that have learned nothing: where model-based control starts from.

Together with a refiner they are the usual controllers: candidates alone are random shooting; with ``gradient``, gradient
shooting from zero; with ``predictive_sampling``, ``cem``, ``mppi`` or ``ilqr``, those methods as published.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

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
        """The guess or zeros, then ``num - 1`` random sequences. The key is consumed."""
        first = jnp.zeros((self.horizon, self.action_size)) if problem.guess is None else problem.guess
        drawn = jax.random.uniform(key, (num - 1, self._knots, self.action_size), minval=-1.0, maxval=1.0)
        held = jnp.repeat(drawn, -(-self.horizon // self._knots), axis=1)[:, : self.horizon]
        return jnp.concatenate([first[None], held])
