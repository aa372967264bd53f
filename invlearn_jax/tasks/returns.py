"""Returns of closed-loop episodes by a task's own reward."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

if TYPE_CHECKING:
    from invlearn_jax.tasks.task import Episodes, Task


def episode_rewards(task: "Task", episodes: "Episodes") -> tuple[np.ndarray, np.ndarray]:
    """The reward ``r(s_{t+1}, a_t, g)`` of every step ``[N, L]``, 0 after the end, and the steps until then ``[N]``.

    An episode ends in the first state that is ``over``, or a success where the task ends there; the step into it counts.
    """

    def one(states: Array, actions: Array, goal: Array) -> tuple[Array, Array]:
        rewards = jax.vmap(task.reward, in_axes=(0, 0, None))(states[1:], actions, goal)
        ended = jax.vmap(task.over)(states[:-1])
        if task.ends_at_success:
            ended |= jax.vmap(task.success, in_axes=(0, None))(states[:-1], goal)
        going = jnp.cumprod(~ended)
        return jnp.where(going, rewards, 0.0), going.sum()

    given = (jnp.asarray(x) for x in (episodes.states, episodes.actions, episodes.goals))
    rewards, steps = jax.jit(jax.vmap(one))(*given)
    return np.asarray(rewards, np.float64), np.asarray(steps)


def episode_returns(task: "Task", episodes: "Episodes") -> tuple[np.ndarray, np.ndarray]:
    """The return of each episode and its length in steps, both ``[N]``, up to where all is over; see ``episode_rewards``."""
    rewards, steps = episode_rewards(task, episodes)
    return rewards.sum(1), steps


def return_metrics(task: "Task", episodes: "Episodes") -> dict[str, Any]:
    """``return_mean``, ``return_sem`` (standard error; None of one episode) and ``steps_mean``, for a task's ``metrics``."""
    returns, steps = episode_returns(task, episodes)
    several = len(returns) > 1
    return {
        "return_mean": float(returns.mean()),
        "return_sem": float(returns.std(ddof=1) / np.sqrt(len(returns))) if several else None,
        "steps_mean": float(steps.mean()),
    }
