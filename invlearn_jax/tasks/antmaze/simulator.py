"""The ant on C MuJoCo, many at a time."""

import mujoco
import numpy as np

from invlearn_jax.tasks.antmaze import model as ant
from invlearn_jax.tasks.antmaze.environment import AntmazeSpec
from invlearn_jax.tasks.mujoco import MujocoSimulator


class MujocoAntmaze(MujocoSimulator):
    """antmaze on C MuJoCo in float64: N ants, each alone in the maze, stepped together by a pool of threads."""

    def __init__(self, spec: AntmazeSpec | None = None, threads: int | None = None) -> None:
        """Compiles the model.

        Args:
            spec: the environment, or None for a floor without walls; the model is the one MJX runs.
            threads: worker threads, by default one per core.
        """
        self.spec = spec
        self.model = mujoco.MjModel.from_xml_string(ant.ant_xml(spec.layout if spec else None))
        limit = np.full(ant.ACTION_SIZE, ant.TORQUE)
        super().__init__(self.model, ant.FRAME_SKIP, -limit, limit, threads)

    def step(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Steps N ants by 0.1 s.

        The state is the observation. MuJoCo's solver begins each call anew instead of at its last solution, which
        moves a state by less than 1e-14.

        Args:
            states: ``[N, 29]``; see ``model``.
            actions: ``[N, 8]``, clipped to +-1.

        Returns:
            ``[N, 29]`` the next states, float64.

        Raises:
            ValueError: for states that are not an ant's; MuJoCo would silently put such an ant back at its start.
        """
        return super().step(ant.check_ant_states(states), ant.TORQUE * np.asarray(actions, np.float64))
