"""A user's own robot, as the README shows it."""

import jax
import jax.numpy as jnp

import invlearn_jax as il


class Reach(il.MujocoTask):
    """A two-link arm brings its tip to a point."""

    xml = "my_robot.xml"
    control_dt, horizon, goal_size, episode_length = 0.02, 32, 2, 200

    def draw_goal(self, key):
        radius, angle = jax.random.uniform(key, (2,), minval=jnp.array([0.3, -3.1]), maxval=jnp.array([0.85, 3.1]))
        return radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)])

    def achieved(self, state):
        return self.site(state, "tip")[:2]

    def cost(self, state, action, goal):
        return {"reach": jnp.sum((self.achieved(state) - goal) ** 2), "effort": 1e-3 * jnp.sum(action**2)}

    def success(self, state, goal):
        return jnp.linalg.norm(self.achieved(state) - goal) < 0.05
