"""A learned, goal-conditioned time-to-goal over the places of a task's goal space.

The target is a shortest path over a graph of the data itself, no map needed (``position_graph``), distilled into a
network over where the state is about to be:

    D(s, g) = softplus(net(ahead(s, tau), g)),    seconds,

or, for many places, into an embedding of the places (``EmbeddedCost``).
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.networks import Network, fourier_features, fourier_size, mlp
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key, Params

_ROUND = 0.02  # s


class GraphCostParams(NamedTuple):
    """Parameters: the network's weights, which are trained, and centre and half-widths ``[G]`` of the places' box."""

    net: Params
    centre: Float[Array, " G"]
    half: Float[Array, " G"]


class GraphCost:
    """``D(s, g)`` by one network of both places; see the module's equation."""

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
        self._net = self._network(fourier_size(task.goal_size, octaves), hidden)

    def _network(self, size: int, hidden: Sequence[int]) -> Network:
        """The network, of places with ``size`` features each."""
        return mlp(2 * size, hidden, 1)

    def _features(self, params: GraphCostParams, place: Float[Array, " G"]) -> Float[Array, " F"]:
        return fourier_features((place - params.centre) / params.half, self._octaves)

    def init(self, key: Key) -> GraphCostParams:
        """Fresh parameters; the learner sets the box. The key is consumed."""
        ones = jnp.ones(self.task.goal_size)
        return GraphCostParams(self._net.init(key), 0 * ones, ones)

    def between(self, params: GraphCostParams, place: Float[Array, " G"], goal: Float[Array, " G"]) -> Float[Array, ""]:
        """Seconds between two places at the speed limit."""
        both = jnp.concatenate([self._features(params, x) for x in (place, goal)])
        return jax.nn.softplus(self._net.apply(params.net, both)[0])

    def __call__(
        self, params: GraphCostParams, state: Float[Array, " S"], goal: Float[Array, " G"]
    ) -> Float[Array, ""]:
        """Seconds from ``state`` to ``goal``."""
        return self.between(params, self.task.ahead(state, self.look_ahead), goal)


class EmbeddedCost(GraphCost):
    """``D(s, g) = sum_k |phi_k(ahead(s, tau)) - phi_k(g)|``, seconds, with ``phi = net(place)`` of K coordinates.

    A tree, a ring and a plane with a limit of speed for each axis all embed in a sum of differences without error (each
    link of a tree is a cut, which one coordinate can be), and a maze is made of these. The network then has to know M places
    instead of ``M^2`` pairs of them, and one pass over a batch gives the times between all of its places. Differences are
    rounded off below ``_ROUND`` seconds.

    Reference: Linial, London and Rabinovich, The geometry of graphs and some of its algorithmic applications (1995).
    """

    def __init__(
        self,
        task: Task,
        look_ahead: float = 0.0,
        hidden: Sequence[int] = (256, 256),
        octaves: int = 5,
        coordinates: int = 32,
    ) -> None:
        """Describes the network; see ``GraphCost``. ``coordinates`` is K."""
        self.coordinates = coordinates
        super().__init__(task, look_ahead, hidden, octaves)

    def _network(self, size: int, hidden: Sequence[int]) -> Network:
        return mlp(size, hidden, self.coordinates, final_scale=1.0)

    def between(self, params: GraphCostParams, place: Float[Array, " G"], goal: Float[Array, " G"]) -> Float[Array, ""]:
        """See ``GraphCost.between``."""
        return self.crosswise(params, place[None], goal[None])[0, 0]

    def crosswise(
        self, params: GraphCostParams, places: Float[Array, "A G"], goals: Float[Array, "B G"]
    ) -> Float[Array, "A B"]:
        """Seconds from each of the places to each of the goals."""
        first, second = (
            self._net.apply(params.net, jax.vmap(lambda x: self._features(params, x))(ends)) for ends in (places, goals)
        )
        return (jnp.sqrt((first[:, None] - second[None]) ** 2 + _ROUND**2) - _ROUND).sum(-1)
