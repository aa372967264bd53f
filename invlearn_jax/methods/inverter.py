"""Inverse Learning: an Inverter trained end to end through a learned forward model, corrected by executing it.

data -> forward model -> cost beyond the horizon -> Inverter;    then, round by round, execute -> model -> Inverter
"""

import math
from collections.abc import Callable

import jax
import numpy as np

from invlearn_jax.data.dataset import Dataset, concatenate, split
from invlearn_jax.files import write_json
from invlearn_jax.inverters.network import NetworkInverter
from invlearn_jax.keys import stream, streams
from invlearn_jax.learn.collect import collect
from invlearn_jax.learn.inverter import check_advance
from invlearn_jax.learn.stages import Run
from invlearn_jax.methods.inverter_settings import TAILS, Settings
from invlearn_jax.methods.inverter_training import (
    NetworkPlanner,
    Parts,
    also_from,
    clone,
    cloning_prior,
    covering,
    first_model,
    fit_objective,
    input_scales,
    model_errors,
    named_parts,
    train_inverter,
    train_model,
    with_part,
)
from invlearn_jax.models.chunked import ChunkedModel
from invlearn_jax.models.data_coverage import coverage_for
from invlearn_jax.models.graph_cost import GraphCost
from invlearn_jax.names import unknown_name
from invlearn_jax.objectives import TaskObjective
from invlearn_jax.parametrisation import Box, Spline
from invlearn_jax.planners.planner import PlannerParams
from invlearn_jax.refine.named import named_refiner
from invlearn_jax.tasks.exploration import usable_rows
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key, Params, Problem

_CHUNK = 4  # steps per call of the forward model, where the horizons divide by it


def build(
    task: Task,
    settings: Settings,
    refine_steps: int = 0,
    candidates: int | None = None,
    refiner: str = "adam",
    execute_steps: int | None = None,
) -> NetworkPlanner:
    """The planner for a task.

    Args:
        task: what to plan for.
        settings: of the method.
        refine_steps: K.
        candidates: proposals per problem; 1 by default.
        refiner: one of ``refine.REFINERS``.
        execute_steps: steps between plans; the task's by default.

    Returns:
        The planner.

    Raises:
        ValueError: for settings that do not fit together; says which are allowed.
    """
    if settings.tail.kind not in TAILS:
        raise unknown_name("cost beyond the horizon", settings.tail.kind, TAILS)
    chunk = settings.model.chunk or math.gcd(task.horizon, settings.model.horizon, _CHUNK)
    for name, horizon in (("The task's horizon", task.horizon), ("model.horizon", settings.model.horizon)):
        if horizon % chunk:
            raise ValueError(f"{name} is {horizon} steps, model.chunk {chunk}; the chunk must divide it.")
    check_advance(settings.inverter.advance_within(task.horizon), task.horizon)
    if settings.correction.follow > task.horizon:
        raise ValueError(
            f"correction.follow is {settings.correction.follow} steps; a plan has {task.horizon}, give at most that, or 0."
        )
    if settings.correction.rounds and settings.correction.steps <= settings.model.horizon:
        raise ValueError(
            f"correction.steps is {settings.correction.steps}; the model learns from windows of model.horizon = "
            f"{settings.model.horizon} steps, give more than that."
        )
    low, high, knots = task.action_low, task.action_high, settings.net.knots
    parametrisation = Spline(low, high, task.horizon, knots) if knots else Box(low, high, task.horizon)
    inverter = NetworkInverter(task, settings.net.hidden, settings.net.octaves, parametrisation)
    model = ChunkedModel(task, chunk, settings.model.hidden, settings.model.octaves)
    tail = None
    if settings.tail.kind == "graph":
        tail = GraphCost(task, settings.tail.look_ahead, settings.tail.hidden, settings.tail.octaves)
    size = jax.eval_shape(task.covered, jax.ShapeDtypeStruct((task.state_size,), float)).shape[0]
    return NetworkPlanner(
        inverter,
        model,
        TaskObjective(task, settings.objective, tail, coverage_for(size), stride=chunk),
        named_refiner(refiner, settings.refine_rate),
        refine_steps,
        1 if candidates is None else candidates,
        execute_steps if execute_steps is not None else task.execute_steps or max(1, task.horizon // 8),
    )


def fit(task: Task, settings: Settings, run: Run, key: Key) -> tuple[NetworkPlanner, PlannerParams]:
    """Learns a planner for a task.

    Args:
        task: what to plan for.
        settings: of the method.
        run: the run's folder; stages that are done already are read from it.
        key: consumed.

    Returns:
        The planner and its parameters.

    Raises:
        ValueError: for settings that do not fit together, before anything is made.
    """
    planner = build(task, settings)
    keys = dict(zip(_STREAMS, streams(key, *_STREAMS), strict=True))
    parts = run.parts("data", lambda: named_parts(task, task.data(settings.data.rows, keys["data"])))
    train = {name: part._replace(rows=split(part.rows, settings.data.held_out)[0]) for name, part in parts.items()}
    rows = concatenate(*(part.rows for part in train.values()))

    model_params = first_model(planner.model, rows, keys["model weights"])
    model_params = train_model(planner.model, settings, run, train, model_params, keys["model"])
    objective_params = fit_objective(task, planner, settings, run, rows, keys["tail"])
    inverter = planner.inverter.init(keys["inverter weights"])._replace(**input_scales(task, rows, keys["scales"]))

    draw = task.problem_sampler(rows)
    prior = cloning_prior(planner, settings, next(iter(train.values())).rows)
    if settings.cloning.steps and prior is not None:
        inverter = clone(planner, settings, run, prior, inverter, keys["cloning"])
    params = PlannerParams(inverter, model_params, objective_params)
    params = train_inverter(planner, settings, run, "inverter", params, draw, rows, prior, keys["inverter"])

    executed: list[Dataset] = []
    for number in range(1, settings.correction.rounds + 1):
        round_key = stream(keys["correction"], f"round {number}")
        params = correct(task, planner, settings, run, params, train, executed, draw, prior, number, round_key)
    held = {name: split(part.rows, settings.data.held_out)[1] for name, part in parts.items()}
    write_json(run.path / "model.json", model_errors(task, planner.model, params.model, held))
    return planner, params


_STREAMS = (
    "data",
    "model weights",
    "model",
    "tail",
    "inverter weights",
    "scales",
    "cloning",
    "inverter",
    "correction",
)


def correct(
    task: Task,
    planner: NetworkPlanner,
    settings: Settings,
    run: Run,
    params: PlannerParams,
    parts: Parts,
    executed: list[Dataset],
    draw: Callable[[Key], Problem],
    prior: Callable[[Params, Key], jax.Array] | None,
    number: int,
    key: Key,
) -> PlannerParams:
    """One round of online correction: the planner is executed, then model, coverage and Inverter learn from what came of it.

    Args:
        task: what to plan for.
        planner: what is executed.
        settings: of the method.
        run: the run's folder.
        params: the planner's parameters so far.
        parts: the data, without executed rows.
        executed: rows of the rounds before, to which those of this one are added.
        draw: draws a fresh problem.
        prior: the cloning term, or None.
        number: of the round, from 1.
        key: consumed.

    Returns:
        The parameters.
    """
    correction, rows = settings.correction, concatenate(*(part.rows for part in parts.values()))
    start_key, run_key, model_key, inverter_key = streams(key, "starts", "execution", "model", "inverter")

    def execute() -> Dataset:
        starts = jax.jit(jax.vmap(lambda k: draw(k).state))(jax.random.split(start_key, correction.robots))
        return usable_rows(task, collect(task, planner, params, np.asarray(starts), correction, run_key))

    executed.append(run.rows(f"executed_{number}", execute))
    added = concatenate(*executed)
    shared = with_part(parts, "executed", added, correction.share)
    model_params = train_model(planner.model, settings, run, shared, params.model, model_key, number)
    objective = covering(task, planner, settings, params.objective, concatenate(rows, added))
    return train_inverter(
        planner,
        settings,
        run,
        f"inverter_{number}",
        params._replace(model=model_params, objective=objective),
        also_from(draw, task, added.states, correction.starts),
        rows,
        prior,
        inverter_key,
        correction.inverter_steps,
    )
