"""Training a Decision Transformer (arXiv 2106.01345): actions given the return that followed them.

    minimise  E |net(R_0, s_0, a_0, .., R_k, s_k) - a_k|^2 over all k of a window of K steps,
    R_k = sum of r(s_{t+i+1}, a_{t+i}, g), i = k .. L-1,

the return from step k to L steps after the window's first row t, actions as shares of their box. A task without end has no return
to its end; L steps, an episode's length, take its place. The goal g is the one that the policy is for, or in hindsight a place
that the window came to within its L steps.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from invlearn_jax.data.dataset import Dataset, last_rows
from invlearn_jax.learn.loop import Metrics, TrainState, Update, apply_gradients
from invlearn_jax.models.decision_transformer import DecisionTransformer
from invlearn_jax.models.policy import PolicyParams
from invlearn_jax.parametrisation import Box
from invlearn_jax.types import Key, Params, Problem


class ReturnStore(NamedTuple):
    """A dataset on the device.

    Attributes:
        states: ``[N, S]``.
        actions: ``[N, A]`` as shares of their box.
        starts: ``[M]`` rows with L known steps after them.
    """

    states: Float[Array, "N S"]
    actions: Float[Array, "N A"]
    starts: Int[Array, " M"]


class ReturnWindow(NamedTuple):
    """Windows of K steps: returns to come ``[B, K]``, states ``[B, K, S]``, actions ``[B, K, A]``, and their goals ``[B, G]``."""

    returns: Float[Array, "B K"]
    states: Float[Array, "B K S"]
    actions: Float[Array, "B K A"]
    goals: Float[Array, "B G"]


def return_store(dataset: Dataset, return_steps: int, context: int) -> ReturnStore:
    """Puts a dataset on the device, ready for ``sample_returns``.

    Args:
        dataset: the rows, actions as shares of their box; an end where the motion ends, not where its goal changes
            (``Task.joined``).
        return_steps: L, over which returns are summed.
        context: K.

    Returns:
        The store.

    Raises:
        ValueError: for a context longer than L, or if no episode has L + 1 rows.
    """
    if not 1 <= context <= return_steps:
        raise ValueError(
            f"context is {context} steps, return_steps is {return_steps}; give 1 <= context <= return_steps."
        )
    left = last_rows(dataset) - np.arange(len(dataset.states))
    starts = np.flatnonzero(left >= return_steps)
    if not len(starts):
        raise ValueError(
            f"return_steps is {return_steps}, but the longest episode has {int(left.max())}; give at most that."
        )
    return ReturnStore(jnp.asarray(dataset.states), jnp.asarray(dataset.actions), jnp.asarray(starts, jnp.int32))


def sample_returns(
    policy: DecisionTransformer, params: PolicyParams, store: ReturnStore, key: Key, batch: int, return_steps: int
) -> ReturnWindow:
    """Draws windows of the policy's context. The key is consumed.

    Args:
        policy: whose task says the reward.
        params: of the policy; the goal of one that is for one goal.
        store: made for the policy's context and ``return_steps``.
        key: consumed.
        batch: B.
        return_steps: L.

    Returns:
        The windows.
    """
    task = policy.task
    decode = Box(task.action_low, task.action_high, 1).decode
    start_key, goal_key = jax.random.split(key)
    start = store.starts[jax.random.randint(start_key, (batch,), 0, store.starts.shape[0])]
    rows = start[:, None] + jnp.arange(return_steps + 1)
    states, actions = store.states[rows], store.actions[rows[:, :-1]]
    if policy.inputs.one_goal:
        goals = jnp.broadcast_to(params.goal, (batch, task.goal_size))
    else:
        later = jax.random.randint(goal_key, (batch,), 1, return_steps + 1)
        goals = jax.vmap(task.achieved)(states[jnp.arange(batch), later])
    reward = jax.vmap(jax.vmap(task.reward, in_axes=(0, 0, None)))
    earned = reward(states[:, 1:], decode(actions), goals)
    returns = jnp.cumsum(earned[:, ::-1], axis=1)[:, ::-1]
    context = slice(policy.context)
    return ReturnWindow(returns[:, context], states[:, context], actions[:, context], goals)


def transformer_optimizer(learning_rate: float, steps: int, warm_up: int, decay: float) -> optax.GradientTransformation:
    """AdamW with gradients clipped to a norm of 0.25, linear warm-up, then cosine decay to a tenth.

    Args:
        learning_rate: after the warm-up.
        steps: updates in all.
        warm_up: updates of warm-up.
        decay: weight decay.

    Returns:
        The optimiser.

    Raises:
        ValueError: if the warm-up takes all updates or more.
    """
    if not 0 <= warm_up < steps:
        raise ValueError(f"warm_up is {warm_up} of {steps} updates; give at least 0 and less than all.")
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, warm_up, steps, 0.1 * learning_rate)
    return optax.chain(optax.clip_by_global_norm(0.25), optax.adamw(schedule, weight_decay=decay))


def transformer_state(
    policy: DecisionTransformer, optimizer: optax.GradientTransformation, key: Key, scales: dict[str, Params]
) -> TrainState:
    """The state to train from; ``scales`` from ``learn.policy_inputs``. The key is consumed."""
    init_key, key = jax.random.split(key)
    params = policy.init(init_key)._replace(**scales)
    return TrainState(jnp.zeros((), jnp.int32), key, params, optimizer.init(params.net), ())


def transformer_update(
    policy: DecisionTransformer,
    optimizer: optax.GradientTransformation,
    store: ReturnStore,
    batch: int,
    return_steps: int,
) -> Update:
    """One gradient step of the module's objective.

    Args:
        policy: the transformer.
        optimizer: for ``params.net``.
        store: made for the policy's context and ``return_steps``.
        batch: windows per update.
        return_steps: L.

    Returns:
        The update for ``train``; the metric ``return`` is the windows' mean.
    """

    def update(state: TrainState) -> tuple[TrainState, Metrics]:
        key, draw_key, dropout_key = jax.random.split(state.key, 3)
        drawn = sample_returns(policy, state.params, store, draw_key, batch, return_steps)
        goals = jnp.broadcast_to(drawn.goals[:, None], (batch, policy.context, policy.task.goal_size))
        problems = Problem(drawn.states, goals)

        def loss_of(net: Params) -> Array:
            params = state.params._replace(net=net)
            found = policy.actions(params, drawn.returns, problems, drawn.actions, dropout_key)
            return ((found - drawn.actions) ** 2).mean()

        loss, gradient = jax.value_and_grad(loss_of)(state.params.net)
        following = apply_gradients(state, optimizer, gradient, state.params.net, key, state.extra)
        metrics = {"transformer_loss": loss, "return": drawn.returns[:, 0].mean()}
        return following._replace(params=state.params._replace(net=following.params)), metrics

    return update
