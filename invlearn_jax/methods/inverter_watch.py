"""The second model of a planner, which learns from the data and from what the planner does; held-out data set its threshold."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from invlearn_jax.data.dataset import Dataset, concatenate, longest_episode, sample_windows, split, window_store
from invlearn_jax.keys import streams
from invlearn_jax.learn.collect import collect
from invlearn_jax.learn.stages import Run
from invlearn_jax.methods.inverter_settings import Settings
from invlearn_jax.methods.inverter_training import (
    NetworkPlanner,
    Parts,
    first_model,
    member_of,
    train_model,
    with_part,
)
from invlearn_jax.planners.planner import PlannerParams
from invlearn_jax.planners.watched import WatchedParams, WatchedPlanner, calibrate
from invlearn_jax.tasks.exploration import usable_rows
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key, Problem

_SHARE = 0.5  # of a batch, what the finished planner does
_WINDOWS = 1000  # held out, of each part of the data; enough for any share of false alarms that settings allow


def watched(task: Task, planner: NetworkPlanner) -> WatchedPlanner:
    """The planner with a second model of the same kind; they are compared in goal space, or in all that data cover."""
    return WatchedPlanner(planner, member_of(planner.model), task.achieved if task.goal_size else task.covered)


def fit_watcher(
    task: Task,
    planner: NetworkPlanner,
    params: PlannerParams,
    settings: Settings,
    run: Run,
    known: Parts,
    held: dict[str, Dataset],
    draw: Callable[[Key], Problem],
    key: Key,
) -> tuple[WatchedPlanner, WatchedParams]:
    """Executes the finished planner, trains the second model, and sets its threshold.

    Args:
        task: what is planned for.
        planner: the finished planner.
        params: its parameters.
        settings: of the method.
        run: the run's folder; the second model's stages are in ``watcher`` inside it.
        known: the data that the planner's model learned from.
        held: rows that it did not learn from.
        draw: draws a fresh problem.
        key: consumed.

    Returns:
        The watched planner and its parameters.

    Raises:
        ValueError: where no held-out rows are as long as a plan.
    """
    own = settings.watch
    start_key, run_key, weights_key, model_key, window_key = streams(
        key, "starts", "execution", "weights", "model", "windows"
    )

    def execute() -> Dataset:
        starts = jax.jit(jax.vmap(lambda k: draw(k).state))(jax.random.split(start_key, own.robots))
        how = dataclasses.replace(settings.correction, robots=own.robots, steps=own.executed, follow=0)
        return usable_rows(task, collect(task, planner, params, np.asarray(starts), how, run_key))

    seen, unseen = split(run.rows("watched", execute), settings.data.held_out)
    model = member_of(planner.model)
    single = own.steps if settings.model.one_step else 0
    longer = dataclasses.replace(settings.model, steps=own.steps, one_step=single)
    first = first_model(model, concatenate(*(part.rows for part in known.values())), weights_key)
    watcher = train_model(
        model,
        dataclasses.replace(settings, model=longer),
        run.within("watcher"),
        with_part(known, "watched", seen, _SHARE),
        first,
        model_key,
    )
    whole = watched(task, planner)
    unwatched = WatchedParams(params, watcher, jnp.array(jnp.inf))
    apart = disagreements(whole, unwatched, held | {"watched": unseen}, window_key)
    return whole, unwatched._replace(threshold=calibrate(apart, own.false_alarms))


def disagreements(planner: WatchedPlanner, params: WatchedParams, held: dict[str, Dataset], key: Key) -> jax.Array:
    """How far the two models part over windows of held-out rows. The key is consumed.

    Raises:
        ValueError: where none of the rows are as long as a plan.
    """
    parts = [rows for rows in held.values() if longest_episode(rows) > planner.horizon]
    if not parts:
        raise ValueError(
            f"No held-out episode has more than the {planner.horizon} steps of a plan, so the second model has no threshold. "
            "Raise data.held_out or watch.executed, or give watch.steps=0."
        )
    model = planner.planner.model

    def apart(state: jax.Array, actions: jax.Array) -> jax.Array:
        # An ensemble's states end with their disagreement.
        states = model.unroll(params.planner.model, state, actions)[:, : state.size]
        return planner.disagreement(params, states, actions)

    found = []
    for rows, part_key in zip(parts, jax.random.split(key, len(parts)), strict=True):
        windows = sample_windows(window_store(rows, planner.horizon), part_key, _WINDOWS, planner.horizon)
        found.append(jax.jit(jax.vmap(apart))(windows.states[:, 0], windows.actions))
    return jnp.concatenate(found)
