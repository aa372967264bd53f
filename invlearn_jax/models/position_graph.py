"""A graph of the data's places, whose shortest paths are times to a goal; no map needed.

Positions are binned; two bins are joined where the data join them within a few steps; a link weighs the time its length takes at
the speed limit (of each axis: the norm is then the maximum's),

    w(i, j) = |x_i - x_j| / v_max,

and Dijkstra gives the distances between all bins. ``graph_cost`` distils them into a network.
"""

from typing import NamedTuple

import numpy as np
import scipy


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
