"""The true simulator under the forward model's contract: oracle against learned is one argument."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.inputs import Numbers, as_array, float_type
from invlearn_jax.tasks.antmaze.environment import Antmaze
from invlearn_jax.tasks.maze2d.environment import Maze2d
from invlearn_jax.types import Key, Params


class SimulatorModel:
    """An environment's physics as a ``ForwardModel`` without parameters; the gradient is what the simulator supports."""

    def __init__(self, env: Maze2d | Antmaze) -> None:
        """Wraps the environment."""
        self._env, self.dt = env, env.dt
        self.gradient: Literal["reverse", "forward", "none"] = env.gradient

    def init(self, key: Key) -> tuple:
        """No parameters; the key is ignored."""
        return ()

    def unroll(self, params: Params, state: Numbers, actions: Numbers) -> Float[Array, "T1 S"]:
        """The simulated states ``[T+1, S]`` under ``actions``, both cast to the simulator's type, JAX's default."""
        state, actions = as_array("state", state, float_type()), as_array("action sequence", actions, float_type())

        def step(carry: tuple, action: Array) -> tuple:
            carry = self._env.step(carry, action)
            return carry, carry.obs

        begin = self._env.reset_to(state, self._env.goal)
        return jnp.concatenate([state[None], jax.lax.scan(step, begin, actions)[1]])
