"""Gymnasium's running robots, version 4, as tasks.

State ``[qpos, qvel]``; cost per second, minus the environment's reward per second:

    cost = -w v_x - b + c |a|^2,    over where the robot has fallen

with the forward speed v_x at the end of the step, m/s. Networks see what the environment observes of qpos and qvel: all but x
(and y), in the world's frame, in whose x the robot is to run. Returns in records are the environment's own, with its cost of
contact forces.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.keys import streams
from invlearn_jax.tasks.adapters.gymnasium_env import GymnasiumTask
from invlearn_jax.types import Key

_FREE = 0  # mujoco.mjtJoint
_LIFT = 0.2  # m above a start that drawn states are at most


class Runner(GymnasiumTask):
    """A robot that is paid for running along x.

    Attributes:
        speed_seen: what observations clip velocities to, m/s or rad/s.
        wander: how far drawn states are from a start, as a share of the way to joints anywhere in their ranges.
    """

    horizon = 32
    speed_seen: float = np.inf
    wander: float = 0.3

    def features(self, state: Float[Array, " S"]) -> Float[Array, " F"]:
        """The leading part of the environment's observation: positions without x (and y), then clipped velocities."""
        return jnp.concatenate(
            [self.qpos(state)[self._hidden :], jnp.clip(self.qvel(state), -self.speed_seen, self.speed_seen)]
        )

    def configure(self, method: str, settings: Any) -> Any:
        """Imitation stops once three evaluations in a row are at 0.97 of the expert's return or above."""
        if method == "iq-learn":
            settings.enough = 0.97
        return settings

    def draw_state(self, key: Key) -> Float[Array, " S"]:
        """A start, lifted a little, with joints and velocities part of the way to anywhere. The key is consumed."""
        start_key, away_key, share_key, lift_key = streams(key, "start", "away", "share", "lift")
        start, away = self.reset(start_key), super().draw_state(away_key)
        share = jax.random.uniform(share_key, maxval=self.wander)
        drawn = start + share * (away - start)
        # x and the height are the first and second slide, or the first and third entry of a free body's place.
        free = self._joints[0].kind == _FREE
        height = 2 if free else 1
        drawn = drawn.at[: height + 1].set(start[: height + 1])
        drawn = drawn.at[height].add(jax.random.uniform(lift_key, maxval=_LIFT))
        return drawn.at[3:7].divide(jnp.linalg.norm(drawn[3:7])) if free else drawn


class Hopper(Runner):
    """One leg of three joints: 12 states, 3 actions."""

    name, environment, speed_seen = "hopper", "Hopper-v4", 10.0


class HalfCheetah(Runner):
    """Two legs on a planar trunk, six joints: 18 states, 6 actions. It has no end."""

    name, environment = "halfcheetah", "HalfCheetah-v4"


class Walker2d(Runner):
    """A planar biped, six joints: 18 states, 6 actions."""

    name, environment, speed_seen = "walker2d", "Walker2d-v4", 10.0


class Ant(Runner):
    """Four legs of two joints: 29 states, 8 actions; reward and observations with contact forces, as published experts had."""

    name, environment, options = "ant", "Ant-v4", {"use_contact_forces": True}


class Humanoid(Runner):
    """17 joints: 47 states, 17 actions."""

    name, environment = "humanoid", "Humanoid-v4"
