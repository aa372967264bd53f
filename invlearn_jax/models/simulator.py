"""The true simulator under the forward model's contract: oracle against learned is one argument."""

import threading
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.inputs import Numbers, as_array, float_type
from invlearn_jax.tasks.task import Task, Unrolls
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


class HostSimulatorModel:
    """A task's ``simulator()`` as a ``ForwardModel``: C MuJoCo for a ``MujocoTask``, without MJX's long compilation.

    JAX calls it back, once for all sequences of a ``vmap``. Under ``jax.export`` and on accelerators use ``SimulatorModel``;
    which of the two is faster on a CPU depends on the model (docs/control.md).
    """

    gradient: Literal["none"] = "none"

    def __init__(self, task: Task) -> None:
        """Starts the simulator, which ``close`` frees."""
        self.dt = task.dt
        self._simulator, self._lock = task.simulator(), threading.Lock()

    def init(self, key: Key) -> tuple:
        """No parameters; the key is ignored."""
        return ()

    def unroll(self, params: Params, state: Numbers, actions: Numbers) -> Float[Array, "T1 S"]:
        """The simulated states ``[T+1, S]`` under ``actions``: computed in float64, given in JAX's default type."""
        state, actions = as_array("state", state, float_type()), as_array("action sequence", actions, float_type())
        result = jax.ShapeDtypeStruct((len(actions) + 1, len(state)), float_type())
        return jax.pure_callback(self._unrolled, result, state, actions, vmap_method="broadcast_all")

    def close(self) -> None:
        """Frees the simulator."""
        self._simulator.close()

    def _unrolled(self, state: Array, actions: Array) -> np.ndarray:
        begin = np.asarray(state).reshape(-1, state.shape[-1])
        sequences = np.asarray(actions).reshape(-1, *actions.shape[-2:])
        # JAX may call from several threads.
        with self._lock:
            if isinstance(self._simulator, Unrolls):
                states = self._simulator.unroll(begin, sequences)
            else:
                steps = [begin]
                for action in sequences.swapaxes(0, 1):
                    steps.append(self._simulator.step(steps[-1], action))
                states = np.stack(steps, axis=1)
        return states.reshape(*actions.shape[:-2], *states.shape[1:]).astype(float_type())
