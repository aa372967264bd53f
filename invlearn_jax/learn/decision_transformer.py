"""Training a Decision Transformer (arXiv 2106.01345): actions given the return that followed them.

    minimise  E |net(R_0, s_0, a_0, .., R_k, s_k) - a_k|^2 over all k of a window of K steps,
    R_k = sum of r(s_{t+i+1}), i = k .. L-1,

the return from step k to L steps after the window's first row t. A task without end has no return to its end; L steps, an
episode's length, take its place.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from invlearn_jax.data.dataset import Dataset, Normalizer, last_rows
from invlearn_jax.learn.loop import Metrics, TrainState, Update, apply_gradients
from invlearn_jax.models.decision_transformer import DecisionTransformer
from invlearn_jax.types import Key, Params


class ReturnStore(NamedTuple):
    """A dataset on the device with running sums of its rewards.

    Attributes:
        states: ``[N, S]``.
        actions: ``[N, A]``.
        before: ``[N]`` rewards of all steps before each row.
        starts: ``[M]`` rows with L known steps after them.
    """

    states: Float[Array, "N S"]
    actions: Float[Array, "N A"]
    before: Float[Array, " N"]
    starts: Int[Array, " M"]


def return_store(dataset: Dataset, rewards: Float[np.ndarray, " N"], return_steps: int, context: int) -> ReturnStore:
    """Puts a dataset on the device, ready for ``sample_returns``.

    Args:
        dataset: the rows; an end where the motion ends, not where its goal changes (``data.plans.joined_episodes``).
        rewards: of the state in each row; a step earns that of the row it leads to.
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
    rows = np.arange(len(dataset.states))
    left = last_rows(dataset) - rows
    starts = rows[left >= return_steps]
    if not len(starts):
        raise ValueError(
            f"return_steps is {return_steps}, but the longest episode has {int(left.max())}; give at most that."
        )
    before = np.concatenate([[0.0], np.cumsum(rewards[1:], dtype=np.float64)])
    # Sums begin anew where no window reaches across, so that 32 bits hold them to the last digit.
    first = np.maximum.accumulate(np.where(np.append(True, dataset.ends[:-1]), rows, 0))
    return ReturnStore(
        jnp.asarray(dataset.states),
        jnp.asarray(dataset.actions),
        jnp.asarray(before - before[first], jnp.float32),
        jnp.asarray(starts, jnp.int32),
    )


def sample_returns(
    store: ReturnStore, key: Key, batch: int, context: int, return_steps: int
) -> tuple[Float[Array, "B K"], Float[Array, "B K S"], Float[Array, "B K A"]]:
    """Draws windows: returns to come, states and actions. The key is consumed."""
    start = store.starts[jax.random.randint(key, (batch,), 0, store.starts.shape[0])]
    rows = start[:, None] + jnp.arange(context)
    returns = store.before[start + return_steps][:, None] - store.before[rows]
    return returns, store.states[rows], store.actions[rows]


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
    policy: DecisionTransformer,
    optimizer: optax.GradientTransformation,
    key: Key,
    normalizer: Normalizer,
    goal: Float[Array, " P"],
) -> TrainState:
    """The state to train from. The key is consumed."""
    init_key, key = jax.random.split(key)
    params = policy.init(init_key)._replace(mean=normalizer.mean, std=normalizer.std, goal=goal)
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
        The update for ``train``.
    """

    def update(state: TrainState) -> tuple[TrainState, Metrics]:
        key, draw_key, dropout_key = jax.random.split(state.key, 3)
        returns, states, actions = sample_returns(store, draw_key, batch, policy.context, return_steps)

        def loss_of(net: Params) -> Array:
            found = policy.actions(state.params._replace(net=net), returns, states, actions, dropout_key)
            return ((found - actions) ** 2).mean()

        loss, gradient = jax.value_and_grad(loss_of)(state.params.net)
        following = apply_gradients(state, optimizer, gradient, state.params.net, key, state.extra)
        return following._replace(params=state.params._replace(net=following.params)), {"transformer_loss": loss}

    return update
