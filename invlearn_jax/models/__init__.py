"""Models that are learned: forward models and the cost-to-go."""

from invlearn_jax.models.cost_to_go import CostToGo, CostToGoParams, PositionGraph, position_graph
from invlearn_jax.models.sequence import SequenceModel, SequenceParams

__all__ = ["CostToGo", "CostToGoParams", "PositionGraph", "SequenceModel", "SequenceParams", "position_graph"]
