"""Frames that learned models predict in: the world's own, or the heading frame of a robot that floats or walks.

    local(s, r) = s seen from r,    world(local(s, r), r) = s,    r = reference(s)

What a walking robot does depends neither on where it is nor on where it faces; in its heading frame a model need not learn that.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float


@runtime_checkable
class Frame(Protocol):
    """Maps states to the frame of a reference and back."""

    def reference(self, state: Float[Array, "*b S"]) -> Any:
        """What a state is seen from."""

    def local(self, state: Float[Array, "*b S"], reference: Any) -> Float[Array, "*b S"]:
        """The state as seen from a reference."""

    def world(self, local: Float[Array, "*b S"], reference: Any) -> Float[Array, "*b S"]:
        """The inverse of ``local``."""

    def point(self, position: Float[Array, "*b P"], reference: Any) -> Float[Array, "*b P"]:
        """A position of the world, ``P >= 2`` with x and y first, as seen from a reference."""


class WorldFrame:
    """The identity: states as they are."""

    def reference(self, state: Float[Array, "*b S"]) -> tuple:
        """Nothing."""
        return ()

    def local(self, state: Float[Array, "*b S"], reference: tuple) -> Float[Array, "*b S"]:
        """The state."""
        return state

    def world(self, local: Float[Array, "*b S"], reference: tuple) -> Float[Array, "*b S"]:
        """The state."""
        return local

    def point(self, position: Float[Array, "*b P"], reference: tuple) -> Float[Array, "*b P"]:
        """The position."""
        return position


class Heading(NamedTuple):
    """Where a robot is and faces: ``position [2]`` m, cosine and sine of psi / 2."""

    position: Float[Array, "*b 2"]
    half: Float[Array, "*b 2"]


class HeadingFrame:
    """The frame of a free body, for states that begin with its ``x, y, z, q (w, x, y, z)``.

        state = [x, y, z, q, joints | v (world), omega (body), joint rates],    psi = 2 atan2(q_z, q_w)
        local(s) = s moved to x = y = 0 and turned by -psi about z

    psi is the twist of q about the vertical; what is left of q has no z and is smooth up to upside down.
    """

    def __init__(self, state_size: int) -> None:
        """For states of ``nq`` positions, of which 7 are the body's, and ``nq - 1`` rates: ``state_size = 2 nq - 1``."""
        self.state_size, self._rates = state_size, (state_size + 1) // 2

    def reference(self, state: Float[Array, "*b S"]) -> Heading:
        """Position and heading; upside down the heading is kept at 0."""
        twist = state[..., jnp.array([3, 6])]
        size = jnp.sqrt((twist**2).sum(-1, keepdims=True) + 1e-12)
        return Heading(state[..., :2], jnp.where(size > 1e-3, twist / size, jnp.array([1.0, 0.0], twist.dtype)))

    def local(self, state: Float[Array, "*b S"], reference: Heading) -> Float[Array, "*b S"]:
        """The state seen from a heading; its quaternion is normalised."""
        c, s = reference.half[..., 0], reference.half[..., 1]
        return self._turned(state.at[..., :2].add(-reference.position), c, -s)

    def world(self, local: Float[Array, "*b S"], reference: Heading) -> Float[Array, "*b S"]:
        """The inverse of ``local``."""
        c, s = reference.half[..., 0], reference.half[..., 1]
        return self._turned(local, c, s).at[..., :2].add(reference.position)

    def point(self, position: Float[Array, "*b P"], reference: Heading) -> Float[Array, "*b P"]:
        """The position, moved and turned; a third coordinate stays."""
        c, s = reference.half[..., 0], -reference.half[..., 1]
        moved = position.at[..., :2].add(-reference.position)
        return jnp.concatenate([_rotated(moved[..., :2], c, s), moved[..., 2:]], axis=-1)

    def _turned(self, state: Array, c: Array, s: Array) -> Array:
        """The state turned by psi about z, ``(c, s)`` being cosine and sine of psi / 2."""
        at = self._rates
        w, x, y, z = (state[..., i] for i in range(3, 7))
        quaternion = jnp.stack([c * w - s * z, c * x - s * y, c * y + s * x, c * z + s * w], axis=-1)
        quaternion = quaternion / jnp.sqrt((quaternion**2).sum(-1, keepdims=True) + 1e-12)
        return jnp.concatenate(
            [
                _rotated(state[..., :2], c, s),
                state[..., 2:3],
                quaternion,
                state[..., 7:at],
                _rotated(state[..., at : at + 2], c, s),
                state[..., at + 2 :],
            ],
            axis=-1,
        )


def _rotated(plane: Array, c: Array, s: Array) -> Array:
    """Vectors ``[..., 2]`` turned by psi, ``(c, s)`` being cosine and sine of psi / 2."""
    cosine, sine = c * c - s * s, 2 * s * c
    a, b = plane[..., 0], plane[..., 1]
    return jnp.stack([cosine * a - sine * b, sine * a + cosine * b], axis=-1)
