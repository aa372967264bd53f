"""Demonstrations: what an expert did, in rows of transitions with the state that truly followed each.

    row          0   1   2 | 3   4
    states      s0  s1  s2 | s0' s1'
    following   s1  s2  s3 | s1' s2'
    over         0   0   1 | 0   0       the first trajectory ends for good, the second at a time limit

Files are read by ``imitation.files``.
"""

import io
import os
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from invlearn_jax.data.dataset import LOG
from invlearn_jax.files import replace_files
from invlearn_jax.imitation.files import Trajectory, read_trajectories
from invlearn_jax.inputs import float_type
from invlearn_jax.tasks.task import Episodes, Task, has_end

# Beyond its box an action may be by so much of half the box's width: rounding, what an environment clips, and no more.
_ROUNDING, _CLIPPED = 1e-4, 20.0


class Demonstrations(NamedTuple):
    """N rows of trajectories, on the host.

    Attributes:
        states: ``[N, S]`` float32.
        actions: ``[N, A]`` float32 in the task's units; the number of a choice; zeros where they are not known.
        following: ``[N, S]`` float32, the state after the step.
        over: ``[N]`` bool, whether that state ends the episode for good; a time limit does not.
        trajectory: ``[N]`` int32, which trajectory a row is of, from 0 up.
        starts: ``[N]`` bool, true in the first row of a trajectory.
        rewards: ``[N]`` float32 of the steps, or None.
        has_actions: whether actions are known.
    """

    states: np.ndarray
    actions: np.ndarray
    following: np.ndarray
    over: np.ndarray
    trajectory: np.ndarray
    starts: np.ndarray
    rewards: np.ndarray | None = None
    has_actions: bool = True


def read_demonstrations(
    path: str | os.PathLike,
    task: Task,
    trajectories: int | None = None,
    every: int = 1,
    seed: int = 0,
    actions_needed: bool = True,
) -> Demonstrations:
    """Reads demonstrations of a task.

    Args:
        path: an npz file of ``write_demonstrations``; npz or HDF5 with D4RL's keys; npz with ``observation_0, action_0, ...`` for
            each trajectory; or the folder of a Minari data set. See ``imitation.files``.
        task: whose states and actions they are; observations become states by ``task.from_observations``.
        trajectories: how many to choose; see ``chosen``.
        every: which steps of a trajectory to keep; see ``subsampled``.
        seed: of the choice.
        actions_needed: refuses a file without actions.

    Returns:
        The rows. Actions beyond their limits are clipped, as environments do, which is said with a count.

    Raises:
        FileNotFoundError: if there is nothing at that path.
        ValueError: for an unknown kind of file, a damaged one, rows of another size or that are not finite, actions far beyond
            their limits, nothing that tells where trajectories end, or ends that are none of the task's; says where, and what is
            allowed; see ``chosen`` and ``subsampled``.
        ImportError: if a package that the kind needs is not installed.
    """
    source = os.fspath(path)
    parts = read_trajectories(path)
    lacking = [part.name for part in parts if part.actions is None]
    if actions_needed and lacking:
        raise ValueError(
            f"{source}: {lacking[0]} has no actions. Give a file with actions, or learn from states alone."
        )
    demos = _joined(parts, task, source, not lacking)
    demos = demos._replace(actions=_within(demos.actions, task, source)) if not lacking else demos
    return subsampled(chosen(demos, trajectories, seed), every)


def chosen(demos: Demonstrations, trajectories: int | None, seed: int = 0) -> Demonstrations:
    """Some of the trajectories, drawn by a random permutation, in its order and numbered anew; None keeps all as they are.

    Raises:
        ValueError: if there are fewer.
    """
    if trajectories is None:
        return demos
    numbers = np.unique(demos.trajectory)
    if not 1 <= trajectories <= len(numbers):
        raise ValueError(
            f"trajectories is {trajectories}, but the demonstrations have {len(numbers)}; give 1 to {len(numbers)}, or more data."
        )
    return picked(demos, np.random.default_rng(seed).permutation(numbers)[:trajectories])


def picked(demos: Demonstrations, numbers: np.ndarray) -> Demonstrations:
    """The trajectories of these numbers ``[M]``, at least one, in this order and numbered anew."""
    rows = [np.flatnonzero(demos.trajectory == number) for number in numbers]
    numbered = np.repeat(np.arange(len(rows), dtype=np.int32), [len(part) for part in rows])
    return _rows(demos, np.concatenate(rows))._replace(trajectory=numbered)


def subsampled(demos: Demonstrations, every: int, seed: int | None = None) -> Demonstrations:
    """Every so many-th step of each trajectory, with the state that truly followed it.

    Args:
        demos: whole trajectories.
        every: k.
        seed: of the first step kept of each trajectory, 0 to k - 1; None keeps the first. ``starts`` are the first rows kept.

    Raises:
        ValueError: for k below 1, or a trajectory of fewer than k steps.
    """
    if every < 1:
        raise ValueError(f"every is {every}; give 1 (all steps) or more.")
    numbers, first, counts = np.unique(demos.trajectory, return_index=True, return_counts=True)
    if counts.min() < every:
        short = int(counts.argmin())
        raise ValueError(
            f"every is {every}, but trajectory {numbers[short]} has {counts[short]} steps; give at most that, or longer "
            "trajectories."
        )
    offsets = (
        np.zeros(len(numbers), int) if seed is None else np.random.default_rng(seed).integers(0, every, len(numbers))
    )
    at = np.arange(len(demos.states)) - (first + offsets)[np.searchsorted(numbers, demos.trajectory)]
    kept = _rows(demos, np.flatnonzero((at >= 0) & (at % every == 0)))
    return kept._replace(starts=np.diff(kept.trajectory, prepend=-1) != 0)


def returns(demos: Demonstrations) -> np.ndarray:
    """``[M]`` sums of the rewards of each trajectory's rows.

    Raises:
        ValueError: if the rewards are not known.
    """
    if demos.rewards is None:
        raise ValueError("The demonstrations have no rewards, so that returns are not known. Give a file with rewards.")
    return np.bincount(demos.trajectory, weights=demos.rewards)


def share_of_expert(found: float, expert: float) -> float:
    """A return as a share of the expert's: ``1 - (R_E - R) / |R_E|``, which is ``R / R_E`` where the expert's is positive."""
    return 1 - (expert - found) / abs(expert)


def write_demonstrations(path: str | os.PathLike, demos: Demonstrations) -> None:
    """Writes an npz file that ``read_demonstrations`` reads, all or nothing.

    Raises:
        OSError: if it cannot be written; an old file is left as it was.
    """
    left_out = {"starts", "has_actions"} | (set() if demos.has_actions else {"actions"})
    arrays = {name: x for name, x in demos._asdict().items() if x is not None and name not in left_out}
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    replace_files({Path(path): content.getvalue()})


def from_trajectories(task: Task, parts: list[Trajectory], source: str) -> Demonstrations:
    """Demonstrations of trajectories that were recorded in the task's own states; see ``read_demonstrations`` for errors."""
    return _joined(parts, task, source, True)


def from_episodes(task: Task, episodes: Episodes) -> Demonstrations:
    """Demonstrations of closed-loop episodes, each up to where it is over; rewards are by ``task.reward``."""
    kind = float_type()
    states, actions, goals = (jnp.asarray(x, kind) for x in (episodes.states, episodes.actions, episodes.goals))
    over = np.asarray(jax.jit(jax.vmap(jax.vmap(task.over)))(states[:, 1:]))
    rewards = np.asarray(jax.jit(jax.vmap(jax.vmap(task.reward, (0, 0, None))))(states[:, 1:], actions, goals))
    parts = []
    for number, ends in enumerate(over):
        steps = int(ends.argmax()) + 1 if ends.any() else len(ends)
        now, then = episodes.states[number, :steps], episodes.states[number, 1 : steps + 1]
        flags = np.arange(steps) == steps - 1 if ends.any() else np.zeros(steps, bool)
        parts.append(
            Trajectory(f"episode {number}", now, episodes.actions[number, :steps], then, flags, rewards[number, :steps])
        )
    return from_trajectories(task, parts, "Episodes")


def _rows(demos: Demonstrations, rows: np.ndarray) -> Demonstrations:
    arrays = {name: value[rows] for name, value in demos._asdict().items() if isinstance(value, np.ndarray)}
    return demos._replace(**arrays)


def _joined(parts: list[Trajectory], task: Task, source: str, has_actions: bool) -> Demonstrations:
    """Trajectories in the task's states, one after the other, their ends checked against the task's."""
    rows = [_in_states(part, task, f"{source}, {part.name}") for part in parts]
    states, actions, following = (np.concatenate(column) for column in zip(*rows, strict=True))
    lengths = [len(part.observations) for part in parts]
    numbers = np.repeat(np.arange(len(parts), dtype=np.int32), lengths)
    found = np.zeros(len(states), bool)
    if has_end(task):
        found = np.asarray(jax.jit(jax.vmap(task.over))(jnp.asarray(following, float_type())))
    own = np.split(found, np.cumsum(lengths)[:-1])
    over = [_over(part.over, x, task, f"{source}, {part.name}") for part, x in zip(parts, own, strict=True)]
    known = [part.rewards for part in parts if part.rewards is not None]
    rewards = np.concatenate(known).astype(np.float32) if len(known) == len(parts) else None
    starts = np.diff(numbers, prepend=-1) != 0
    return Demonstrations(states, actions, following, np.concatenate(over), numbers, starts, rewards, has_actions)


def _in_states(part: Trajectory, task: Task, place: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States, actions and following states of a trajectory, as the task has them."""
    try:
        states, following = (
            np.asarray(task.from_observations(rows), np.float32) for rows in (part.observations, part.following)
        )
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
    actions = np.zeros((len(states), task.action_size)) if part.actions is None else part.actions
    if actions.shape[1] != task.action_size:
        raise ValueError(
            f"{place}: the actions have {actions.shape[1]} numbers each, those of {task.name} {task.action_size}. Give data of "
            "this task."
        )
    return states, actions.astype(np.float32), following


def _over(given: np.ndarray | None, found: np.ndarray, task: Task, place: str) -> np.ndarray:
    """``[T]`` which rows of a trajectory end for good: as the task says where it has ends of its own, else as the file does."""
    steps = len(found)
    at_limit = (np.arange(steps) == steps - 1) & (steps >= task.episode_length)
    if not has_end(task):
        return found if given is None or not task.ends_at_success else given & ~at_limit
    if found[:-1].any():
        row = int(found.argmax())
        raise ValueError(
            f"{place}: the state after row {row} ends an episode of {task.name} for good, but the trajectory goes on. Give data "
            "of this task, with a flag in the last row of every episode."
        )
    if given is not None and (given & ~found & ~at_limit).any():
        row = int((given & ~found & ~at_limit).argmax())
        raise ValueError(
            f"{place}: row {row} is marked as terminal, but the state after it ends no episode of {task.name}, whose time limit "
            f"is {task.episode_length} steps. Mark time limits as timeouts, and give next_observations of the same episode."
        )
    return found


def _within(actions: np.ndarray, task: Task, source: str) -> np.ndarray:
    """Actions within the task's limits.

    Raises:
        ValueError: for actions far beyond, or that are no choice; says by how much.
    """
    if task.choices:
        wrong = (actions != np.round(actions)) | (actions < 0) | (actions >= task.choices)
        if wrong.any():
            row = int(wrong.any(1).argmax())
            raise ValueError(
                f"{source}: the action of row {row} is {actions[row, 0]:g}; those of {task.name} are whole numbers from 0 to "
                f"{task.choices - 1}."
            )
        return actions
    low, high = (np.asarray(x, np.float32) for x in (task.action_low, task.action_high))
    beyond = np.maximum(low - actions, actions - high) / (0.5 * (high - low))
    row, column = np.unravel_index(beyond.argmax(), beyond.shape)
    if beyond.max() > _CLIPPED:
        raise ValueError(
            f"{source}: action {column} of row {row} is {actions[row, column]:g}, beyond its limits {low[column]:g} to "
            f"{high[column]:g} by {beyond.max():.0f} times half their width; allowed are {_CLIPPED:.0f}, which are clipped. Give "
            "actions in the task's units."
        )
    if beyond.max() > _ROUNDING:
        LOG.warning(
            "%s: %d of %d actions are beyond their limits, at most %g where these are %g to %g, and were clipped.",
            *(source, (beyond > _ROUNDING).sum(), actions.size, actions[row, column], low[column], high[column]),
        )
    return np.clip(actions, low, high)
