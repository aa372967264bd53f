"""Arms that bring their tip to a point."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.keys import streams
from invlearn_jax.tasks.control.drawing import draw_motion, places
from invlearn_jax.tasks.mujoco import MujocoTask
from invlearn_jax.tasks.task import Episodes, Terms
from invlearn_jax.types import Key

_NEAR = 0.05  # m from the goal, within which the tip counts as there
_UNTIL = 1.0  # seconds after which the tip should be there


class Reach(MujocoTask):
    """A tip is to be at a point, and to stay there.

        cost = |p - g| + v |q'|^2 + e |exertion|^2    per second

    p is the tip and g the goal, m; the distance is smoothed within a centimetre, ``sqrt(d^2 + 0.01^2) - 0.01``, so that its
    slope is finite everywhere. The mechanism is drawn through the model's sites, of which the last is the tip.

    Attributes:
        speed: v, per (rad/s)^2.
        effort: e, see ``exertion``.
        plane: the two coordinates of the world that pictures show.
    """

    control_dt, horizon, episode_length = 0.02, 32, 150
    speed: float = 0.002
    effort: float = 0.005
    plane: tuple[int, int] = (0, 1)

    def configure(self, method: str, settings: Any) -> Any:
        """Random exploration comes to all that an arm can be in: plans need not be kept near it."""
        if method == "inverter":
            settings.objective.unvisited = 0.0
            settings.correction.rounds = 1
        return settings

    def achieved(self, state: Float[Array, " S"]) -> Float[Array, " G"]:
        """The tip, m."""
        return self.site(state, "tip")[: self.goal_size]

    def exertion(self, state: Float[Array, " S"], action: Float[Array, " A"]) -> Float[Array, " A"]:
        """Torques as shares of the greatest: by default the actions'."""
        return action / self.action_high

    def cost(self, state: Float[Array, " S"], action: Float[Array, " A"], goal: Float[Array, " G"]) -> Terms:
        """See the class."""
        return {
            "reach": smooth_length(self.achieved(state) - goal),
            "speed": self.speed * jnp.sum(self.qvel(state) ** 2),
            "effort": self.effort * jnp.sum(self.exertion(state, action) ** 2),
        }

    def success(self, state: Float[Array, " S"], goal: Float[Array, " G"]) -> Array:
        """Whether the tip is within 5 cm of the goal."""
        return jnp.sum((self.achieved(state) - goal) ** 2) < _NEAR**2

    def metrics(self, episodes: Episodes) -> dict[str, Any]:
        """Of all moments from 1 s on: the median distance of the tip from the goal, m, and the share of them within 5 cm."""
        late = episodes.states[:, round(_UNTIL / self.dt) :]
        tips = np.stack([places(self.mj_model, states, ["tip"])[:, 0, : self.goal_size] for states in late])
        error = np.linalg.norm(tips - np.asarray(episodes.goals)[:, None], axis=-1)
        return {"tip_error_median": float(np.median(error)), "near_share": float((error < _NEAR).mean())}

    def draw(self, axes: Any, episodes: Episodes) -> None:
        """The first episode's motion seen from above, later moments darker, and the goal as a cross."""
        sites = [self.mj_model.site(number).name for number in range(self.mj_model.nsite)]
        draw_motion(axes, self.mj_model, episodes.states[0], sites, self.plane, self.dt)
        axes.plot(*(episodes.goals[0][i] for i in self.plane), "k+", markersize=8)
        axes.set(xlabel=f"{'xyz'[self.plane[0]]}, m", ylabel=f"{'xyz'[self.plane[1]]}, m")


class TwoLinkReach(Reach):
    """Two links in the horizontal plane; goals are uniform over all points that the tip comes to."""

    name, xml = "two-link-reach", "models/two_link.xml"
    goal_size = 2
    velocity_spread = 2.0
    links = (0.4, 0.3)  # m

    def draw_goal(self, key: Key) -> Float[Array, "2"]:
        """A point of the ring between the elbow bent and the arm stretched, 1 cm from its edges. The key is consumed."""
        radius_key, angle_key = streams(key, "radius", "angle")
        a, b = self.links
        bent = float(self.mj_model.joint("elbow").range[1])
        inner, outer = np.sqrt(a * a + b * b + 2 * a * b * np.cos(bent)) + 0.01, a + b - 0.01
        radius = jnp.sqrt(jax.random.uniform(radius_key, minval=inner**2, maxval=outer**2))
        angle = jax.random.uniform(angle_key, minval=-np.pi, maxval=np.pi)
        return radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)])


class SevenJointReach(Reach):
    """A cobot-like arm on position servos: actions are target angles, rad. Goals are uniform in its joints' angles."""

    name, xml = "seven-joint-reach", "models/seven_joint.xml"
    goal_size = 3
    reset_noise = 0.1
    plane = (0, 2)
    floor, column, tries = 0.1, 0.25, 16

    def configure(self, method: str, settings: Any) -> Any:
        """More for the model than other arms have: fourteen numbers move, and servos' torques have limits."""
        settings = super().configure(method, settings)
        if method == "inverter":
            settings.model.steps = 8000
            own = settings.correction
            own.rounds, own.robots, own.model_steps, own.inverter_steps = 2, 256, 3000, 1000
        return settings

    def exertion(self, state: Float[Array, " S"], action: Float[Array, " A"]) -> Float[Array, " A"]:
        """How far the targets lead the angles, rad, which a servo's torque is in proportion to."""
        return action - self.qpos(state)

    def draw_goal(self, key: Key) -> Float[Array, "3"]:
        """The tip at angles drawn like a state's: the first of 16 places clear of floor and column. The key is consumed."""
        drawn = jax.vmap(lambda k: self.achieved(self.draw_state(k)))(jax.random.split(key, self.tries))
        clear = (drawn[:, 2] > self.floor) & ((drawn[:, :2] ** 2).sum(1) > self.column**2)
        return drawn[jnp.argmax(clear)]


def smooth_length(way: Float[Array, " D"]) -> Float[Array, ""]:
    """``sqrt(|way|^2 + 0.01^2) - 0.01``, m: the length, with a finite slope at 0."""
    return jnp.sqrt(jnp.sum(way**2) + 1e-4) - 1e-2
