"""A causal transformer over returns, states and actions: the network of a Decision Transformer (arXiv 2106.01345).

    tokens    R_0  s_0  a_0  R_1  s_1  a_1  ..  R_{K-1}  s_{K-1}  a_{K-1}

Each token is a linear map of its content plus a learned embedding of its step; layers of self-attention follow, in which a
token sees itself and those before it; the token of s_k gives action k.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from invlearn_jax.networks.mlp import apply_module
from invlearn_jax.types import Key, Params


class DecisionNetwork(NamedTuple):
    """``init(key) -> params`` and ``apply(params, returns, states, actions, key) -> actions``.

    Returns are ``[..., K]``, states ``[..., K, S]``, actions, given and found, ``[..., K, A]``. The key is that of dropout and
    is consumed; None leaves dropout out.
    """

    init: Callable[[Key], Params]
    apply: Callable[[Params, Array, Array, Array, Key | None], Array]


class _Block(nn.Module):
    width: int
    heads: int
    dropout: float

    @nn.compact
    def __call__(self, x: Array, mask: Array, still: bool) -> Array:
        attention = nn.MultiHeadDotProductAttention(self.heads, dropout_rate=self.dropout)
        seen = attention(nn.LayerNorm()(x), mask=mask, deterministic=still)
        x = x + nn.Dropout(self.dropout)(seen, deterministic=still)
        h = nn.Dense(self.width)(nn.relu(nn.Dense(4 * self.width)(nn.LayerNorm()(x))))
        return x + nn.Dropout(self.dropout)(h, deterministic=still)


class _DecisionNetwork(nn.Module):
    action_size: int
    width: int
    layers: int
    heads: int
    dropout: float

    @nn.compact
    def __call__(self, returns: Array, states: Array, actions: Array, still: bool) -> Array:
        context = returns.shape[-1]
        # Of unit size, beside which the content counts: normalisation takes a token's own size, hence a return's, away.
        step = self.param("step", nn.initializers.normal(1.0), (context, self.width))
        parts = [nn.Dense(self.width)(x) + step for x in (returns[..., None], states, actions)]
        x = jnp.stack(parts, axis=-2).reshape(*returns.shape[:-1], 3 * context, self.width)
        x = nn.Dropout(self.dropout)(nn.LayerNorm()(x), deterministic=still)
        mask = jnp.tril(jnp.ones((3 * context, 3 * context), bool))
        for _ in range(self.layers):
            x = _Block(self.width, self.heads, self.dropout)(x, mask, still)
        return jnp.tanh(nn.Dense(self.action_size)(nn.LayerNorm()(x)[..., 1::3, :]))


def decision_network(
    state_size: int,
    action_size: int,
    context: int,
    width: int = 128,
    layers: int = 3,
    heads: int = 1,
    dropout: float = 0.1,
) -> DecisionNetwork:
    """The network of the module's description, of GPT's form: normalisation before each part, ReLU, four times the width inside.

    Args:
        state_size: S.
        action_size: A; actions lie in [-1, 1].
        context: K, steps; three tokens each.
        width: of a token.
        layers: of self-attention.
        heads: of each layer; they divide the width.
        dropout: on the inputs, the attention and what each part adds.

    Returns:
        The network.

    Raises:
        ValueError: for a context below 1, or a width that the heads do not divide.
    """
    if context < 1:
        raise ValueError(f"context is {context}; give at least 1 step.")
    if heads < 1 or width % heads:
        raise ValueError(f"width is {width}, heads is {heads}; the number of heads must divide the width.")
    module = _DecisionNetwork(action_size, width, layers, heads, dropout)
    shapes = (context,), (context, state_size), (context, action_size)

    # One program for all weights: drawn one by one, each is a program of its own.
    @jax.jit
    def init(key: Key) -> Params:
        return module.init(key, *map(jnp.zeros, shapes), True)["params"]

    def apply(params: Params, returns: Array, states: Array, actions: Array, key: Key | None = None) -> Array:
        given = {} if key is None else {"dropout": key}
        return apply_module(module, params, returns, states, actions, key is None, rngs=given)

    return DecisionNetwork(init, apply)
