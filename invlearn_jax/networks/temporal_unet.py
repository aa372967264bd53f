"""The temporal U-Net: convolutions over time, halved and doubled again (Diffuser, arXiv 2205.09991)."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from invlearn_jax.networks.denoiser import Denoiser, Dense, denoiser, level_features


def _mish(x: Array) -> Array:
    return x * jnp.tanh(jax.nn.softplus(x))


class _Conv(nn.Module):
    """A convolution over time, as one matrix product: XLA's own is thirty times slower inside a scan on a CPU."""

    features: int
    width: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        tokens, side = x.shape[1], self.width // 2
        padded = jnp.pad(x, ((0, 0), (side, side), (0, 0)))
        shifted = [padded[:, i : i + tokens : self.stride] for i in range(self.width)]
        return Dense(self.features)(jnp.concatenate(shifted, axis=-1))


class _Block(nn.Module):
    """Two convolutions of width 5, each with GroupNorm and Mish, the embedding added between them, and a residual path."""

    features: int

    @nn.compact
    def __call__(self, x: Array, embedding: Array) -> Array:
        h = _mish(nn.GroupNorm(8)(_Conv(self.features, 5)(x)))
        h = h + Dense(self.features)(_mish(embedding))[:, None]
        h = _mish(nn.GroupNorm(8)(_Conv(self.features, 5)(h)))
        return h + (x if x.shape[-1] == self.features else Dense(self.features)(x))


class _TemporalUnet(nn.Module):
    channels: int
    width: int
    multipliers: Sequence[int]

    @nn.compact
    def __call__(self, x: Array, level: Array, condition: Array) -> Array:
        embedding = Dense(self.width)(_mish(Dense(4 * self.width)(level_features(level, self.width))))
        if condition.shape[-1]:
            asked = Dense(4 * self.width)(_mish(Dense(4 * self.width)(condition)))
            embedding = jnp.concatenate([embedding, asked], axis=-1)
        sizes, skips = [self.width * m for m in self.multipliers], []
        for i, size in enumerate(sizes):
            x = _Block(size)(_Block(size)(x, embedding), embedding)
            skips.append(x)
            if i < len(sizes) - 1:
                x = _Conv(size, 3, 2)(x)
        x = _Block(sizes[-1])(_Block(sizes[-1])(x, embedding), embedding)
        for size, skip in zip(sizes[-2::-1], skips[:0:-1], strict=True):
            x = jnp.concatenate([x, skip], axis=-1)
            x = _Block(size)(_Block(size)(x, embedding), embedding)
            # Each token becomes two: the transposed convolution of width 4 and stride 2, and a little more.
            x = _Conv(2 * size, 3)(x).reshape(x.shape[0], -1, size)
        x = _mish(nn.GroupNorm(8)(_Conv(self.width, 5)(x)))
        return Dense(self.channels)(x)


def temporal_unet(
    horizon: int, channels: int, condition_size: int = 0, width: int = 32, multipliers: Sequence[int] = (1, 4, 8)
) -> Denoiser:
    """The temporal U-Net.

    Args:
        horizon: H tokens.
        channels: C.
        condition_size: D; 0 for none.
        width: of the first level, a multiple of 8 (GroupNorm has 8 groups).
        multipliers: of the width, by level; each level after the first halves the sequence.

    Returns:
        The denoiser.

    Raises:
        ValueError: for a width that 8 does not divide, no level, or a horizon that cannot be halved as often as needed.
    """
    if width < 8 or width % 8 or not multipliers or min(multipliers) < 1:
        raise ValueError(
            f"The U-Net was given width {width} and multipliers {tuple(multipliers)}; give a multiple of 8, and one or more "
            "whole numbers from 1."
        )
    halves = 2 ** (len(multipliers) - 1)
    if horizon < halves or horizon % halves:
        near = max(halves, halves * round(horizon / halves))
        raise ValueError(
            f"The horizon is {horizon} tokens; a U-Net of {len(multipliers)} levels halves it {len(multipliers) - 1} times, "
            f"so give a multiple of {halves}, such as {near}."
        )
    return denoiser(_TemporalUnet(channels, width, tuple(multipliers)), horizon, channels, condition_size)
