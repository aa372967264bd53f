"""Small tasks in JAX alone, for tests of what must work for any task."""

import jax
import jax.numpy as jnp
import numpy as np

import invlearn_jax as il


class Ball(il.Task):
    """A unit mass in the plane, pushed to a place: of second order, with actions in [-1, 1]."""

    dt, horizon, episode_length, state_size, action_size, goal_size = 0.1, 8, 12, 4, 2, 2
    fourier_size, second_order = 2, True

    def goal_features(self, state, goal):
        return goal

    def step(self, state, action):
        rate = state[2:] + self.dt * jnp.clip(action, -1.0, 1.0)
        return jnp.concatenate([state[:2] + self.dt * rate, rate])

    def draw_state(self, key):
        return jax.random.uniform(key, (4,), minval=-1.0)

    def draw_goal(self, key):
        return jax.random.uniform(key, (2,), minval=-1.0)

    def cost(self, state, action, goal):
        return {"reach": jnp.sum((state[:2] - goal) ** 2), "effort": 1e-3 * jnp.sum(action**2)}


class Cart(il.Task):
    """A point on a line with unequal limits, whose goals are in other units than its states."""

    dt, horizon, episode_length, state_size, action_size, goal_size = 0.1, 8, 12, 2, 1, 1
    action_low, action_high = np.array([-1.0]), np.array([3.0])

    def achieved(self, state):
        return 10 * state[:1]

    def step(self, state, action):
        rate = 0.9 * state[1] + self.dt * jnp.clip(action[0], -1.0, 3.0)
        return jnp.stack([state[0] + self.dt * rate, rate])

    def draw_state(self, key):
        return jax.random.uniform(key, (2,), minval=-1.0)

    def draw_goal(self, key):
        return jax.random.uniform(key, (1,), minval=-10.0, maxval=10.0)

    def cost(self, state, action, goal):
        return {"reach": jnp.sum((state[:1] - goal / 10) ** 2), "effort": 1e-3 * jnp.sum(action**2)}


class Still(Cart):
    """The same without goals."""

    goal_size = 0

    def achieved(self, state):
        return state[:0]

    def draw_goal(self, key):
        return jnp.zeros((0,))

    def cost(self, state, action, goal):
        return {"rest": jnp.sum(state**2)}
