"""A pusher brings a box to a place on a table."""

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

_PUSHER, _BOX, _YAW = slice(0, 2), slice(2, 4), 4
_REACH = 0.45  # m from the table's middle within which boxes and goals are
_EDGE = 0.55  # m from the middle beyond which no pusher is drawn
_APART, _FAR = (
    0.105,
    0.6,
)  # m between the middles of box and pusher: just beyond the box's corner, and the farthest drawn
_TRIES = 8
_ARRIVED = 0.02  # m from the goal, within which the way there loses its direction
_PULL = 2.0  # N, of exploration towards the box
_NEAR = 0.05  # m from the goal, within which the box counts as there
_LAST = 1.0  # seconds of an episode in which it should be


class PlanarPush(MujocoTask):
    """A round pusher shoves a box to a place; how the box is turned does not matter.

        cost = |b - g| + p |c - b| + v |c'|^2 + e |a / a_max|^2    per second

    b is the middle of the box, c that of the pusher, m; the box rests where it is not pushed.

    Attributes:
        approach: p.
        speed: v, per (m/s)^2.
        effort: e.
    """

    name, xml = "planar-push", "models/planar_push.xml"
    control_dt, horizon, episode_length = 0.02, 32, 400
    goal_size = 2
    velocity_spread = (0.3, 0.3, 0.1, 0.1, 0.5)
    approach: float = 0.2
    speed: float = 0.01
    effort: float = 0.01

    def configure(self, method: str, settings: Any) -> Any:
        """Going round the box takes longer than a plan: Inverters learn what it costs to go on. Exploration is broad already."""
        if method == "inverter":
            settings.data.rows = 300_000
            # Contacts make slopes rough: costs are learned first. Problems stay longer, until the box is where it should be.
            settings.tail.kind, settings.tail.slope_weight = "bootstrap", 0.1
            settings.objective.unvisited = 0.0
            own = settings.inverter
            own.steps, own.advance, own.reset_share, own.goal_share = 6000, (2, 4, 8, 16), 0.05, 0.05
            settings.correction.inverter_steps = 2500
        return settings

    def achieved(self, state: Float[Array, "10"]) -> Float[Array, "2"]:
        """The middle of the box, m."""
        return state[_BOX]

    def cost(self, state: Float[Array, "10"], action: Float[Array, "2"], goal: Float[Array, "2"]) -> Terms:
        """See the class."""
        return {
            "place": smooth_length(state[_BOX] - goal),
            "approach": self.approach * smooth_length(state[_PUSHER] - state[_BOX]),
            "speed": self.speed * jnp.sum(self.qvel(state)[_PUSHER] ** 2),
            "effort": self.effort * jnp.sum((action / self.action_high) ** 2),
        }

    def features(self, state: Float[Array, "10"]) -> Float[Array, " F"]:
        """The state with the way from pusher to box, also along the box's sides: they decide on contact."""
        way = state[_BOX] - state[_PUSHER]
        turn = jnp.stack([jnp.cos(state[_YAW]), jnp.sin(state[_YAW])])
        return jnp.concatenate([super().features(state), way, _along(way, turn)])

    def goal_features(self, state: Float[Array, "10"], goal: Float[Array, "2"]) -> Float[Array, "6"]:
        """The goal, the box's way there, and where the pusher is seen along it: behind the box, before it, or beside."""
        left = goal - state[_BOX]
        ahead = left / jnp.sqrt(jnp.sum(left**2) + _ARRIVED**2)
        return jnp.concatenate([goal, left, _along(state[_PUSHER] - state[_BOX], ahead)])

    def success(self, state: Float[Array, "10"], goal: Float[Array, "2"]) -> Array:
        """Whether the box is within 5 cm of the goal."""
        return jnp.sum((state[_BOX] - goal) ** 2) < _NEAR**2

    def draw_state(self, key: Key) -> Float[Array, "10"]:
        """A box anywhere, and a pusher beside it, half of the time close by: a place on the table, of 8. The key is consumed."""
        box_key, pusher_key, velocity_key = streams(key, "box", "pusher", "velocities")
        x, y, yaw = jax.random.uniform(box_key, (3,), minval=-1.0) * jnp.array([_REACH, _REACH, np.pi])
        box = jnp.stack([x, y])
        angle, far = jax.random.uniform(pusher_key, (2, _TRIES))
        # The square makes the near ones frequent.
        distance = _APART + (_FAR - _APART) * far**2
        angle = 2 * np.pi * angle
        places = box + distance[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)
        pusher = places[jnp.argmax((jnp.abs(places) < _EDGE).all(1))]
        rates = jnp.asarray(self.velocity_spread) * jax.random.normal(velocity_key, (5,))
        return jnp.concatenate([pusher, box, jnp.stack([yaw]), rates])

    def draw_goal(self, key: Key) -> Float[Array, "2"]:
        """A place within 0.45 m of the middle along each axis. The key is consumed."""
        return jax.random.uniform(key, (2,), minval=-_REACH, maxval=_REACH)

    def reset(self, key: Key) -> Float[Array, "10"]:
        """A drawn state, at rest. The key is consumed."""
        return self.draw_state(key).at[5:].set(0.0)

    def explore(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Random forces, of three pushers in four with a pull towards the box: without, it hardly ever moves."""
        way = states[:, _BOX] - states[:, _PUSHER]
        pull = _PULL * way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-3)
        pulled = np.arange(len(states))[:, None] % 4 > 0
        return np.clip(actions + pulled * pull, self.action_low, self.action_high)

    def metrics(self, episodes: Episodes) -> dict[str, Any]:
        """Over the last second: the median distance of the box from the goal, m, and the share of time within 5 cm."""
        late = np.asarray(episodes.states)[:, -round(_LAST / self.dt) :, _BOX]
        off = np.linalg.norm(late - np.asarray(episodes.goals)[:, None], axis=-1)
        return {"box_error_median": float(np.median(off)), "near_share": float((off < _NEAR).mean())}

    def draw(self, axes: Any, episodes: Episodes) -> None:
        """The first episode from above: the ways of pusher and box, the box every half second, and the goal as a cross."""
        states, goal = episodes.states[0], episodes.goals[0]
        axes.plot(*states[:, _PUSHER].T, color="#d55e00", linewidth=0.8, label="pusher")
        axes.plot(*states[:, _BOX].T, color="#0072b2", linewidth=0.8, label="box")
        corners = 0.05 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
        for state in states[:: round(0.5 / self.dt)]:
            c, s = np.cos(state[_YAW]), np.sin(state[_YAW])
            axes.plot(*(state[_BOX] + corners @ np.array([[c, s], [-s, c]])).T, color="#0072b2", alpha=0.3)
        axes.plot(*goal, "k+", markersize=8)
        axes.set(xlim=(-0.65, 0.65), ylim=(-0.65, 0.65), xlabel="x, m", ylabel="y, m", aspect="equal")


def _along(way: Float[Array, "2"], axis: Float[Array, "2"]) -> Float[Array, "2"]:
    """A way's parts along an axis and to its left."""
    return jnp.stack([way @ axis, axis[0] * way[1] - axis[1] * way[0]])
