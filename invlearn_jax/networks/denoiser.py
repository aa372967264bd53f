"""What the denoising networks share: their contract and the embedding of the noise level."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.networks.mlp import apply_module
from invlearn_jax.types import Key, Params


class Denoiser(NamedTuple):
    """A network over sequences of H tokens with C channels, at a noise level, under a condition of D numbers.

    It takes whole batches rather than being vmapped: over [batch, tokens] at once, the gradients of its products are three
    times as fast on a CPU.

    Attributes:
        init: ``key -> params``.
        apply: ``(params, x [B, H, C], level [B], condition [B, D]) -> [B, H, C]``.
    """

    init: Callable[[Key], Params]
    apply: Callable[[Params, Array, Array, Array], Array]


class Dense(nn.Module):
    """A linear map of the last axis, all others taken as one batch."""

    features: int
    zero: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """``[..., in] -> [..., features]``."""
        kernel = nn.initializers.zeros if self.zero else nn.initializers.lecun_normal()
        y = nn.Dense(self.features, kernel_init=kernel)(x.reshape(-1, x.shape[-1]))
        return y.reshape(*x.shape[:-1], self.features)


def level_features(level: Float[Array, " B"], size: int) -> Float[Array, "B {size}"]:
    """Sines and cosines of the noise level at ``size / 2`` frequencies from 1 to 1e-4 (arXiv 1706.03762, section 3.5)."""
    frequency = jnp.exp(-jnp.log(1e4) * jnp.arange(size // 2) / (size // 2 - 1))
    angle = level[:, None] * frequency
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)


def denoiser(module: nn.Module, horizon: int, channels: int, condition_size: int) -> Denoiser:
    """A flax module ``(x, level, condition) -> x`` as a ``Denoiser``."""
    like = (jnp.zeros((1, horizon, channels)), jnp.zeros((1,)), jnp.zeros((1, condition_size)))
    # Compiled as one: its many small pieces one by one take far longer.
    init = jax.jit(lambda key: module.init(key, *like)["params"])
    return Denoiser(init, functools.partial(apply_module, module))
