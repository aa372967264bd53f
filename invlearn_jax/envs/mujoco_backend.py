"""The same environments on C MuJoCo, many at a time, for evaluation on D4RL's own engine."""

import os

import mujoco
import mujoco.rollout
import numpy as np

from invlearn_jax.envs import maze2d_model as ball
from invlearn_jax.envs.maze2d import Maze2dSpec


class MujocoMaze2d:
    """maze2d on C MuJoCo in float64: N balls stepped together by a pool of threads."""

    def __init__(self, spec: Maze2dSpec, threads: int | None = None) -> None:
        """Compiles the model.

        Args:
            spec: the environment; the model is the one MJX runs.
            threads: worker threads, by default one per core.
        """
        self.spec = spec
        self.model = mujoco.MjModel.from_xml_string(ball.maze2d_xml(spec.layout))
        threads = threads or os.cpu_count() or 1
        self._data = [mujoco.MjData(self.model) for _ in range(threads)]
        self._pool = mujoco.rollout.Rollout(nthread=threads)

    def step(self, obs: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Steps N balls by 0.01 s.

        Args:
            obs: ``[N, 4]`` positions (m) and velocities (m/s).
            actions: ``[N, 2]``, clipped to +-1.

        Returns:
            ``[N, 4]`` the next observations, float64.
        """
        obs = np.asarray(obs, np.float64)
        count = len(obs)
        state = np.concatenate(
            [np.zeros((count, 1)), obs[:, :2], np.clip(obs[:, 2:], -ball.MAX_SPEED, ball.MAX_SPEED)], axis=1
        )
        control = np.clip(np.asarray(actions, np.float64), -1.0, 1.0)[:, None]
        out, _ = self._pool.rollout(self.model, self._data, state, control)
        return out[:, 0, 1:5]

    def close(self) -> None:
        """Ends the threads."""
        self._pool.close()
