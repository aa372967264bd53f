"""Models that are learned: forward models and the cost-to-go."""

from invlearn_jax.models.ensemble import DisagreementModel, EnsembleModel
from invlearn_jax.models.inverse_dynamics import InverseDynamics
from invlearn_jax.models.position_graph import PositionGraph, position_graph
from invlearn_jax.models.simulator import HostSimulatorModel, SimulatorModel

__all__ = [
    "DisagreementModel",
    "EnsembleModel",
    "HostSimulatorModel",
    "InverseDynamics",
    "PositionGraph",
    "SimulatorModel",
    "position_graph",
]
