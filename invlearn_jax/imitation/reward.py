"""The reward that a soft Q-function was recovered with, and how well it tells good episodes from bad ones.

    r(s, a, s') = Q(s, a) - gamma V(s')

After an episode's end for good V is the absorbing state's value.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.imitation.policy import AgentPolicy
from invlearn_jax.models.policy import PolicyParams
from invlearn_jax.parametrisation import Box
from invlearn_jax.tasks.returns import episode_rewards
from invlearn_jax.tasks.task import Episodes
from invlearn_jax.types import Key

_DRAWS = 16  # of V's action, which are averaged


class Recovered(NamedTuple):
    """Rewards of N episodes of L steps; 0 after an episode's end.

    Attributes:
        recovered: ``[N, L]``.
        true: ``[N, L]`` the task's own.
        steps: ``[N]`` until the end.
    """

    recovered: np.ndarray
    true: np.ndarray
    steps: np.ndarray


def soft_values(policy: AgentPolicy, params: PolicyParams, key: Key, states: Float[Array, "B S"]) -> Float[Array, " B"]:
    """``[B]`` V(s), the mean over drawn actions where the policy is continuous. The key is consumed."""
    x = jax.vmap(lambda s: policy.seen(params, s))(states)
    keys = jax.random.split(key, _DRAWS)
    return jax.vmap(lambda k: policy.agent.value(params.net, params.net.critic, k, x))(keys).mean(0)


def recovered_rewards(
    policy: AgentPolicy, params: PolicyParams, discount: float, key: Key, rows: Episodes
) -> Recovered:
    """The recovered and the true reward of every step of episodes. The key is consumed.

    Args:
        policy: whose Q is asked.
        params: its parameters.
        discount: gamma, as in training.
        key: of the actions that V averages over; consumed.
        rows: the episodes.
    """
    task = policy.task
    encode, resting = Box(task.action_low, task.action_high, 1).encode, params.net.absorbing / (1 - discount)

    def of_episode(key: Key, states: Array, actions: Array) -> tuple[Array, Array]:
        seen = jax.vmap(lambda s: policy.seen(params, s))(states[:-1])
        q = policy.agent.q(params.net.critic, seen, encode(actions)).min(0)
        over = jax.vmap(task.over)(states)
        following = jnp.where(over[1:], resting, soft_values(policy, params, key, states[1:]))
        going = jnp.cumprod(~over[:-1])
        return jnp.where(going, q - discount * following, 0.0), going.sum()

    keys = jax.random.split(key, len(rows.states))
    found, steps = jax.jit(jax.vmap(of_episode))(keys, jnp.asarray(rows.states), jnp.asarray(rows.actions))
    return Recovered(np.asarray(found), episode_rewards(task, rows)[0], np.asarray(steps))


def agreement(recovered: Recovered) -> dict[str, Any]:
    """How well episode sums agree, and single steps: Pearson's and Spearman's correlation; None where a side is constant.

    Raises:
        ValueError: for fewer than three episodes.
    """
    from scipy import stats  # noqa: PLC0415  (slow to import)

    if len(recovered.true) < 3:
        raise ValueError(f"There are {len(recovered.true)} episodes; give at least 3 to correlate.")
    ran = np.arange(recovered.true.shape[1]) < recovered.steps[:, None]
    pairs = {
        "": (recovered.recovered.sum(1), recovered.true.sum(1)),
        "step_": (recovered.recovered[ran], recovered.true[ran]),
    }
    figures: dict[str, Any] = {"episodes": len(recovered.true)}
    for name, (mine, true) in pairs.items():
        varies = np.ptp(mine) > 0 and np.ptp(true) > 0
        figures[f"{name}pearson"] = float(stats.pearsonr(mine, true).statistic) if varies else None
        figures[f"{name}spearman"] = float(stats.spearmanr(mine, true).statistic) if varies else None
    return figures
