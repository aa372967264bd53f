"""Users' data files for a maze: read, and checked to be of it."""

import functools

import numpy as np

from invlearn_jax.data.consistency import Motion
from invlearn_jax.data.dataset import Dataset
from invlearn_jax.data.hdf5 import PathLike
from invlearn_jax.data.readers import read_checked
from invlearn_jax.tasks.maze2d import model as ball
from invlearn_jax.tasks.maze2d.environment import Maze2dSpec, inside_maze
from invlearn_jax.tasks.maze2d.simulator import MujocoMaze2d


def read_for(spec: Maze2dSpec, path: PathLike) -> Dataset:
    """Reads a data file for a maze; see ``data.readers.read_checked``."""
    return read_checked(path, motion_of(spec))


def motion_of(spec: Maze2dSpec) -> Motion:
    """What is known of the ball's motion, for ``check_motion``; its simulator is C MuJoCo's."""
    return Motion(
        name=spec.name,
        sizes=(4, 2),
        holds="position and velocity (4) and forces (2)",
        dt=ball.TIMESTEP,
        positions=lambda states: states[:, :2],
        velocities=lambda states: states[:, 2:],
        inside=functools.partial(inside_maze, spec.layout),
        forbidden=f"in the walls of {spec.name}",
        extent=(spec.layout.free.min(0) + ball.FREE_LOW, spec.layout.free.max(0) + ball.FREE_HIGH),
        step=functools.partial(_step, spec),
        steps=2000,
    )


def _step(spec: Maze2dSpec, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    simulator = MujocoMaze2d(spec, threads=1)
    try:
        return simulator.step(states, actions)
    finally:
        simulator.close()
