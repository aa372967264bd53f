"""The stages of Inverse Learning: data by parts, forward model, cost beyond the horizon, scales, cloning, Inverter."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from invlearn_jax.data.dataset import (
    Dataset,
    Normalizer,
    Window,
    WindowStore,
    fit_normalizer,
    longest_episode,
    sample_windows,
    window_store,
)
from invlearn_jax.inverters.network import NetworkInverter, NetworkParams, Scales
from invlearn_jax.keys import streams
from invlearn_jax.learn.behaviour_cloning import cloning_loss, cloning_state, cloning_update, hindsight_store
from invlearn_jax.learn.bootstrap import (
    BootstrapTraining,
    bootstrap_optimizer,
    bootstrap_state,
    bootstrap_update,
    growing_discount,
)
from invlearn_jax.learn.cost_to_go import Surroundings, cost_to_go_update, graph_cost_state
from invlearn_jax.learn.forward_model import (
    Source,
    ensemble_update,
    fit_scales,
    forward_model_update,
    open_loop_errors,
)
from invlearn_jax.learn.inverter import InverterTraining, inverter_state, inverter_update
from invlearn_jax.learn.loop import TrainState, default_optimizer
from invlearn_jax.learn.stages import Run
from invlearn_jax.methods.inverter_settings import Settings
from invlearn_jax.models.chunked import ChunkedModel, ChunkedParams
from invlearn_jax.models.ensemble import DisagreementModel
from invlearn_jax.models.graph_cost import GraphCost
from invlearn_jax.models.position_graph import position_graph
from invlearn_jax.models.value import Value
from invlearn_jax.objectives import ObjectiveParams, TaskObjective
from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.rollout import score, total
from invlearn_jax.tasks.task import Part, Task
from invlearn_jax.types import Key, Params, PlanOutput, Problem

Parts = dict[str, Part]
LearnedModel = ChunkedModel | DisagreementModel
# An adversarial model's ``(params, key) -> loss``, of the model's parameters.
ModelPrior = Callable[[Params, Key], jax.Array]

_AGAINST, _WORST = (
    64,
    3.0,
)  # plans per update that an adversarial model is trained against, and what it has of one at most


class NetworkPlanner(InversePlanner):
    """The planner of this method, of which the parts are known; ``info`` has an ensemble's ``disagreement [T+1]``."""

    inverter: NetworkInverter
    model: LearnedModel
    objective: TaskObjective

    def plan(self, params: PlannerParams, key: Key, problem: Problem) -> PlanOutput:
        """See ``InversePlanner.plan``."""
        out, size = super().plan(params, key, problem), self.inverter.state_size
        if not isinstance(self.model, DisagreementModel):
            return out
        return out._replace(states=out.states[:, :size], info={"disagreement": out.states[:, size]})


def member_of(model: LearnedModel) -> ChunkedModel:
    """The model itself, or the kind of an ensemble's members."""
    return model.model if isinstance(model, DisagreementModel) else model


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


def first_model(model: LearnedModel, rows: Dataset, key: Key) -> ChunkedParams:
    """Fresh parameters with the scales of the data, an ensemble's with a leading axis. The key is consumed."""
    member = member_of(model)
    features = np.asarray(jax.jit(jax.vmap(member.task.local_features))(jnp.asarray(rows.states)))
    keys = jax.random.split(key, model.size) if isinstance(model, DisagreementModel) else [key]
    first = fit_scales(member, member.init(keys[0]), rows, fit_normalizer(rows._replace(states=features)))
    if member is model:
        return first
    return jax.tree.map(lambda *x: jnp.stack(x), first, *(first._replace(net=member.init(k).net) for k in keys[1:]))


def train_model(
    model: LearnedModel,
    settings: Settings,
    run: Run,
    parts: Parts,
    params: ChunkedParams,
    key: Key,
    round_: int = 0,
    against: ModelPrior | None = None,
) -> ChunkedParams:
    """Trains the forward model from ``params``: on single chunks first, in the first round, then on windows."""
    own, member = settings.model, member_of(model)
    single, windows = streams(key, "one step", "windows")
    stages = [("model", own.steps, own.learning_rate, own.batch, own.horizon, windows)]
    if round_:
        rate = own.learning_rate / 2
        stages = [(f"model_{round_}", settings.correction.model_steps, rate, own.batch, own.horizon, windows)]
    elif own.one_step:
        stages.insert(0, ("one_step", own.one_step, own.one_step_rate, own.one_step_batch, member.chunk, single))
    for stage, steps, rate, batch, horizon, stage_key in stages:
        sources = [Source(window_store(part.rows, horizon), part.share) for part in parts.values()]
        optimizer = default_optimizer(rate, steps)
        update = forward_model_update(member, optimizer, sources, batch, horizon, against, own.change_floor)
        begin: Callable[[Params], Any] = optimizer.init
        if member is not model:
            update, begin = ensemble_update(update), jax.vmap(begin)
        state = TrainState(jnp.zeros((), jnp.int32), stage_key, params, begin(params.net), ())
        params = run.train(stage, update, state, steps, settings.block, settings.checkpoint_every, "model_loss").params
    return params


def against_plans(
    planner: NetworkPlanner, params: PlannerParams, draw: Callable[[Key], Problem], weight: float
) -> ModelPrior | None:
    """Minus the weighted cost of the frozen Inverter's plans under a model; None for a weight of 0."""
    inverter, objective = planner.inverter, params.objective

    def one(model: Params, key: Key) -> jax.Array:
        problem = draw(key)
        actions = inverter.parametrisation.decode(jnp.tanh(inverter.logits(params.inverter, problem)))
        cost = score(planner.model, planner.objective, model, objective, problem, actions).cost
        # What an adversary has of one plan is bounded, or its model runs away.
        return jnp.minimum(cost / objective.scale, _WORST)

    def prior(model: Params, key: Key) -> jax.Array:
        return -weight * jax.vmap(one, in_axes=(None, 0))(model, jax.random.split(key, _AGAINST)).mean()

    return prior if weight else None


def fit_objective(
    task: Task, planner: NetworkPlanner, settings: Settings, run: Run, rows: Dataset, key: Key
) -> ObjectiveParams:
    """The cost beyond the horizon, learned (of a value the scales alone); the data's coverage; the size of a plan's cost."""
    objective = planner.objective
    init_key, train_key = streams(key, "weights", "training")
    params = objective.init(init_key)
    if isinstance(objective.tail, GraphCost):
        own = settings.tail
        places = np.asarray(jax.jit(jax.vmap(task.achieved))(jnp.asarray(rows.states)))
        norm = np.inf if own.per_axis else 2.0
        graph = position_graph(places, rows.ends, own.max_speed, own.bin_size, own.max_steps, own.min_count, norm)
        optimizer = default_optimizer(own.learning_rate, own.steps)
        state = graph_cost_state(objective.tail, optimizer, train_key, graph)
        around = Surroundings(graph, own.bin_size, own.margin, own.max_speed) if own.margin else None
        jitter = own.margin or 0.3 * own.bin_size
        update = cost_to_go_update(objective.tail, optimizer, graph, own.batch, jitter, around)
        tail = run.train("tail", update, state, own.steps, settings.block, settings.checkpoint_every, "cost_to_go_loss")
        params = params._replace(tail=tail.params)
    elif isinstance(objective.tail, Value):
        scales = {name: Normalizer(x.mean, x.std) for name, x in input_scales(task, rows, train_key).items()}
        params = params._replace(tail=params.tail._replace(unit=cost_scale(task, rows), **scales))
    if settings.normalise:
        known = isinstance(objective.tail, Value)
        params = params._replace(scale=params.tail.unit if known else cost_scale(task, rows))
    return covering(task, planner, settings, params, rows)


def covering(
    task: Task, planner: NetworkPlanner, settings: Settings, params: ObjectiveParams, rows: Dataset
) -> ObjectiveParams:
    """The parameters with the coverage of the rows, where the objective knows of it."""
    coverage = planner.objective.coverage
    if coverage is None:
        return params
    return params._replace(coverage=coverage.fit(covered_places(task, rows), settings.among))


def covered_places(task: Task, rows: Dataset, most: int = 200_000) -> np.ndarray:
    """``[M, C]`` the covered coordinates of at most so many of the rows."""
    states = rows.states[:: max(1, len(rows.states) // most)]
    return np.asarray(jax.jit(jax.vmap(task.covered))(jnp.asarray(states)))


def cost_scale(task: Task, rows: Dataset, count: int = 4096) -> jax.Array:
    """The mean absolute cost of the data's windows of a plan's length towards goals of the task; 1 for a task without costs."""
    horizon = min(task.horizon, longest_episode(rows) - 1)
    store = window_store(rows, horizon)

    def cost(window: Window, key: Key) -> jax.Array:
        goal = task.draw_goal_from(key, window.states[0])
        return total(task.trajectory_cost(window.states, window.actions, goal))

    @jax.jit
    def scale(store: WindowStore, key: Key) -> jax.Array:
        window_key, goal_key = streams(key, "windows", "goals")
        windows = sample_windows(store, window_key, count, horizon)
        mean = jnp.abs(jax.vmap(cost)(windows, jax.random.split(goal_key, count))).mean()
        return jnp.where(mean > 0, jnp.maximum(mean, 1e-6), 1.0)

    return scale(store, jax.random.key(0))


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


def cloning_prior(
    planner: NetworkPlanner, settings: Settings, rows: Dataset
) -> Callable[[Params, Key], jax.Array] | None:
    """The cloning loss ``(params, key) -> loss`` over rows, or None where nothing is cloned."""
    own = settings.cloning
    if not own.steps and not own.weight:
        return None
    task = planner.inverter.task
    store = hindsight_store(rows, task.horizon)
    inverter = planner.inverter
    encode = inverter.parametrisation.encode
    return cloning_loss(inverter.logits, store, own.batch, task.horizon, task.achieved, own.within, encode)


def clone(
    planner: NetworkPlanner,
    settings: Settings,
    run: Run,
    loss: Callable[[Params, Key], jax.Array],
    params: NetworkParams,
    key: Key,
) -> NetworkParams:
    """Trains an Inverter on the cloning loss alone, from ``params``. The key is consumed."""
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
    first, steps = steps is None, own.steps if steps is None else steps
    optimizer = default_optimizer(own.learning_rate, steps)
    training = InverterTraining(
        own.batch,
        settings.inverter.advance_within(planner.inverter.task.horizon),
        own.reset_share,
        own.goal_share,
        own.state_noise,
        own.logit_limit,
        own.logit_weight,
    )
    parts = planner.inverter, planner.model, planner.objective, params.model, params.objective
    state_scale = jnp.asarray(np.maximum(rows.states.std(0), 1e-6))
    prior = (lambda p, k: weight * cloning(p, k)) if cloning and weight else None
    scale = params.objective.scale if settings.normalise else jnp.ones(())
    run_stage = functools.partial(
        run.train,
        stage,
        steps=steps,
        block=settings.block,
        checkpoint_every=settings.checkpoint_every,
        headline="cost",
    )
    if not isinstance(planner.objective.tail, Value):
        update = inverter_update(*parts, optimizer, draw, training, state_scale, prior, scale)
        state = inverter_state(optimizer, params.inverter, key, draw, own.batch)
        return params._replace(inverter=run_stage(update, state).params)
    tail = settings.tail
    both = bootstrap_optimizer(optimizer, default_optimizer(tail.learning_rate, steps))
    discount = None
    if first and tail.first_time_constant:
        seconds = planner.inverter.task.horizon * planner.inverter.task.dt
        discount = growing_discount(seconds, tail.first_time_constant, tail.time_constant, max(1, steps // 4))
    bootstrap = BootstrapTraining(tail.copy_rate, tail.slope_weight, tail.slope_floor, discount)
    update = bootstrap_update(*parts, both, draw, training, bootstrap, state_scale, prior, scale)
    state = bootstrap_state(both, params.inverter, params.objective.tail, key, draw, own.batch)
    learned = run_stage(update, state).params
    return params._replace(inverter=learned.inverter, objective=params.objective._replace(tail=learned.slow))


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


def model_errors(task: Task, model: LearnedModel, params: ChunkedParams, held: dict[str, Dataset]) -> dict[str, Any]:
    """Open-loop errors of the model over a plan's steps, on held-out rows that are long enough."""
    return {
        name: open_loop_errors(task, model, params, rows, task.horizon)
        for name, rows in held.items()
        if longest_episode(rows) > task.horizon
    }
