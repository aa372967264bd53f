"""Where the training data were: a map of distances to them, over the box of their positions and a tenth beyond.

Cell ``i`` of ``G`` along an axis of centre c and half-width h lies at ``c + 1.1 h (2 (i + 1/2) / G - 1)``.
"""

import jax
import numpy as np
import scipy
from jaxtyping import Array, Float

CELLS = 64  # G, per axis, where nothing else is said
_BEYOND = 1.1  # times the half-width of the data's box


def distance_to_data(
    places: Float[np.ndarray, "M P"],
    centre: Float[Array | np.ndarray, " P"],
    half: Float[Array | np.ndarray, " P"],
    cells: int = CELLS,
) -> Float[np.ndarray, "..."]:
    """Distance of every cell's centre from the nearest place of the data.

    Args:
        places: ``[M, P]`` where the data were, metres.
        centre: ``[P]`` of their box.
        half: ``[P]`` its half-widths.
        cells: G, per axis.

    Returns:
        ``[G, ..., G]`` metres (the largest over the axes), P axes.
    """
    share = 2 * (np.arange(cells) + 0.5) / cells - 1
    axes = [c + _BEYOND * h * share for c, h in zip(np.asarray(centre), np.asarray(half), strict=True)]
    centres = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    nearest = scipy.spatial.cKDTree(places).query(centres.reshape(-1, len(axes)), p=np.inf)[0]
    return nearest.reshape(centres.shape[:-1]).astype(np.float32)


def cell_coordinates(
    position: Float[Array, "*b P"], centre: Float[Array, " P"], half: Float[Array, " P"], cells: int = CELLS
) -> Float[Array, "*b P"]:
    """Positions in units of cells: the first cell's centre is at 0, the last one's at G - 1."""
    return ((position - centre) / (_BEYOND * half) + 1) / 2 * cells - 0.5


def interpolate(
    table: Float[Array, "..."], position: Float[Array, " P"], centre: Float[Array, " P"], half: Float[Array, " P"]
) -> Float[Array, ""]:
    """A table over the cells at a position, linearly between them; beyond the box as at its edge."""
    return jax.scipy.ndimage.map_coordinates(
        table, list(cell_coordinates(position, centre, half, table.shape[0])), order=1, mode="nearest"
    )


def resampled(table: Float[np.ndarray, "..."], cells: int) -> Float[np.ndarray, "..."]:
    """A table over the same box on ``cells`` cells per axis, linear between the old ones."""
    at = (np.arange(cells) + 0.5) * table.shape[0] / cells - 0.5
    grid = np.meshgrid(*[at] * table.ndim, indexing="ij")
    return scipy.ndimage.map_coordinates(table.astype(np.float32), np.stack(grid), order=1, mode="nearest")
