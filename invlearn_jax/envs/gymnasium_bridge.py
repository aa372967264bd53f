"""A maze as a gymnasium environment, for programs that expect one."""

import os
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from invlearn_jax.envs.mujoco_backend import mujoco_simulator
from invlearn_jax.envs.registry import make
from invlearn_jax.tasks.antmaze import model as ant
from invlearn_jax.tasks.antmaze.environment import Antmaze
from invlearn_jax.tasks.maze2d.environment import Maze2d, inside_maze

if TYPE_CHECKING:
    import gymnasium

_PROCESS = os.getpid()  # that imported this module, and JAX with it


def as_gymnasium(name: str) -> "gymnasium.Env":
    """Wraps a registered environment, stepped by C MuJoCo.

    ``reset(options={"state": [S], "goal": [G]})`` sets the start, the goal or both; what is not given is drawn. In
    processes of their own, as of ``AsyncVectorEnv``, environments need ``context="spawn"``: JAX does not survive a fork.

    Args:
        name: an id of ``environment_names()``.

    Returns:
        A ``gymnasium.Env``: observations of the environment, actions in [-1, 1], truncated at the time limit, terminated at
        the goal in antmaze and never in maze2d; ``info["goal"]`` is the goal. All arrays that it hands out are copies.

    Raises:
        ImportError: without gymnasium; names the extra to install.
        ValueError: if the name is unknown.
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

    class MazeEnv(gymnasium.Env):
        """See ``as_gymnasium``."""

        def __init__(self, env: Maze2d | Antmaze) -> None:
            self._env, self._simulator = env, mujoco_simulator(env.spec, threads=1)
            self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (env.observation_size,), np.float64)
            self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (env.action_size,), np.float32)
            self._reset, self._reward = jax.jit(env.reset), jax.jit(env.reward)
            self._obs: np.ndarray | None = None

        def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict[str, Any]]:
            given = _checked(self._env, options or {})
            super().reset(seed=seed)
            state = self._reset(jax.random.key(int(self.np_random.integers(2**31))))
            self._obs = given.get("state", np.array(state.obs, np.float64))
            self._goal, self._steps = given.get("goal", np.array(state.info["goal"])), 0
            return self._obs.copy(), {"goal": self._goal.copy()}

        def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
            if self._obs is None:
                raise gymnasium.error.ResetNeeded("There is no state to step from: call reset() before step().")
            self._obs = self._simulator.step(self._obs[None], np.asarray(action)[None])[0]
            self._steps += 1
            reward = float(self._reward(self._obs[:2], self._goal))
            terminated = self._env.spec.ends_at_goal and reward > 0
            truncated = self._steps >= self._env.episode_length
            return self._obs.copy(), reward, terminated, truncated, {"goal": self._goal.copy()}

        def close(self) -> None:
            self._simulator.close()

    return MazeEnv(make(name))


def _checked(env: Maze2d | Antmaze, options: dict[str, Any]) -> dict[str, np.ndarray]:
    """The options of ``reset`` as arrays of one's own.

    Raises:
        ValueError: for an unknown option, a wrong shape, numbers that are not finite, or a state that cannot be.
    """
    goal = np.asarray(env.goal)
    sizes = {"state": (env.observation_size, np.float64), "goal": (goal.size, goal.dtype)}
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
    if "state" in given and isinstance(env, Antmaze):
        ant.check_ant_states(given["state"][None])
    elif "state" in given and not inside_maze(env.spec.layout, given["state"][None, :2]).all():
        raise ValueError(f"reset's option 'state' puts the ball into a wall, at {given['state'][:2].tolist()}.")
    return given
