"""An Inverter for walking robots: what it proposes turns with the robot and moves with it.

    a[0:T] = tanh(net([local(s), r(d) d / |d|, r(d)])),    d = goal - x in the heading frame,    r(d) = min(|d| / reach, 1)

``local`` is the heading frame of ``models.heading``. Goals beyond ``reach`` are directions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from invlearn_jax.inputs import as_problem, float_type
from invlearn_jax.models.coverage import within_scales
from invlearn_jax.models.heading import HeadingFrame
from invlearn_jax.networks import mlp
from invlearn_jax.parametrisation import Box
from invlearn_jax.planners.mlp_inverter import with_copies
from invlearn_jax.types import Key, Params, Problem


class HeadingInverterParams(NamedTuple):
    """Parameters: the network's weights, the only part that is trained, and mean and deviation ``[S]`` of local states."""

    net: Params
    mean: Float[Array, " S"]
    std: Float[Array, " S"]


class HeadingInverter:
    """See the module's equation; states as in ``models.heading``, goals ``[2]`` m."""

    def __init__(
        self,
        state_size: int,
        action_size: int,
        horizon: int,
        hidden: Sequence[int] = (512, 512),
        reach: float = 4.0,
        spread: float = 0.3,
    ) -> None:
        """Describes the network.

        Args:
            state_size: S.
            action_size: A; actions lie in [-1, 1].
            horizon: T.
            hidden: widths of the MLP.
            reach: metres beyond which only the goal's direction counts.
            spread: standard deviation of the second and further candidates around the first, held for T/8 steps.
        """
        self.state_size, self.action_size, self.horizon = state_size, action_size, horizon
        self.parametrisation = Box(-np.ones(action_size), np.ones(action_size), horizon)
        self._reach, self._spread, self._frame = reach, spread, HeadingFrame(state_size)
        self._net = mlp(state_size - 2 + 3, hidden, horizon * action_size, final_scale=1e-2)

    def init(self, key: Key) -> HeadingInverterParams:
        """Fresh parameters; the learner sets mean and deviation. The key is consumed."""
        ones = jnp.ones(self.state_size)
        return HeadingInverterParams(self._net.init(key), 0 * ones, ones)

    def logits(self, params: HeadingInverterParams, problem: Problem) -> Float[Array, "T A"]:
        """The network's output before tanh.

        Raises:
            ValueError: for a state or goal of the wrong size.
        """
        self._check(problem)
        heading = self._frame.heading(problem.state)
        local = (self._frame.local(problem.state, heading) - params.mean) / params.std
        goal = self._frame.local(problem.state.at[:2].set(problem.goal), heading)[:2]
        distance = jnp.sqrt((goal**2).sum() + 1e-6)
        share = jnp.minimum(distance / self._reach, 1.0)
        x = jnp.concatenate([local[2:], share * goal / distance, share[None]])
        return self._net.apply(params.net, x).reshape(self.horizon, self.action_size)

    def covers(self, params: HeadingInverterParams, problem: Problem) -> Bool[Array, ""]:
        """Whether the state, seen from itself, lies within 10 deviations of the data's in every entry; any goal is a direction.

        Of the quaternion x and y count, the tilt; w follows from them, z is the heading. Its length must be 1 within a factor of
        2, since nothing but its direction means anything.

        Raises:
            ValueError: for a state or goal of the wrong size.
        """
        self._check(problem)
        local = self._frame.local(problem.state, self._frame.heading(problem.state))
        counts = jnp.arange(self.state_size)
        counts = (counts >= 2) & (counts != 3) & (counts != 6)
        length = jnp.sqrt((problem.state[3:7] ** 2).sum())
        near = within_scales(local, params.mean, params.std) | ~counts
        return near.all() & (length >= 0.5) & (length <= 2.0)

    def _check(self, problem: Problem) -> None:
        for name, given, size in (("state", problem.state, self.state_size), ("goal", problem.goal, 2)):
            if jnp.shape(given) != (size,):
                raise ValueError(
                    f"The {name} has shape {jnp.shape(given)}; this Inverter takes ({size},). "
                    "Give one problem, and use jax.vmap for a batch."
                )

    def propose(self, params: HeadingInverterParams, key: Key, problem: Problem, num: int) -> Float[Array, "K T A"]:
        """``num`` sequences: the network's own first, then noisy copies. The key is consumed."""
        problem = as_problem(problem, float_type(params))
        return with_copies(key, jnp.tanh(self.logits(params, problem)), num, self._spread)
