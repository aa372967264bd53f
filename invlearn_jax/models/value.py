"""What it costs to go on from a state, for any cost; learned together with an Inverter (``learn.bootstrap``).

    V(s, g) = unit (f_0 + |f_{1:}|^2),    f = net([features(local(s)), goal_features(s, g)])

A value is large far off and nearly quadratic around where the system comes to rest. Squares say both with little: where f passes
zero evenly, V has a minimum and a curvature there, however large it is elsewhere.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.data.dataset import Normalizer
from invlearn_jax.networks import fourier_features, fourier_size, mlp
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key, Params

_SQUARES = 32


class ValueParams(NamedTuple):
    """Parameters of a ``Value``.

    Attributes:
        net: the network's weights, which are trained.
        state: scales of the states' features.
        goal: scales of the goals' features.
        unit: what the network's 1 is worth, in the task's cost.
        discount: of a plan's end, ``exp(-T dt / tau)``.
    """

    net: Params
    state: Normalizer
    goal: Normalizer
    unit: Float[Array, ""]
    discount: Float[Array, ""]


class Value:
    """The cost beyond a plan's end, ``exp(-T dt / tau) V(s_T, g)``; see the module's equation."""

    name = "cost_to_go"

    def __init__(
        self, task: Task, time_constant: float = 10.0, hidden: Sequence[int] = (256, 256), octaves: int = 5
    ) -> None:
        """Describes the network.

        Args:
            task: whose cost is to be known.
            time_constant: tau, seconds; costs so far ahead count 1/e of those at hand.
            hidden: widths of the MLP.
            octaves: Fourier features of the task's leading ``fourier_size`` features, of state and goal.
        """
        self.task, self._octaves = task, octaves
        self._discount = math.exp(-task.horizon * task.dt / time_constant)
        given = (jax.ShapeDtypeStruct((size,), float) for size in (task.state_size, task.goal_size))
        self._sizes = [features.shape[0] for features in jax.eval_shape(self._features, *given)]
        self._positions = [min(task.fourier_size, size) for size in self._sizes]
        size = sum(self._sizes) + sum(fourier_size(size, octaves) - size for size in self._positions)
        self._net = mlp(size, hidden, 1 + _SQUARES, final_scale=0.1)

    def init(self, key: Key) -> ValueParams:
        """Fresh parameters; the learner sets the scales and the unit. The key is consumed."""
        state, goal = (Normalizer(jnp.zeros(size), jnp.ones(size)) for size in self._sizes)
        return ValueParams(self._net.init(key), state, goal, jnp.ones(()), jnp.asarray(self._discount))

    def _features(self, state: Float[Array, " S"], goal: Float[Array, " G"]) -> tuple[Array, Array]:
        return self.task.local_features(state), self.task.goal_features(state, goal)

    def value(self, params: ValueParams, state: Float[Array, " S"], goal: Float[Array, " G"]) -> Float[Array, ""]:
        """``V(s, g)``, in the task's cost."""
        parts = []
        for x, scales, size in zip(
            self._features(state, goal), (params.state, params.goal), self._positions, strict=True
        ):
            z = scales(x)
            parts += [fourier_features(z[:size], self._octaves), z[size:]]
        f = self._net.apply(params.net, jnp.concatenate(parts))
        return params.unit * (f[0] + (f[1:] ** 2).sum())

    def __call__(self, params: ValueParams, state: Float[Array, " S"], goal: Float[Array, " G"]) -> Float[Array, ""]:
        """What a plan that ends in ``state`` leaves to be paid."""
        return params.discount * self.value(params, state, goal)
