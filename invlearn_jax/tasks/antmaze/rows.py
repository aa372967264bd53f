"""Rows of walking robots: which to keep, and what a motor level does by itself."""

from collections.abc import Callable

import numpy as np

from invlearn_jax.data.dataset import Dataset, kept_rows
from invlearn_jax.tasks.antmaze.model import QUATERNION

# ``(states [N, S], goals [N, 2]) -> actions [N, A]``, or what a simulator does of states and actions.
Act = Callable[[np.ndarray, np.ndarray], np.ndarray]


def uprightness(states: np.ndarray) -> np.ndarray:
    """``u = 1 - 2 (q_x^2 + q_y^2) / |q|^2`` of states ``[..., S]``: 1 upright, -1 upside down."""
    quaternion = np.asarray(states, float)[..., QUATERNION]
    return 1 - 2 * (quaternion[..., 1:3] ** 2).sum(-1) / (quaternion**2).sum(-1)


def upright_rows(dataset: Dataset, least: float = 0.2) -> Dataset:
    """The rows in which the robot is upright, its episodes cut where it is not.

    Args:
        dataset: the rows; nothing in D4RL's data ends an episode at a fall.
        least: of ``uprightness`` that is kept.

    Returns:
        The rows.

    Raises:
        ValueError: if none is left.
    """
    keep = uprightness(dataset.states) >= least
    if not keep.any():
        raise ValueError(f"No row is upright (uprightness of {least} or more). Check the data, or lower the limit.")
    return kept_rows(dataset, keep)


def executed_rows(
    act: Act,
    step: Act,
    starts: np.ndarray,
    seed: int,
    steps: int,
    farthest: float = 5.0,
    hold: int = 20,
    noise: float = 0.2,
) -> Dataset:
    """What a motor level does by itself: rows to correct its model with, where its own plans lead.

    Args:
        act: the motor level, for many ants at a time.
        step: ``(states, actions) -> states``, the simulator.
        starts: ``[N, S]`` states to begin from.
        seed: of goals and noise.
        steps: L.
        farthest: metres, how far goals lie away.
        hold: steps after which an ant gets a new goal, on the mean.
        noise: greatest standard deviation of the noise on actions; each ant has a level of its own, from 0 up.

    Returns:
        N episodes of L rows.
    """
    rng = np.random.default_rng(seed)
    states, count = np.asarray(starts, np.float64), len(starts)
    level, goals = rng.uniform(0.0, noise, (count, 1)), np.full((count, 2), np.nan)
    observed, executed = [], []
    for time in range(steps):
        angle, distance = rng.uniform(0, 2 * np.pi, count), rng.uniform(0, farthest, (count, 1))
        drawn = states[:, :2] + distance * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        goals = np.where((rng.uniform(size=(count, 1)) < 1 / hold) | (time == 0), drawn, goals)
        actions = act(states, goals)
        actions = np.clip(actions + level * rng.normal(size=actions.shape), -1.0, 1.0)
        observed.append(states.astype(np.float32))
        executed.append(actions.astype(np.float32))
        states = step(states, actions)
    ends = np.zeros((count, steps), bool)
    ends[:, -1] = True
    flat = (np.stack(x, 1).reshape(count * steps, -1) for x in (observed, executed))
    return Dataset(*flat, ends.ravel())
