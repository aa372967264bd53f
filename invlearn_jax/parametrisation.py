"""What Inverters put out and refiners move: latents ``[L, C]`` in a box, decoded to actions ``[T, A]`` in the task's units."""

from typing import Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.types import Key, Params, Problem


@runtime_checkable
class Parametrisation(Protocol):
    """A map from latents to actions. Latents lie in ``[-limit, limit]``, which may be infinite."""

    length: int
    size: int
    limit: float

    def decode(self, latents: Float[Array, "L C"]) -> Float[Array, "T A"]:
        """Actions in the task's units."""

    def encode(self, actions: Float[Array, "T A"]) -> Float[Array, "L C"]:
        """Latents whose actions are those given, or the nearest there are."""


@runtime_checkable
class Latents(Protocol):
    """What an Inverter may be besides: one that proposes latents, which a planner refines in place of actions."""

    parametrisation: Parametrisation

    def latents(self, params: Params, key: Key, problem: Problem, num: int) -> Float[Array, "K L C"]:
        """Draws ``num`` latent sequences for one problem. The key is consumed."""


class Box:
    """One latent for each action: ``a = middle + half u``, u in [-1, 1]."""

    limit = 1.0

    def __init__(self, low: np.ndarray, high: np.ndarray, horizon: int) -> None:
        """For actions within ``low [A]`` and ``high [A]`` over a horizon of T steps.

        Raises:
            ValueError: for a bound that is not finite, or a lower one that is not below the upper one.
        """
        low, high = np.asarray(low, float), np.asarray(high, float)
        if low.shape != high.shape or not np.isfinite([low, high]).all() or not (low < high).all():
            raise ValueError(
                f"Actions lie between {low.tolist()} and {high.tolist()}; give finite bounds, low below high."
            )
        self.length, self.size = horizon, len(low)
        # Most worlds act in [-1, 1], where a plan should not even be rounded.
        self._plain = bool((low == -1).all() and (high == 1).all())
        self._middle, self._half = (low + high) / 2, (high - low) / 2

    def decode(self, latents: Float[Array, "*b A"]) -> Float[Array, "*b A"]:
        """Actions in the task's units."""
        return latents if self._plain else jnp.asarray(self._middle + self._half * latents, latents.dtype)

    def encode(self, actions: Float[Array, "*b A"]) -> Float[Array, "*b A"]:
        """The actions as shares of the box, -1 to 1."""
        return actions if self._plain else jnp.asarray((actions - self._middle) / self._half, actions.dtype)


class Spline:
    """Coefficients of a cubic B-spline over the horizon: fewer numbers, and actions that bend slowly.

    a_t = middle + half sum_j B_j(t) u_j,    sum_j B_j = 1, so that actions stay in the box
    """

    limit = 1.0

    def __init__(self, low: np.ndarray, high: np.ndarray, horizon: int, knots: int) -> None:
        """For actions within ``low [A]`` and ``high [A]`` over T steps, by ``knots`` coefficients each.

        Raises:
            ValueError: for fewer than 4 coefficients, or more than steps.
        """
        if not 4 <= knots <= horizon:
            raise ValueError(f"knots is {knots}; a cubic spline over {horizon} steps takes 4 to {horizon}.")
        self._box = Box(low, high, horizon)
        self.length, self.size = knots, self._box.size
        at = np.linspace(0, knots - 3, horizon)
        index = np.minimum(at.astype(int), knots - 4)
        u = at - index
        weights = np.stack([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3], axis=1) / 6
        basis = np.zeros((horizon, knots))
        for offset in range(4):
            basis[np.arange(horizon), index + offset] = weights[:, offset]
        self._basis, self._inverse = basis, np.linalg.pinv(basis)

    def decode(self, latents: Float[Array, "L A"]) -> Float[Array, "T A"]:
        """Actions in the task's units."""
        return self._box.decode(jnp.asarray(self._basis, latents.dtype) @ latents)

    def encode(self, actions: Float[Array, "T A"]) -> Float[Array, "L A"]:
        """The coefficients of the spline that is nearest to the actions in the sense of least squares, within the box."""
        return jnp.clip(jnp.asarray(self._inverse, actions.dtype) @ self._box.encode(actions), -1.0, 1.0)
