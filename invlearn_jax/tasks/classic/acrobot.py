"""Gymnasium's Acrobot-v1 in JAX."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.tasks.classic.choice import choice
from invlearn_jax.tasks.classic.drawing import draw_sticks
from invlearn_jax.tasks.classic.settings import DEMONSTRATIONS, imitation_settings
from invlearn_jax.tasks.returns import return_metrics
from invlearn_jax.tasks.task import Episodes, Task, Terms
from invlearn_jax.types import Key

_GRAVITY = 9.8  # m/s^2; links of 1 m, 1 kg and 1 kg m^2, centred at half their length
_CENTRE = 0.5
_FASTEST = (4 * np.pi, 9 * np.pi)  # rad/s
_HEIGHT = 1.0  # m above the pivot, that the tip is to pass


class Acrobot(Task):
    """Two links hang from a pivot; a torque of -1, 0 or 1 N m at the elbow is to swing the tip 1 m above the pivot.

    The state is ``[theta1, theta2, theta1', theta2']``, rad: 0 hanging, the second angle to the first link; angles are kept in
    [-pi, pi] and rates clipped to 4 and 9 pi. A step is one of Runge and Kutta's of 0.2 s, as
    ``gymnasium.envs.classic_control.acrobot`` takes it, with the equations of Sutton and Barto's book. Each step pays -1, but
    the one that reaches the height 0, with which all is over.
    """

    name = "acrobot"
    dt, state_size, action_size, choices = 0.2, 4, 1, 3
    horizon, episode_length, execute_steps = 32, 500, 1
    demonstrations = DEMONSTRATIONS / "acrobot.npz"

    def features(self, state: Float[Array, " S"]) -> Float[Array, " F"]:
        """``[cos theta1, sin theta1, cos theta2, sin theta2, theta1', theta2']``, gymnasium's observation."""
        first, second = state[0], state[1]
        turned = jnp.stack([jnp.cos(first), jnp.sin(first), jnp.cos(second), jnp.sin(second)])
        return jnp.concatenate([turned, state[2:]])

    def cost(self, state: Float[Array, " S"], action: Float[Array, " A"], goal: Float[Array, " G"]) -> Terms:
        """Minus the reward per second: 1 for each step, 0 where it is there."""
        return {"time": jnp.where(self.over(state), 0.0, 1.0 / self.dt)}

    def over(self, state: Float[Array, " S"]) -> Array:
        """Whether the tip is more than 1 m above the pivot."""
        return -jnp.cos(state[0]) - jnp.cos(state[0] + state[1]) > _HEIGHT

    def success(self, state: Float[Array, " S"], goal: Float[Array, " G"]) -> Array:
        """The same."""
        return self.over(state)

    def draw_state(self, key: Key) -> Float[Array, " S"]:
        """Any angles, rates up to half of the fastest. The key is consumed."""
        most = jnp.array([np.pi, np.pi, _FASTEST[0] / 2, _FASTEST[1] / 2])
        return most * jax.random.uniform(key, (4,), minval=-1.0)

    def reset(self, key: Key) -> Float[Array, " S"]:
        """Each entry within 0.1 of hanging at rest. The key is consumed."""
        return jax.random.uniform(key, (4,), minval=-0.1, maxval=0.1)

    def step(self, state: Float[Array, " S"], action: Float[Array, " A"]) -> Float[Array, " S"]:
        """See the class."""
        torque = (choice(action, self.choices) - 1).astype(state.dtype)
        half = self.dt / 2
        k1 = _rates(state, torque)
        k2 = _rates(state + half * k1, torque)
        k3 = _rates(state + half * k2, torque)
        k4 = _rates(state + self.dt * k3, torque)
        following = state + self.dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        angles, rates = following[:2], following[2:]
        fastest = jnp.asarray(_FASTEST, state.dtype)
        wrapped = angles - 2 * np.pi * jnp.round(angles / (2 * np.pi))
        return jnp.concatenate([wrapped, jnp.clip(rates, -fastest, fastest)])

    def configure(self, method: str, settings: Any) -> Any:
        """Settings of imitation; see ``imitation_settings``."""
        return imitation_settings(method, settings, 5, 1.0, 0.1)

    def metrics(self, episodes: Episodes) -> dict[str, Any]:
        """Mean return, its standard error, and mean length in steps."""
        return return_metrics(self, episodes)

    def draw(self, axes: Any, episodes: Episodes) -> None:
        """The first episode's motion in the vertical plane, and the height to be passed."""
        first, second = np.moveaxis(episodes.states[0, :, :2], -1, 0)
        elbow = np.stack([np.sin(first), -np.cos(first)], axis=-1)
        tip = elbow + np.stack([np.sin(first + second), -np.cos(first + second)], axis=-1)
        draw_sticks(axes, np.stack([np.zeros_like(elbow), elbow, tip], axis=1))
        axes.axhline(_HEIGHT, color="#999999", linewidth=0.8)


def _rates(state: Float[Array, " 4"], torque: Float[Array, ""]) -> Float[Array, " 4"]:
    """The state's rate of change: equations of Sutton and Barto, "Reinforcement Learning", section 11.3 of the first edition."""
    first, second, rate1, rate2 = state
    bent, sine = jnp.cos(second), jnp.sin(second)
    d1 = _CENTRE**2 + (1 + _CENTRE**2 + 2 * _CENTRE * bent) + 2
    d2 = _CENTRE**2 + _CENTRE * bent + 1
    # Gravity by the sine: gymnasium's cosines of angles less a right angle.
    phi2 = _CENTRE * _GRAVITY * jnp.sin(first + second)
    phi1 = -_CENTRE * sine * rate2 * (rate2 + 2 * rate1) + (_CENTRE + 1) * _GRAVITY * jnp.sin(first) + phi2
    turning2 = (torque + d2 / d1 * phi1 - _CENTRE * rate1**2 * sine - phi2) / (_CENTRE**2 + 1 - d2**2 / d1)
    turning1 = -(d2 * turning2 + phi1) / d1
    return jnp.stack([rate1, rate2, turning1, turning2])
