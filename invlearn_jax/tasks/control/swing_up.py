"""Swing-ups: pendulum, cart with one or two poles, and acrobot, from hanging to balanced upright."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.data.dataset import Dataset
from invlearn_jax.keys import streams
from invlearn_jax.tasks.control.drawing import draw_motion
from invlearn_jax.tasks.exploration import random_rows
from invlearn_jax.tasks.mujoco import MujocoTask
from invlearn_jax.tasks.task import Episodes, Part, Terms
from invlearn_jax.types import Key, Problem

_TILT = np.deg2rad(10.0)  # from the vertical, within which a link counts as upright
_OFF = 0.1  # m from the middle of the rail, within which a cart counts as centred
_RATE = 1.0  # rad/s, below which a link that is upright counts as balanced, and not as passing through
_LAST = 2.0  # seconds of an episode in which it should be balanced
# States near rest upright are down to so many decades nearer than others, and the system stays there for about so many steps.
_DECADES, _NEAR_STEPS = 2.5, 32
_NEAR = 0.1  # of the usual size of each, up to which differences from rest upright are seen enlarged


class SwingUp(MujocoTask):
    """Links in a row, on a cart or on a fixed pivot, are to stand upright.

        cost = mean_i (1 - cos phi_i) + v mean_i phi_i'^2 + c x^2 + e |a / a_max|^2    per second

    phi_i is the angle of link i to the vertical, rad; x the place of the cart, m. All angles of the model are 0 upright, the
    second link's being to the first; it begins hanging at rest.

    Attributes:
        on_cart: whether the first joint is a cart's slide.
        speed: v, the cost of turning, per (rad/s)^2.
        centre: c, the cost of being off the middle, per m^2.
        effort: e, the cost of the greatest actions.
        near_share: of what is learned from, so much lies near rest upright; for systems that must be known far better there than
            where they swing.
    """

    # 25 plans a second: the fastest of them falls e-fold in 0.1 s. In longer plans errors grow too far for a value to be
    # learned: fivefold within a plan is what a value bears.
    control_dt, horizon, episode_length, execute_steps = 0.02, 16, 500, 2
    reset_noise = 0.05
    on_cart: bool = False
    speed: float = 0.005
    centre: float = 0.5
    effort: float = 0.02
    near_share: float = 0.0

    def configure(self, method: str, settings: Any) -> Any:
        """A swing-up takes longer than a plan: Inverters learn what it costs to go on."""
        if method == "inverter":
            settings.tail.kind = "bootstrap"
            settings.inverter.steps = 4000
            settings.correction.rounds = 0
            if self.near_share:
                settings.model.change_floor, settings.model.steps = 0.1, 16_000
                settings.tail.first_time_constant, settings.tail.time_constant, settings.tail.copy_rate = 0.3, 5.0, 0.05
                own = settings.inverter
                own.steps, own.learning_rate, own.reset_share = 30_000, 2e-3, 0.3
                own.state_noise, own.logit_weight = 0.0, 1e-6
        return settings

    def draw_near(self, key: Key) -> Float[Array, " S"]:
        """A state on the way from one of ``draw_state`` to rest upright: times ``10^-U(0, 2.5)``. The key is consumed."""
        state_key, size_key = streams(key, "state", "size")
        return 10.0 ** (-_DECADES * jax.random.uniform(size_key)) * self.draw_state(state_key)

    def data(self, rows: int, key: Key) -> Dataset | dict[str, Part]:
        """Random exploration from anywhere, and in short trajectories from near rest upright. The key is consumed."""
        if not self.near_share:
            return random_rows(self, rows, key)
        anywhere, near = streams(key, "anywhere", "near")
        return {
            "anywhere": Part(random_rows(self, rows, anywhere), 1 - self.near_share),
            "near rest": Part(random_rows(self, rows // 2, near, _NEAR_STEPS, self.draw_near), self.near_share),
        }

    def problem_sampler(self, rows: Dataset) -> Callable[[Key], Problem]:
        """Draws problems from anywhere, and ``near_share`` of them near rest upright."""
        anywhere = super().problem_sampler(rows)
        if not self.near_share:
            return anywhere

        def draw(key: Key) -> Problem:
            which_key, near_key, key = streams(key, "which", "near", "anywhere")
            problem = anywhere(key)
            near = jax.random.bernoulli(which_key, self.near_share)
            return problem._replace(state=jnp.where(near, self.draw_near(near_key), problem.state))

        return draw

    def features(self, state: Float[Array, " S"]) -> Float[Array, " F"]:
        """The joints', and where rest must be known far better than the way there, ``tanh(off / 0.1)`` of what is off rest.

        The regulator's gains are tens of the actions' range per usual size of a state: too steep for a network to learn soon
        from features of that size.
        """
        usual = super().features(state)
        if not self.near_share:
            return usual
        places, rates = self.qpos(state), self.qvel(state) / jnp.asarray(self.velocity_spread)
        cart, elbows = places[: int(self.on_cart)], places[int(self.on_cart) + 1 :]
        off = jnp.concatenate([cart, jnp.sin(self.tilts(state)), jnp.sin(elbows), rates])
        return jnp.concatenate([usual, jnp.tanh(off / _NEAR)])

    def tilts(self, state: Float[Array, " S"]) -> Float[Array, " L"]:
        """The angle of each link to the upward vertical, rad, not wrapped."""
        return jnp.cumsum(self.qpos(state)[int(self.on_cart) :])

    def rates(self, state: Float[Array, " S"]) -> Float[Array, " L"]:
        """How fast each link turns in the world, rad/s."""
        return jnp.cumsum(self.qvel(state)[int(self.on_cart) :])

    def cost(self, state: Float[Array, " S"], action: Float[Array, " A"], goal: Float[Array, " G"]) -> Terms:
        """See the class."""
        terms = {
            "upright": jnp.mean(1 - jnp.cos(self.tilts(state))),
            "speed": self.speed * jnp.mean(self.rates(state) ** 2),
            "effort": self.effort * jnp.sum((action / self.action_high) ** 2),
        }
        return terms | ({"centre": self.centre * state[0] ** 2} if self.on_cart else {})

    def upright(self, state: Float[Array, " S"]) -> Array:
        """Whether every link is within 10 degrees of upright, and a cart within 0.1 m of the middle."""
        there = (jnp.cos(self.tilts(state)) > np.cos(_TILT)).all()
        return there & (jnp.abs(state[0]) < _OFF) if self.on_cart else there

    def success(self, state: Float[Array, " S"], goal: Float[Array, " G"]) -> Array:
        """Whether it is upright and turns at less than 1 rad/s."""
        return self.upright(state) & (jnp.abs(self.rates(state)) < _RATE).all()

    def metrics(self, episodes: Episodes) -> dict[str, Any]:
        """The share of the last 2 s spent upright, and after how many seconds an episode stays so: the median, None for never."""
        upright = np.asarray(jax.jit(jax.vmap(jax.vmap(self.upright)))(jnp.asarray(episodes.states)))
        stays = np.logical_and.accumulate(upright[:, ::-1], axis=1).sum(1)
        after = np.where(stays > 0, self.dt * (upright.shape[1] - stays), np.inf)
        median = float(np.median(after))
        return {
            "upright_share": float(upright[:, -round(_LAST / self.dt) :].mean()),
            "upright_after_s": median if np.isfinite(median) else None,
        }

    def draw(self, axes: Any, episodes: Episodes) -> None:
        """The first episode's motion in the vertical plane, later moments darker."""
        sites = [self.mj_model.site(number).name for number in range(self.mj_model.nsite)]
        draw_motion(axes, self.mj_model, episodes.states[0], sites, (0, 2), self.dt)
        axes.set(xlabel="x, m", ylabel="z, m")


class Pendulum(SwingUp):
    """A pendulum whose motor holds 31 % of its weight at the horizontal: it must swing to and fro before it gets up."""

    name, xml = "pendulum-swingup", "models/pendulum.xml"
    velocity_spread = 4.0
    speed = 0.01


class CartPole(SwingUp):
    """A cart on a rail of 3 m with one pole."""

    name, xml = "cartpole-swingup", "models/cartpole.xml"
    velocity_spread = (1.0, 5.0)
    on_cart = True


class DoubleCartPole(SwingUp):
    """A cart on a rail of 4 m with two poles in a row."""

    name, xml = "double-cartpole-swingup", "models/double_cartpole.xml"
    horizon = 8
    velocity_spread = (1.0, 5.0, 5.0)
    on_cart = True
    near_share = 0.5


class Acrobot(SwingUp):
    """Two links of which only the elbow is driven, the second twice as long."""

    name, xml = "acrobot-swingup", "models/acrobot.xml"
    horizon = 8
    velocity_spread = (4.0, 5.0)
    near_share = 0.5
