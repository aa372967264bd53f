"""A quadrotor that flies to a pose and hovers there."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.keys import streams
from invlearn_jax.tasks.control.arms import smooth_length
from invlearn_jax.tasks.mujoco import MujocoTask
from invlearn_jax.tasks.task import Episodes, Terms
from invlearn_jax.types import Key

_PLACE = slice(0, 3)
_SPEED, _TURNING = slice(7, 10), slice(10, 13)
_NEAR = 0.1  # m from the goal, within which it counts as there
_FACING = np.deg2rad(15.0)  # from the goal's heading, within which it counts as facing it
_LAST = 2.0  # seconds of an episode in which it should hover there
# Gains of the controller that keeps exploration level, N per rad and N per rad/s of each rotor.
_LEVEL, _RATE = 1.0, 0.12


class QuadrotorPose(MujocoTask):
    """Four rotors carry a body to a place and turn it to a heading.

        cost = |p - g| + h (1 - a . d) + l (1 - c_z) + v |p'|^2 + w |omega|^2 + e |a / a_hover - 1|^2    per second

    p is its place, a its forward and c its upward axis, omega its rates; the goal is a place and a horizontal direction d,
    ``[x, y, z, cos(yaw), sin(yaw)]``, so that headings do not jump. There is no floor: how it moves depends on no place,
    and networks see none but the way to the goal.

    Attributes:
        heading: h.
        level: l.
        speed: v, per (m/s)^2.
        turning: w, per (rad/s)^2.
        effort: e.
    """

    name, xml = "quadrotor-pose", "models/quadrotor.xml"
    control_dt, horizon, episode_length, execute_steps = 0.02, 32, 300, 2
    goal_size = 5
    velocity_spread = (1.5, 1.5, 1.5, 2.0, 2.0, 1.0)
    tilt = 1.2
    heading: float = 0.3
    level: float = 0.3
    speed: float = 0.05
    turning: float = 0.005
    effort: float = 0.02

    def configure(self, method: str, settings: Any) -> Any:
        """A flight takes longer than a plan: Inverters learn what it costs to go on. Exploration is broad already."""
        if method == "inverter":
            settings.tail.kind = "bootstrap"
            settings.objective.unvisited = 0.0
            settings.correction.rounds = 1
        return settings

    @property
    def hover(self) -> float:
        """The thrust of each rotor that carries the weight, N."""
        model = self.mj_model
        return float(-model.opt.gravity[2] * model.body_mass.sum() / model.nu)

    def features(self, state: Float[Array, "13"]) -> Float[Array, " F"]:
        """How it leans, and its rates, in its heading frame; no place."""
        return super().features(state)[1:]

    def goal_features(self, state: Float[Array, "13"], goal: Float[Array, "5"]) -> Float[Array, "5"]:
        """The way to the goal's place and the goal's heading, as seen from its own."""
        reference = self.frame.reference(state)
        way = self.frame.point(goal[_PLACE], reference).at[2].add(-state[2])
        return jnp.concatenate([way, self.frame.point(reference.position + goal[3:], reference)])

    def achieved(self, state: Float[Array, "13"]) -> Float[Array, "5"]:
        """Its place, and cosine and sine of the heading of its forward axis."""
        forward = self.body_axes(state, "quadrotor")[:2, 0]
        return jnp.concatenate([state[_PLACE], forward / jnp.sqrt((forward**2).sum() + 1e-6)])

    def cost(self, state: Float[Array, "13"], action: Float[Array, "4"], goal: Float[Array, "5"]) -> Terms:
        """See the class."""
        axes = self.body_axes(state, "quadrotor")
        return {
            "place": smooth_length(state[_PLACE] - goal[_PLACE]),
            "heading": self.heading * (1 - axes[:2, 0] @ goal[3:]),
            "level": self.level * (1 - axes[2, 2]),
            "speed": self.speed * jnp.sum(state[_SPEED] ** 2),
            "turning": self.turning * jnp.sum(state[_TURNING] ** 2),
            "effort": self.effort * jnp.sum((action / self.hover - 1) ** 2),
        }

    def success(self, state: Float[Array, "13"], goal: Float[Array, "5"]) -> Array:
        """Whether it is within 10 cm of the place and 15 degrees of the heading."""
        achieved = self.achieved(state)
        near = jnp.sum((achieved[_PLACE] - goal[_PLACE]) ** 2) < _NEAR**2
        return near & (achieved[3:] @ goal[3:] > np.cos(_FACING))

    def draw_goal(self, key: Key) -> Float[Array, "5"]:
        """A place in a box of 3 m x 3 m x 2 m around the start, and any heading. The key is consumed."""
        place_key, yaw_key = streams(key, "place", "yaw")
        low, high = jnp.array([-1.5, -1.5, 0.0]), jnp.array([1.5, 1.5, 2.0])
        yaw = jax.random.uniform(yaw_key, minval=-np.pi, maxval=np.pi)
        place = jax.random.uniform(place_key, (3,), minval=low, maxval=high)
        return jnp.concatenate([place, jnp.stack([jnp.cos(yaw), jnp.sin(yaw)])])

    def explore(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Random thrusts with a feedback that keeps it level: without, nearly all data would be of tumbling."""
        w, x, y, z = (states[:, i] for i in range(3, 7))
        # The body's axes of roll and pitch, by which the vertical is off.
        roll, pitch = 2 * (w * x + y * z), 2 * (w * y - x * z)
        rolling, pitching = states[:, 10], states[:, 11]
        by_roll, by_pitch = _LEVEL * roll + _RATE * rolling, _LEVEL * pitch + _RATE * pitching
        left, front = np.array([1, -1, -1, 1]), np.array([1, 1, -1, -1])
        feedback = -by_roll[:, None] * left + by_pitch[:, None] * front
        return np.clip(actions + feedback, self.action_low, self.action_high)

    def metrics(self, episodes: Episodes) -> dict[str, Any]:
        """Over the last 2 s: the median distance from the goal, m, and the share of time there and facing as it should."""
        late = jnp.asarray(episodes.states[:, -round(_LAST / self.dt) :])
        there = np.asarray(jax.jit(jax.vmap(jax.vmap(self.success, (0, None))))(late, jnp.asarray(episodes.goals)))
        off = np.linalg.norm(np.asarray(late)[..., _PLACE] - np.asarray(episodes.goals)[:, None, _PLACE], axis=-1)
        return {"place_error_median": float(np.median(off)), "hover_share": float(there.mean())}

    def draw(self, axes: Any, episodes: Episodes) -> None:
        """The flights seen from the side, x and z, with the rotors' plane every 0.2 s, and the goals as crosses."""
        every = round(0.2 / self.dt)
        for states, goal in zip(episodes.states, episodes.goals, strict=True):
            axes.plot(states[:, 0], states[:, 2], color="#0072b2", linewidth=0.8)
            for state in states[::every]:
                w, x, y, z = state[3:7] / np.linalg.norm(state[3:7])
                wing = 0.1 * np.array([1 - 2 * (y * y + z * z), 2 * (x * z - w * y)])
                axes.plot(
                    state[0] + wing[0] * np.array([-1, 1]), state[2] + wing[1] * np.array([-1, 1]), color="#d55e00"
                )
            axes.plot(goal[0], goal[2], "k+", markersize=8)
        axes.set(xlabel="x, m", ylabel="z, m", aspect="equal")
