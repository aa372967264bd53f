"""Networks with features of places that are learned on grids.

    y = mlp([x, f_1(p_1), f_2(p_1), ..]),    f_k(p) = table_k, linear between its points,

What a network has to know of one place then lies in few numbers that no other place shares, so that a large world takes more
numbers but no wider network (Müller, Evans, Schied and Keller, Instant neural graphics primitives, 2022, without the hash).
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.networks.mlp import Network, mlp
from invlearn_jax.types import Key, Params

_FEATURES = 8  # of each grid
_FIRST = 0.1  # standard deviation of their initial values


class Gridded(NamedTuple):
    """A network of an input and of places: ``init(key) -> params``, ``apply(params, x [F], places [N, P]) -> y [out]``."""

    init: Callable[[Key], Params]
    apply: Callable[[Params, Array, Array], Array]


def gridded_mlp(
    in_size: int,
    hidden: Sequence[int],
    out_size: int,
    cells: Sequence[int],
    places: int,
    dimensions: int,
    final_scale: float = 1e-2,
    skip: bool = False,
) -> Gridded:
    """An ``mlp`` with features of places; a plain one, with an ``mlp``'s parameters, for no grids.

    Args:
        in_size: F, of the input beside the places.
        hidden: width of each hidden layer.
        out_size: outputs.
        cells: points per axis of each grid.
        places: N, each with grids of its own.
        dimensions: P, of a place, scaled to [-1, 1]; beyond, the grid's edge counts.
        final_scale: of ``mlp``.
        skip: of ``mlp``.

    Returns:
        The network.

    Raises:
        ValueError: for grids of places without dimensions, or of fewer than 2 points per axis.
    """
    if not cells:
        plain: Network = mlp(in_size, hidden, out_size, final_scale, skip)
        return Gridded(plain.init, lambda params, x, _: plain.apply(params, x))
    if not dimensions or min(cells) < 2:
        raise ValueError(
            f"cells is {tuple(cells)} for places of {dimensions} dimensions; give at least 2 each, or () for no grids."
        )
    net = mlp(in_size + places * len(cells) * _FEATURES, hidden, out_size, final_scale, skip)

    def init(key: Key) -> Params:
        net_key, *keys = jax.random.split(key, 1 + len(cells))
        shapes = [(places, *[count] * dimensions, _FEATURES) for count in cells]
        tables = [_FIRST * jax.random.normal(k, shape) for k, shape in zip(keys, shapes, strict=True)]
        return {"mlp": net.init(net_key), "grids": tables}

    def apply(params: Params, x: Array, at: Array) -> Array:
        found = [jax.vmap(interpolated)(table, at).reshape(-1) for table in params["grids"]]
        return net.apply(params["mlp"], jnp.concatenate([x, *found]))

    return Gridded(init, apply)


def interpolated(table: Float[Array, "*g F"], place: Float[Array, " P"]) -> Float[Array, " F"]:
    """A table of features over [-1, 1]^P at a place, linear along each axis between its points."""
    count, size = table.shape[0], table.ndim - 1
    at = jnp.clip((place + 1) / 2, 0, 1) * (count - 1)
    # The last point is the upper end of the last cell.
    low = jnp.clip(jnp.floor(at).astype(int), 0, count - 2)
    share = at - low
    flat, total = table.reshape(-1, table.shape[-1]), jnp.zeros(table.shape[-1])
    for corner in itertools.product((0, 1), repeat=size):
        index, weight = jnp.zeros((), int), jnp.ones(())
        for axis, up in enumerate(corner):
            index = index * count + low[axis] + up
            weight = weight * (share[axis] if up else 1 - share[axis])
        total = total + weight * flat[index]
    return total
