"""Network architectures as ``Network(init, apply)`` pairs."""

from invlearn_jax.networks.causal_transformer import DecisionNetwork, decision_network
from invlearn_jax.networks.denoiser import Denoiser
from invlearn_jax.networks.gridded import gridded_mlp
from invlearn_jax.networks.mlp import Network, fourier_features, fourier_size, mlp, parameter_count
from invlearn_jax.networks.temporal_unet import temporal_unet

__all__ = [
    "DecisionNetwork",
    "Denoiser",
    "Network",
    "decision_network",
    "fourier_features",
    "fourier_size",
    "gridded_mlp",
    "mlp",
    "parameter_count",
    "temporal_unet",
]
