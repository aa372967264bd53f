"""Experts that make demonstrations: policies as plain arrays, and recording them in a task.

A policy's file is an npz of ``obs_mean, obs_std [O]``, ``w0 [O, H], b0 [H], w1, b1, ...`` and ``w_out [H, A], b_out [A]``:

    x = (o - obs_mean) / (obs_std + 1e-6),    h = tanh(... tanh(x w0 + b0) ...),    a = h w_out + b_out

Entries of an observation that hardly moved in training (``obs_std < 1e-3``) told the policy nothing, and are taken to be as they
were then: the least change of them, by another release of the physics, would be thousands of deviations.
"""

import os
import re
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from invlearn_jax.files import read_npz
from invlearn_jax.imitation.demonstrations import Demonstrations, from_trajectories
from invlearn_jax.imitation.files import Trajectory
from invlearn_jax.inputs import float_type
from invlearn_jax.progress import progress
from invlearn_jax.tasks.task import ActsOnObservations, Recorded, Task

_UNMOVED = 1e-3
_TRIES = 4  # episodes made at most for each that is wanted


class ExpertPolicy(NamedTuple):
    """A policy of plain arrays; see the module.

    Attributes:
        mean: ``[O]``.
        scale: ``[O]`` what deviations from the mean are multiplied by; 0 where observations are not listened to.
        layers: weights ``[in, out]`` and biases ``[out]`` of every layer.
    """

    mean: np.ndarray
    scale: np.ndarray
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]

    def act(self, observation: np.ndarray) -> np.ndarray:
        """The action ``[..., A]`` for an observation ``[..., O]``; it may be beyond the limits of a task."""
        x = (np.asarray(observation, np.float64) - self.mean) * self.scale
        for weights, bias in self.layers[:-1]:
            x = np.tanh(x @ weights + bias)
        weights, bias = self.layers[-1]
        return x @ weights + bias


def read_policy(path: str | os.PathLike) -> ExpertPolicy:
    """Reads a policy; see the module.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, lacks an array, or holds arrays of sizes that do not fit, or numbers that are not finite.
    """
    source, raw = os.fspath(path), read_npz(path)
    arrays = {name: np.asarray(array, np.float64) for name, array in raw.items()}
    hidden = sorted(int(found[1]) for name in arrays if (found := re.fullmatch(r"w(\d+)", name)))
    names = [*(str(number) for number in range(len(hidden))), "_out"]
    needed = ["obs_mean", "obs_std", *(f"{kind}{name}" for name in names for kind in "wb")]
    if lacking := [name for name in needed if name not in arrays]:
        raise ValueError(
            f"{source}: it lacks {', '.join(lacking)}; a policy is obs_mean, obs_std, w0, b0, w1, b1, ... and w_out, b_out. Give "
            "such a file."
        )
    size = arrays["obs_mean"].size
    shapes: dict[str, tuple[int, ...]] = {"obs_mean": (size,), "obs_std": (size,)}
    for name in names:
        width = arrays[f"b{name}"].size
        shapes |= {f"w{name}": (size, width), f"b{name}": (width,)}
        size = width
    for name, shape in shapes.items():
        if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise ValueError(
                f"{source}: {name!r} has shape {arrays[name].shape}, or numbers that are not finite; {shape} fits the others."
            )
    std = arrays["obs_std"]
    if (std < 0).any():
        raise ValueError(f"{source}: 'obs_std' has negative numbers; give standard deviations.")
    layers = tuple((arrays[f"w{name}"], arrays[f"b{name}"]) for name in names)
    return ExpertPolicy(arrays["obs_mean"], np.where(std < _UNMOVED, 0.0, 1 / (std + 1e-6)), layers)


def demonstrate(
    policy: ExpertPolicy, task: Task, trajectories: int, seed: int = 0, least_return: float | None = None
) -> Demonstrations:
    """Records a policy in a task.

    Args:
        policy: of the observations of the task's environment, where it has such (``tasks.task.ActsOnObservations``), else of
            its states. Its actions are clipped to the task's limits.
        task: without goals.
        trajectories: how many to keep.
        seed: of the episodes' starts.
        least_return: the least return of an episode that is kept.

    Returns:
        The episodes kept, with the environment's own rewards.

    Raises:
        ValueError: for a policy of other sizes, or one that seldom comes to the least return; says what its returns are.
    """
    if trajectories < 1:
        raise ValueError(f"trajectories is {trajectories}; give 1 or more.")
    whole = isinstance(task, ActsOnObservations)
    wanted = (task.observation_size if isinstance(task, ActsOnObservations) else task.state_size, task.action_size)
    sizes = (len(policy.mean), len(policy.layers[-1][1]))
    if sizes != wanted:
        raise ValueError(
            f"The policy has observations of {sizes[0]} numbers and actions of {sizes[1]}; {task.name} has "
            f"{'observations' if whole else 'states'} of {wanted[0]} and actions of {wanted[1]}. Give a policy of this task."
        )
    episode = task.episode if isinstance(task, ActsOnObservations) else _episodes_of(task)
    kept: list[Recorded] = []
    found: list[float] = []
    seeds = np.random.SeedSequence(seed).generate_state(_TRIES * trajectories)
    for number, own in enumerate(progress(seeds, "demonstrations", unit="episode")):
        made = episode(policy.act, int(own))
        found.append(float(made.rewards.sum()))
        if least_return is None or found[-1] >= least_return:
            kept.append(made)
        if len(kept) == trajectories or (not kept and number + 1 == max(trajectories, _TRIES)):
            break
    check_returns(len(kept), trajectories, found, least_return)
    parts = [Trajectory(f"episode {number}", *_columns(made)) for number, made in enumerate(kept)]
    return from_trajectories(task, parts, "Demonstrations")


def check_returns(kept: int, wanted: int, found: list[float], least_return: float | None) -> None:
    """Refuses an expert of whose episodes too few are good enough.

    Raises:
        ValueError: says how many, and what their returns are.
    """
    if kept < wanted:
        raise ValueError(
            f"{kept} of {len(found)} episodes came to a return of {least_return:g}, {wanted} are wanted; their returns are "
            f"{min(found):.1f} to {max(found):.1f}. Give a better expert, or a smaller least_return."
        )


def _columns(made: Recorded) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    over = np.append(np.zeros(len(made.actions) - 1, bool), made.over)
    return made.states[:-1], made.actions, made.states[1:], over, made.rewards.astype(np.float32)


def _episodes_of(task: Task) -> Callable[[Callable[[np.ndarray], np.ndarray], int], Recorded]:
    """``(act, seed) -> episode`` on the task's simulator, with its own rewards and ends."""
    kind, goal = float_type(), jnp.zeros(task.goal_size)
    judge = jax.jit(lambda state, action: (task.reward(state, action, goal), task.over(state)))
    start = jax.jit(task.reset)

    def episode(act: Callable[[np.ndarray], np.ndarray], seed: int) -> Recorded:
        simulator = task.simulator()
        states = [np.asarray(start(jax.random.key(seed)), np.float64)]
        actions: list[np.ndarray] = []
        rewards: list[float] = []
        over = False
        while not over and len(actions) < task.episode_length:
            action = act(states[-1])
            action = np.clip(action, task.action_low, task.action_high)
            action = np.round(action) if task.choices else action
            states.append(simulator.step(states[-1][None], action[None])[0])
            reward, ended = judge(jnp.asarray(states[-1], kind), jnp.asarray(action, kind))
            actions.append(action)
            rewards.append(float(reward))
            over = bool(ended)
        simulator.close()
        return Recorded(np.stack(states), np.stack(actions), np.asarray(rewards), over)

    return episode
