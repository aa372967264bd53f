"""The settings of the hacking experiment: what each trains its models and its Inverter on, in stages that are kept."""

import dataclasses
import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.hacking_worlds import World
from experiments.pipelines.stages import kept_data, run_stage
from invlearn_jax.data import Dataset, concatenate, sample_windows, split, window_store
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.keys import from_seed, indexed, streams
from invlearn_jax.learn.behaviour_cloning import cloning_state, cloning_update
from invlearn_jax.learn.forward_model import Source, ensemble_update, forward_model_update
from invlearn_jax.learn.inverter import inverter_state, inverter_update
from invlearn_jax.learn.loop import TrainState, Update, default_optimizer
from invlearn_jax.models.ensemble import DisagreementModel, EnsembleModel
from invlearn_jax.models.sequence import SequenceParams
from invlearn_jax.objectives import disagreement
from invlearn_jax.planners import InversePlanner, PlannerParams
from invlearn_jax.rollout import score
from invlearn_jax.types import Key, Objective, Params

_MEMBERS = 3
_ADVERSARIAL_ROUNDS = 3
_BLOCK = 250
_WORST = 3.0  # s or m
_WINDOWS = 1000  # held out, of each part of the data


@dataclasses.dataclass(frozen=True)
class Setting:
    """How a planner is trained.

    Attributes:
        corridor: whether the narrow data are cut to one corridor.
        broad: share of the broad data's rows that the model also learns from.
        disagreement: weight of the members' disagreement in the objective; an ensemble is trained if above 0.
        adversarial: weight of the plans' cost in the model's training.
        trust: whether the Inverter is kept near the data.
        rounds: of executing plans and learning from that.
    """

    corridor: bool = False
    broad: float = 0.0
    disagreement: float = 0.0
    adversarial: float = 0.0
    trust: bool = False
    rounds: int = 0


SETTINGS = {
    "one corridor of it": Setting(corridor=True),
    "narrow data": Setting(),
    "narrow + 10 % of the broad": Setting(broad=0.1),
    "narrow + broad": Setting(broad=1.0),
    "ensemble + disagreement": Setting(disagreement=1.0),
    "adversarial model": Setting(adversarial=0.1),
    "trust region": Setting(trust=True),
    "online correction": Setting(rounds=3),
    "trust region + online correction": Setting(trust=True, rounds=3),
    "broad + trust region + online correction": Setting(broad=1.0, trust=True, rounds=3),
}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What all settings share: the robot, its rows of data, how many updates are made, and the policy of the ant's data."""

    robot: str
    rows: int
    broad_rows: int
    model: int
    inverter: int
    watcher: int
    policy: str


@dataclasses.dataclass(frozen=True)
class _Run:
    experiment: Experiment
    setting: Setting


class Trained(NamedTuple):
    """A planner to be judged, and what watches it.

    Attributes:
        planner: to be judged.
        params: its parameters.
        watcher: parameters of a second model, trained on the same data and on what the planner did.
        starts: ``[N, S]`` first states of windows that neither model learned from.
        actions: ``[N, T, A]`` actions of these.
    """

    planner: InversePlanner
    params: PlannerParams
    watcher: Params
    starts: jax.Array
    actions: jax.Array


class Stages:
    """Trains in stages, each of which is kept in the setting's folder and not done again."""

    def __init__(self, world: World, setting: Setting, run: RunFolder) -> None:
        """For one setting."""
        self._world, self._setting, self._run = world, setting, run

    def _fit(self, stage: str, update: Update, state: TrainState, steps: int, headline: str) -> Params:
        return run_stage(self._run, stage, update, state, steps, min(_BLOCK, steps), steps, headline).params

    def model(
        self,
        stage: str,
        sources: list[Source],
        params: Params,
        steps: int,
        key: Key,
        members: int = 1,
        prior: Callable[[Params, Key], jax.Array] | None = None,
        single_steps: bool = False,
    ) -> Params:
        """One model, or several from different initial weights, on windows or on single steps."""
        batch, window = (1024, 1) if single_steps else (192, self._world.window)
        optimizer = default_optimizer(1e-3, steps)
        update = forward_model_update(self._world.model, optimizer, sources, batch, window, prior)
        opt_state = jax.vmap(optimizer.init)(params.net) if members > 1 else optimizer.init(params.net)
        state = TrainState(jnp.zeros((), jnp.int32), key, params, opt_state, ())
        return self._fit(stage, ensemble_update(update) if members > 1 else update, state, steps, "model_loss")

    def cloned(self, prior: Callable[[Params, Key], jax.Array], params: Params, steps: int, key: Key) -> Params:
        """The Inverter on the prior alone."""
        optimizer = default_optimizer(1e-3, steps)
        state = cloning_state(optimizer, params, key)
        return self._fit("cloning", cloning_update(prior, optimizer), state, steps, "cloning_loss")

    def inverter(
        self, stage: str, prior: Callable | None, params: Params, model_params: Params, steps: int, key: Key
    ) -> Params:
        """The Inverter through the frozen model, under the setting's objective."""
        world, setting = self._world, self._setting
        model, objective, scale = world.model, world.trusting if setting.trust else world.objective, model_params.std
        if setting.disagreement:
            scale = model_params.std[0]
            model = DisagreementModel(world.model, _MEMBERS, model_params.delta[0, -1])
            objective = _charged(world.objective, setting.disagreement)
        optimizer = default_optimizer(1e-3, steps)
        update = inverter_update(
            world.inverter,
            model,
            objective,
            model_params,
            world.objective_params,
            optimizer,
            world.draw,
            world.training,
            scale,
            prior,
        )
        state = inverter_state(optimizer, params, key, world.draw, world.training.batch)
        return self._fit(stage, update, state, steps, "cost")


def _charged(objective: Objective, weight: float) -> Objective:
    """The objective with the disagreement, which is the states' last entry, as a further term."""

    def charged(params: Params, states: jax.Array, actions: jax.Array, goal: jax.Array) -> dict[str, jax.Array]:
        terms = objective(params, states[:, :-1], actions, goal)
        return terms | {"disagreement": weight * disagreement(params, states, actions, goal)}

    return charged


def train_setting(world: World, experiment: Experiment, name: str, workdir: Path, seed: int) -> Trained:
    """Data, model, Inverter; rounds of correction or of adversarial training, with as many updates again; and a watcher.

    The watcher alone learns from what the finished planner does, whole plans among it.

    Args:
        world: the robot.
        experiment: how much there is of everything.
        name: of the setting.
        workdir: where its folder is.
        seed: of data and trainings.

    Returns:
        The planner and its watcher.

    Raises:
        ValueError: if the folder holds a run of other settings.
    """
    setting, run = SETTINGS[name], RunFolder(workdir / re.sub(r"\W+", "-", name))
    run.begin(_Run(experiment, setting), seed)
    training_key, executed_key, watched_key, watching_key = streams(
        from_seed(seed), "training", "executed", "watched", "watching"
    )
    keys, stages = iter(jax.random.split(training_key, 64)), Stages(world, setting, run)
    narrow = world.corridor(world.narrow) if setting.corridor else world.narrow
    parts = [split(rows) for rows in ([narrow, _share(world.broad, setting.broad)] if setting.broad else [narrow])]
    rows, held_out = concatenate(*(part for part, _ in parts)), [part for _, part in parts]
    data = sources = [Source(window_store(part, world.window), 1.0) for part, _ in parts]
    members = _MEMBERS if setting.disagreement else 1
    first = [world.first_model(rows, next(keys)) for _ in range(members)]
    model_params = jax.tree.map(lambda *x: jnp.stack(x), *first) if members > 1 else first[0]
    rounds = _ADVERSARIAL_ROUNDS if setting.adversarial else setting.rounds
    model_steps, steps = (total // 2 if rounds else total for total in (experiment.model, experiment.inverter))
    if world.single_steps:
        model_params = stages.model(
            "one_step", sources, model_params, experiment.model, next(keys), members, single_steps=True
        )
    model_params = stages.model("model", sources, model_params, model_steps, next(keys), members)
    params = world.first_inverter(first[0], next(keys))
    prior = world.prior(parts[0][0]) if setting.trust else None
    if prior is not None:
        params = stages.cloned(prior, params, experiment.inverter, next(keys))
    params = stages.inverter("inverter", prior, params, model_params, steps, next(keys))

    def planner() -> tuple[InversePlanner, PlannerParams]:
        model = EnsembleModel(world.model, members) if members > 1 else world.model
        made = InversePlanner(world.inverter, model, world.objective, execute_steps=world.config.execute_steps)
        return made, PlannerParams(params, model_params, world.objective_params)

    executed: list[Dataset] = []
    for round_ in range(1, rounds + 1):
        against = _against(world, setting.adversarial, params) if setting.adversarial else None
        if setting.rounds:
            path = run.path / "data" / f"executed_{round_}.npz"
            executed.append(
                kept_data(path, functools.partial(world.executed, *planner(), indexed(executed_key, round_)))
            )
            known, unknown = split(concatenate(*executed))
            sources = _as_much(data, known, world.window)
            held_out = [*(part for _, part in parts), unknown]
        model_params = stages.model(
            f"model_{round_}", sources, model_params, model_steps // rounds, next(keys), members, against
        )
        params = stages.inverter(f"inverter_{round_}", prior, params, model_params, steps // rounds, next(keys))
    others = jax.random.split(watching_key, 3 + len(held_out))
    path = run.path / "data" / "watched.npz"
    seen = kept_data(path, functools.partial(world.executed, *planner(), watched_key, watched=True))
    watcher = _watcher(stages, world, rows, _as_much(sources, seen, world.window), experiment.watcher, others[:3])
    return Trained(*planner(), watcher, *_unseen(held_out, world.inverter.horizon, others[3:]))


def _as_much(sources: list[Source], rows: Dataset, window: int) -> list[Source]:
    """The sources and further rows, which are as large a part of a batch as all the rest."""
    return [*sources, Source(window_store(rows, window), sum(source.share for source in sources))]


def _watcher(
    stages: Stages, world: World, rows: Dataset, sources: list[Source], updates: int, keys: Key
) -> SequenceParams:
    """A model of the same kind, from other initial weights."""
    init_key, one_key, many_key = keys
    params = world.first_model(rows, init_key)
    if world.single_steps:
        params = stages.model("watcher_one_step", sources, params, updates, one_key, single_steps=True)
    return stages.model("watcher", sources, params, updates, many_key)


def _unseen(parts: list[Dataset], horizon: int, keys: Key) -> tuple[jax.Array, jax.Array]:
    """First states and actions of windows of each part."""
    windows = [
        sample_windows(window_store(part, horizon), key, _WINDOWS, horizon)
        for part, key in zip(parts, keys, strict=True)
    ]
    return jnp.concatenate([w.states[:, 0] for w in windows]), jnp.concatenate([w.actions for w in windows])


def _share(rows: Dataset, share: float) -> Dataset:
    count = int(share * len(rows.states))
    return Dataset(rows.states[:count], rows.actions[:count], np.append(rows.ends[: count - 1], True))


def _against(world: World, weight: float, inverter: Params) -> Callable[[Params, Key], jax.Array]:
    """Minus the cost of a frozen Inverter's plans under a model; see ``forward_model_update``."""

    def one(params: Params, key: Key) -> jax.Array:
        problem = world.draw(key)
        actions = jnp.tanh(world.inverter.logits(inverter, problem))
        cost = score(world.model, world.objective, params, world.objective_params, problem, actions).cost
        # What an adversary has of one plan is bounded, or its model runs away.
        return jnp.minimum(cost, _WORST)

    return lambda params, key: -weight * jax.vmap(one, in_axes=(None, 0))(params, jax.random.split(key, 64)).mean()
