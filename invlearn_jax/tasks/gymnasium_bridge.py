"""A task as a gymnasium environment, for programs that expect one."""

import os
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from invlearn_jax.inputs import float_type
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.tasks.task import JudgesPlans, Task

if TYPE_CHECKING:
    import gymnasium

_PROCESS = os.getpid()  # that imported this module, and JAX with it


def as_gymnasium(task: Task | str) -> "gymnasium.Env":
    """Wraps a task, stepped by its simulator.

    ``reset(options={"state": [S], "goal": [G]})`` sets the start, the goal or both; what is not given is drawn by the task. In
    processes of their own, as of ``AsyncVectorEnv``, environments need ``context="spawn"``: JAX does not survive a fork.

    Args:
        task: a task, or its name, or ``FILE.py:CLASS``.

    Returns:
        A ``gymnasium.Env``: observations are the task's states, actions within its bounds (whole numbers of a task of choices),
        rewards its own; truncated at the time limit, terminated at success where the task ends there, or where all is over;
        ``info["goal"]`` is the goal. All arrays that it hands out are copies.

    Raises:
        ImportError: without gymnasium; names the extra to install.
        ValueError: if the name is unknown, or for a task whose plans are executed whole.
        RuntimeError: in a forked process.
    """
    try:
        import gymnasium
    except ImportError as error:
        raise ImportError("The gymnasium bridge needs gymnasium: pip install 'invlearn_jax[robotics]'.") from error
    if os.getpid() != _PROCESS:
        raise RuntimeError(
            "This process was forked from one that uses JAX, which does not survive that. Start processes afresh: "
            'gymnasium.vector.AsyncVectorEnv(..., context="spawn").'
        )

    class TaskEnv(gymnasium.Env):
        """See ``as_gymnasium``."""

        def __init__(self, task: Task) -> None:
            self._task, self._simulator = task, task.simulator()
            self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (task.state_size,), np.float64)
            limits = task.action_low, task.action_high
            self.action_space: gymnasium.Space = gymnasium.spaces.Box(*limits, dtype=np.float32)
            if task.choices:
                self.action_space = gymnasium.spaces.Discrete(task.choices)
            self._draw = jax.jit(task.draw_problem)
            self._state: np.ndarray | None = None

            def judged(state: Array, action: Array, goal: Array) -> tuple[Array, Array]:
                ended = task.success(state, goal) if task.ends_at_success else jnp.array(False)
                return task.reward(state, action, goal), ended | task.over(state)

            self._judged = jax.jit(judged)

        def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict[str, Any]]:
            given = _checked(self._task, options or {})
            super().reset(seed=seed)
            problem = self._draw(jax.random.key(int(self.np_random.integers(2**31))))
            self._state = given.get("state", np.array(problem.state, np.float64))
            self._goal, self._steps = given.get("goal", np.array(problem.goal)), 0
            return self._state.copy(), {"goal": self._goal.copy()}

        def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
            if self._state is None:
                raise gymnasium.error.ResetNeeded("There is no state to step from: call reset() before step().")
            action = np.atleast_1d(action)
            self._state = self._simulator.step(self._state[None], action[None])[0]
            self._steps += 1
            state, taken = (jnp.asarray(x, float_type()) for x in (self._state, action))
            reward, terminated = self._judged(state, taken, self._goal)
            truncated = self._steps >= self._task.episode_length
            return self._state.copy(), float(reward), bool(terminated), truncated, {"goal": self._goal.copy()}

        def close(self) -> None:
            self._simulator.close()

    task = make_task(task) if isinstance(task, str) else task
    if isinstance(task, JudgesPlans):
        raise ValueError(f"The plans of {task.name} are executed whole; give a task that is stepped.")
    return TaskEnv(task)


def _checked(task: Task, options: dict[str, Any]) -> dict[str, np.ndarray]:
    """The options of ``reset`` as arrays of one's own.

    Raises:
        ValueError: for an unknown option, a wrong shape, numbers that are not finite, or a state that cannot be.
    """
    sizes = {"state": (task.state_size, np.float64), "goal": (task.goal_size, np.float32)}
    if unknown := sorted(options.keys() - sizes):
        raise ValueError(f"reset got the unknown option {unknown[0]!r}; allowed are 'state' and 'goal'.")
    given = {}
    for name, value in options.items():
        size, kind = sizes[name]
        given[name] = np.array(value, kind)
        if given[name].shape != (size,) or not np.isfinite(given[name]).all():
            raise ValueError(
                f"reset's option {name!r} has shape {given[name].shape} or numbers that are not finite; give {size} finite "
                "numbers."
            )
    if "state" in given:
        task.check_states(given["state"][None])
    return given
