"""maze2d on C MuJoCo, many balls at a time: D4RL's own engine."""

import mujoco
import numpy as np

from invlearn_jax.tasks.maze2d import model as ball
from invlearn_jax.tasks.maze2d.environment import Maze2dSpec
from invlearn_jax.tasks.mujoco import MujocoSimulator


class MujocoMaze2d(MujocoSimulator):
    """N balls in float64, stepped together by a pool of threads."""

    def __init__(self, spec: Maze2dSpec, threads: int | None = None) -> None:
        """Compiles the model.

        Args:
            spec: the environment; the model is the one MJX runs.
            threads: worker threads, by default one per core.
        """
        self.spec = spec
        model = mujoco.MjModel.from_xml_string(ball.maze2d_xml(spec.layout))
        super().__init__(model, 1, -np.ones(2), np.ones(2), threads)

    def step(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Steps N balls by 0.01 s.

        Args:
            states: ``[N, 4]`` positions (m) and velocities (m/s), which D4RL clips to 5 m/s before each step.
            actions: ``[N, 2]``, clipped to +-1.

        Returns:
            ``[N, 4]`` the next states, float64.
        """
        states = np.asarray(states, np.float64)
        speed = np.clip(states[:, 2:], -ball.MAX_SPEED, ball.MAX_SPEED)
        return super().step(np.concatenate([states[:, :2], speed], axis=1), actions)
