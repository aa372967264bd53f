"""A multi-layer perceptron with ReLU, with or without layer normalisation: what offline reinforcement learning uses."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from invlearn_jax.networks.mlp import Network


class _ReluMlp(nn.Module):
    hidden: Sequence[int]
    out_size: int
    normed: bool

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for width in self.hidden:
            x = nn.relu(nn.Dense(width)(x))
            if self.normed:
                x = nn.LayerNorm()(x)
        # Small first outputs: a policy's tanh starts far from its bounds, a value near zero.
        final = nn.initializers.variance_scaling(1e-2, "fan_in", "truncated_normal")
        return nn.Dense(self.out_size, kernel_init=final)(x)


def relu_mlp(in_size: int, hidden: Sequence[int], out_size: int, normed: bool = False) -> Network:
    """A multi-layer perceptron ``h = norm(relu(W h + b))``.

    Args:
        in_size: inputs.
        hidden: width of each hidden layer.
        out_size: outputs.
        normed: layer normalisation after each ReLU. It bounds what a value network says of actions far from the data
            (arXiv 2305.09836, section 3.2).

    Returns:
        The network.
    """
    module = _ReluMlp(tuple(hidden), out_size, normed)
    return Network(
        lambda key: module.init(key, jnp.zeros((in_size,)))["params"], lambda p, x: module.apply({"params": p}, x)
    )
