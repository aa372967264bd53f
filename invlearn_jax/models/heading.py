"""Forward models of a walking robot in its own heading frame: what it does does not depend on where it is or faces.

    state = [x, y, z, q (w, x, y, z), joints | v (world), omega (body), joint rates]
    local(s) = s moved to x = y = 0 and turned by -psi about z,    psi = 2 atan2(q_z, q_w)
    s[i+1 .. i+c] = world(local(s[i]) + scale * net(local(s[i]), a[i .. i+c-1]); s[i])

psi is the twist of q about the vertical; what is left of q has no z and is smooth up to upside down.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.models.sequence import SequenceModel, SequenceParams


class Heading(NamedTuple):
    """Where a robot is and faces: ``position [2]`` m, cosine and sine of psi / 2."""

    position: Float[Array, "*b 2"]
    half: Float[Array, "*b 2"]


class HeadingFrame:
    """To and from the frame of a floating body, for states ``[qpos, qvel]`` as in the module's equation."""

    def __init__(self, state_size: int) -> None:
        """For states of ``nq`` positions, of which 7 are the body's, and ``nq - 1`` rates: ``state_size = 2 nq - 1``."""
        self.state_size, self._rates = state_size, (state_size + 1) // 2

    def heading(self, state: Float[Array, "*b S"]) -> Heading:
        """Position and heading; upside down the heading is kept at 0."""
        twist = state[..., jnp.array([3, 6])]
        size = jnp.sqrt((twist**2).sum(-1, keepdims=True) + 1e-12)
        return Heading(state[..., :2], jnp.where(size > 1e-3, twist / size, jnp.array([1.0, 0.0], state.dtype)))

    def local(self, state: Float[Array, "*b S"], heading: Heading) -> Float[Array, "*b S"]:
        """The state seen from a heading; its quaternion is normalised."""
        c, s = heading.half[..., 0], heading.half[..., 1]
        moved = state.at[..., :2].add(-heading.position)
        return self._turned(moved, c, -s)

    def world(self, local: Float[Array, "*b S"], heading: Heading) -> Float[Array, "*b S"]:
        """The inverse of ``local``."""
        c, s = heading.half[..., 0], heading.half[..., 1]
        turned = self._turned(local, c, s)
        return turned.at[..., :2].add(heading.position)

    def _turned(self, state: Array, c: Array, s: Array) -> Array:
        """The state turned by psi about z, ``(c, s)`` being cosine and sine of psi / 2."""
        cosine, sine = c * c - s * s, 2 * s * c
        at = self._rates
        w, x, y, z = (state[..., i] for i in range(3, 7))
        quaternion = jnp.stack([c * w - s * z, c * x - s * y, c * y + s * x, c * z + s * w], axis=-1)
        quaternion = quaternion / jnp.sqrt((quaternion**2).sum(-1, keepdims=True) + 1e-12)

        def plane(i: int) -> Array:
            a, b = state[..., i], state[..., i + 1]
            return jnp.stack([cosine * a - sine * b, sine * a + cosine * b], axis=-1)

        return jnp.concatenate(
            [plane(0), state[..., 2:3], quaternion, state[..., 7:at], plane(at), state[..., at + 2 :]], axis=-1
        )


class HeadingModel(SequenceModel):
    """A ``SequenceModel`` in the heading frame of each chunk's first state; see the module's equation."""

    gradient: Literal["reverse", "forward", "none"] = "reverse"

    def __init__(
        self, state_size: int, action_size: int, dt: float, chunk: int = 1, hidden: Sequence[int] = (256, 256)
    ) -> None:
        """Describes the model; see ``SequenceModel``."""
        super().__init__(state_size, action_size, dt, chunk, hidden)
        self.frame = HeadingFrame(state_size)

    def predict(
        self, params: SequenceParams, state: Float[Array, " S"], actions: Float[Array, "c A"]
    ) -> Float[Array, "c S"]:
        """The next ``chunk`` states."""
        heading = self.frame.heading(state)
        local = super().predict(params, self.frame.local(state, heading), actions)
        return jax.vmap(lambda following: self.frame.world(following, heading))(local)

    def seen(self, state: Float[Array, "*b S"], reference: Float[Array, "*b S"]) -> Float[Array, "*b S"]:
        """The state in the heading frame of the reference."""
        return self.frame.local(state, self.frame.heading(reference))
