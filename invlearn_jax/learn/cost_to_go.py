"""Distilling the graph's shortest times into the cost-to-go network."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy
from jaxtyping import Array, Float, Int

from invlearn_jax.learn.loop import Metrics, TrainState, Update, apply_gradients
from invlearn_jax.models.graph_cost import EmbeddedCost, GraphCost
from invlearn_jax.models.position_graph import PositionGraph
from invlearn_jax.types import Key


class Surroundings:
    """Which node is next to a place, and how long the way to it is beyond what a bin spans; both tabulated on half bins."""

    def __init__(self, graph: PositionGraph, bin_size: float, margin: float, max_speed: float) -> None:
        """Tabulates what lies within ``margin`` of the nodes' box; places and lengths in metres, the speed in m/s."""
        self._low, self._cell = graph.nodes.min(0) - margin, bin_size / 2
        counts = np.ceil((graph.nodes.max(0) + margin - self._low) / self._cell).astype(int) + 1
        axes = [low + self._cell * (np.arange(count) + 0.5) for low, count in zip(self._low, counts, strict=True)]
        centres = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        way, node = scipy.spatial.cKDTree(graph.nodes).query(centres, p=np.inf)
        self._node, self._beyond = (
            jnp.asarray(node),
            jnp.asarray(np.maximum(way - bin_size, 0) / max_speed, jnp.float32),
        )

    def __call__(self, places: Float[Array, "*b P"]) -> tuple[Int[Array, "*b"], Float[Array, "*b"]]:
        """The nodes, and seconds."""
        index = tuple(jnp.moveaxis(((places - self._low) / self._cell).astype(int), -1, 0))
        return self._node[index], self._beyond[index]


def cost_to_go_update(
    model: GraphCost,
    optimizer: optax.GradientTransformation,
    graph: PositionGraph,
    batch: int,
    jitter: float,
    surroundings: Surroundings | None = None,
) -> Update:
    """One gradient step on the Huber loss against the graph's times for random pairs of nodes.

    Args:
        model: the network. For an ``EmbeddedCost`` the pairs are those between two groups of nodes.
        optimizer: for ``params.net``.
        graph: the targets; times are symmetric, so each pair trains both orders.
        batch: pairs per update; between two groups the square number next to it.
        jitter: metres of uniform noise (+-) on the positions, about half a bin, so that the space between nodes is covered.
        surroundings: of the nodes, where the noise is to reach beyond the data: a place there has the time of the node next to
            it, and that of the way to it. Without them what a network says there is a guess, and walls attract where it is low.

    Returns:
        The update for ``train``.
    """
    nodes, times = jnp.asarray(graph.nodes), jnp.asarray(graph.times)
    crosswise = isinstance(model, EmbeddedCost)
    count = batch
    between: Callable[..., Array] = jax.vmap(model.between, in_axes=(None, 0, 0))
    if isinstance(model, EmbeddedCost):
        count, between = max(1, round(batch**0.5)), model.crosswise

    def update(state: TrainState) -> tuple[TrainState, Metrics]:
        key, pair_key, noise_key = jax.random.split(state.key, 3)
        pair = jax.random.randint(pair_key, (count, 2), 0, nodes.shape[0])
        noise = jax.random.uniform(noise_key, (count, 2, nodes.shape[1]), minval=-jitter, maxval=jitter)
        ends = nodes[pair] + noise
        beyond = jnp.zeros(pair.shape)
        if surroundings is not None:
            pair, beyond = surroundings(ends)
        first, second = (pair[:, :1], pair[:, 1]) if crosswise else (pair[:, 0], pair[:, 1])
        extra = beyond[:, :1] + beyond[:, 1] if crosswise else beyond.sum(-1)
        target = times[first, second] + extra

        def loss_of(net: dict) -> jax.Array:
            predicted = between(state.params._replace(net=net), ends[:, 0], ends[:, 1])
            # Errors weigh less where the way is long: what steers is the slope, and near the goal the value itself.
            return (optax.huber_loss(predicted - target, delta=0.05) / (0.3 + target)).mean()

        loss, gradient = jax.value_and_grad(loss_of)(state.params.net)
        following = apply_gradients(state, optimizer, gradient, state.params.net, key, state.extra)
        return following._replace(params=state.params._replace(net=following.params)), {"cost_to_go_loss": loss}

    return update


def graph_cost_state(
    model: GraphCost, optimizer: optax.GradientTransformation, key: Key, graph: PositionGraph
) -> TrainState:
    """The state to train from: inputs scaled by the graph's bounding box. The key is consumed."""
    init_key, key = jax.random.split(key)
    low, high = graph.nodes.min(0), graph.nodes.max(0)
    centre, half = ((low + high) / 2).astype(np.float32), (np.maximum(high - low, 1e-6) / 2).astype(np.float32)
    params = model.init(init_key)._replace(centre=jnp.asarray(centre), half=jnp.asarray(half))
    return TrainState(jnp.zeros((), jnp.int32), key, params, optimizer.init(params.net), ())
