"""What is known of the motion of each environment, for ``check_motion``."""

import functools

import numpy as np

from invlearn_jax.data.consistency import Motion
from invlearn_jax.envs.mujoco_backend import mujoco_simulator
from invlearn_jax.tasks.antmaze import model as ant
from invlearn_jax.tasks.antmaze.environment import AntmazeSpec
from invlearn_jax.tasks.layouts import Layout
from invlearn_jax.tasks.maze2d import model as ball
from invlearn_jax.tasks.maze2d.environment import Maze2dSpec, inside_maze


def motion_of(spec: Maze2dSpec | AntmazeSpec) -> Motion:
    """The motion of an environment; its simulator is C MuJoCo's."""
    if isinstance(spec, AntmazeSpec):
        return Motion(
            name=spec.name,
            sizes=(ant.STATE_SIZE, ant.ACTION_SIZE),
            holds=f"an ant's positions and velocities ({ant.STATE_SIZE}) and torques ({ant.ACTION_SIZE})",
            dt=ant.TIMESTEP * ant.FRAME_SKIP,
            positions=lambda states: states[:, :2],
            velocities=lambda states: states[:, ant.QPOS_SIZE : ant.QPOS_SIZE + 2],
            inside=functools.partial(_between_walls, spec.layout),
            forbidden=f"in the walls of {spec.name}",
            extent=tuple(
                ant.cell_centre(spec.layout, cell) for cell in (spec.layout.free.min(0), spec.layout.free.max(0))
            ),
            check=ant.check_ant_states,
            step=functools.partial(_step, spec),
            steps=400,
        )
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


def _step(spec: Maze2dSpec | AntmazeSpec, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    # Simulators come from the worlds, which read data with this module.

    simulator = mujoco_simulator(spec, threads=1)
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
