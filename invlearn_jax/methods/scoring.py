"""What tells methods that learn actions alone what a plan leads to and costs: a forward model and an objective.

Both are a trained planner's, the ``base``, or are learned beside the method as the method ``inverter`` learns them.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np

from invlearn_jax.data.dataset import Dataset, concatenate, split
from invlearn_jax.files import write_json
from invlearn_jax.keys import streams
from invlearn_jax.learn.collect import CorrectionSettings
from invlearn_jax.learn.stages import Run
from invlearn_jax.methods import inverter
from invlearn_jax.methods import inverter_settings as own
from invlearn_jax.methods import inverter_training as training
from invlearn_jax.methods.inverter_training import NetworkPlanner, Parts
from invlearn_jax.methods.registry import Shared
from invlearn_jax.methods.saved import load_planner
from invlearn_jax.models.chunked import ChunkedModel
from invlearn_jax.models.padded import PaddedModel
from invlearn_jax.objectives import ObjectiveWeights, TaskObjective
from invlearn_jax.parametrisation import Box
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.task import Part, Task
from invlearn_jax.types import Key, Params


@dataclasses.dataclass
class ScoringSettings:
    """Where model and objective come from.

    Attributes:
        base: the planner of the method ``inverter`` whose model and objective are used, by its shipped name or folder; ``""``
            learns them by the settings below, as that method does.
        data: see ``inverter_settings.DataSettings``.
        model: see ``inverter_settings.ModelSettings``.
        tail: see ``inverter_settings.TailSettings``.
        objective: weights beside the task's own costs.
        among: see ``inverter_settings.Settings``.
        normalise: see ``inverter_settings.Settings``.
        refine_rate: learning rate of gradient refinement.
        block: updates per compiled call and row of the log.
        checkpoint_every: updates between checkpoints, a multiple of ``block``.
    """

    base: str = ""
    data: own.DataSettings = dataclasses.field(default_factory=own.DataSettings)
    model: own.ModelSettings = dataclasses.field(default_factory=own.ModelSettings)
    tail: own.TailSettings = dataclasses.field(default_factory=own.TailSettings)
    objective: ObjectiveWeights = dataclasses.field(default_factory=ObjectiveWeights)
    among: float = bounded(1.5, low=0.0)
    normalise: bool = True
    refine_rate: float = bounded(0.02, above=0.0)
    block: int = bounded(250, low=1)
    checkpoint_every: int = bounded(1000, low=1, multiple_of="block")


def shared(settings: ScoringSettings) -> dict[str, Shared]:
    """Which parts of the parameters the base's folder holds: model and objective."""
    return {part: Shared(settings.base, part) for part in (".model", ".objective")} if settings.base else {}


def model_and_objective(task: Task, settings: ScoringSettings, horizon: int) -> tuple[PaddedModel, TaskObjective]:
    """The model for plans of any number of steps, and the objective for plans of ``horizon`` steps.

    Raises:
        ValueError: for a base that is unknown, of another method, or for a task of other sizes; or settings that do not fit
            together.
    """
    if settings.tail.kind == "bootstrap" and not settings.base:
        raise ValueError(
            "The cost beyond the horizon by 'bootstrap' is learned together with an Inverter: give a trained one as base, or the "
            "tail 'none' or 'graph'."
        )
    planner = _base(task, settings.base) if settings.base else inverter.unwatched(task, _inverter_settings(settings))
    if not isinstance(planner.model, ChunkedModel):
        raise ValueError("Plans are scored by one forward model, not by an ensemble: set model.members to 1.")
    theirs = planner.objective
    # A short plan has no state at the end of a chunk, so every state counts.
    stride = min(theirs.stride, horizon)
    return PaddedModel(planner.model), TaskObjective(theirs.task, theirs.weights, theirs.tail, theirs.coverage, stride)


def _base(task: Task, base: str) -> NetworkPlanner:
    planner = load_planner(base)[0]
    if not isinstance(planner, NetworkPlanner):
        raise ValueError(
            f"base is {base}, a {type(planner).__name__}; give a planner of the method 'inverter' without a second model."
        )
    for name in ("state_size", "action_size", "goal_size"):
        have, want = getattr(planner.inverter, name), getattr(task, name)
        if have != want:
            raise ValueError(
                f"{name} of the base {base} is {have}, of {task.name} {want}. Give another one, or base=''."
            )
    return planner


def _inverter_settings(settings: ScoringSettings) -> own.Settings:
    names = [field.name for field in dataclasses.fields(ScoringSettings) if field.name != "base"]
    return own.Settings(correction=CorrectionSettings(rounds=0), **{name: getattr(settings, name) for name in names})


def load_parts(task: Task, settings: ScoringSettings, run: Run, key: Key) -> Parts:
    """The task's data by part; methods that imitate learn from the first. The key is consumed."""
    return run.parts("data", lambda: training.named_parts(task, task.data(settings.data.rows, key)))


def shares(task: Task, rows: Dataset) -> Dataset:
    """The rows with actions as shares of their box."""
    encode = Box(task.action_low, task.action_high, 1).encode
    return rows._replace(actions=np.asarray(encode(jnp.asarray(rows.actions))))


def learn_scoring(task: Task, settings: ScoringSettings, run: Run, parts: Parts, key: Key) -> tuple[Params, Params]:
    """Parameters of model and objective: the base's, or learned from the data. The key is consumed.

    Raises:
        ValueError: see ``model_and_objective``.
    """
    if settings.base:
        params = load_planner(settings.base)[1]
        return params.model, params.objective
    wanted = _inverter_settings(settings)
    planner = inverter.unwatched(task, wanted)
    weights_key, model_key, tail_key = streams(key, "model weights", "model", "tail")
    halves = {name: split(part.rows, settings.data.held_out) for name, part in parts.items()}
    train = {name: Part(rows, parts[name].share) for name, (rows, _) in halves.items()}
    rows = concatenate(*(part.rows for part in train.values()))
    model_params = training.first_model(planner.model, rows, weights_key)
    model_params = training.train_model(planner.model, wanted, run, train, model_params, model_key)
    objective_params = training.fit_objective(task, planner, wanted, run, rows, tail_key)
    held = {name: rows for name, (_, rows) in halves.items()}
    write_json(run.path / "model.json", training.model_errors(task, planner.model, model_params, held))
    return model_params, objective_params
