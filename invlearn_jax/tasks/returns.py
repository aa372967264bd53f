"""Returns of closed-loop episodes by a task's own reward."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

if TYPE_CHECKING:
    from invlearn_jax.tasks.task import Episodes, Task


def episode_returns(task: "Task", episodes: "Episodes") -> tuple[np.ndarray, np.ndarray]:
    """The return of each episode and its length in steps, both ``[N]``, up to where all is over.

        R = sum_t r(s_{t+1}, a_t, g),    the sum up to and with the step that ends the episode

    An episode ends in the first state that is ``over``, or a success where the task ends there.
    """

    def one(states: Array, actions: Array, goal: Array) -> tuple[Array, Array]:
        rewards = jax.vmap(task.reward, in_axes=(0, 0, None))(states[1:], actions, goal)
        ended = jax.vmap(task.over)(states[:-1])
        if task.ends_at_success:
            ended |= jax.vmap(task.success, in_axes=(0, None))(states[:-1], goal)
        going = jnp.cumprod(~ended)
        return jnp.where(going, rewards, 0.0).sum(), going.sum()

    returns, steps = jax.jit(jax.vmap(one))(*map(jnp.asarray, (episodes.states, episodes.actions, episodes.goals)))
    return np.asarray(returns, np.float64), np.asarray(steps)


def return_metrics(task: "Task", episodes: "Episodes") -> dict[str, Any]:
    """``return_mean``, ``return_sem`` (standard error; None of one episode) and ``steps_mean``, for a task's ``metrics``."""
    returns, steps = episode_returns(task, episodes)
    several = len(returns) > 1
    return {
        "return_mean": float(returns.mean()),
        "return_sem": float(returns.std(ddof=1) / np.sqrt(len(returns))) if several else None,
        "steps_mean": float(steps.mean()),
    }
