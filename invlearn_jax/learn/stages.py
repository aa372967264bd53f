"""Stages of a run: each continues from its last checkpoint or file, logs, shows progress, saves, and stops where it can go on."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from invlearn_jax.data.dataset import Dataset
from invlearn_jax.data.kept import read_rows, write_rows
from invlearn_jax.files import read_json, write_json
from invlearn_jax.io import interrupt
from invlearn_jax.io.checkpoint import Checkpoints
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.learn.loop import TrainState, Update, train
from invlearn_jax.progress import Counter, say
from invlearn_jax.tasks.task import Part

_LOG = logging.getLogger(__name__)


class Run:
    """A run's folder and its stages. Methods ask it for data and training by a stage's name, and never look into the folder."""

    def __init__(self, folder: RunFolder) -> None:
        """Wraps the folder, which the caller has locked."""
        self.folder, self.path = folder, folder.path

    def within(self, name: str) -> "Run":
        """A run in a folder of its own inside this one: another level's or generation's."""
        return Run(RunFolder(self.path / name))

    def rows(self, name: str, make: Callable[[], Dataset]) -> Dataset:
        """Rows that are made once and kept in ``data/NAME.npz``, from which later calls read them."""
        path = self.path / "data" / f"{name}.npz"
        if not path.exists():
            self.folder.status(name, 0, 1)
            write_rows(path, make())
        return read_rows(path)

    def parts(self, name: str, make: Callable[[], Mapping[str, Part]]) -> dict[str, Part]:
        """Parts of data that are made once and kept in ``data/``; their shares in ``data/NAME.json``, written last."""
        index = self.path / "data" / f"{name}.json"
        if not index.exists():
            self.folder.status(name, 0, 1)
            parts = make()
            for part, (rows, _) in parts.items():
                write_rows(_part(index.parent, name, part), rows)
            write_json(index, {part: share for part, (_, share) in parts.items()})
        return read_parts(index.parent, name)

    def train(
        self,
        stage: str,
        update: Update,
        state: TrainState,
        steps: int,
        block: int,
        checkpoint_every: int,
        headline: str,
        watch: Callable[[TrainState], bool] | None = None,
    ) -> TrainState:
        """Trains to ``steps`` updates, from the stage's last checkpoint where there is one.

        Args:
            stage: its name, also of the checkpoint folder.
            update: one update.
            state: a fresh state.
            steps: updates in all.
            block: updates per compiled call and per row of the log.
            checkpoint_every: updates between checkpoints; a multiple of the block.
            headline: the metric to show.
            watch: called with the state at every checkpoint; training ends there if it says so.

        Returns:
            The final state.

        Raises:
            Stopped: after the current block and its checkpoint, if a signal told the process to stop.
            NonFiniteLossError: if training diverges.
            ValueError: if the stage's checkpoints are damaged or of another architecture.
            OSError: if a file cannot be written.
        """
        checkpoints, run = Checkpoints(self.path / "checkpoints" / stage), self.folder
        state = _continued(checkpoints, stage, state, steps)
        begin = int(state.step)
        if begin and watch is not None and watch(state):
            return state
        run.keep_metrics(stage, begin)
        run.status(stage, begin, steps)
        shown = Counter(stage, steps, begin, unit="update")

        def on_block(state: TrainState, metrics: dict[str, float]) -> bool:
            step = int(state.step)
            run.log(stage, step, metrics)
            due = step % checkpoint_every == 0 or step == steps
            if due:
                checkpoints.save(step, state)
            run.status(stage, step, steps)
            shown.update(step, f"{headline} {metrics[headline]:.4g}")
            if interrupt.requested():
                if not due:
                    checkpoints.save(step, state)
                run.status(stage, step, steps, "stopped")
                interrupt.check((stage, step, steps))
            return due and watch is not None and watch(state)

        try:
            with interrupt.deferred():
                return train(update, state, steps, block, on_block, stage)
        finally:
            shown.close()
            checkpoints.close()


def read_parts(folder: Path, name: str) -> dict[str, Part]:
    """Parts of data that a run keeps in ``folder``; see ``Run.parts``."""
    shares = read_json(folder / f"{name}.json")
    return {part: Part(read_rows(_part(folder, name, part)), share) for part, share in shares.items()}


def _part(folder: Path, name: str, part: str) -> Path:
    return folder / f"{name}_{part}.npz"


def _continued(checkpoints: Checkpoints, stage: str, state: TrainState, steps: int) -> TrainState:
    """The state of the stage's newest whole checkpoint, or the given one where there is none; says which."""
    if checkpoints.latest() is None:
        return state
    state, skipped = checkpoints.restore(state)
    for sentence in skipped:
        _LOG.warning("%s: %s.", stage, sentence)
    step = int(state.step)
    say(f"{stage}: " + (f"continues at update {step} of {steps}" if step < steps else "already complete"))
    return state
