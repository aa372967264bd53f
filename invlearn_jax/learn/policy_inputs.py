"""What a policy must know of its data before it is trained: the scales of its inputs, and the goal where it is for one."""

import jax
import jax.numpy as jnp
import numpy as np

from invlearn_jax.data.dataset import Dataset, fit_normalizer
from invlearn_jax.models.policy import PolicyInputs
from invlearn_jax.types import Key, Params


def policy_scales(inputs: PolicyInputs, rows: Dataset, key: Key, most: int = 100_000) -> dict[str, Params]:
    """``mean, std``, and ``goal`` or ``goal_scales``, of ``models.policy.PolicyParams``.

    Args:
        inputs: what the policy sees; a policy for one goal gets the task's, drawn once.
        rows: training rows.
        key: consumed.
        most: about how many rows goals are drawn from.
    """
    task = inputs.task
    features = jax.jit(jax.vmap(task.local_features))(jnp.asarray(rows.states))
    mean, std = fit_normalizer(rows._replace(states=np.asarray(features)))
    if inputs.one_goal:
        return {"mean": mean, "std": std, "goal": task.draw_goal(key)}
    states = jnp.asarray(rows.states[:: max(1, len(rows.states) // most)])

    def seen(state: jax.Array, key: Key) -> jax.Array:
        return task.goal_features(state, task.draw_goal_from(key, state))

    goals = np.asarray(jax.jit(jax.vmap(seen))(states, jax.random.split(key, len(states))))
    return {"mean": mean, "std": std, "goal_scales": fit_normalizer(rows._replace(states=goals))}
