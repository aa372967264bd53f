"""Learning a forward model from windows of data, by its multi-step error."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from invlearn_jax.data.dataset import Dataset, Normalizer, WindowStore, last_rows, sample_windows, window_store
from invlearn_jax.keys import stream
from invlearn_jax.learn.loop import Metrics, TrainState, Update, apply_gradients
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import ForwardModel, Key, Params


@runtime_checkable
class ChunkModel(ForwardModel, Protocol):
    """What can be trained: a forward model that predicts in chunks.

    Its parameters are a NamedTuple with ``net``, which is trained, and the scales ``mean``, ``std`` and ``delta``.
    """

    chunk: int

    def seen(self, state: Float[Array, "*b S"], reference: Float[Array, "*b S"]) -> Float[Array, "*b S"]:
        """The state in the frame of a reference state, in which scales are fitted and errors measured."""


class Source(NamedTuple):
    """One of the stores a batch is drawn from, with its share of the batch."""

    store: WindowStore
    share: float


def change_scale(
    dataset: Dataset,
    steps: int,
    seen: Callable[[Array, Array], Array] = lambda state, reference: state,
    most: int = 100_000,
) -> np.ndarray:
    """``[S]`` root mean square of ``states[t + steps] - states[t]`` within episodes.

    Args:
        dataset: the rows.
        steps: between the two states.
        seen: ``(state, reference) -> state`` in the reference's frame; see ``ChunkModel.seen``.
        most: about how many rows to look at.
    """
    rows = np.arange(len(dataset.states))
    starts = rows[last_rows(dataset) - rows >= steps]
    starts = starts[:: max(1, len(starts) // most)]
    first, later = jnp.asarray(dataset.states[starts]), jnp.asarray(dataset.states[starts + steps])
    change = np.asarray(seen(later, first)) - np.asarray(seen(first, first))
    return np.sqrt((change.astype(np.float64) ** 2).mean(0))


def share_batch(sources: list[Source], batch: int) -> list[int]:
    """How many of a batch's windows each source gives, by the shares; what rounding leaves goes to the first."""
    total = sum(s.share for s in sources)
    counts = [int(np.floor(s.share / total * batch)) for s in sources]
    return [counts[0] + batch - sum(counts), *counts[1:]]


def fit_scales(model: ChunkModel, params: Params, dataset: Dataset, normalizer: Normalizer) -> Params:
    """Sets the model's scales from training data: states by the normaliser, outputs by the size of their change.

    Args:
        model: whose chunk is used.
        params: to be copied with new scales.
        dataset: training rows.
        normalizer: of the states.

    Returns:
        The parameters.
    """
    delta = np.stack([change_scale(dataset, j, model.seen) for j in range(1, model.chunk + 1)])
    return params._replace(
        mean=normalizer.mean, std=normalizer.std, delta=jnp.asarray(np.maximum(delta, 1e-6), jnp.float32)
    )


def model_loss(
    model: ChunkModel,
    params: Params,
    states: Float[Array, "B T1 S"],
    actions: Float[Array, "B T A"],
    change_floor: float = 0.0,
) -> Array:
    """Mean Huber loss of the unrolled states, in units of the change over one chunk (``params.delta[-1]``).

        mean huber(e / sqrt(c^2 + mean_S d^2)),    e, d = error of s_t, and s_t - s_0, in units of delta

    With c > 0 errors are relative to how far the state has changed: slow motions around a state of rest, which decide whether
    a planner can hold it, count as much as fast ones far away. With c = 0 all have the same unit, and the root is left out.
    Collisions make outcomes two-valued; the loss's linear tail keeps predictions at one of them instead of between.

    Args:
        model: the model.
        params: its parameters.
        states: windows of the data.
        actions: of the windows.
        change_floor: c, the least change that counts, as a share of the usual one; 0 for errors that are not relative.

    Returns:
        The loss.
    """
    predicted = jax.vmap(model.unroll, in_axes=(None, 0, 0))(params, states[:, 0], actions)
    begin = jnp.broadcast_to(states[:, :1], states.shape)
    first, found, true = (model.seen(x, begin)[:, 1:] / params.delta[-1] for x in (begin, predicted, states))
    error = found - true
    if change_floor:
        error = error / jnp.sqrt(change_floor**2 + ((true - first) ** 2).mean(-1, keepdims=True))
    return optax.huber_loss(error, delta=0.1).mean() * 10


def forward_model_update(
    model: ChunkModel,
    optimizer: optax.GradientTransformation,
    sources: list[Source],
    batch: int,
    horizon: int,
    prior: Callable[[Params, Key], Array] | None = None,
    change_floor: float = 0.0,
) -> Update:
    """One gradient step on ``model_loss`` over windows drawn from the sources by their shares.

    Args:
        model: the model.
        optimizer: for ``params.net``.
        sources: where windows come from.
        batch: windows per update.
        horizon: steps per window.
        prior: ``(params, key) -> loss`` to add; the key is consumed. Minus the cost of an Inverter's plans makes the model
            adversarial (RAMBO, Rigter, Lacerda and Hawes 2022): where the data leave a choice, plans turn out badly.
        change_floor: see ``model_loss``.

    Returns:
        The update for ``train``.
    """
    counts = share_batch(sources, batch)

    def update(state: TrainState) -> tuple[TrainState, Metrics]:
        key, *keys, prior_key = jax.random.split(state.key, len(sources) + 2)
        windows = [sample_windows(s.store, k, n, horizon) for s, k, n in zip(sources, keys, counts, strict=True)]
        states, actions = (jnp.concatenate(x) for x in zip(*windows, strict=True))

        def loss_of(net: Params) -> tuple[Array, Metrics]:
            params = state.params._replace(net=net)
            loss = model_loss(model, params, states, actions, change_floor)
            if prior is None:
                return loss, {"model_loss": loss}
            added = prior(params, prior_key)
            return loss + added, {"model_loss": loss, "prior": added}

        (_, metrics), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.params.net)
        following = apply_gradients(state, optimizer, gradient, state.params.net, key, state.extra)
        return following._replace(params=state.params._replace(net=following.params)), metrics

    return update


def forward_model_state(
    model: ChunkModel, optimizer: optax.GradientTransformation, key: Key, dataset: Dataset, normalizer: Normalizer
) -> TrainState:
    """The state to train from. The key is consumed."""
    init_key, key = jax.random.split(key)
    params = fit_scales(model, model.init(init_key), dataset, normalizer)
    return TrainState(jnp.zeros((), jnp.int32), key, params, optimizer.init(params.net), ())


def ensemble_update(update: Update) -> Update:
    """The same update for E members at once: ``params`` and ``opt_state`` carry a leading axis, each member its own batches."""
    axes = TrainState._make((None, 0, 0, 0, None))
    members = jax.vmap(update, in_axes=(axes,), out_axes=(axes, 0))

    def run(state: TrainState) -> tuple[TrainState, Metrics]:
        size = jax.tree.leaves(state.params)[0].shape[0]
        key, member_key = jax.random.split(state.key)
        following, metrics = members(state._replace(key=jax.random.split(member_key, size)))
        return following._replace(key=key), jax.tree.map(lambda x: x.mean(0), metrics)

    return run


def ensemble_state(
    model: ChunkModel,
    optimizer: optax.GradientTransformation,
    key: Key,
    dataset: Dataset,
    normalizer: Normalizer,
    size: int,
) -> TrainState:
    """The state ``ensemble_update`` trains from: ``size`` members, started apart. The key is consumed."""
    states = [forward_model_state(model, optimizer, k, dataset, normalizer) for k in jax.random.split(key, size)]
    params, opt_state = (
        jax.tree.map(lambda *x: jnp.stack(x), *parts)
        for parts in zip(*((s.params, s.opt_state) for s in states), strict=True)
    )
    return states[0]._replace(params=params, opt_state=opt_state)


def prediction_errors(
    model: ForwardModel, params: Params, dataset: Dataset, horizon: int, position_size: int, count: int = 8192
) -> dict[str, list[float] | float]:
    """Open-loop error of predicted positions against the horizon, on held-out windows.

    Windows in which the data met a wall (an acceleration that the free motion cannot make: a step's change of velocity of more
    than 1.5 times the 90th percentile of all) are reported apart.

    Args:
        model: the model.
        params: its parameters.
        dataset: held-out rows.
        horizon: steps to predict.
        position_size: leading state entries that are the position.
        count: windows to draw.

    Returns:
        Root mean square position error in metres after each step, over all windows, over those in free space and those that
        met a wall, and the share of the latter.
    """
    predicted, states = map(np.asarray, _held_out(model, params, dataset, horizon, count))
    squared = ((predicted - states)[..., :position_size] ** 2).sum(-1)
    change = np.abs(np.diff(states[..., position_size:], axis=1)).max(-1)
    wall = (change > 1.5 * np.quantile(change, 0.9)).any(1)

    def rmse(rows: np.ndarray) -> list[float]:
        return [round(float(x), 5) for x in np.sqrt(squared[rows].mean(0))] if rows.any() else []

    return {"all": rmse(np.ones_like(wall)), "free": rmse(~wall), "wall": rmse(wall), "wall_share": float(wall.mean())}


def open_loop_errors(
    task: Task, model: ForwardModel, params: Params, dataset: Dataset, horizon: int, count: int = 4096
) -> dict[str, list[float]]:
    """Open-loop error of a model against the horizon, on held-out windows.

    Args:
        task: whose states are predicted.
        model: the model.
        params: its parameters.
        dataset: held-out rows.
        horizon: steps to predict.
        count: windows to draw.

    Returns:
        After each step, root mean squares over windows: ``state`` of all entries in units of their deviation in the data, and
        for a task with goals ``achieved`` of the place in goal space, in its units.
    """
    predicted, states = _held_out(model, params, dataset, horizon, count)

    @jax.jit
    def errors(predicted: Array, states: Array) -> dict[str, Array]:
        # A model may say more of a state than the state is (its uncertainty, say).
        predicted = predicted[..., : task.state_size]
        scale = jnp.maximum(states.reshape(-1, states.shape[-1]).std(0), 1e-6)
        found = {"state": jnp.sqrt((((predicted - states) / scale) ** 2).mean((0, 2)))}
        if task.goal_size:
            achieved = jax.vmap(jax.vmap(task.achieved))
            found["achieved"] = jnp.sqrt(((achieved(predicted) - achieved(states)) ** 2).sum(-1).mean(0))
        return found

    return {
        name: [round(x, 5) for x in np.asarray(values).tolist()] for name, values in errors(predicted, states).items()
    }


def _held_out(
    model: ForwardModel, params: Params, dataset: Dataset, horizon: int, count: int
) -> tuple[Float[Array, "N T1 P"], Float[Array, "N T1 S"]]:
    """The states that a model predicts in windows drawn from the rows, always the same, and those that followed."""

    @jax.jit
    def unrolled(store: WindowStore, params: Params, key: Key) -> tuple[Array, Array]:
        states, actions = sample_windows(store, key, count, horizon)
        return jax.vmap(model.unroll, in_axes=(None, 0, 0))(params, states[:, 0], actions), states

    return unrolled(window_store(dataset, horizon), params, stream(jax.random.key(0), "held-out windows"))
