"""Inverse Learning: an Inverter trained end to end through a learned forward model, corrected by executing it.

data -> forward model -> cost beyond the horizon -> Inverter;    then, round by round, execute -> model -> Inverter

What is done about model hacking are settings (docs/hacking.md): ``objective.unvisited`` keeps plans near the data, and
``correction`` executes them, by default; ``model.members`` with ``objective.disagreement``, ``correction.adversarial`` and
``watch`` are there besides.
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
    against_plans,
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
from invlearn_jax.methods.inverter_watch import fit_watcher, watched
from invlearn_jax.models.chunked import ChunkedModel
from invlearn_jax.models.data_coverage import CELLS_BY_DIMENSION, coverage_for
from invlearn_jax.models.ensemble import DisagreementModel
from invlearn_jax.models.graph_cost import EmbeddedCost, GraphCost
from invlearn_jax.models.value import Value
from invlearn_jax.names import unknown_name
from invlearn_jax.objectives import TaskObjective
from invlearn_jax.parametrisation import Box, Spline
from invlearn_jax.planners.planner import PlannerParams
from invlearn_jax.planners.watched import WatchedParams, WatchedPlanner
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
) -> NetworkPlanner | WatchedPlanner:
    """The planner for a task, watched by a second model where the settings say so. See ``unwatched``."""
    planner = unwatched(task, settings, refine_steps, candidates, refiner, execute_steps)
    return watched(task, planner) if settings.watch.steps else planner


def unwatched(
    task: Task,
    settings: Settings,
    refine_steps: int = 0,
    candidates: int | None = None,
    refiner: str = "adam",
    execute_steps: int | None = None,
) -> NetworkPlanner:
    """The planner for a task, without what watches it.

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
    _check(task, settings)
    low, high, knots = task.action_low, task.action_high, settings.net.knots
    parametrisation = Spline(low, high, task.horizon, knots) if knots else Box(low, high, task.horizon)
    net, own = settings.net, settings.model
    inverter = NetworkInverter(task, net.hidden, net.octaves, parametrisation, cells=net.cells)
    member = ChunkedModel(task, chunk, own.hidden, own.octaves, own.cells)
    model = DisagreementModel(member, settings.model.members) if settings.model.members > 1 else member
    tail: GraphCost | Value | None = None
    if settings.tail.kind == "graph":
        described = task, settings.tail.look_ahead, settings.tail.hidden, settings.tail.octaves
        coordinates = settings.tail.coordinates
        tail = EmbeddedCost(*described, coordinates) if coordinates else GraphCost(*described)
    elif settings.tail.kind == "bootstrap":
        tail = Value(task, settings.tail.time_constant, settings.tail.hidden, settings.tail.octaves)
    size = jax.eval_shape(task.covered, jax.ShapeDtypeStruct((task.state_size,), float)).shape[0]
    # A table costs next to nothing; the nearest of many rows is looked for only where the distance from them is charged.
    known = settings.objective.unvisited or size in CELLS_BY_DIMENSION
    return NetworkPlanner(
        inverter,
        model,
        TaskObjective(task, settings.objective, tail, coverage_for(size) if known else None, stride=chunk),
        named_refiner(refiner, settings.refine_rate),
        refine_steps,
        1 if candidates is None else candidates,
        execute_steps if execute_steps is not None else task.steps_executed(),
    )


def _check(task: Task, settings: Settings) -> None:
    """Refuses settings that do not fit together; see ``unwatched``."""
    check_advance(settings.inverter.advance_within(task.horizon), task.horizon)
    correction, watch, members, longest = (
        settings.correction,
        settings.watch,
        settings.model.members,
        settings.model.horizon,
    )
    if settings.tail.kind == "bootstrap" and settings.objective.along:
        raise ValueError(
            f"objective.along is {settings.objective.along}, but the cost beyond the horizon by 'bootstrap' is learned from "
            "whole plans: along a plan it would be counted twice. Give 0."
        )
    if correction.follow > task.horizon:
        raise ValueError(
            f"correction.follow is {correction.follow} steps; a plan has {task.horizon}, give at most that, or 0."
        )
    for name, steps, used in (
        ("correction.steps", correction.steps, correction.rounds),
        ("watch.executed", watch.executed, watch.steps),
    ):
        if used and steps <= longest:
            raise ValueError(
                f"{name} is {steps}; the model learns from windows of model.horizon = {longest} steps, give more than that."
            )
    if settings.objective.disagreement and members == 1:
        raise ValueError(
            f"objective.disagreement is {settings.objective.disagreement}, but one model has none to disagree with. Give "
            "model.members of 2 or more, or a weight of 0."
        )
    if correction.adversarial and members > 1:
        raise ValueError(
            f"correction.adversarial is {correction.adversarial} and model.members {members}: only one model is trained against "
            "the Inverter. Give a weight of 0, or 1 member."
        )


def fit(
    task: Task, settings: Settings, run: Run, key: Key
) -> tuple[NetworkPlanner | WatchedPlanner, PlannerParams | WatchedParams]:
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
    planner = unwatched(task, settings)
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
    if not settings.watch.steps:
        return planner, params
    known = with_part(train, "executed", concatenate(*executed), settings.correction.share) if executed else train
    return fit_watcher(task, planner, params, settings, run, known, held, draw, keys["watcher"])


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
    "watcher",
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
    against = against_plans(planner, params, draw, correction.adversarial)
    model_params = train_model(planner.model, settings, run, shared, params.model, model_key, number, against)
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
