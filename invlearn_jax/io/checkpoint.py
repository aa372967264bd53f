"""Checkpoints of training states, by Orbax."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from jaxtyping import PyTree

_KEPT = 2


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
            self._manager.save(step, args=ocp.args.StandardSave(_plain(state)), force=True)
            self._manager.wait_until_finished()
        except (OSError, ValueError) as error:
            raise OSError(
                f"Could not save the checkpoint of step {step} in {self._folder} ({error}). The checkpoint of step "
                f"{self.latest()} is intact; free some space or choose another folder, then run the same command again."
            ) from error

    def restore(self, like: PyTree, step: int | None = None) -> PyTree:
        """Reads a checkpoint.

        Args:
            like: a state of the same structure and shapes.
            step: which one; the newest by default.

        Returns:
            The state.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if the checkpoint holds another architecture.
        """
        step = self.latest() if step is None else step
        if step is None:
            raise FileNotFoundError(f"There is no checkpoint in {self._folder}. Train first, or give another folder.")
        saved = self._manager.item_metadata(step)
        _check_same(saved, _plain(like), self._folder)
        restored = self._manager.restore(step, args=ocp.args.StandardRestore(_plain(like)))
        paths, structure = jax.tree_util.tree_flatten_with_path(like)
        leaves = [(restored[_name(path)] if x.size else x, x) for path, x in paths]
        return structure.unflatten([jax.random.wrap_key_data(a) if _is_key(b) else jnp.asarray(a) for a, b in leaves])

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


def _check_same(saved: PyTree, wanted: dict[str, jax.Array], folder: Path) -> None:
    shapes = {name: tuple(x.shape) for name, x in dict(saved).items()}
    for name in sorted(set(shapes) | set(wanted)):
        have, want = shapes.get(name), tuple(wanted[name].shape) if name in wanted else None
        if have != want:
            raise ValueError(
                f"The checkpoint in {folder} is of another architecture: {name} has shape {have} there and {want} in this "
                "configuration. Use the configuration it was trained with (config.json), or another folder."
            )
