"""Training a Pulse Inverter end to end through the propagator, on fresh targets drawn for every update.

minimise  E_v [ 1 - F(propagate(invert(v)), v) ]
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from invlearn_jax.learn.loop import Metrics, TrainState, Update, apply_gradients
from invlearn_jax.types import Key, Params


def pulse_state(optimizer: optax.GradientTransformation, params: Params, key: Key) -> TrainState:
    """The state to train from. The key is consumed."""
    return TrainState(jnp.zeros((), jnp.int32), key, params, optimizer.init(params), ())


def pulse_update(
    infidelity: Callable[[Params, Array], Array],
    draw: Callable[[Key, int], Array],
    optimizer: optax.GradientTransformation,
    batch: int,
) -> Update:
    """One gradient step of the module's objective.

    Args:
        infidelity: ``(params, target) -> scalar``, of one target.
        draw: ``(key, B) -> targets [B, ...]``; the key is consumed.
        optimizer: of the parameters.
        batch: B.

    Returns:
        The update for ``train``, with the batch's mean and greatest infidelity.
    """

    def loss_of(params: Params, targets: Array) -> tuple[Array, Array]:
        found = jax.vmap(infidelity, in_axes=(None, 0))(params, targets)
        return found.mean(), found.max()

    def update(state: TrainState) -> tuple[TrainState, Metrics]:
        key, draw_key = jax.random.split(state.key)
        targets = draw(draw_key, batch)
        (mean, worst), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.params, targets)
        following = apply_gradients(state, optimizer, gradient, state.params, key, ())
        return following, {"infidelity": mean, "worst_infidelity": worst}

    return update
