"""A maze as a gymnasium environment, for programs that expect one."""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from invlearn_jax.envs.antmaze import Antmaze
from invlearn_jax.envs.maze2d import Maze2d
from invlearn_jax.envs.mujoco_backend import mujoco_simulator
from invlearn_jax.envs.registry import make

if TYPE_CHECKING:
    import gymnasium


def as_gymnasium(name: str) -> "gymnasium.Env":
    """Wraps a registered environment, stepped by C MuJoCo.

    Args:
        name: an id of ``environment_names()``.

    Returns:
        A ``gymnasium.Env``: observations of the environment, actions in [-1, 1], truncated at the time limit, terminated at
        the goal in antmaze and never in maze2d; ``info["goal"]`` is the goal.

    Raises:
        ImportError: without gymnasium; names the extra to install.
        ValueError: if the name is unknown.
    """
    try:
        import gymnasium
    except ImportError as error:
        raise ImportError("The gymnasium bridge needs gymnasium: pip install 'invlearn_jax[robotics]'.") from error

    class MazeEnv(gymnasium.Env):
        """See ``as_gymnasium``."""

        def __init__(self, env: Maze2d | Antmaze) -> None:
            self._env, self._simulator = env, mujoco_simulator(env.spec, threads=1)
            self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (env.observation_size,), np.float64)
            self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (env.action_size,), np.float32)
            self._reset, self._reward = jax.jit(env.reset), jax.jit(env.reward)

        def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict[str, Any]]:
            super().reset(seed=seed)
            state = self._reset(jax.random.key(int(self.np_random.integers(2**31))))
            self._obs, self._goal, self._steps = np.asarray(state.obs, np.float64), np.array(state.info["goal"]), 0
            return self._obs, {"goal": self._goal.copy()}

        def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
            self._obs = self._simulator.step(self._obs[None], np.asarray(action)[None])[0]
            self._steps += 1
            reward = float(self._reward(self._obs[:2], self._goal))
            terminated = self._env.spec.ends_at_goal and reward > 0
            return self._obs, reward, terminated, self._steps >= self._env.episode_length, {"goal": self._goal.copy()}

        def close(self) -> None:
            self._simulator.close()

    return MazeEnv(make(name))
