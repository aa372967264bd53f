"""Users' data files of an ant: read, and checked to be of one, or of its maze."""

import functools
import os

import numpy as np

from invlearn_jax.data.consistency import Motion
from invlearn_jax.data.dataset import Dataset
from invlearn_jax.data.hdf5 import PathLike
from invlearn_jax.data.readers import read, read_checked
from invlearn_jax.tasks.antmaze import model as ant
from invlearn_jax.tasks.antmaze.environment import AntmazeSpec
from invlearn_jax.tasks.antmaze.simulator import MujocoAntmaze
from invlearn_jax.tasks.layouts import Layout


def read_for(spec: AntmazeSpec, path: PathLike) -> Dataset:
    """Reads a data file for a maze; see ``data.readers.read_checked``."""
    return read_checked(path, motion_of(spec))


def read_ant(path: PathLike) -> Dataset:
    """Reads a data file of an ant with the reader for its kind, and checks that it is one.

    Args:
        path: see ``data.readers.read``.

    Returns:
        The rows: states ``[N, 29]`` as in ``model``, actions ``[N, 8]``.

    Raises:
        FileNotFoundError: if there is nothing at that path.
        ValueError: see ``read``; for the data of another robot, and for states without unit quaternions.
        ImportError: if a package that the kind needs is not installed.
    """
    source, dataset = os.fspath(path), read(path)
    sizes = dataset.states.shape[1], dataset.actions.shape[1]
    if sizes != (ant.STATE_SIZE, ant.ACTION_SIZE):
        raise ValueError(
            f"{source} has states and actions of {sizes[0]} and {sizes[1]} numbers; an ant has {ant.STATE_SIZE} and "
            f"{ant.ACTION_SIZE}. Give the data of an ant, with D4RL's or OGBench's 29 numbers."
        )
    ant.check_ant_states(dataset.states, f"The states in {source}")
    return dataset


def motion_of(spec: AntmazeSpec) -> Motion:
    """What is known of the ant's motion, for ``check_motion``; its simulator is C MuJoCo's."""
    free = spec.layout.free
    return Motion(
        name=spec.name,
        sizes=(ant.STATE_SIZE, ant.ACTION_SIZE),
        holds=f"an ant's positions and velocities ({ant.STATE_SIZE}) and torques ({ant.ACTION_SIZE})",
        dt=ant.TIMESTEP * ant.FRAME_SKIP,
        positions=lambda states: states[:, :2],
        velocities=lambda states: states[:, ant.QPOS_SIZE : ant.QPOS_SIZE + 2],
        inside=functools.partial(_between_walls, spec.layout),
        forbidden=f"in the walls of {spec.name}",
        extent=(ant.cell_centre(spec.layout, free.min(0)), ant.cell_centre(spec.layout, free.max(0))),
        check=ant.check_ant_states,
        step=functools.partial(_step, spec),
        steps=400,
    )


def _step(spec: AntmazeSpec, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    simulator = MujocoAntmaze(spec, threads=1)
    try:
        return simulator.step(states, actions)
    finally:
        simulator.close()


def _between_walls(layout: Layout, positions: np.ndarray) -> np.ndarray:
    """Whether the torso's centre ``[N, 2]`` (m) is above a free cell."""
    cell = np.floor((positions + ant.CELL / 2) / ant.CELL).astype(int)[:, ::-1] + layout.free[0]
    within = ((cell >= 0) & (cell < layout.walls.shape)).all(1)
    row, column = np.clip(cell, 0, np.array(layout.walls.shape) - 1).T
    return within & ~layout.walls[row, column]
