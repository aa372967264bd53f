"""Inverse Learning: an Inverter trained end to end through a learned forward model, corrected by executing it.

data -> forward model -> cost beyond the horizon -> Inverter;    then, round by round, execute -> model -> Inverter
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from invlearn_jax.data.dataset import Dataset, concatenate, fit_normalizer, longest_episode, split, window_store
from invlearn_jax.files import write_json
from invlearn_jax.inverters.network import NetworkInverter, NetworkParams, Scales
from invlearn_jax.keys import stream, streams
from invlearn_jax.learn.behaviour_cloning import cloning_loss, cloning_state, cloning_update, hindsight_store
from invlearn_jax.learn.collect import CorrectionSettings, collect
from invlearn_jax.learn.cost_to_go import cost_to_go_update, graph_cost_state
from invlearn_jax.learn.forward_model import Source, fit_scales, forward_model_update, open_loop_errors
from invlearn_jax.learn.inverter import InverterTraining, check_advance, inverter_state, inverter_update
from invlearn_jax.learn.loop import TrainState, default_optimizer
from invlearn_jax.learn.stages import Run
from invlearn_jax.models.chunked import ChunkedModel, ChunkedParams
from invlearn_jax.models.cost_to_go import position_graph
from invlearn_jax.models.data_coverage import coverage_for
from invlearn_jax.models.graph_cost import GraphCost
from invlearn_jax.names import unknown_name
from invlearn_jax.objectives import ObjectiveParams, ObjectiveWeights, TaskObjective
from invlearn_jax.parametrisation import Box, Spline
from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.refine.named import named_refiner
from invlearn_jax.rollout import total
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.exploration import usable_rows
from invlearn_jax.tasks.task import Part, Task
from invlearn_jax.types import Key, Params, Problem

TAILS = ("none", "graph")
_CHUNK, _ADVANCE = 4, (1, 2, 4, 8)
Parts = dict[str, Part]


@dataclasses.dataclass
class DataSettings:
    """Rows to ask the task for, and the share of them held out for the model's error."""

    rows: int = bounded(200_000, low=100)
    held_out: float = bounded(0.02, low=0.0, high=0.5)


@dataclasses.dataclass
class ModelSettings:
    """The forward model and its training.

    Attributes:
        chunk: steps per network call; divides the plan's and the training's horizon. 0 for the greatest such of 4, 2, 1.
        hidden: widths of the MLP.
        octaves: Fourier features of the task's positions.
        steps: updates on windows.
        batch: windows per update.
        horizon: steps per window.
        learning_rate: greatest.
        one_step: updates on single chunks before those on windows.
        one_step_batch: of them per update.
        one_step_rate: their greatest learning rate.
    """

    chunk: int = bounded(0, low=0)
    hidden: tuple[int, ...] = bounded((256, 256), low=1)
    octaves: int = bounded(6, low=0, high=16)
    steps: int = bounded(4000, low=1)
    batch: int = bounded(256, low=1)
    horizon: int = bounded(16, low=1)
    learning_rate: float = bounded(2e-3, above=0.0)
    one_step: int = bounded(0, low=0)
    one_step_batch: int = bounded(1024, low=1)
    one_step_rate: float = bounded(1e-3, above=0.0)


@dataclasses.dataclass
class TailSettings:
    """The cost beyond the horizon.

    Attributes:
        kind: ``none``, or ``graph``: shortest paths over the places that the data came to, distilled.
        max_speed: of the places, per second, which turns lengths into times.
        per_axis: whether each axis has that limit of its own (lengths are then the largest over the axes), or speed as a whole.
        look_ahead: seconds; a state counts as where it is about to be.
        hidden: widths of the MLP.
        octaves: its Fourier features.
        bin_size: of the places, in their units.
        min_count: bins and links that the data saw less often are dropped.
        max_steps: bins are joined where the data lead from one to the other within this many steps.
        steps: updates.
        batch: pairs of places per update.
        learning_rate: greatest.
    """

    kind: str = "none"
    max_speed: float = bounded(1.0, above=0.0)
    per_axis: bool = False
    look_ahead: float = bounded(0.0, low=0.0)
    hidden: tuple[int, ...] = bounded((256, 256), low=1)
    octaves: int = bounded(5, low=0, high=16)
    bin_size: float = bounded(0.1, above=0.0)
    min_count: int = bounded(3, low=1)
    max_steps: int = bounded(4, low=1)
    steps: int = bounded(3000, low=1)
    batch: int = bounded(2048, low=1)
    learning_rate: float = bounded(3e-3, above=0.0)


@dataclasses.dataclass
class NetSettings:
    """The Inverter's network: widths, Fourier features, and spline coefficients per action (0: one number for each step)."""

    hidden: tuple[int, ...] = bounded((256, 256, 256), low=1)
    octaves: int = bounded(5, low=0, high=16)
    knots: int = bounded(0, low=0)


@dataclasses.dataclass
class TrainingSettings:
    """Training of the Inverter on imagined problems that move along its own plans; see ``learn.inverter``.

    ``advance`` may be empty: the problems then advance by 1, 2, 4 or 8 steps, as far as the horizon reaches.
    """

    steps: int = bounded(3000, low=1)
    batch: int = bounded(192, low=1)
    learning_rate: float = bounded(1e-3, above=0.0)
    advance: tuple[int, ...] = bounded((), low=1)
    reset_share: float = bounded(0.15, low=0.0, high=1.0)
    goal_share: float = bounded(0.12, low=0.0, high=1.0)
    state_noise: float = bounded(0.01, low=0.0)
    logit_limit: float = bounded(3.0, above=0.0)
    logit_weight: float = bounded(1e-3, low=0.0)


@dataclasses.dataclass
class CloningSettings:
    """Behaviour cloning of the data's first part: before training through the model, and as a term that is kept in it.

    Attributes:
        steps: updates before; 0 for none.
        batch: rows per update.
        learning_rate: greatest.
        within: how many rows later a hindsight goal may lie.
        weight: of the term that is kept.
    """

    steps: int = bounded(0, low=0)
    batch: int = bounded(512, low=1)
    learning_rate: float = bounded(1e-3, above=0.0)
    within: int = bounded(24, low=1)
    weight: float = bounded(0.0, low=0.0)


@dataclasses.dataclass
class Settings:
    """Inverse Learning.

    Attributes:
        data: see ``DataSettings``.
        model: see ``ModelSettings``.
        tail: see ``TailSettings``.
        net: see ``NetSettings``.
        objective: weights beside the task's own costs.
        among: how near to the data counts as among them: for places of up to three dimensions in their units, else in units of
            the usual distance between rows.
        normalise: whether costs are divided by their mean over the data's windows in training, and the distance from the data
            is charged in that unit; for tasks whose costs have no natural scale.
        cloning: see ``CloningSettings``.
        inverter: see ``TrainingSettings``.
        correction: see ``CorrectionSettings``.
        refine_rate: learning rate of gradient refinement.
        block: updates per compiled call and row of the log.
        checkpoint_every: updates between checkpoints, a multiple of ``block``.
    """

    data: DataSettings = dataclasses.field(default_factory=DataSettings)
    model: ModelSettings = dataclasses.field(default_factory=ModelSettings)
    tail: TailSettings = dataclasses.field(default_factory=TailSettings)
    net: NetSettings = dataclasses.field(default_factory=NetSettings)
    objective: ObjectiveWeights = dataclasses.field(default_factory=ObjectiveWeights)
    among: float = bounded(1.5, low=0.0)
    normalise: bool = True
    cloning: CloningSettings = dataclasses.field(default_factory=CloningSettings)
    inverter: TrainingSettings = dataclasses.field(default_factory=TrainingSettings)
    correction: CorrectionSettings = dataclasses.field(default_factory=CorrectionSettings)
    refine_rate: float = bounded(0.02, above=0.0)
    block: int = bounded(250, low=1)
    checkpoint_every: int = bounded(1000, low=1, multiple_of="block")


class NetworkPlanner(InversePlanner):
    """The planner of this method, of which the parts are known."""

    inverter: NetworkInverter
    model: ChunkedModel
    objective: TaskObjective


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
    check_advance(_advance(settings, task), task.horizon)
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


def _advance(settings: Settings, task: Task) -> tuple[int, ...]:
    return settings.inverter.advance or tuple(step for step in _ADVANCE if step <= task.horizon)


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
    prior = _cloning_prior(planner, settings, next(iter(train.values())).rows)
    if settings.cloning.steps and prior is not None:
        inverter = _clone(planner, settings, run, prior, inverter, keys["cloning"])
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
    objective = _covering(task, planner, settings, params.objective, concatenate(rows, added))
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


def named_parts(task: Task, data: Dataset | Mapping[str, Part]) -> Parts:
    """A task's data as parts by name.

    Raises:
        ValueError: for what are no data, or data of other sizes than the task's.
    """
    parts = {"data": Part(data)} if isinstance(data, Dataset) else data
    if not isinstance(parts, Mapping) or not parts or not all(isinstance(part, Part) for part in parts.values()):
        raise ValueError(f"{type(task).__name__}.data gave {data!r:.80}; wanted is a Dataset, or Parts by name.")
    wanted = task.state_size, task.action_size
    for part in parts.values():
        sizes = tuple(np.shape(x)[-1] if np.ndim(x) else 0 for x in (part.rows.states, part.rows.actions))
        if sizes != wanted:
            raise ValueError(
                f"{type(task).__name__}.data gave states and actions of sizes {sizes}; wanted are the task's, {wanted}."
            )
    return dict(parts)


def with_part(parts: Parts, name: str, rows: Dataset, share: float) -> Parts:
    """The parts with another one of which a share of each batch is drawn."""
    whole = sum(part.share for part in parts.values())
    scaled = {n: part._replace(share=(1 - share) * part.share / whole) for n, part in parts.items()}
    return scaled | {name: Part(rows, share)}


def first_model(model: ChunkedModel, rows: Dataset, key: Key) -> ChunkedParams:
    """Fresh parameters with the scales of the data. The key is consumed."""
    features = np.asarray(jax.jit(jax.vmap(model.task.local_features))(jnp.asarray(rows.states)))
    return fit_scales(model, model.init(key), rows, fit_normalizer(rows._replace(states=features)))


def train_model(
    model: ChunkedModel,
    settings: Settings,
    run: Run,
    parts: Parts,
    params: ChunkedParams,
    key: Key,
    round_: int = 0,
) -> ChunkedParams:
    """Trains the forward model from ``params``: on single chunks first, in the first round, then on windows."""
    own = settings.model
    single, windows = streams(key, "one step", "windows")
    stages = [("model", own.steps, own.learning_rate, own.batch, own.horizon, windows)]
    if round_:
        rate = own.learning_rate / 2
        stages = [(f"model_{round_}", settings.correction.model_steps, rate, own.batch, own.horizon, windows)]
    elif own.one_step:
        stages.insert(0, ("one_step", own.one_step, own.one_step_rate, own.one_step_batch, model.chunk, single))
    for stage, steps, rate, batch, horizon, stage_key in stages:
        sources = [Source(window_store(part.rows, horizon), part.share) for part in parts.values()]
        optimizer = default_optimizer(rate, steps)
        state = TrainState(jnp.zeros((), jnp.int32), stage_key, params, optimizer.init(params.net), ())
        update = forward_model_update(model, optimizer, sources, batch, horizon)
        params = run.train(stage, update, state, steps, settings.block, settings.checkpoint_every, "model_loss").params
    return params


def fit_objective(
    task: Task, planner: NetworkPlanner, settings: Settings, run: Run, rows: Dataset, key: Key
) -> ObjectiveParams:
    """The cost beyond the horizon, learned; the coverage of the data; and the size of a plan's cost over them."""
    objective = planner.objective
    init_key, train_key = streams(key, "weights", "training")
    params = objective.init(init_key)
    if objective.tail is not None:
        own = settings.tail
        places = np.asarray(jax.jit(jax.vmap(task.achieved))(jnp.asarray(rows.states)))
        norm = np.inf if own.per_axis else 2.0
        graph = position_graph(places, rows.ends, own.max_speed, own.bin_size, own.max_steps, own.min_count, norm)
        optimizer = default_optimizer(own.learning_rate, own.steps)
        state = graph_cost_state(objective.tail, optimizer, train_key, graph)
        update = cost_to_go_update(objective.tail, optimizer, graph, own.batch, jitter=0.3 * own.bin_size)
        tail = run.train("tail", update, state, own.steps, settings.block, settings.checkpoint_every, "cost_to_go_loss")
        params = params._replace(tail=tail.params)
    if settings.normalise:
        params = params._replace(scale=cost_scale(task, rows))
    return _covering(task, planner, settings, params, rows)


def _covering(
    task: Task, planner: NetworkPlanner, settings: Settings, params: ObjectiveParams, rows: Dataset
) -> ObjectiveParams:
    coverage = planner.objective.coverage
    if coverage is None:
        return params
    return params._replace(coverage=coverage.fit(covered_places(task, rows), settings.among))


def covered_places(task: Task, rows: Dataset, most: int = 200_000) -> np.ndarray:
    """``[M, C]`` the covered coordinates of at most so many of the rows."""
    states = rows.states[:: max(1, len(rows.states) // most)]
    return np.asarray(jax.jit(jax.vmap(task.covered))(jnp.asarray(states)))


def cost_scale(task: Task, rows: Dataset, count: int = 4096) -> jax.Array:
    """The mean absolute cost of the data's windows of a plan's length towards goals of the task; at least 1e-6."""
    horizon = min(task.horizon, longest_episode(rows) - 1)
    store = window_store(rows, horizon)
    window_key, goal_key = streams(jax.random.key(0), "windows", "goals")
    starts = store.starts[jax.random.randint(window_key, (count,), 0, store.starts.shape[0])]
    at = starts[:, None] + jnp.arange(horizon + 1)
    states, actions = store.states[at], store.actions[at[:, :-1]]

    def cost(states: jax.Array, actions: jax.Array, key: Key) -> jax.Array:
        return total(task.trajectory_cost(states, actions, task.draw_goal_from(key, states[0])))

    costs = jax.jit(jax.vmap(cost))(states, actions, jax.random.split(goal_key, count))
    return jnp.maximum(jnp.abs(costs).mean(), 1e-6)


def input_scales(task: Task, rows: Dataset, key: Key, most: int = 100_000) -> dict[str, Scales]:
    """The ``state`` and ``goal`` scales of a ``NetworkInverter``, from the data's states and goals drawn from them."""
    states = jnp.asarray(rows.states[:: max(1, len(rows.states) // most)])

    def inputs(state: jax.Array, key: Key) -> tuple[jax.Array, jax.Array]:
        return task.local_features(state), task.goal_features(state, task.draw_goal_from(key, state))

    seen = jax.jit(jax.vmap(inputs))(states, jax.random.split(key, len(states)))
    return {name: _scales(np.asarray(x), task.fourier_size) for name, x in zip(("state", "goal"), seen, strict=True)}


def _scales(features: np.ndarray, positions: int) -> Scales:
    """Mean and deviation; of positions among walls centre and half-width of their box; and the range, half as wide again."""
    low, high = features.min(0), features.max(0)
    mean, std = features.mean(0), features.std(0)
    box = np.arange(features.shape[1]) < positions
    mean, std = np.where(box, (low + high) / 2, mean), np.where(box, (high - low) / 2, std)
    margin = 0.5 * (high - low) + 1e-3
    std = np.where(std < 1e-6, 1.0, std)
    return Scales(*(jnp.asarray(x, jnp.float32) for x in (mean, std, low - margin, high + margin)))


def _cloning_prior(
    planner: NetworkPlanner, settings: Settings, rows: Dataset
) -> Callable[[Params, Key], jax.Array] | None:
    own = settings.cloning
    if not own.steps and not own.weight:
        return None
    task = planner.inverter.task
    store = hindsight_store(rows, task.horizon)
    inverter = planner.inverter
    encode = inverter.parametrisation.encode
    return cloning_loss(inverter.logits, store, own.batch, task.horizon, task.achieved, own.within, encode)


def _clone(
    planner: NetworkPlanner,
    settings: Settings,
    run: Run,
    loss: Callable[[Params, Key], jax.Array],
    params: NetworkParams,
    key: Key,
) -> NetworkParams:
    own = settings.cloning
    optimizer = default_optimizer(own.learning_rate, own.steps)
    state, update = cloning_state(optimizer, params, key), cloning_update(loss, optimizer)
    return run.train(
        "cloning", update, state, own.steps, settings.block, settings.checkpoint_every, "cloning_loss"
    ).params


def train_inverter(
    planner: NetworkPlanner,
    settings: Settings,
    run: Run,
    stage: str,
    params: PlannerParams,
    draw: Callable[[Key], Problem],
    rows: Dataset,
    cloning: Callable[[Params, Key], jax.Array] | None,
    key: Key,
    steps: int | None = None,
) -> PlannerParams:
    """Trains the Inverter from ``params.inverter`` through the frozen model, on imagined problems that begin with ``draw``."""
    own, weight = settings.inverter, settings.cloning.weight
    steps = own.steps if steps is None else steps
    optimizer = default_optimizer(own.learning_rate, steps)
    training = InverterTraining(
        own.batch,
        _advance(settings, planner.inverter.task),
        own.reset_share,
        own.goal_share,
        own.state_noise,
        own.logit_limit,
        own.logit_weight,
    )
    update = inverter_update(
        planner.inverter,
        planner.model,
        planner.objective,
        params.model,
        params.objective,
        optimizer,
        draw,
        training,
        jnp.asarray(np.maximum(rows.states.std(0), 1e-6)),
        (lambda p, k: weight * cloning(p, k)) if cloning and weight else None,
        params.objective.scale if settings.normalise else jnp.ones(()),
    )
    state = inverter_state(optimizer, params.inverter, key, draw, own.batch)
    trained = run.train(stage, update, state, steps, settings.block, settings.checkpoint_every, "cost")
    return params._replace(inverter=trained.params)


def also_from(draw: Callable[[Key], Problem], task: Task, states: np.ndarray, share: float) -> Callable[[Key], Problem]:
    """Draws problems as ``draw`` does, but a share of them from the given states ``[M, S]``."""
    held = jnp.asarray(states)

    def both(key: Key) -> Problem:
        which_key, row_key, goal_key, draw_key = streams(key, "which", "row", "goal", "draw")
        state = held[jax.random.randint(row_key, (), 0, held.shape[0])]
        other = Problem(state, task.draw_goal_from(goal_key, state))
        take = jax.random.bernoulli(which_key, share)
        return jax.tree.map(lambda a, b: jnp.where(take, a, b), other, draw(draw_key))

    return both


def model_errors(task: Task, model: ChunkedModel, params: ChunkedParams, held: dict[str, Dataset]) -> dict[str, Any]:
    """Open-loop errors of the model over a plan's steps, on held-out rows that are long enough."""
    return {
        name: open_loop_errors(task, model, params, rows, task.horizon)
        for name, rows in held.items()
        if longest_episode(rows) > task.horizon
    }
