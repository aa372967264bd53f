"""Cloning a planner's first actions into a goal-reaching policy, which needs no model and no plan.

minimise  E_{s, g} |tanh(mean(s, g)) - a[0]|^2 / A
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from invlearn_jax.learn.loop import Metrics, TrainState, Update, apply_gradients
from invlearn_jax.tasks.antmaze.goal_policy import GoalPolicy
from invlearn_jax.types import Key, Problem

# ``key -> (problem, action [A])``: what the teacher does in a state it came to; the key is consumed.
Teacher = Callable[[Key], tuple[Problem, Float[Array, " A"]]]


def goal_policy_state(optimizer: optax.GradientTransformation, policy: GoalPolicy, key: Key) -> TrainState:
    """The state to train from. The key is kept."""
    return TrainState(jnp.zeros((), jnp.int32), key, policy, optimizer.init(policy), ())


def goal_policy_update(teacher: Teacher, optimizer: optax.GradientTransformation, batch: int) -> Update:
    """One gradient step on the module's objective, for ``train``.

    Args:
        teacher: draws lessons.
        optimizer: for the whole policy; nothing moves its standard deviations.
        batch: lessons per update.

    Returns:
        The update.
    """

    def update(state: TrainState) -> tuple[TrainState, Metrics]:
        key, draw_key = jax.random.split(state.key)
        problems, actions = jax.vmap(teacher)(jax.random.split(draw_key, batch))

        def loss_of(policy: GoalPolicy) -> Array:
            return ((policy.act(None, problems.state, problems.goal) - actions) ** 2).mean()

        loss, gradient = jax.value_and_grad(loss_of)(state.params)
        return apply_gradients(state, optimizer, gradient, state.params, key, ()), {"policy_loss": loss}

    return update
