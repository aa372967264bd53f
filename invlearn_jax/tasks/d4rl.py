"""D4RL's rewards and scores of places that are to be reached. The reward of a step is that of the state after it."""

from typing import Literal, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

GOAL_RADIUS = 0.5  # m


@runtime_checkable
class Spec(Protocol):
    """What scores depend on."""

    @property
    def name(self) -> str:
        """Of the environment."""

    @property
    def reward(self) -> Literal["sparse", "dense"]:
        """``sparse`` pays 1 within 0.5 m of the goal, ``dense`` pays ``exp(-distance)``; both every step."""

    @property
    def ref_min(self) -> float | None:
        """The return for a score of 0, or None where D4RL has none."""

    @property
    def ref_max(self) -> float | None:
        """The return for a score of 100, or None."""

    @property
    def ends_at_goal(self) -> bool:
        """Whether an episode ends at its goal."""


def sparse_reward(position: Array, goal: Array) -> Array:
    """1 where ``|position - goal| <= 0.5`` m, else 0, over the last axis."""
    return (jnp.linalg.norm(position - goal, axis=-1) <= GOAL_RADIUS).astype(jnp.float32)


def dense_reward(position: Array, goal: Array) -> Array:
    """``exp(-|position - goal|)``, over the last axis, metres."""
    return jnp.exp(-jnp.linalg.norm(position - goal, axis=-1))


def normalized_score(spec: Spec, returns: np.ndarray | float) -> np.ndarray:
    """D4RL's score ``100 (return - ref_min) / (ref_max - ref_min)``.

    Args:
        spec: the environment, with its reference returns.
        returns: of any shape.

    Returns:
        The scores; in maze2d above 100 is better than D4RL's controller as it was measured, in antmaze 100 is success.

    Raises:
        ValueError: if the environment has no reference returns.
    """
    if spec.ref_min is None or spec.ref_max is None:
        raise ValueError(
            f"{spec.name!r} has no reference returns; report the return, or give the spec ref_min and ref_max."
        )
    return np.asarray(100.0 * (np.asarray(returns, float) - spec.ref_min) / (spec.ref_max - spec.ref_min))


def _distance(states: np.ndarray, goals: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.asarray(states, float)[..., :2] - np.asarray(goals, float)[:, None], axis=-1)


def returns_of(spec: Spec, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
    """``sum_{t=1..L} r(s_t)``, or up to the goal where that ends the episode.

    The first state, which no action led to, pays nothing.

    Args:
        spec: whose reward, sparse (1 within 0.5 m) or dense (``exp(-distance)``), is summed.
        states: ``[N, L+1, S]``.
        goals: ``[N, 2]`` metres.

    Returns:
        ``[N]`` returns.
    """
    distance = _distance(states, goals)[:, 1:]
    reward = distance <= GOAL_RADIUS if spec.reward == "sparse" else np.exp(-distance)
    return (reward.any(-1) if spec.ends_at_goal else reward.sum(-1)).astype(float)


def steps_to_goal(states: np.ndarray, goals: np.ndarray, radius: float = GOAL_RADIUS) -> np.ndarray:
    """The first t with ``|x_t - g| <= radius``.

    Args:
        states: ``[N, L+1, 4]``.
        goals: ``[N, 2]`` metres.
        radius: metres.

    Returns:
        ``[N]`` steps, 0 where the start is inside already, NaN where the goal was never reached.
    """
    inside = _distance(states, goals) <= radius
    return np.where(inside.any(-1), inside.argmax(-1), np.nan)


def success(states: np.ndarray, goals: np.ndarray, radius: float = GOAL_RADIUS) -> np.ndarray:
    """``[N]`` bool, whether the episode was ever within ``radius`` of its goal; see ``steps_to_goal``."""
    return np.isfinite(steps_to_goal(states, goals, radius))
