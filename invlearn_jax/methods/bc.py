"""Goal-conditioned behaviour cloning with hindsight goals, of the data's first part: an Inverter that learns through no model."""

import dataclasses

from invlearn_jax.inverters.network import NetworkInverter
from invlearn_jax.keys import streams
from invlearn_jax.learn.behaviour_cloning import cloning_loss, cloning_state, cloning_update, hindsight_store
from invlearn_jax.learn.loop import default_optimizer
from invlearn_jax.learn.stages import Run
from invlearn_jax.methods import scoring
from invlearn_jax.methods.inverter_training import input_scales
from invlearn_jax.methods.scoring import ScoringSettings, shared
from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.refine.named import named_refiner
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key

__all__ = ["Settings", "build", "fit", "shared"]


@dataclasses.dataclass
class Settings(ScoringSettings):
    """Behaviour cloning.

    Attributes:
        horizon: T, steps of a plan, all of which are executed.
        hidden: widths of the MLP.
        octaves: its Fourier features.
        steps: updates.
        batch: rows per update.
        learning_rate: greatest.
    """

    horizon: int = bounded(1, low=1)
    hidden: tuple[int, ...] = bounded((256, 256, 256), low=1)
    octaves: int = bounded(5, low=0, high=16)
    steps: int = bounded(10_000, low=1)
    batch: int = bounded(256, low=1)
    learning_rate: float = bounded(1e-3, above=0.0)


def build(
    task: Task,
    settings: Settings,
    refine_steps: int = 0,
    candidates: int | None = None,
    refiner: str = "adam",
    execute_steps: int | None = None,
) -> InversePlanner:
    """The planner for a task; see ``methods.inverter.build``.

    Raises:
        ValueError: what ``scoring.model_and_objective`` or the planner refuses.
    """
    return InversePlanner(
        _inverter(task, settings),
        *scoring.model_and_objective(task, settings, settings.horizon),
        named_refiner(refiner, settings.refine_rate),
        refine_steps,
        1 if candidates is None else candidates,
        settings.horizon if execute_steps is None else execute_steps,
    )


def _inverter(task: Task, settings: Settings) -> NetworkInverter:
    return NetworkInverter(task, settings.hidden, settings.octaves, horizon=settings.horizon)


def fit(task: Task, settings: Settings, run: Run, key: Key) -> tuple[InversePlanner, PlannerParams]:
    """Learns a planner for a task. The key is consumed. See ``methods.inverter.fit``."""
    planner, inverter = build(task, settings), _inverter(task, settings)
    data_key, scoring_key, weights_key, scales_key, key = streams(
        key, "data", "scoring", "weights", "scales", "cloning"
    )
    parts = scoring.load_parts(task, settings, run, data_key)
    model_params, objective_params = scoring.learn_scoring(task, settings, run, parts, scoring_key)
    rows = next(iter(parts.values())).rows
    params = inverter.init(weights_key)._replace(**input_scales(task, rows, scales_key))
    optimizer = default_optimizer(settings.learning_rate, settings.steps)
    store, encode = hindsight_store(rows, settings.horizon), inverter.parametrisation.encode
    loss = cloning_loss(inverter.logits, store, settings.batch, settings.horizon, task.achieved, encode=encode)
    state, update = cloning_state(optimizer, params, key), cloning_update(loss, optimizer)
    state = run.train(
        "cloning", update, state, settings.steps, settings.block, settings.checkpoint_every, "cloning_loss"
    )
    return planner, PlannerParams(state.params, model_params, objective_params)
