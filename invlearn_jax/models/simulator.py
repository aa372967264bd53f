"""The true simulator under the forward model's contract: oracle against learned is one argument."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.inputs import Numbers, as_array, float_type
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key, Params


class SimulatorModel:
    """A task's ``step`` as a ``ForwardModel`` without parameters; the gradient is what the task's physics support."""

    def __init__(self, task: Task) -> None:
        """Wraps the task."""
        self._task, self.dt, self.gradient = task, task.dt, task.gradient

    def init(self, key: Key) -> tuple:
        """No parameters; the key is ignored."""
        return ()

    def unroll(self, params: Params, state: Numbers, actions: Numbers) -> Float[Array, "T1 S"]:
        """The simulated states ``[T+1, S]`` under ``actions``, both cast to the simulator's type, JAX's default."""
        state, actions = as_array("state", state, float_type()), as_array("action sequence", actions, float_type())

        def step(state: Array, action: Array) -> tuple[Array, Array]:
            state = self._task.step(state, action)
            return state, state

        return jnp.concatenate([state[None], jax.lax.scan(step, state, actions)[1]])
