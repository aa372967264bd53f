"""What a trained planner does in its maze, for the report's pictures: a few episodes, their plans, and the cost-to-go."""

import zipfile
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from invlearn_jax.envs import registry
from invlearn_jax.envs.layouts import Layout
from invlearn_jax.evaluate import free_space, steps_to_goal, times_to
from invlearn_jax.evaluate.closed_loop import run_mujoco, start_states
from invlearn_jax.io.planners import load_config, load_planner
from invlearn_jax.planners.maze import build_cost_to_go
from invlearn_jax.types import Problem

_DRAWN = 64  # starts to choose from
_SEED = 7


class Example(NamedTuple):
    """One closed-loop episode and what was planned along it.

    Attributes:
        path: ``[t+1, 2]`` realised positions until the arrival (all of the episode where there is none), metres.
        arrived: whether the goal was reached.
        proposed: ``[n, T+1, 2]`` predicted positions of one-pass plans, made every T steps of the path.
        refined: ``[n, T+1, 2]`` the same after refinement.
    """

    path: np.ndarray
    arrived: bool
    proposed: np.ndarray
    refined: np.ndarray


class Field(NamedTuple):
    """The cost-to-go of one goal over the maze.

    Attributes:
        points: ``[M, 2]`` free positions of a grid, metres.
        pitch: metres between them.
        learned: ``[M]`` seconds, at rest.
        shortest: ``[M]`` seconds of the map's shortest way at the speed limit.
    """

    points: np.ndarray
    pitch: float
    learned: np.ndarray
    shortest: np.ndarray


class Showcase(NamedTuple):
    """All of it.

    Attributes:
        layout: the maze.
        goal: ``[2]`` metres.
        dt: seconds per step.
        refine_steps: K of the refined plans.
        examples: the episodes, the longest way first.
        field: the cost-to-go of the goal.
    """

    layout: Layout
    goal: np.ndarray
    dt: float
    refine_steps: int
    examples: list[Example]
    field: Field


def make_showcase(folder: Path, env_name: str, refine_steps: int, episodes: int = 6) -> Showcase:
    """Runs a few episodes on C MuJoCo with one-pass plans and plans along them, with and without refinement.

    Starts are D4RL's, drawn with a fixed seed and chosen so that they are spread over the maze.

    Args:
        folder: of the planner.
        env_name: a registered maze2d environment.
        refine_steps: K of the refined plans.
        episodes: how many.

    Returns:
        The showcase.

    Raises:
        ValueError: if the planner's files are broken; names the folder.
    """
    try:
        config = load_config(folder)[0]
        one_pass, params = load_planner(folder)
        refining = load_planner(folder, refine_steps)[0]
    except (ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"The planner in {folder} cannot be loaded ({error}). Save it again.") from error
    env = registry.make(env_name)
    layout, goal = env.spec.layout, np.asarray(env.goal)
    field = _field(build_cost_to_go(config), params.objective, layout, goal)
    key, start_key = jax.random.split(jax.random.key(_SEED))
    starts = start_states(env, start_key, _DRAWN, multi_goal=False)[0]
    starts = starts[_spread(starts[:, :2], field, episodes)]
    goals = np.repeat(goal[None], len(starts), axis=0)
    rows = run_mujoco(one_pass, params, env, key, starts, goals)
    arrival = steps_to_goal(rows.states, goals)
    plans = [jax.jit(jax.vmap(planner.plan, in_axes=(None, 0, 0))) for planner in (one_pass, refining)]
    examples = []
    for states, step in zip(rows.states, arrival, strict=True):
        path = states if np.isnan(step) else states[: int(step) + 1]
        # One width for all episodes, so that each planner compiles once; those past the arrival are dropped.
        origins = states[: -1 : one_pass.horizon]
        problems = Problem(jnp.asarray(origins, jnp.float32), jnp.asarray(np.repeat(goals[:1], len(origins), axis=0)))
        keys = jax.random.split(key, len(origins))
        kept = max(1, -(-(len(path) - 1) // one_pass.horizon))
        proposed, refined = (np.asarray(plan(params, keys, problems).states)[:kept, :, :2] for plan in plans)
        examples.append(Example(path[:, :2], not np.isnan(step), proposed, refined))
    return Showcase(layout, goal, env.dt, refine_steps, examples, field)


def _field(cost_to_go: object, params: object, layout: Layout, goal: np.ndarray) -> Field:
    space = free_space(layout)
    states = jnp.asarray(np.pad(space.points, ((0, 0), (0, 2))), jnp.float32)
    learned = jax.jit(jax.vmap(cost_to_go, in_axes=(None, 0, None)))(params, states, jnp.asarray(goal, jnp.float32))
    return Field(space.points, space.pitch, np.asarray(learned), times_to(space, goal, radius=0.0))


def _spread(positions: np.ndarray, field: Field, count: int) -> list[int]:
    """Indices of ``count`` positions: the one with the longest way, then each time the one farthest from those chosen."""
    nearest = np.abs(positions[:, None] - field.points[None]).max(-1).argmin(1)
    chosen = [int(field.shortest[nearest].argmax())]
    while len(chosen) < min(count, len(positions)):
        away = np.linalg.norm(positions[:, None] - positions[chosen][None], axis=-1).min(1)
        chosen.append(int(away.argmax()))
    return sorted(chosen, key=lambda index: -field.shortest[nearest[index]])
