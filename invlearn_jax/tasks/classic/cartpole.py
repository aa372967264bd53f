"""Gymnasium's CartPole-v1 in JAX."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.tasks.classic.choice import choice
from invlearn_jax.tasks.classic.controllers import balance
from invlearn_jax.tasks.classic.settings import DEMONSTRATIONS, imitation_settings
from invlearn_jax.tasks.returns import return_metrics
from invlearn_jax.tasks.task import Episodes, Task, Terms
from invlearn_jax.types import Key

_GRAVITY, _CART, _POLE, _HALF = 9.8, 1.0, 0.1, 0.5  # m/s^2, kg, kg, half the pole's length in m
_FORCE = 10.0  # N
_PLACE, _TILT = 2.4, np.deg2rad(12.0)  # m and rad, beyond which all is over
_TOTAL, _LEVER = _CART + _POLE, _POLE * _HALF


class CartPole(Task):
    """A cart is pushed left or right with 10 N in each step; every step pays 1, the one included in which the pole falls.

    The state is ``[x, x', theta, theta']``, m and rad, theta 0 upright. One explicit Euler step of 0.02 s, as
    ``gymnasium.envs.classic_control.cartpole`` (after Barto, Sutton and Anderson 1983) takes it:

        f = (F + m_p l theta'^2 sin theta) / m
        theta'' = (g sin theta - f cos theta) / (l (4/3 - m_p cos^2 theta / m)),    x'' = f - m_p l theta'' cos theta / m

    Over beyond 2.4 m or 12 degrees. Gymnasium keeps float64 and shows float32, and so does the simulator of closed loops.
    """

    name = "cartpole"
    dt, state_size, action_size, choices = 0.02, 4, 1, 2
    horizon, episode_length, execute_steps = 32, 500, 1
    demonstrations = DEMONSTRATIONS / "cartpole.npz"

    def cost(self, state: Float[Array, " S"], action: Float[Array, " A"], goal: Float[Array, " G"]) -> Terms:
        """Minus the reward per second: 1 a step."""
        return {"up": jnp.full((), -1.0 / self.dt, state.dtype)}

    def over(self, state: Float[Array, " S"]) -> Array:
        """Whether the cart has left its rail, or the pole leans too far."""
        return (jnp.abs(state[0]) > _PLACE) | (jnp.abs(state[2]) > _TILT)

    def draw_state(self, key: Key) -> Float[Array, " S"]:
        """Anywhere within the limits, at up to 3 m/s and 3 rad/s. The key is consumed."""
        most = jnp.array([_PLACE, 3.0, _TILT, 3.0])
        return most * jax.random.uniform(key, (4,), minval=-1.0)

    def reset(self, key: Key) -> Float[Array, " S"]:
        """Each entry within 0.05 of rest in the middle. The key is consumed."""
        return jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05)

    def step(self, state: Float[Array, " S"], action: Float[Array, " A"]) -> Float[Array, " S"]:
        """See the class."""
        x, speed, angle, rate = state
        force = _FORCE * (2 * choice(action, self.choices) - 1)
        cosine, sine = jnp.cos(angle), jnp.sin(angle)
        pushed = (force + _LEVER * rate**2 * sine) / _TOTAL
        turning = (_GRAVITY * sine - cosine * pushed) / (_HALF * (4.0 / 3.0 - _POLE * cosine**2 / _TOTAL))
        driven = pushed - _LEVER * turning * cosine / _TOTAL
        return state + self.dt * jnp.stack([speed, driven, rate, turning])

    def configure(self, method: str, settings: Any) -> Any:
        """Settings of imitation; see ``imitation_settings``."""
        return imitation_settings(method, settings, 20, 0.01, 0.2)

    def rule(self, states: np.ndarray) -> np.ndarray:
        """The choices ``[N, 1]`` of a scripted expert; see ``controllers.balance``."""
        return balance(states)[:, None]

    def metrics(self, episodes: Episodes) -> dict[str, Any]:
        """Mean return, its standard error, and mean length in steps."""
        return return_metrics(self, episodes)

    def draw(self, axes: Any, episodes: Episodes) -> None:
        """Place and lean of up to ten episodes over time, each as a share of its limit."""
        seconds = self.dt * np.arange(episodes.states.shape[1])
        for number, states in enumerate(episodes.states[:10]):
            for entry, most, color, label in ((0, _PLACE, "#0072b2", "place"), (2, _TILT, "#d55e00", "lean")):
                axes.plot(seconds, states[:, entry] / most, color=color, linewidth=0.8, label="" if number else label)
        axes.set(xlabel="time, s", ylabel="share of the limit", ylim=(-1.1, 1.1))
        axes.legend()
