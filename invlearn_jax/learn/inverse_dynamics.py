"""Learning inverse dynamics from windows of data: by a Huber loss, or a mixture by its likelihood."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from invlearn_jax.data.dataset import Dataset, fit_normalizer, sample_windows
from invlearn_jax.learn.forward_model import Source, change_scale, share_batch
from invlearn_jax.learn.loop import Metrics, TrainState, Update, apply_gradients
from invlearn_jax.models.inverse_dynamics import InverseDynamics
from invlearn_jax.types import Key

_HUBER = 0.01  # of actions within about [-1, 1]


def inverse_dynamics_state(
    model: InverseDynamics, optimizer: optax.GradientTransformation, key: Key, dataset: Dataset
) -> TrainState:
    """The state to train from, scales set from the training rows. The key is consumed."""
    init_key, key = jax.random.split(key)
    delta = change_scale(dataset, model.gap, model.seen)
    features = jax.jit(jax.vmap(model.task.local_features))(jnp.asarray(dataset.states))
    normalizer = fit_normalizer(dataset._replace(states=np.asarray(features)))
    params = model.init(init_key)._replace(
        mean=normalizer.mean, std=normalizer.std, delta=jnp.asarray(np.maximum(delta, 1e-6), jnp.float32)
    )
    return TrainState(jnp.zeros((), jnp.int32), key, params, optimizer.init(params.net), ())


def inverse_dynamics_update(
    model: InverseDynamics, optimizer: optax.GradientTransformation, sources: list[Source], batch: int
) -> Update:
    """One gradient step on pairs drawn from the sources by their shares.

    The loss is ``mean h(a - f(s, s'))`` over pairs and action entries, or for a mixture the mean of ``-log p(a | s, s')``, with

        h(e) = e^2 / (2 d) where |e| <= d,  |e| - d / 2 elsewhere,  d = 0.01.

    Pairs that have no single answer, at walls say, err by far more than d: they pull with a bounded force towards their median,
    where squared error would let them disturb the pairs that do have one.

    Args:
        model: the model; its ``gap`` is the windows' length.
        optimizer: for ``params.net``.
        sources: where pairs come from, actions as shares of their box; their stores are made for the gap.
        batch: pairs per update.

    Returns:
        The update for ``train``.
    """
    counts = share_batch(sources, batch)

    def update(state: TrainState) -> tuple[TrainState, Metrics]:
        key, *keys = jax.random.split(state.key, len(sources) + 1)
        windows = [sample_windows(s.store, k, n, model.gap) for s, k, n in zip(sources, keys, counts, strict=True)]
        states, actions = (jnp.concatenate(x) for x in zip(*windows, strict=True))
        first, last, action = states[:, 0], states[:, -1], actions[:, 0]

        def loss_of(net: dict) -> jax.Array:
            params = state.params._replace(net=net)
            if model.components == 1:
                found = jax.vmap(model, in_axes=(None, 0, 0))(params, first, last)
                return optax.huber_loss(found, action, delta=_HUBER).mean() / _HUBER
            return -jax.vmap(model.log_likelihood, in_axes=(None, 0, 0, 0))(params, first, last, action).mean()

        loss, gradient = jax.value_and_grad(loss_of)(state.params.net)
        following = apply_gradients(state, optimizer, gradient, state.params.net, key, state.extra)
        return following._replace(params=state.params._replace(net=following.params)), {"inverse_dynamics_loss": loss}

    return update
