"""Minari's data sets: a folder ``<root>/<id>`` with ``data/main_data.hdf5`` and ``data/metadata.json``.

    episode_<i>/observations     [n+1, S], or a group whose array 'observation' is that; what 'achieved_goal' [n+1, G] has
                                 beyond it, an ant's position as a rule, is put in front
    episode_<i>/actions          [n, A]
    episode_<i>/rewards, terminations, truncations    [n]

An episode of n steps becomes n+1 rows of a ``Dataset``; the last row ends it, so the zero action put there is never
used.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from invlearn_jax.data.dataset import Dataset, check_dataset, check_rows
from invlearn_jax.data.episodes import episodes
from invlearn_jax.data.hdf5 import PathLike, find, hdf5_content, names, open_hdf5, read_array
from invlearn_jax.files import replace_files

DATA_FILE = Path("data") / "main_data.hdf5"
_METADATA_FILE = Path("data") / "metadata.json"
_FORMAT_VERSION = "0.5.0"  # the oldest release with this layout, so that all later ones take the files
_EPISODE = re.compile(r"episode_\d+")
_ID = re.compile(r"[-\w]+-v\d+")


class _Episode(NamedTuple):
    name: str
    observations: Any
    actions: Any
    rewards: Any


def read_minari(path_or_id: PathLike) -> Dataset:
    """Reads a Minari data set.

    Args:
        path_or_id: a folder with ``data/main_data.hdf5``, read directly; or, if the string names no folder, the id of a
            data set that the minari package finds on this machine, such as ``"D4RL/pointmaze/umaze-v2"``.

    Returns:
        The rows. States are the observations, or their part ``observation`` where they are a Dict (PointMaze: x, y in
        metres from the maze's centre, and their velocities), behind ``achieved_goal`` where its columns are none of
        ``observation`` (AntMaze: x, y, then the rest). The last row of an episode has zero action and reward; rewards are as
        the file gives them (Minari: of the state after the step), None unless all episodes have them. Episodes in which the
        motion breaks are cut there; see ``data.episodes``. The converters in the worlds' ``gymnasium_robotics`` turn the frame of
        gymnasium-robotics into D4RL's.

    Raises:
        FileNotFoundError: if there is no such folder, no data file in it, or no such data set.
        ValueError: for a damaged file, a missing key, wrong shapes, NaN or infinity, no episodes; names key and row.
        ImportError: if h5py (for a folder) or minari (for an id) is not installed.

    Source: Minari:docs/content/dataset_standards.md.
    """
    folder = Path(path_or_id)
    if folder.is_dir():
        if not (folder / DATA_FILE).is_file():
            raise FileNotFoundError(
                f"{folder}: the folder has no {DATA_FILE}. "
                "Give the folder <root>/<id> of a Minari data set in HDF5 format."
            )
        with open_hdf5(folder / DATA_FILE) as file:
            return _join(_episodes_of_file(file, str(folder / DATA_FILE)), str(folder / DATA_FILE))
    if folder.is_absolute() or not isinstance(path_or_id, str):
        raise FileNotFoundError(f"{folder}: there is no such folder. Give the folder <root>/<id> of a Minari data set.")
    return _join(_episodes_of_id(path_or_id), f"Minari data set {path_or_id!r}")


def _episodes_of_file(file: Any, source: str) -> Iterator[_Episode]:
    groups = {}
    for name in filter(_EPISODE.fullmatch, names(file, source)):
        if hasattr(group := find(file, name, source), "keys"):
            groups[name] = group
    if not groups:
        raise ValueError(
            f"{source}: no episodes. Groups episode_0, ... are needed; it has: {', '.join(names(file, source)) or 'none'}."
        )
    for name in sorted(groups, key=lambda name: int(name.removeprefix("episode_"))):
        group, place = groups[name], f"{source}, {name}"
        if hasattr(find(group, "observations", place), "keys"):
            state = read_array(group, "observations/observation", place)
            achieved = find(group, "observations/achieved_goal", place)
            if hasattr(achieved, "shape"):
                state = _with_achieved(state, read_array(group, "observations/achieved_goal", place), place)
        else:
            state = read_array(group, "observations", place)
        rewards = read_array(group, "rewards", place) if find(group, "rewards", place) is not None else None
        yield _Episode(name, state, read_array(group, "actions", place), rewards)


def _with_achieved(state: object, achieved: object, source: str) -> np.ndarray:
    """The part ``observation``, behind those columns of ``achieved_goal`` that it does not have itself."""
    state = check_rows(state, "observations/observation", source, 2)
    achieved = check_rows(achieved, "observations/achieved_goal", source, 2, len(state))
    allowed = 1e-5 + 1e-5 * np.abs(achieved).max(0)
    lacking = [g for g in range(achieved.shape[1]) if not (np.abs(state - achieved[:, [g]]) <= allowed[g]).all(0).any()]
    return np.concatenate([achieved[:, lacking], state], axis=1)


def _episodes_of_id(dataset_id: str) -> Iterator[_Episode]:
    try:
        import minari  # noqa: PLC0415
    except ImportError as error:
        raise ImportError(
            f"{dataset_id!r} is not a folder, and to look it up as the id of a data set the minari package is needed. "
            "Give an existing folder, or install it with `pip install invlearn_jax[minari]`."
        ) from error
    source = f"Minari data set {dataset_id!r}"
    try:
        found = iter(minari.load_dataset(dataset_id).iterate_episodes())
        while (episode := next(found, None)) is not None:
            yield _Episode(
                f"episode_{episode.id}", _state(episode.observations, source), episode.actions, episode.rewards
            )
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{dataset_id!r} is neither a folder nor a Minari data set on this machine ({error}). "
            f"Give an existing folder, or fetch it first with `minari download {dataset_id}`."
        ) from error
    # Damaged files make the package and what it reads with raise errors of many kinds.
    except Exception as error:
        if isinstance(error, ValueError) and str(error).startswith(source):
            raise
        raise ValueError(f"{source}: damaged, and cannot be read ({error}). Fetch it again.") from error


def _state(observations: Any, source: str) -> Any:
    if not isinstance(observations, Mapping):
        return observations
    if "observation" not in observations:
        raise ValueError(
            f"{source}: the observations have no part 'observation', only {', '.join(observations) or 'none'}. "
            "Give a data set that has it."
        )
    achieved = observations.get("achieved_goal")
    if not hasattr(achieved, "shape"):
        return observations["observation"]
    return _with_achieved(observations["observation"], achieved, source)


def _join(parts: Iterable[_Episode], source: str) -> Dataset:
    states: list[np.ndarray] = []
    actions: list[np.ndarray] = []
    ends: list[np.ndarray] = []
    rewards: list[np.ndarray] = []
    for name, *raw in parts:
        state = check_rows(raw[0], f"{name}/observations", source, 2)
        action = check_rows(raw[1], f"{name}/actions", source, 2)
        reward = None if raw[2] is None else check_rows(raw[2], f"{name}/rewards", source, 1)
        for key, array in (("actions", action), ("rewards", reward)):
            if array is not None and len(array) != len(state) - 1:
                raise ValueError(
                    f"{source}: '{name}/{key}' has {len(array)} rows, '{name}/observations' has {len(state)}; "
                    "an episode has one observation more than steps."
                )
        for key, array, first in (("observations", state, states), ("actions", action, actions)):
            if first and first[0].shape[1] != array.shape[1]:
                raise ValueError(
                    f"{source}: '{name}/{key}' has rows of {array.shape[1]} numbers, those before have "
                    f"{first[0].shape[1]}; all episodes must agree."
                )
        states.append(state)
        actions.append(np.pad(action.astype(np.float32), ((0, 1), (0, 0))))
        ends.append(np.arange(len(state)) == len(state) - 1)
        if reward is not None:
            rewards.append(np.pad(reward.astype(np.float32), (0, 1)))
    if not states:
        raise ValueError(f"{source}: no episodes. Give a data set with at least one.")
    joined = np.concatenate(rewards) if len(rewards) == len(states) else None
    flags = {"episode": np.concatenate(ends)}
    return episodes(np.concatenate(states), np.concatenate(actions), flags, source, joined)


def _box(size: int) -> dict[str, Any]:
    low, high = [-float("inf")] * size, [float("inf")] * size
    return {"type": "Box", "dtype": "float32", "shape": [size], "low": low, "high": high}


def write_minari(path: PathLike, dataset: Dataset) -> None:
    """Writes a Minari data set in HDF5 format, all or nothing.

    Observations are a Dict with the one part ``observation``, as PointMaze's; every episode ends in a truncation.

    Args:
        path: the folder ``<root>/<id>``; made if it is missing. Minari takes an id of the form ``name-v0``; another
            name gets ``-v0`` appended in the metadata.
        dataset: the rows. Of an episode's last row only the state is kept. Episodes of one row hold no step and are
            left out. Without rewards zeros are written, as the format needs them.

    Raises:
        ValueError: for wrong shapes, NaN or infinity, no steps; names key and row.
        OSError: if a file cannot be written; old files are left as they were.
        ImportError: if h5py is not installed.
    """
    path = Path(path)
    dataset = check_dataset(dataset, f"Data for {path}")
    stops = np.flatnonzero(dataset.ends) + 1
    spans = [(start, stop) for start, stop in zip([0, *stops[:-1]], stops, strict=True) if stop - start > 1]
    if not spans:
        raise ValueError(f"Data for {path}: every episode has one row, so there is no step. Give longer episodes.")
    rewards = np.zeros(len(dataset.states), np.float32) if dataset.rewards is None else dataset.rewards

    def fill(file: Any) -> None:
        for index, (start, stop) in enumerate(spans):
            steps = stop - start - 1
            group = file.create_group(f"episode_{index}")
            group.attrs.update({"id": index, "total_steps": steps})
            group.create_group("infos")
            for key, array in (
                ("observations/observation", dataset.states[start:stop]),
                ("actions", dataset.actions[start : stop - 1]),
                ("rewards", rewards[start : stop - 1]),
                ("terminations", np.zeros(steps, bool)),
                ("truncations", np.arange(steps) == steps - 1),
            ):
                group.create_dataset(key, data=array, compression="gzip")

    name = path.resolve().name
    observation = {"type": "Dict", "subspaces": {"observation": _box(dataset.states.shape[1])}}
    metadata = {
        "dataset_id": name if _ID.fullmatch(name) else re.sub(r"[^-\w]", "_", name) + "-v0",
        "minari_version": _FORMAT_VERSION,
        "data_format": "hdf5",
        "total_episodes": len(spans),
        "total_steps": int(sum(stop - start - 1 for start, stop in spans)),
        "observation_space": json.dumps(observation),
        "action_space": json.dumps(_box(dataset.actions.shape[1])),
    }
    content = json.dumps(metadata, indent=2).encode()
    replace_files({path / DATA_FILE: hdf5_content(fill), path / _METADATA_FILE: content})
