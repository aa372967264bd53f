"""One stage of training: continues from its last checkpoint, logs, shows progress, saves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.configs.shared import InverterConfig
from invlearn_jax.data import Dataset, read_ogbench, write_ogbench
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.learn.cost_to_go import cost_to_go_state, cost_to_go_update
from invlearn_jax.learn.inverter import InverterTraining
from invlearn_jax.learn.loop import TrainState, Update, default_optimizer
from invlearn_jax.learn.stages import Run
from invlearn_jax.models.cost_to_go import CostToGo, CostToGoParams, PositionGraph
from invlearn_jax.planners import PlannerParams
from invlearn_jax.types import Key, Planner

# From a number of refinement steps to a planner and its parameters.
PlannerOf = Callable[[int], tuple[Planner, PlannerParams]]


def kept_data(path: Path, make: Callable[[], Dataset]) -> Dataset:
    """Rows that are made once and kept in a file, from which they are read at every later call."""
    if not path.exists():
        write_ogbench(path, make())
    return read_ogbench(path)


def inverter_training(settings: InverterConfig) -> InverterTraining:
    """The settings of an experiment as ``inverter_update`` takes them."""
    return InverterTraining(
        settings.batch,
        tuple(settings.advance),
        settings.reset_share,
        settings.goal_share,
        settings.state_noise,
        settings.logit_limit,
        settings.logit_weight,
    )


def run_stage(
    run: RunFolder,
    stage: str,
    update: Update,
    state: TrainState,
    steps: int,
    block: int,
    checkpoint_every: int,
    headline: str,
) -> TrainState:
    """Trains to ``steps`` updates in a run's folder; see ``learn.stages.Run.train``."""
    return Run(run).train(stage, update, state, steps, block, checkpoint_every, headline)


def distil_graph(
    run: RunFolder,
    model: CostToGo,
    graph: PositionGraph,
    settings: Any,
    block: int,
    checkpoint_every: int,
    key: Key,
) -> CostToGoParams:
    """Distils a graph's times into the cost-to-go; ``settings`` hold ``bin_size, steps, batch`` and ``learning_rate``."""
    optimizer = default_optimizer(settings.learning_rate, settings.steps)
    state = cost_to_go_state(model, optimizer, key, graph, among=settings.bin_size)
    update = cost_to_go_update(model, optimizer, graph, settings.batch, jitter=0.3 * settings.bin_size)
    return run_stage(
        run, "cost_to_go", update, state, settings.steps, block, checkpoint_every, headline="cost_to_go_loss"
    ).params
