"""Rows of walking robots: which to keep."""

import numpy as np

from invlearn_jax.data.dataset import Dataset, kept_rows, last_rows
from invlearn_jax.tasks.antmaze.model import QUATERNION


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


def under_way(dataset: Dataset, least: float, steps: int = 10) -> np.ndarray:
    """Whether the robot is ``least`` metres away ``steps`` rows later (at its episode's end, if that is sooner), ``[N]``.

    D4RL's ants stand about at their goals until the episode ends, more than half of the time, and some lie on their backs.
    """
    row = np.arange(len(dataset.states))
    later = np.minimum(row + steps, last_rows(dataset))
    return np.linalg.norm(dataset.states[later, :2] - dataset.states[:, :2], axis=1) >= least
