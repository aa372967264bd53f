"""The training loop every learner shares: blocks of updates in one compiled scan, checkpoints between them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from invlearn_jax.types import Key, Params

Metrics = dict[str, Array]
Update = Callable[["TrainState"], tuple["TrainState", Metrics]]


class TrainState(NamedTuple):
    """What training carries from update to update: arrays only.

    Attributes:
        step: updates done.
        key: the source of all randomness; each update consumes it and leaves a new one.
        params: what is learned.
        opt_state: the optimiser's.
        extra: the learner's own arrays (a batch of imagined states, say).
    """

    step: Int[Array, ""]
    key: Key
    params: Params
    opt_state: optax.OptState
    extra: Params


def train(
    update: Update,
    state: TrainState,
    steps: int,
    block: int = 500,
    on_block: Callable[[TrainState, dict[str, float]], None] | None = None,
) -> TrainState:
    """Runs ``update`` until ``state.step`` is ``steps``.

    Args:
        update: one jittable update.
        state: where to begin; a restored state goes on as if never interrupted.
        steps: updates in all.
        block: updates per compiled call; metrics are averaged over it.
        on_block: called after each block with the state and the averaged metrics (log, checkpoint).

    Returns:
        The final state.
    """

    def run(state: TrainState, count: int) -> tuple[TrainState, Metrics]:
        state, metrics = jax.lax.scan(lambda s, _: update(s), state, length=count)
        return state, jax.tree.map(lambda x: x.mean(), metrics)

    compiled = jax.jit(run, static_argnums=1, donate_argnums=0)
    # The caller keeps its own state; the loop's buffers are donated from block to block.
    state = jax.tree.map(jnp.copy, state)
    while (done := int(state.step)) < steps:
        # Blocks end on multiples of ``block``, so that a resumed run repeats the unbroken run's calls.
        state, metrics = compiled(state, min(block - done % block, steps - done))
        if on_block is not None:
            on_block(state, {name: float(value) for name, value in metrics.items()})
    return state


def apply_gradients(
    state: TrainState,
    optimizer: optax.GradientTransformation,
    gradients: Params,
    params: Params,
    key: Key,
    extra: Params,
) -> TrainState:
    """One optimiser step."""
    updates, opt_state = optimizer.update(gradients, state.opt_state, params)
    return TrainState(state.step + 1, key, optax.apply_updates(params, updates), opt_state, extra)


def default_optimizer(
    learning_rate: float, steps: int, clip: float = 1.0, last: float = 0.01
) -> optax.GradientTransformation:
    """Adam with 200 steps of warm-up, cosine decay to the share ``last`` and gradients clipped to a global norm."""
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, learning_rate, min(200, steps // 10), max(steps, 1), last * learning_rate
    )
    return optax.chain(optax.clip_by_global_norm(clip), optax.adam(schedule))
