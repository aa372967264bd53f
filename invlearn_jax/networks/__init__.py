"""Network architectures as ``Network(init, apply)`` pairs."""

from invlearn_jax.networks.mlp import Network, fourier_features, fourier_size, mlp, parameter_count

__all__ = ["Network", "fourier_features", "fourier_size", "mlp", "parameter_count"]
