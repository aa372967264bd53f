"""The environments on C MuJoCo, many at a time, for evaluation on D4RL's own engine."""

from invlearn_jax.tasks.antmaze.environment import AntmazeSpec
from invlearn_jax.tasks.antmaze.simulator import MujocoAntmaze
from invlearn_jax.tasks.maze2d.environment import Maze2dSpec
from invlearn_jax.tasks.maze2d.simulator import MujocoMaze2d


def mujoco_simulator(spec: Maze2dSpec | AntmazeSpec, threads: int | None = None) -> MujocoMaze2d | MujocoAntmaze:
    """The simulator of an environment; see ``MujocoMaze2d`` and ``MujocoAntmaze``."""
    return (MujocoAntmaze if isinstance(spec, AntmazeSpec) else MujocoMaze2d)(spec, threads)
