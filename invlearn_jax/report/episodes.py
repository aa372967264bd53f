"""A few episodes of a run's planner, for the report's pictures."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from invlearn_jax.evaluate.episodes import draw_problems, run_mujoco, successes
from invlearn_jax.keys import from_seed, streams
from invlearn_jax.methods.saved import load_planner
from invlearn_jax.tasks.task import Episodes, JudgesPlans, Task
from invlearn_jax.types import Params, Planner

_SEED = 7
_ROLL = 0.25  # s that are shown after the goal is reached


class Shown(NamedTuple):
    """What a planner did.

    Attributes:
        task: what was to be done.
        planner: one forward pass per plan.
        params: its parameters.
        episodes: ``[N, ...]``, the longest first, to the last moment that is of interest: a moment after its goal is reached an
            episode stands still. Of the plans, those that follow each other end to end until then; NaN where there is none.
        arrivals: ``[N]`` seconds to the goal, or None.
    """

    task: Task
    planner: Planner
    params: Params
    episodes: Episodes
    arrivals: list[float | None]


def show(folder: Path, task: Task, count: int = 6) -> Shown | None:
    """Runs a few episodes of a saved planner, from problems drawn with a fixed seed.

    Args:
        folder: of the planner.
        task: what it plans for.
        count: how many.

    Returns:
        What came of them; None for a task whose plans are judged as they are.

    Raises:
        ValueError: if the planner's files are broken; names the folder.
    """
    if isinstance(task, JudgesPlans):
        return None
    try:
        planner, params = load_planner(folder, task=task)
    except ValueError as error:
        raise ValueError(f"The planner in {folder} cannot be loaded ({error}). Save it again.") from error
    problem_key, run_key = streams(from_seed(_SEED), "problems", "episodes")
    episodes = run_mujoco(planner, params, task, run_key, draw_problems(task, problem_key, count))
    return Shown(task, planner, params, *settled(task, planner, episodes))


def settled(task: Task, planner: Planner, episodes: Episodes) -> tuple[Episodes, list[float | None]]:
    """Episodes that stand still a moment after the goal is reached, the longest first, and when they got there; see ``Shown``."""
    reached = successes(task, episodes)
    length = episodes.actions.shape[1]
    arrival = np.asarray([int(there.argmax()) if there.any() else length for there in reached])
    last = np.minimum(arrival + round(_ROLL / task.dt), length)
    order = np.argsort(-last, kind="stable")
    shown = np.minimum(np.arange(last.max() + 1), last[:, None])
    stride = -(-planner.horizon // planner.execute_steps)
    plans = np.array(episodes.plan_states[:, ::stride])
    plans[np.arange(plans.shape[1]) * stride * planner.execute_steps >= np.maximum(arrival, 1)[:, None]] = np.nan
    kept = Episodes(
        episodes.goals,
        np.take_along_axis(episodes.states, shown[..., None], axis=1),
        episodes.actions[:, : last.max()],
        plans,
        episodes.results,
    )
    seconds = [task.dt * int(there.argmax()) if there.any() else None for there in reached]
    return Episodes(*(x[order] for x in kept)), [seconds[index] for index in order]
