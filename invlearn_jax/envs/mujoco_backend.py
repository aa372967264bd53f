"""The same environments on C MuJoCo, many at a time, for evaluation on D4RL's own engine."""

import os

import mujoco
import mujoco.rollout
import numpy as np

from invlearn_jax.envs import maze2d_model as ball
from invlearn_jax.envs.maze2d import Maze2dSpec
from invlearn_jax.tasks.antmaze.environment import AntmazeSpec
from invlearn_jax.tasks.antmaze.simulator import MujocoAntmaze


class _Simulator:
    """N copies of one model in float64, stepped together by a pool of threads."""

    def __init__(self, xml: str, threads: int | None) -> None:
        """Compiles the model; ``threads`` workers, by default one per core."""
        self.model = mujoco.MjModel.from_xml_string(xml)
        threads = threads or os.cpu_count() or 1
        self._data = [mujoco.MjData(self.model) for _ in range(threads)]
        self._pool = mujoco.rollout.Rollout(nthread=threads)

    def _advance(self, state: np.ndarray, control: np.ndarray, steps: int) -> np.ndarray:
        """States ``[N, S]`` (qpos, qvel) after ``steps`` under controls ``[N, U]`` held."""
        begin = np.concatenate([np.zeros((len(state), 1)), state], axis=1)
        out, _ = self._pool.rollout(self.model, self._data, begin, np.repeat(control[:, None], steps, axis=1))
        return out[:, -1, 1:]

    def close(self) -> None:
        """Ends the threads."""
        self._pool.close()


class MujocoMaze2d(_Simulator):
    """maze2d on C MuJoCo in float64: N balls stepped together by a pool of threads."""

    def __init__(self, spec: Maze2dSpec, threads: int | None = None) -> None:
        """Compiles the model.

        Args:
            spec: the environment; the model is the one MJX runs.
            threads: worker threads, by default one per core.
        """
        self.spec = spec
        super().__init__(ball.maze2d_xml(spec.layout), threads)

    def step(self, obs: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Steps N balls by 0.01 s.

        Args:
            obs: ``[N, 4]`` positions (m) and velocities (m/s).
            actions: ``[N, 2]``, clipped to +-1.

        Returns:
            ``[N, 4]`` the next observations, float64.
        """
        obs = np.asarray(obs, np.float64)
        state = np.concatenate([obs[:, :2], np.clip(obs[:, 2:], -ball.MAX_SPEED, ball.MAX_SPEED)], axis=1)
        return self._advance(state, np.clip(np.asarray(actions, np.float64), -1.0, 1.0), 1)


def mujoco_simulator(spec: Maze2dSpec | AntmazeSpec, threads: int | None = None) -> MujocoMaze2d | MujocoAntmaze:
    """The simulator of an environment; see ``MujocoMaze2d`` and ``MujocoAntmaze``."""
    return (MujocoAntmaze if isinstance(spec, AntmazeSpec) else MujocoMaze2d)(spec, threads)
