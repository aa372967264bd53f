"""One stage of training: continues from its last checkpoint, logs, shows progress, saves."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from experiments.configs.shared import InverterConfig
from invlearn_jax.data import Dataset, read_ogbench, write_ogbench
from invlearn_jax.io import interrupt
from invlearn_jax.io.checkpoint import Checkpoints
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.learn.cost_to_go import cost_to_go_state, cost_to_go_update
from invlearn_jax.learn.inverter import InverterTraining
from invlearn_jax.learn.loop import TrainState, Update, default_optimizer, train
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
    """Trains to ``steps`` updates, from the stage's last checkpoint where there is one.

    Args:
        run: the run's folder.
        stage: its name, also of the checkpoint folder.
        update: one update.
        state: a fresh state.
        steps: updates in all.
        block: updates per compiled call and per row of the log.
        checkpoint_every: updates between checkpoints; a multiple of the block.
        headline: the metric to show.

    Returns:
        The final state.

    Raises:
        Stopped: after the current block and its checkpoint, if a signal told the process to stop.
        NonFiniteLossError: if training diverges.
        ValueError: if the stage's checkpoints are damaged or of another architecture.
        OSError: if a file cannot be written.
    """
    checkpoints = Checkpoints(run.path / "checkpoints" / stage)
    state = _continued(checkpoints, stage, state, steps)
    begin = int(state.step)
    run.keep_metrics(stage, begin)
    run.status(stage, begin, steps)
    # A terminal gets a bar with rate and ETA; a log file gets one line every half minute.
    bar = tqdm(total=steps, initial=begin, desc=stage, unit="update", disable=not sys.stderr.isatty())
    clock = {"start": time.monotonic(), "line": time.monotonic()}

    def on_block(state: TrainState, metrics: dict[str, float]) -> None:
        step = int(state.step)
        run.log(stage, step, metrics)
        due = step % checkpoint_every == 0 or step == steps
        if due:
            checkpoints.save(step, state)
        run.status(stage, step, steps)
        bar.update(step - bar.n)
        bar.set_postfix({headline: f"{metrics[headline]:.4g}"})
        now = time.monotonic()
        if bar.disable and (now - clock["line"] > 30 or step == steps):
            clock["line"] = now
            rate = (step - begin) / (now - clock["start"])
            left = (steps - step) / rate
            print(
                f"{stage}: {step}/{steps} updates, {rate:.1f}/s, {left:.0f} s left, {headline} {metrics[headline]:.4g}",
                flush=True,
            )
        if interrupt.requested():
            if not due:
                checkpoints.save(step, state)
            run.status(stage, step, steps, "stopped")
            interrupt.check((stage, step, steps))

    try:
        with interrupt.deferred():
            return train(update, state, steps, block, on_block, stage)
    finally:
        bar.close()
        checkpoints.close()


def _continued(checkpoints: Checkpoints, stage: str, state: TrainState, steps: int) -> TrainState:
    """The state of the stage's newest whole checkpoint, or the given one where there is none; says which."""
    if checkpoints.latest() is None:
        return state
    state, skipped = checkpoints.restore(state)
    for sentence in skipped:
        print(f"{stage}: {sentence}.", flush=True)
    step = int(state.step)
    print(f"{stage}: " + (f"continues at update {step} of {steps}" if step < steps else "already complete"), flush=True)
    return state


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
