"""A planar walker that keeps a commanded speed."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.data.dataset import Dataset
from invlearn_jax.keys import streams
from invlearn_jax.tasks.control.arms import smooth_length
from invlearn_jax.tasks.control.drawing import draw_motion
from invlearn_jax.tasks.exploration import random_rows, usable_rows
from invlearn_jax.tasks.mujoco import MujocoTask
from invlearn_jax.tasks.task import Episodes, Terms
from invlearn_jax.types import Key, Problem

_X, _Z, _PITCH, _LEGS = 0, 1, 2, slice(3, 9)
_FORWARD = 9  # the trunk's speed along x
_FASTEST = 1.5  # m/s that is commanded at most
_SPREAD = 0.4  # rad, of the joints of drawn states about standing
_LEAN = 0.3  # rad, of the trunk of drawn states
_LIFT = 0.05  # m that the lowest foot of drawn states is above the floor at most
_SOLE = 0.04  # m, the radius of the feet
_FALLEN_HEIGHT = 0.7  # m of the hip
_FALLEN_PITCH = 1.0  # rad
_EXPLORED = 48  # steps of random exploration, by which most have fallen
_SETTLED = 1.0  # seconds after which it should have its speed
_NEAR = 0.2  # m/s from the commanded speed, within which it counts as kept


class WalkerSpeed(MujocoTask):
    """Two legs carry a trunk forward at the goal's speed.

        cost = |x' - g| + u (1 - cos pitch) + h (z - z_0)^2 + e |a - q|^2    per second

    x' is the speed of the hip, m/s; z its height and z_0 that of standing, m; a - q how far the servos' targets lead the
    joints, rad, which torques are in proportion to.

    Attributes:
        upright: u.
        height: h, per m^2.
        effort: e, per rad^2.
    """

    name, xml = "walker-speed", "models/walker.xml"
    # A plan leans forward first and catches itself later: replaced before it has, the next one leans again, until it falls.
    control_dt, horizon, episode_length, execute_steps = 0.02, 32, 500, 8
    goal_size = 1
    velocity_spread = 1.0
    reset_noise = 0.02
    upright: float = 2.0
    height: float = 10.0
    effort: float = 0.02

    def configure(self, method: str, settings: Any) -> Any:
        """Walking is learned from what came of walking: many rounds, each short. A fall costs more than a plan can tell."""
        if method == "inverter":
            settings.data.rows = 400_000
            settings.tail.kind, settings.tail.time_constant = "bootstrap", 3.0
            settings.objective.unvisited = 0.0
            settings.inverter.steps, settings.inverter.state_noise = 2000, 0.03
            own = settings.correction
            own.rounds, own.robots, own.steps, own.hold, own.share, own.starts = 9, 256, 120, 60, 0.7, 0.6
            own.model_steps, own.inverter_steps = 1000, 700
        return settings

    def features(self, state: Float[Array, "18"]) -> Float[Array, " F"]:
        """All but how far it has come, which nothing depends on."""
        return super().features(state)[1:]

    def achieved(self, state: Float[Array, "18"]) -> Float[Array, "1"]:
        """The speed, m/s."""
        return state[_FORWARD : _FORWARD + 1]

    def cost(self, state: Float[Array, "18"], action: Float[Array, "6"], goal: Float[Array, "1"]) -> Terms:
        """See the class."""
        return {
            "speed": smooth_length(self.achieved(state) - goal),
            "upright": self.upright * (1 - jnp.cos(state[_PITCH])),
            "height": self.height * (state[_Z] - self.home[_Z]) ** 2,
            "effort": self.effort * jnp.sum((action - state[_LEGS]) ** 2),
        }

    def stands(self, state: Float[Array, "18"]) -> Array:
        """Whether it has not fallen."""
        hip = self.mj_model.body("trunk").pos[2] + state[_Z]
        return (hip > _FALLEN_HEIGHT) & (jnp.abs(state[_PITCH]) < _FALLEN_PITCH)

    def usable(self, state: Float[Array, "18"]) -> Array:
        """Whether it has not fallen: nothing gets it up again."""
        return self.stands(state)

    def success(self, state: Float[Array, "18"], goal: Float[Array, "1"]) -> Array:
        """Whether it stands and is within 0.2 m/s of the speed."""
        return self.stands(state) & (jnp.abs(state[_FORWARD] - goal[0]) < _NEAR)

    def draw_state(self, key: Key) -> Float[Array, "18"]:
        """Legs anyhow about standing, the trunk leaning, the lowest foot just above the floor. The key is consumed."""
        joint_key, velocity_key = streams(key, "joints", "velocities")
        share = jax.random.uniform(joint_key, (self.mj_model.nq,), minval=-1.0)
        qpos = jnp.asarray(self.home) + share * jnp.array([0.0, 0.0, _LEAN, *[_SPREAD] * 6])
        qpos = qpos.at[_LEGS].set(jnp.clip(qpos[_LEGS], self.action_low, self.action_high))
        rates = self.velocity_spread * jax.random.normal(velocity_key, (self.mj_model.nv,))
        state = jnp.concatenate([qpos, rates])
        ends = [self.site(state, f"{side} {end}")[2] for side in ("right", "left") for end in ("heel", "toe")]
        above = _LIFT * (1 + share[_X]) / 2
        return state.at[_Z].add(above + _SOLE - jnp.min(jnp.stack(ends)))

    def draw_goal(self, key: Key) -> Float[Array, "1"]:
        """A speed from 0 to 1.5 m/s. The key is consumed."""
        return jax.random.uniform(key, (1,), maxval=_FASTEST)

    def data(self, rows: int, key: Key) -> Dataset:
        """Random exploration in short trajectories, cut where it falls: nothing gets it up again. The key is consumed."""
        return usable_rows(self, random_rows(self, rows, key, steps=_EXPLORED))

    def problem_sampler(self, rows: Dataset) -> Callable[[Key], Problem]:
        """Problems from the data, from ``draw_state`` and from where episodes start, a third each."""
        states = jnp.asarray(rows.states)

        def draw(key: Key) -> Problem:
            row_key, state_key, start_key, kind_key, goal_key = streams(key, "row", "state", "start", "kind", "goal")
            row = states[jax.random.randint(row_key, (), 0, len(states))].at[_X].set(0.0)
            found = jnp.stack([x.astype(row.dtype) for x in (row, self.draw_state(state_key), self.reset(start_key))])
            return Problem(found[jax.random.randint(kind_key, (), 0, len(found))], self.draw_goal(goal_key))

        return draw

    def metrics(self, episodes: Episodes) -> dict[str, Any]:
        """The mean error of the speed from 1 s on, averaged over half a second, m/s, and the share of episodes that fall."""
        window = round(0.5 / self.dt)
        x = np.asarray(episodes.states)[..., _X]
        mean = (x[:, window:] - x[:, :-window]) / (window * self.dt)
        error = np.abs(mean[:, round(_SETTLED / self.dt) :] - np.asarray(episodes.goals))
        stands = np.asarray(jax.jit(jax.vmap(jax.vmap(self.stands)))(jnp.asarray(episodes.states)))
        return {"speed_error_mean": float(error.mean()), "fall_rate": float((~stands).any(1).mean())}

    def draw(self, axes: Any, episodes: Episodes) -> None:
        """The first episode seen from the side, later moments darker."""
        leg = ["hip", *(f"right {part}" for part in ("knee", "ankle", "heel", "toe"))]
        other = [f"left {part}" for part in ("toe", "heel", "ankle", "knee")]
        draw_motion(
            axes, self.mj_model, episodes.states[0], [*leg[::-1], *other[::-1], "hip", "head"], (0, 2), self.dt, 0.2
        )
        axes.set(xlabel="x, m", ylabel="z, m")
