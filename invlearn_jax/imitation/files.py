"""Files of demonstrations as trajectories, each with the observations that truly followed its steps.

- npz of ``write_demonstrations``: ``states, following, over, trajectory``, and ``actions, rewards`` where they are known;
- npz or HDF5 (``.hdf5``, ``.h5``) with D4RL's keys: ``observations [N, D], actions [N, A]``, flags of ends, and ``rewards [N]``,
  ``next_observations [N, D]`` where there are any;
- npz with keys for each trajectory: ``observation_0 [T, D], action_0 [T, A]`` or ``[T, 1, A]``, and ``reward_0,
  next_observation_0, terminal_0`` where there are any;
- the folder of a Minari data set; see ``data.minari``.

Where a file has no observations after the steps, they are those of the next row, and the last row of a trajectory is left out:
what followed it is not known. Unlike ``data.episodes`` nothing is guessed of where trajectories end.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from invlearn_jax.data.dataset import Dataset, check_rows
from invlearn_jax.data.episodes import NEXT
from invlearn_jax.data.hdf5 import find, open_hdf5, read_array
from invlearn_jax.data.minari import DATA_FILE, read_minari
from invlearn_jax.files import read_npz

# Flags of ends for good, and of ends of any kind.
_FOR_GOOD, _TIMEOUTS = ("terminals", "terminations", "dones"), ("timeouts", "truncations")
_OWN = ("states", "following", "over", "trajectory")
_SEPARATE = re.compile(r"observation_(\d+)")


class Trajectory(NamedTuple):
    """T steps of one trajectory as a file has them.

    Attributes:
        name: for messages.
        observations: ``[T, O]``.
        actions: ``[T, A]``, or None.
        following: ``[T, O]`` after each step.
        over: ``[T]`` bool, what the file marks as terminal, or None if it marks nothing.
        rewards: ``[T]``, or None.
    """

    name: str
    observations: np.ndarray
    actions: np.ndarray | None
    following: np.ndarray
    over: np.ndarray | None
    rewards: np.ndarray | None


def read_trajectories(path: str | os.PathLike) -> list[Trajectory]:
    """Reads the trajectories of a file; see the module.

    Raises:
        FileNotFoundError: if there is nothing at that path.
        ValueError: for an unknown kind, a damaged file, wrong shapes, numbers that are not finite, or nothing that tells where
            trajectories end; names key and row.
        ImportError: if a package that the kind needs is not installed.
    """
    path, source = Path(path), os.fspath(path)
    if (path / DATA_FILE).is_file():
        return _of_rows(read_minari(path))
    suffix = path.suffix.lower()
    if path.is_dir() or suffix not in (".npz", ".hdf5", ".h5"):
        fault: type[Exception] = ValueError if path.exists() else FileNotFoundError
        problem = "the kind of file is not known" if path.exists() else "there is no such file"
        raise fault(
            f"{source}: {problem}. Allowed are .npz, .hdf5 and .h5 files, and folders of Minari data sets, which hold "
            f"{DATA_FILE}."
        )
    arrays = read_npz(path) if suffix == ".npz" else _of_hdf5(path)
    if all(key in arrays for key in _OWN):
        return _of_own(arrays, source)
    if "observations" in arrays:
        return _of_flat(arrays, source)
    numbers = sorted(int(found[1]) for key in arrays if (found := _SEPARATE.fullmatch(key)))
    if not numbers:
        raise ValueError(
            f"{source}: it holds {', '.join(sorted(arrays)[:12]) or 'nothing'}; wanted are 'observations' and 'actions', or "
            f"'observation_0' and 'action_0' and so on for each trajectory, or what write_demonstrations writes."
        )
    return [_separate(arrays, number, source) for number in numbers]


def _of_hdf5(path: Path) -> dict[str, np.ndarray]:
    wanted = ("observations", "actions", "rewards", NEXT, *_FOR_GOOD, *_TIMEOUTS)
    with open_hdf5(path) as file:
        kept = [key for key in wanted if key == "observations" or find(file, key, str(path)) is not None]
        return {key: read_array(file, key, str(path)) for key in kept}


def _of_own(arrays: Mapping[str, np.ndarray], source: str) -> list[Trajectory]:
    count = len(check_rows(arrays["states"], "states", source, 2))
    rows = {key: check_rows(arrays[key], key, source, 2, count) for key in ("states", "following")}
    if rows["states"].shape != rows["following"].shape:
        raise ValueError(f"{source}: 'states' and 'following' have rows of different sizes; they must agree.")
    actions = check_rows(arrays["actions"], "actions", source, 2, count) if "actions" in arrays else None
    rewards = check_rows(arrays["rewards"], "rewards", source, 1, count) if "rewards" in arrays else None
    over, numbers = (check_rows(arrays[key], key, source, 1, count) for key in ("over", "trajectory"))
    firsts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1) != 0)
    return [
        Trajectory(
            f"trajectory {number}",
            rows["states"][span],
            None if actions is None else actions[span],
            rows["following"][span],
            over[span].astype(bool),
            None if rewards is None else rewards[span],
        )
        for number, span in enumerate(_spans(firsts, count))
    ]


def _of_flat(arrays: Mapping[str, np.ndarray], source: str) -> list[Trajectory]:
    observations = check_rows(arrays["observations"], "observations", source, 2)
    count = len(observations)
    marked = {key: _flags(arrays[key], key, source, count) for key in (*_FOR_GOOD, *_TIMEOUTS) if key in arrays}
    if not marked:
        raise ValueError(
            f"{source}: nothing tells where trajectories end. Give one of {', '.join((*_FOR_GOOD, *_TIMEOUTS))}, true in the "
            "last row of each, or keys for each trajectory (observation_0, action_0, observation_1, ...)."
        )
    ends = np.any(list(marked.values()), axis=0)
    good = [flags for key, flags in marked.items() if key in _FOR_GOOD]
    # What is a time limit by another flag is no end for good.
    late = np.any([np.zeros(count, bool), *(flags for key, flags in marked.items() if key in _TIMEOUTS)], axis=0)
    over = np.any(good, axis=0) & ~late if good else None
    spans = _spans(np.append(0, np.flatnonzero(ends[:-1]) + 1), count)
    following = _like(arrays, NEXT, observations, source)
    actions = _actions(arrays, "actions", source, count)
    rewards = check_rows(arrays["rewards"], "rewards", source, 1, count) if "rewards" in arrays else None
    parts = [
        _whole(f"trajectory {number}", observations, actions, following, over, rewards, span)
        for number, span in enumerate(spans)
    ]
    return _with_steps(parts, source)


def _separate(arrays: Mapping[str, np.ndarray], number: int, source: str) -> Trajectory:
    name = f"observation_{number}"
    observations = check_rows(arrays[name], name, source, 2)
    count = len(observations)
    following = _like(arrays, f"next_observation_{number}", observations, source)
    actions = _actions(arrays, f"action_{number}", source, count)
    terminal, reward = (f"{key}_{number}" for key in ("terminal", "reward"))
    over = _flags(arrays[terminal], terminal, source, count) if terminal in arrays else None
    rewards = check_rows(arrays[reward], reward, source, 1, count) if reward in arrays else None
    part = _whole(f"trajectory {number}", observations, actions, following, over, rewards, slice(0, count))
    return _with_steps([part], source)[0]


def _whole(
    name: str,
    observations: np.ndarray,
    actions: np.ndarray | None,
    following: np.ndarray | None,
    over: np.ndarray | None,
    rewards: np.ndarray | None,
    span: slice,
) -> Trajectory:
    """The rows of one trajectory whose following observation is known."""
    rows = span if following is not None else slice(span.start, span.stop - 1)
    then = observations[rows.start + 1 : rows.stop + 1] if following is None else following[rows]
    actions, over, rewards = (None if column is None else column[rows] for column in (actions, over, rewards))
    return Trajectory(name, observations[rows], actions, then, over, rewards)


def _of_rows(dataset: Dataset) -> list[Trajectory]:
    """The episodes of a data set, whose last rows hold the state after the last step."""
    firsts = np.append(0, np.flatnonzero(dataset.ends[:-1]) + 1)
    spans = _spans(firsts, len(dataset.states))
    parts = [
        _whole(f"episode {number}", dataset.states, dataset.actions, None, None, dataset.rewards, span)
        for number, span in enumerate(spans)
    ]
    return _with_steps(parts, "The data set")


def _with_steps(parts: list[Trajectory], source: str) -> list[Trajectory]:
    """Trajectories that have a step."""
    kept = [part for part in parts if len(part.observations)]
    if not kept:
        raise ValueError(
            f"{source}: no trajectory has a row whose next state is known. Give trajectories of two rows or more, or {NEXT}."
        )
    return kept


def _spans(firsts: np.ndarray, count: int) -> list[slice]:
    return [slice(int(a), int(b)) for a, b in zip(firsts, np.append(firsts[1:], count), strict=True)]


def _flags(array: np.ndarray, key: str, source: str, count: int) -> np.ndarray:
    flags = check_rows(array, key, source, 1, count)
    if not np.isin(flags, (0, 1)).all():
        raise ValueError(f"{source}: {key!r} holds {np.unique(flags)[:4].tolist()}, ..; a flag is 0 or 1.")
    return flags.astype(bool)


def _like(arrays: Mapping[str, np.ndarray], key: str, observations: np.ndarray, source: str) -> np.ndarray | None:
    if key not in arrays:
        return None
    following = check_rows(arrays[key], key, source, 2, len(observations))
    if following.shape != observations.shape:
        raise ValueError(
            f"{source}: {key!r} has shape {following.shape}, the observations have {observations.shape}; they must agree."
        )
    return following


def _actions(arrays: Mapping[str, np.ndarray], key: str, source: str, count: int) -> np.ndarray | None:
    if key not in arrays:
        return None
    array = np.asarray(arrays[key])
    if array.ndim == 3 and array.shape[1] == 1:
        array = array[:, 0]
    # A choice may be a number for each row.
    array = array[:, None] if array.ndim == 1 else array
    return check_rows(array, key, source, 2, count)
