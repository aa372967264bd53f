"""Checkpoints of training states, by Orbax."""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

_KEPT = 2


class OtherArchitectureError(ValueError):
    """A checkpoint whose arrays are not those of the state to be restored."""


class Restored(NamedTuple):
    """What ``Checkpoints.restore`` found.

    Attributes:
        state: the state.
        skipped: a sentence for each newer checkpoint that was damaged.
    """

    state: PyTree
    skipped: tuple[str, ...]


class Checkpoints:
    """The checkpoints of one stage of training: the newest two, saved atomically.

    A save that fails (full disk, read-only folder) raises an ``OSError`` and leaves the earlier checkpoints as they were.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        """Opens (or makes) the folder.

        Raises:
            OSError: if the folder cannot be made.
        """
        self._folder = Path(folder).resolve()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                f"Could not make the checkpoint folder {folder} ({error}). Choose one you may write to."
            ) from error
        import orbax.checkpoint as ocp  # noqa: PLC0415  (half a second, which planning alone does not need)

        self._args = ocp.args
        options = ocp.CheckpointManagerOptions(max_to_keep=_KEPT, enable_async_checkpointing=False)
        handler = ocp.StandardCheckpointHandler()
        self._manager = ocp.CheckpointManager(self._folder, item_handlers=handler, options=options)

    def latest(self) -> int | None:
        """The newest step saved, or None."""
        return self._manager.latest_step()

    def save(self, step: int, state: PyTree) -> None:
        """Saves a state.

        Raises:
            OSError: if it could not be written; earlier checkpoints are intact.
        """
        try:
            self._manager.save(step, args=self._args.StandardSave(_plain(state)), force=True)
            self._manager.wait_until_finished()
        except (OSError, ValueError) as error:
            raise OSError(
                f"Could not save the checkpoint of step {step} in {self._folder} ({error}). The checkpoint of step "
                f"{self.latest()} is intact; free some space or choose another folder, then run the same command again."
            ) from error

    def restore(self, like: PyTree) -> Restored:
        """Reads the newest whole checkpoint; newer damaged ones are moved aside, so that their steps can be saved again.

        Args:
            like: a state of the same structure and shapes.

        Raises:
            FileNotFoundError: if there is no checkpoint.
            ValueError: if there are some but none is whole, or the newest whole one is of another architecture.
            OSError: if a damaged one could not be moved.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        if not steps:
            raise FileNotFoundError(f"There is no checkpoint in {self._folder}. Train first, or give another folder.")
        damaged: dict[int, str] = {}
        for step in steps:
            try:
                state = self._read(step, like)
            except OtherArchitectureError:
                raise
            # Damaged files make Orbax, TensorStore and JSON raise errors of many kinds.
            except Exception as error:
                damaged[step] = _first_line(error)
            else:
                return Restored(state, tuple(self._move_aside(bad, why) for bad, why in damaged.items()))
        reasons = "; ".join(f"step {step}: {why}" for step, why in damaged.items())
        raise ValueError(
            f"No checkpoint in {self._folder} is whole ({reasons}). Restore the folder from a copy, or delete it to train "
            "this stage from its beginning."
        )

    def _read(self, step: int, like: PyTree) -> PyTree:
        saved = self._manager.item_metadata(step)
        if saved is None:
            raise ValueError("its list of arrays, _METADATA, is missing")
        _check_same(saved, _plain(like), self._folder)
        restored = self._manager.restore(step, args=self._args.StandardRestore(_plain(like)))
        paths, structure = jax.tree_util.tree_flatten_with_path(like)
        leaves = [(restored[_name(path)] if x.size else x, x) for path, x in paths]
        arrays = [jax.random.wrap_key_data(a) if _is_key(b) else jnp.asarray(a) for a, b in leaves]
        return jax.tree.unflatten(structure, arrays)

    def _move_aside(self, step: int, reason: str) -> str:
        """Renames a step's folder, since Orbax saves no step twice; says so in a sentence."""
        folder, aside = self._folder / str(step), self._folder / f"damaged-{step}"
        try:
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
        except OSError as error:
            raise OSError(
                f"Could not move the damaged checkpoint {folder} aside ({error}). Delete it, then run the same command again."
            ) from error
        self._manager.reload()
        return f"the checkpoint of step {step} is damaged ({reason}); it was moved to {aside}"

    def close(self) -> None:
        """Ends Orbax's threads."""
        self._manager.close()


def _is_key(x: jax.Array) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _name(path: tuple) -> str:
    return jax.tree_util.keystr(path) or "value"


def _plain(state: PyTree) -> dict[str, jax.Array]:
    """The leaves by path: Orbax sees one flat dict, whatever the containers are, and no empty array, which it refuses."""
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    return {_name(path): jax.random.key_data(x) if _is_key(x) else x for path, x in leaves if x.size}


def _first_line(error: Exception) -> str:
    """What an error says, without the traces that TensorStore adds."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _check_same(saved: PyTree, wanted: dict[str, jax.Array], folder: Path) -> None:
    shapes = {name: tuple(x.shape) for name, x in dict(saved).items()}
    for name in sorted(set(shapes) | set(wanted)):
        have, want = shapes.get(name), tuple(wanted[name].shape) if name in wanted else None
        if have != want:
            raise OtherArchitectureError(
                f"The checkpoint in {folder} is of another architecture: {name} has shape {have} there and {want} in this "
                "configuration. Use the configuration it was trained with (config.json), or another folder."
            )
