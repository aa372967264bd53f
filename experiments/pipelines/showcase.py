"""What a trained planner does in its maze, for the report's pictures: a few episodes, their plans, and the cost-to-go."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.pipelines.run_files import saved_planner
from invlearn_jax.evaluate.closed_loop import run_mujoco, start_states
from invlearn_jax.tasks.d4rl import GOAL_RADIUS, steps_to_goal
from invlearn_jax.tasks.layouts import Layout
from invlearn_jax.tasks.maze2d.oracle import free_space, times_to
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.types import Key, Planner, Problem

_DRAWN = 64  # starts to choose from
_ROLL = 25  # steps that are shown after the arrival
_SEED = 7


class Example(NamedTuple):
    """One closed-loop episode and what was planned along it.

    Attributes:
        path: ``[t+1, 2]`` realised positions until a moment after the arrival (to the end where there is none), metres.
        arrival: steps to the goal, or None.
        proposed: ``[n, T+1, 2]`` predicted positions of one-pass plans, every T steps until the arrival.
        refined: ``[n, T+1, 2]`` the same after refinement.
    """

    path: np.ndarray
    arrival: int | None
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
    one_pass, params = saved_planner(folder)
    refining = saved_planner(folder, refine_steps)[0]
    env = make_task(env_name).environment
    layout, goal = env.spec.layout, np.asarray(env.goal)
    field = _field(one_pass.objective.cost_to_go, params.objective, layout, goal)
    run_key, start_key, plan_key = jax.random.split(jax.random.key(_SEED), 3)
    starts = start_states(env, start_key, _DRAWN, multi_goal=False)[0]
    starts = starts[np.linalg.norm(starts[:, :2] - goal, axis=-1) > GOAL_RADIUS]
    starts = starts[_spread(starts[:, :2], field, episodes)]
    goals = np.repeat(goal[None], len(starts), axis=0)
    rows = run_mujoco(one_pass, params, env, run_key, starts, goals)
    # Of the plans that were made on the way, those that follow each other end to end.
    stride = -(-one_pass.horizon // one_pass.execute_steps)
    proposed = rows.plan_states[:, ::stride]
    refined = _plan_states(refining, params, plan_key, proposed[:, :, 0], goal)
    examples = []
    for index, step in enumerate(steps_to_goal(rows.states, goals)):
        last = rows.actions.shape[1] if np.isnan(step) else int(step)
        kept = -(-last // (stride * one_pass.execute_steps))
        path = rows.states[index, : last + _ROLL + 1, :2]
        plans = (plan_states[index, :kept, :, :2] for plan_states in (proposed, refined))
        examples.append(Example(path, None if np.isnan(step) else last, *plans))
    return Showcase(layout, goal, env.dt, refine_steps, examples, field)


def _plan_states(planner: Planner, params: object, key: Key, states: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Predictions ``[N, n, T+1, S]`` of plans from ``states [N, n, S]``."""
    flat = jnp.asarray(states.reshape(-1, states.shape[-1]), jnp.float32)
    problems = Problem(flat, jnp.repeat(jnp.asarray(goal, jnp.float32)[None], len(flat), axis=0))
    plan = jax.jit(jax.vmap(planner.plan, in_axes=(None, 0, 0)))
    predicted = np.asarray(plan(params, jax.random.split(key, len(flat)), problems).states)
    return predicted.reshape(*states.shape[:2], *predicted.shape[1:])


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
