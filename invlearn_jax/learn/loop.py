"""The training loop every learner shares: blocks of updates in one compiled scan, checkpoints between them."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Int

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


class NonFiniteLossError(FloatingPointError):
    """Training diverged.

    Attributes:
        stage: what was trained.
        step: updates done when it was seen.
        metric: what is NaN or infinite.
    """

    def __init__(self, stage: str, step: int, metric: str) -> None:
        """Keeps what is given."""
        self.stage, self.step, self.metric = stage, step, metric
        super().__init__(
            f"{stage} diverged: at update {step} {metric} is not finite. Training stopped, and earlier checkpoints are as they "
            "were. Try a smaller learning_rate, and look at the data for extreme values."
        )


def train(
    update: Update,
    state: TrainState,
    steps: int,
    block: int = 500,
    on_block: Callable[[TrainState, dict[str, float]], bool | None] | None = None,
    stage: str = "training",
) -> TrainState:
    """Runs ``update`` until ``state.step`` is ``steps``.

    The arrays that ``update`` closes over, a store of data say, are arguments of the compiled program: it holds no copy of them,
    and stages that differ in their values alone are one program in JAX's compilation cache.

    Args:
        update: one jittable update.
        state: where to begin; a restored state goes on as if never interrupted.
        steps: updates in all.
        block: updates per compiled call; metrics are averaged over it.
        on_block: called after each block with the state and the averaged metrics (log, checkpoint); training ends where it
            says so.
        stage: what is trained, for errors.

    Returns:
        The final state.

    Raises:
        NonFiniteLossError: if a metric or a parameter is NaN or infinite after a block, before ``on_block`` is called.
    """
    if int(state.step) >= steps:
        return state
    closure, shape = jax.make_jaxpr(update, return_shape=True)(state)
    following = jax.tree.structure(shape)

    def run(data: list[Array], state: TrainState, count: int) -> tuple[TrainState, Metrics, Bool[Array, ""]]:
        def once(state: TrainState, _: None) -> tuple[Any, Any]:  # of arrays, or of numbers where they are constants
            return jax.tree.unflatten(following, jax.core.eval_jaxpr(closure.jaxpr, data, *jax.tree.leaves(state)))

        state, metrics = jax.lax.scan(once, state, length=count)
        # The loss is that before an update: a state may be broken where no metric shows it yet.
        return state, jax.tree.map(lambda x: x.mean(), metrics), _finite(state.params)

    compiled = jax.jit(run, static_argnums=2, donate_argnums=1)
    # The caller keeps its own state; the loop's buffers are donated from block to block.
    state = jax.device_put(state, may_alias=False)
    while (done := int(state.step)) < steps:
        # Blocks end on multiples of ``block``, so that a resumed run repeats the unbroken run's calls.
        state, metrics, finite = compiled(closure.consts, state, min(block - done % block, steps - done))
        averages = {name: float(value) for name, value in metrics.items()}
        broken = [f"the metric {name}" for name, value in averages.items() if not math.isfinite(value)]
        if broken or not finite:
            raise NonFiniteLossError(stage, int(state.step), [*broken, "a parameter"][0])
        if on_block is not None and on_block(state, averages):
            break
    return state


def _finite(params: Params) -> Bool[Array, ""]:
    arrays = [x for x in jax.tree.leaves(params) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.stack([jnp.array(True), *(jnp.isfinite(x).all() for x in arrays)]).all()


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
