"""Models that are learned: forward models and the cost-to-go."""

from invlearn_jax.models.cost_to_go import CostToGo, CostToGoParams, PositionGraph, position_graph
from invlearn_jax.models.ensemble import DisagreementModel, EnsembleModel
from invlearn_jax.models.inverse_dynamics import InverseDynamics
from invlearn_jax.models.sequence import SequenceModel, SequenceParams
from invlearn_jax.models.simulator import SimulatorModel

__all__ = [
    "CostToGo",
    "CostToGoParams",
    "DisagreementModel",
    "EnsembleModel",
    "InverseDynamics",
    "PositionGraph",
    "SequenceModel",
    "SequenceParams",
    "SimulatorModel",
    "position_graph",
]
