"""A learned, goal-conditioned time-to-goal over the places of a task's goal space.

The target is a shortest path over a graph of the data itself, no map needed (``position_graph``), distilled into a
network over where the state is about to be:

    D(s, g) = softplus(net(ahead(s, tau), g)),    seconds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.networks import fourier_features, fourier_size, mlp
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key, Params


class GraphCostParams(NamedTuple):
    """Parameters: the network's weights, which are trained, and centre and half-widths ``[G]`` of the places' box."""

    net: Params
    centre: Float[Array, " G"]
    half: Float[Array, " G"]


class GraphCost:
    """``D(s, g)``; see the module's equation."""

    name = "time_to_goal"

    def __init__(
        self, task: Task, look_ahead: float = 0.0, hidden: Sequence[int] = (256, 256), octaves: int = 5
    ) -> None:
        """Describes the network.

        Args:
            task: whose goals are places.
            look_ahead: tau, seconds.
            hidden: widths of the MLP.
            octaves: Fourier features of places.

        Raises:
            ValueError: for a task without goals.
        """
        if not task.goal_size:
            raise ValueError(f"{task.name} has no goals, so there are no ways to them. Use the tail 'none'.")
        self.task, self.look_ahead, self._octaves = task, look_ahead, octaves
        self._net = mlp(2 * fourier_size(task.goal_size, octaves), hidden, 1)

    def init(self, key: Key) -> GraphCostParams:
        """Fresh parameters; the learner sets the box. The key is consumed."""
        ones = jnp.ones(self.task.goal_size)
        return GraphCostParams(self._net.init(key), 0 * ones, ones)

    def between(self, params: GraphCostParams, place: Float[Array, " G"], goal: Float[Array, " G"]) -> Float[Array, ""]:
        """Seconds between two places at the speed limit."""
        scaled = [fourier_features((x - params.centre) / params.half, self._octaves) for x in (place, goal)]
        return jax.nn.softplus(self._net.apply(params.net, jnp.concatenate(scaled))[0])

    def __call__(
        self, params: GraphCostParams, state: Float[Array, " S"], goal: Float[Array, " G"]
    ) -> Float[Array, ""]:
        """Seconds from ``state`` to ``goal``."""
        return self.between(params, self.task.ahead(state, self.look_ahead), goal)
