"""A learned, goal-conditioned time-to-goal.

The target is a shortest path over a graph of the data itself, no map needed. Positions are binned; two bins are joined where
the data join them within a few steps; a link weighs the time its length takes at the speed limit (of each axis: the norm is
then the maximum's),

    w(i, j) = |x_i - x_j| / v_max,

and Dijkstra's distances between all bins are distilled into a network over the look-ahead position ``x + tau v``:

    D(s, g) = softplus(net(x + tau v, g)),    seconds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
from jaxtyping import Array, Float

from invlearn_jax.models.coverage import interpolate, no_distance
from invlearn_jax.networks import fourier_features, fourier_size, mlp
from invlearn_jax.types import Key, Params


class PositionGraph(NamedTuple):
    """Bins of visited positions and the time between them.

    Attributes:
        nodes: ``[M, 2]`` the mean position of the data in each bin, metres.
        times: ``[M, M]`` shortest times, seconds.
    """

    nodes: np.ndarray
    times: np.ndarray


def position_graph(
    positions: np.ndarray,
    ends: np.ndarray,
    max_speed: float,
    bin_size: float = 0.1,
    max_steps: int = 4,
    min_count: int = 3,
    norm: float = np.inf,
) -> PositionGraph:
    """Builds the graph of a dataset's positions.

    Args:
        positions: ``[N, P]`` metres.
        ends: ``[N]`` true in the last row of an episode.
        max_speed: metres per second.
        bin_size: metres.
        max_steps: bins are joined where the data lead from one to the other within this many steps.
        min_count: bins and links seen less often are dropped (a lone row may be a fluke of contact).
        norm: order of the norm that lengths are measured in: infinity where each axis has its own limit, 2 where the speed
            has one.

    Returns:
        The graph's largest connected part.

    Raises:
        ValueError: if that part holds fewer than half of the bins.
    """
    cells = np.floor(positions / bin_size).astype(np.int64)
    cells -= cells.min(0)
    flat = np.ravel_multi_index(tuple(cells.T), tuple(cells.max(0) + 1))
    labels, node, count = np.unique(flat, return_inverse=True, return_counts=True)
    centre = np.stack([np.bincount(node, positions[:, k]) / count for k in range(positions.shape[1])], axis=1)
    size = len(labels)
    episode = np.cumsum(ends) - ends
    links = scipy.sparse.csr_matrix((size, size))
    for step in range(1, max_steps + 1):
        same = episode[step:] == episode[:-step]
        a, b = node[:-step][same], node[step:][same]
        links = links + scipy.sparse.csr_matrix((np.ones(len(a)), (a, b)), shape=(size, size))
    links = (links + links.T).tocoo()
    keep = (
        (links.data >= min_count)
        & (links.row != links.col)
        & (count[links.row] >= min_count)
        & (count[links.col] >= min_count)
    )
    row, column = links.row[keep], links.col[keep]
    weight = np.linalg.norm(centre[row] - centre[column], ord=norm, axis=1) / max_speed
    graph = scipy.sparse.csr_matrix((weight, (row, column)), shape=(size, size))
    part = scipy.sparse.csgraph.connected_components(graph, directed=False)[1]
    largest = np.flatnonzero(part == np.bincount(part).argmax())
    visited = int((count >= min_count).sum())
    if len(largest) < visited / 2:
        raise ValueError(
            f"The graph of the data falls apart: its largest part has {len(largest)} of {visited} bins. Give more data, "
            f"larger bins (bin_size is {bin_size} m) or a lower min_count ({min_count})."
        )
    graph = graph[largest][:, largest]
    times = scipy.sparse.csgraph.dijkstra(graph, directed=False)
    return PositionGraph(centre[largest].astype(np.float32), times.astype(np.float32))


class CostToGoParams(NamedTuple):
    """Parameters of the cost-to-go.

    Attributes:
        net: the network's weights; the only part that is trained.
        centre: ``[P]`` of the box that its inputs are scaled by.
        half: ``[P]`` its half-widths.
        unvisited: ``[G, ..., G]`` metres from each cell of ``models.coverage`` to the data, less what counts as among them.
    """

    net: Params
    centre: Float[Array, " P"]
    half: Float[Array, " P"]
    unvisited: Float[Array, "..."]


class CostToGo:
    """``D(s, g)`` for states whose first P entries are the position and, where ``tau > 0``, the next P the velocity."""

    def __init__(
        self, position_size: int = 2, look_ahead: float = 0.06, hidden: Sequence[int] = (256, 256), octaves: int = 5
    ) -> None:
        """Describes the network.

        Args:
            position_size: P.
            look_ahead: tau, seconds.
            hidden: widths of the MLP.
            octaves: Fourier features of positions.
        """
        self.position_size, self.look_ahead, self._octaves = position_size, look_ahead, octaves
        self._net = mlp(2 * fourier_size(position_size, octaves), hidden, 1)

    def init(self, key: Key) -> CostToGoParams:
        """Fresh parameters; the learner sets the box. The key is consumed."""
        ones = jnp.ones(self.position_size)
        return CostToGoParams(self._net.init(key), 0 * ones, ones, no_distance(self.position_size))

    def unvisited(self, params: CostToGoParams, state: Float[Array, " S"]) -> Float[Array, ""]:
        """Metres from the state's position to where the data were; 0 among them."""
        return interpolate(params.unvisited, state[: self.position_size], params.centre, params.half)

    def between(
        self, params: CostToGoParams, position: Float[Array, " P"], goal: Float[Array, " P"]
    ) -> Float[Array, ""]:
        """Seconds between two positions at the speed limit."""
        x = jnp.concatenate([(position - params.centre) / params.half, (goal - params.centre) / params.half])
        first, second = (
            fourier_features(x[: self.position_size], self._octaves),
            fourier_features(x[self.position_size :], self._octaves),
        )
        return jax.nn.softplus(self._net.apply(params.net, jnp.concatenate([first, second]))[0])

    def __call__(self, params: CostToGoParams, state: Float[Array, " S"], goal: Float[Array, " P"]) -> Float[Array, ""]:
        """Seconds from ``state`` to ``goal``."""
        size = self.position_size
        position = state[:size]
        # Without look-ahead a state may be a position alone.
        if self.look_ahead:
            position = position + self.look_ahead * state[size : 2 * size]
        return self.between(params, position, goal)
