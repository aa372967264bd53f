"""A few episodes of ants in their maze, for the report's picture and animation."""

import base64
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from experiments.pipelines.run_files import saved_planner
from invlearn_jax.evaluate.closed_loop import run_mujoco, start_states
from invlearn_jax.tasks.antmaze.drawing import ant_gif
from invlearn_jax.tasks.d4rl import steps_to_goal
from invlearn_jax.tasks.layouts import Layout
from invlearn_jax.tasks.registry import make_task

_EPISODES, _ANIMATED = 12, 6
_ROLL = 5  # steps that are shown after the last arrival
_SEED = 7


class Walks(NamedTuple):
    """Closed-loop episodes.

    Attributes:
        layout: the maze.
        states: ``[N, L+1, 29]``.
        goals: ``[N, 2]`` metres.
        arrivals: steps to the goal, or None.
    """

    layout: Layout
    states: np.ndarray
    goals: np.ndarray
    arrivals: list[int | None]

    def tracks(self) -> list[np.ndarray]:
        """Positions ``[t, 2]`` until the arrival."""
        ends = [
            len(states) if step is None else step + 1 for states, step in zip(self.states, self.arrivals, strict=True)
        ]
        return [states[:end, :2] for states, end in zip(self.states, ends, strict=True)]


def walk_maze(folder: Path, env_name: str, episodes: int = _EPISODES) -> Walks:
    """Runs a few episodes on C MuJoCo from D4RL's starts, drawn with a fixed seed.

    Args:
        folder: of the planner.
        env_name: a registered antmaze.
        episodes: how many.

    Returns:
        The walks.

    Raises:
        ValueError: if the planner's files are broken; names the folder.
    """
    planner, params = saved_planner(folder)
    env = make_task(env_name).environment
    start_key, run_key = jax.random.split(jax.random.key(_SEED))
    starts, goals = start_states(env, start_key, episodes, multi_goal=False)
    states = run_mujoco(planner, params, env, run_key, starts, goals).states
    steps = steps_to_goal(states, goals)
    return Walks(env.spec.layout, states, np.asarray(goals), [None if np.isnan(step) else int(step) for step in steps])


def ant_animation(walks: Walks) -> str:
    """The first episodes as an HTML image that holds its GIF."""
    arrivals = walks.arrivals[:_ANIMATED]
    last = walks.states.shape[1] if None in arrivals else max(arrivals) + _ROLL
    gif = ant_gif(walks.layout, walks.states[:_ANIMATED, :last], walks.goals[:_ANIMATED])
    return f'<img alt="Ants in their maze" src="data:image/gif;base64,{base64.b64encode(gif).decode()}">'
