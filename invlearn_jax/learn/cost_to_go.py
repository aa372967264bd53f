"""Distilling the graph's shortest times into the cost-to-go network."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from invlearn_jax.learn.loop import Metrics, TrainState, Update, apply_gradients
from invlearn_jax.models.cost_to_go import CostToGo, PositionGraph
from invlearn_jax.types import Key


def cost_to_go_state(
    model: CostToGo, optimizer: optax.GradientTransformation, key: Key, graph: PositionGraph
) -> TrainState:
    """The state to train from, inputs scaled by the graph's bounding box. The key is consumed."""
    init_key, key = jax.random.split(key)
    low, high = graph.nodes.min(0), graph.nodes.max(0)
    params = model.init(init_key)._replace(
        centre=jnp.asarray((low + high) / 2, jnp.float32),
        half=jnp.asarray(np.maximum(high - low, 1e-6) / 2, jnp.float32),
    )
    return TrainState(jnp.zeros((), jnp.int32), key, params, optimizer.init(params.net), ())


def cost_to_go_update(
    model: CostToGo,
    optimizer: optax.GradientTransformation,
    graph: PositionGraph,
    batch: int,
    jitter: float,
    outside_share: float = 0.25,
    outside_time: float = 0.1,
) -> Update:
    """One gradient step on the Huber loss against the graph's times for random pairs of nodes.

    Args:
        model: the network.
        optimizer: for ``params.net``.
        graph: the targets; times are symmetric, so each pair trains both orders.
        batch: pairs per update.
        jitter: metres of uniform noise (+-) on the positions, about half a bin, so that the space between nodes is covered.

        outside_share: share of pairs whose start lies where the data never were.
        outside_time: seconds that such a start is worse than the nearest place of the data (less when closer than 5 cm).

    Returns:
        The update for ``train``.
    """
    nodes, times = jnp.asarray(graph.nodes), jnp.asarray(graph.times)
    outside, outside_node = jnp.asarray(graph.outside), jnp.asarray(graph.outside_node)
    extra = outside_time * jnp.minimum(jnp.asarray(graph.outside_distance) / 0.05, 1.0)
    away = int(outside_share * batch) if len(graph.outside) else 0

    def update(state: TrainState) -> tuple[TrainState, Metrics]:
        key, pair_key, noise_key, outside_key = jax.random.split(state.key, 4)
        pair = jax.random.randint(pair_key, (batch, 2), 0, nodes.shape[0])
        noise = jax.random.uniform(noise_key, (batch, 2, nodes.shape[1]), minval=-jitter, maxval=jitter)
        start, goal = nodes[pair[:, 0]], nodes[pair[:, 1]] + noise[:, 1]
        target = times[pair[:, 0], pair[:, 1]]
        if away:
            place = jax.random.randint(outside_key, (away,), 0, outside.shape[0])
            start = start.at[:away].set(outside[place])
            target = target.at[:away].set(times[outside_node[place], pair[:away, 1]] + extra[place])
        start = start + noise[:, 0]

        def loss_of(net: dict) -> jax.Array:
            predicted = jax.vmap(model.between, in_axes=(None, 0, 0))(state.params._replace(net=net), start, goal)
            # Errors weigh less where the way is long: what steers is the slope, and near the goal the value itself.
            return (optax.huber_loss(predicted - target, delta=0.05) / (0.3 + target)).mean()

        loss, gradient = jax.value_and_grad(loss_of)(state.params.net)
        following = apply_gradients(state, optimizer, gradient, state.params.net, key, state.extra)
        return following._replace(params=state.params._replace(net=following.params)), {"cost_to_go_loss": loss}

    return update
