"""Networks as pairs of pure functions. Only this folder imports flax."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.types import Key, Params


class Network(NamedTuple):
    """A network: ``init(key) -> params`` and ``apply(params, x [..., in]) -> y [..., out]``."""

    init: Callable[[Key], Params]
    apply: Callable[[Params, Array], Array]


def apply_module(module: nn.Module, params: Params, *given: Any, **options: Any) -> Any:
    """What a module with these parameters makes of its inputs."""
    return module.apply({"params": params}, *given, **options)


class _Mlp(nn.Module):
    hidden: Sequence[int]
    out_size: int
    final_scale: float
    skip: bool
    activation: Callable[[Array], Array]
    normed: bool

    @nn.compact
    def __call__(self, x: Array) -> Array:
        h = x
        for width in self.hidden:
            h = self.activation(nn.Dense(width)(h))
            if self.normed:
                h = nn.LayerNorm()(h)
        final = nn.initializers.variance_scaling(self.final_scale, "fan_in", "truncated_normal")
        y = nn.Dense(self.out_size, kernel_init=final)(h)
        if self.skip:
            y = y + nn.Dense(self.out_size, use_bias=False, kernel_init=nn.initializers.zeros)(x)
        return y


def mlp(
    in_size: int,
    hidden: Sequence[int],
    out_size: int,
    final_scale: float = 1e-2,
    skip: bool = False,
    activation: Callable[[Array], Array] = jax.nn.gelu,
    normed: bool = False,
) -> Network:
    """A multi-layer perceptron.

    Args:
        in_size: inputs.
        hidden: width of each hidden layer.
        out_size: outputs.
        final_scale: variance scale of the last layer's initial weights; small keeps initial outputs near zero.
        skip: adds a linear map of the input, initially zero.
        activation: by default GELU in its tanh form.
        normed: layer normalisation after each activation. It bounds what a value network says of actions far from the data
            (arXiv 2305.09836, section 3.2).

    Returns:
        The network.
    """
    module = _Mlp(tuple(hidden), out_size, final_scale, skip, activation, normed)
    # One program for all weights: drawn one by one, each is a program of its own.
    init = jax.jit(lambda key: module.init(key, jnp.zeros((in_size,)))["params"])
    return Network(init, lambda p, x: apply_module(module, p, x))


def fourier_features(x: Float[Array, "*b D"], octaves: int) -> Float[Array, "*b D+2*D*{octaves}"]:
    """``x`` with ``sin, cos(pi 2^j x)`` for ``j = 0 .. octaves-1``: lets an MLP draw edges (arXiv 2006.10739).

    Args:
        x: ``[..., D]``, scaled to about [-1, 1].
        octaves: how many frequencies; 0 returns ``x``.

    Returns:
        ``[..., D (1 + 2 octaves)]``.
    """
    if octaves == 0:
        return x
    # Doubling the angle costs two products an octave where sin and cos would cost far more.
    sin, cos = jnp.sin(jnp.pi * x), jnp.cos(jnp.pi * x)
    parts = [x, sin, cos]
    for _ in range(octaves - 1):
        sin, cos = 2 * sin * cos, 1 - 2 * sin * sin
        parts += [sin, cos]
    return jnp.concatenate(parts, axis=-1)


def fourier_size(size: int, octaves: int) -> int:
    """How many features ``fourier_features`` makes of ``size`` inputs."""
    return size * (1 + 2 * octaves)


def parameter_count(params: Params) -> int:
    """How many numbers a pytree of parameters holds."""
    return sum(x.size for x in jax.tree.leaves(params))
