"""How far a place is from where the data were: a plan that leaves the data lets its model guess, and pays for it.

Up to three dimensions the distance is tabulated over the data's box (``TableCoverage``, in the places' own units); beyond that it
is the distance to the nearest of some thousand rows, in units of the usual distance between rows (``NeighbourCoverage``). Both
are 0 among the data, and both grow without bound away from them.
"""

from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Bool, Float

from invlearn_jax.models.coverage import CELLS, distance_to_data, interpolate
from invlearn_jax.types import Key, Params

# Cells per axis of a table, by the number of dimensions. Cells that are larger than what counts as among the data smear the
# distance over places that the data were at, next to walls above all, and plans then keep away from these.
CELLS_BY_DIMENSION = {1: 1024, 2: 256, 3: 64}
_NOWHERE = -1e9  # in a table: farther among the data than any place is away from them


@runtime_checkable
class Coverage(Protocol):
    """Distances from the data."""

    def init(self, key: Key) -> Params:
        """Parameters under which everything is covered; the key is ignored."""

    def fit(self, places: Float[np.ndarray, "N C"], among: float) -> Params:
        """Parameters from the places ``[N, C]`` that the data were at; ``among`` says how near still counts as among them."""

    def distance(self, params: Params, place: Float[Array, " C"]) -> Float[Array, ""]:
        """How far a place is from the data, 0 among them."""

    def covers(self, params: Params, place: Float[Array, " C"]) -> Bool[Array, ""]:
        """Whether a place is so near to the data that a plan from there can be trusted."""


class TableParams(NamedTuple):
    """Parameters of a ``TableCoverage``: centre and half-widths ``[C]`` of the data's box, and the table of distances.

    What counts as among the data is subtracted from the distances; where they are negative the place is covered.
    """

    centre: Float[Array, " C"]
    half: Float[Array, " C"]
    table: Float[Array, "..."]


class TableCoverage:
    """Distances (the largest over the axes) tabulated on cells over the data's box, linear in between."""

    def __init__(self, size: int) -> None:
        """For places of ``size`` coordinates, at most three."""
        self.size = size

    def init(self, key: Key) -> TableParams:
        """Everything is covered; the key is ignored."""
        ones = jnp.ones(self.size)
        return TableParams(0 * ones, ones, jnp.full((CELLS_BY_DIMENSION[self.size],) * self.size, _NOWHERE))

    def fit(self, places: Float[np.ndarray, "N C"], among: float) -> TableParams:
        """See ``Coverage``; ``among`` is in the places' own units, about the size of a bin of the data."""
        low, high = places.min(0), places.max(0)
        centre, half = ((low + high) / 2).astype(np.float32), (np.maximum(high - low, 1e-6) / 2).astype(np.float32)
        table = distance_to_data(places, centre, half, CELLS_BY_DIMENSION[self.size]) - np.float32(among)
        return TableParams(*(jnp.asarray(x) for x in (centre, half, table)))

    def distance(self, params: TableParams, place: Float[Array, " C"]) -> Float[Array, ""]:
        """See ``Coverage``; beyond the box, its edge's distance and the way from there."""
        edge = 1.1 * params.half
        beyond = (jnp.maximum(jnp.abs(place - params.centre) - edge, 0.0)).max()
        return jnp.maximum(interpolate(params.table, place, params.centre, params.half) + beyond, 0.0)

    def covers(self, params: TableParams, place: Float[Array, " C"]) -> Bool[Array, ""]:
        """See ``Coverage``: within a 64th of the box of what counts as among the data."""
        return self.distance(params, place) <= (2.2 * params.half / CELLS).max()


class NeighbourParams(NamedTuple):
    """Parameters of a ``NeighbourCoverage``.

    Attributes:
        mean: ``[C]`` of the data.
        std: ``[C]`` of the data.
        places: ``[M, C]`` normalised rows.
        usual: distance within which nearly all other rows of the data lie from these; the greatest number before fitting.
    """

    mean: Float[Array, " C"]
    std: Float[Array, " C"]
    places: Float[Array, "M C"]
    usual: Float[Array, ""]


class NeighbourCoverage:
    """``max(min_m |z - z_m| / usual - among, 0)`` over M rows z_m of the data, normalised: for any number of dimensions."""

    def __init__(self, size: int, count: int = 1024) -> None:
        """For places of ``size`` coordinates, held by ``count`` rows of the data."""
        self.size, self.count = size, count

    def init(self, key: Key) -> NeighbourParams:
        """Everything is covered; the key is ignored."""
        ones = jnp.ones(self.size)
        return NeighbourParams(
            0 * ones, ones, jnp.zeros((self.count, self.size)), jnp.array(jnp.finfo(jnp.float32).max)
        )

    def fit(self, places: Float[np.ndarray, "N C"], among: float) -> NeighbourParams:
        """See ``Coverage``; ``among`` is in units of the distance that 99 % of the data's other rows keep to.

        Rows are taken farthest first among a random tenfold, so that the rim of the data is held as well as its middle.
        """
        rng = np.random.default_rng(0)
        mean, std = places.mean(0), places.std(0)
        # A coordinate that stays as it is has no scale of its own.
        std = np.where(std < 1e-6, 1.0, std)
        z = (places - mean) / std
        pool = z[rng.permutation(len(z))[: 10 * self.count]]
        held = pool[_spread_out(pool, self.count)]
        others = z[rng.integers(len(z), size=min(len(z), 5000))]
        # A row that is held itself is as far from the data as its neighbour is.
        near = scipy.spatial.cKDTree(held).query(others, k=min(2, len(held)))[0].reshape(len(others), -1)
        usual = np.quantile(np.where(near[:, 0] < 1e-9, near[:, -1], near[:, 0]), 0.99)
        # Data of fewer rows than are held repeat some.
        held = held[np.arange(self.count) % len(held)]
        kind = np.float32
        return NeighbourParams(*(jnp.asarray(np.asarray(x, kind)) for x in (mean, std, held, max(usual * among, 1e-6))))

    def distance(self, params: NeighbourParams, place: Float[Array, " C"]) -> Float[Array, ""]:
        """See ``Coverage``; in units of the usual distance."""
        z = (place - params.mean) / params.std
        # Which row is nearest has no gradient, and is found by one product of matrices where the caller has many places.
        held, here = jax.lax.stop_gradient((params.places, z))
        nearest = jnp.argmin((held**2).sum(-1) - 2 * held @ here)
        squared = ((z - params.places[nearest]) ** 2).sum()
        # The root is kept away from zero, where its gradient is infinite.
        return jnp.maximum(jnp.sqrt(squared + 1e-12) / params.usual - 1.0, 0.0)

    def covers(self, params: NeighbourParams, place: Float[Array, " C"]) -> Bool[Array, ""]:
        """See ``Coverage``: within twice the distance that counts as among the data."""
        return self.distance(params, place) <= 1.0


def coverage_for(size: int) -> TableCoverage | NeighbourCoverage:
    """The coverage that suits places of ``size`` coordinates."""
    return TableCoverage(size) if size in CELLS_BY_DIMENSION else NeighbourCoverage(size)


def _spread_out(pool: np.ndarray, count: int) -> np.ndarray:
    """Indices of ``count`` rows of the pool (all, if fewer), each the farthest from those before (Gonzalez, 1985)."""
    chosen = [0]
    nearest = ((pool - pool[0]) ** 2).sum(-1)
    for _ in range(min(count, len(pool)) - 1):
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, ((pool - pool[chosen[-1]]) ** 2).sum(-1))
    return np.array(chosen)
