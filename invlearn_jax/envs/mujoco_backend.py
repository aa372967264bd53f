"""The same environments on C MuJoCo, many at a time, for evaluation on D4RL's own engine."""

import os
from typing import TYPE_CHECKING

import mujoco
import mujoco.rollout
import numpy as np

from invlearn_jax.envs import ant_model as ant
from invlearn_jax.envs.antmaze import AntmazeSpec
from invlearn_jax.tasks.maze2d.environment import Maze2dSpec

if TYPE_CHECKING:
    from invlearn_jax.tasks.task import Simulator


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


class MujocoAntmaze(_Simulator):
    """antmaze on C MuJoCo in float64: N ants, each alone in the maze, stepped together by a pool of threads."""

    def __init__(self, spec: AntmazeSpec | None = None, threads: int | None = None) -> None:
        """Compiles the model.

        Args:
            spec: the environment, or None for a floor without walls; the model is the one MJX runs.
            threads: worker threads, by default one per core.
        """
        self.spec = spec
        super().__init__(ant.ant_xml(spec.layout if spec else None), threads)

    def step(self, obs: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Steps N ants by 0.1 s.

        The observation is the whole state. MuJoCo's solver begins each call anew instead of at its last solution, which
        moves a state by less than 1e-14.

        Args:
            obs: ``[N, 29]``; see ``ant_model``.
            actions: ``[N, 8]``, clipped to +-1.

        Returns:
            ``[N, 29]`` the next observations, float64.

        Raises:
            ValueError: for states that are not an ant's; MuJoCo would silently put such an ant back at its start.
        """
        control = ant.TORQUE * np.clip(np.asarray(actions, np.float64), -1.0, 1.0)
        return self._advance(ant.check_ant_states(obs), control, ant.FRAME_SKIP)


def mujoco_simulator(spec: Maze2dSpec | AntmazeSpec, threads: int | None = None) -> "Simulator":
    """The simulator of an environment; see ``MujocoMaze2d`` and ``MujocoAntmaze``."""
    from invlearn_jax.tasks.maze2d.simulator import MujocoMaze2d  # noqa: PLC0415  (its base class needs data, which imports this)

    return (MujocoAntmaze if isinstance(spec, AntmazeSpec) else MujocoMaze2d)(spec, threads)
