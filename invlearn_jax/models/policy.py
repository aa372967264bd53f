"""Policies: what to do now, given what was seen so far and the goal."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.data.dataset import Normalizer
from invlearn_jax.networks import fourier_features, fourier_size, mlp
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key, Params, Problem


class PolicyParams(NamedTuple):
    """Parameters of a policy.

    Attributes:
        net: the network's weights; the only part that is trained.
        mean: ``[F]`` of the states' features.
        std: ``[F]`` of the states' features.
        goal: ``[G]`` the goal that a policy for one goal is for; none of one that is given the goal.
        goal_scales: mean and deviation ``[Fg]`` of the goals' features; none of a policy for one goal.
    """

    net: Params
    mean: Float[Array, " F"]
    std: Float[Array, " F"]
    goal: Params = ()
    goal_scales: Params = ()


class PolicyInputs:
    """What a policy sees of state and goal: their normalised features; of a policy for one goal those of the state alone."""

    def __init__(self, task: Task, one_goal: bool) -> None:
        """For a task.

        Args:
            task: whose features are seen.
            one_goal: whether the policy is for one goal, which it then need not see.
        """
        self.task, self.one_goal = task, one_goal
        state, goal = (jax.ShapeDtypeStruct((size,), float) for size in (task.state_size, task.goal_size))
        self.state_features = jax.eval_shape(task.local_features, state).shape[0]
        self.goal_features = 0 if one_goal else jax.eval_shape(task.goal_features, state, goal).shape[0]

    def fresh(self, net: Params) -> PolicyParams:
        """Parameters with identity scales, which the learner sets."""
        ones = jnp.ones(self.state_features)
        if self.one_goal:
            return PolicyParams(net, 0 * ones, ones, jnp.zeros(self.task.goal_size))
        scale = jnp.ones(self.goal_features)
        return PolicyParams(net, 0 * ones, ones, (), Normalizer(0 * scale, scale))

    def __call__(self, params: PolicyParams, problem: Problem) -> tuple[Float[Array, " F"], Float[Array, " Fg"]]:
        """The normalised features of state and goal."""
        state = (self.task.local_features(problem.state) - params.mean) / params.std
        if self.one_goal:
            return state, jnp.zeros((0,), state.dtype)
        return state, params.goal_scales(self.task.goal_features(problem.state, problem.goal))


@runtime_checkable
class Policy(Protocol):
    """What acts step by step. ``memory`` is any pytree; a policy that reacts to the state alone keeps just state and goal."""

    task: Task
    inputs: PolicyInputs

    def init(self, key: Key) -> PolicyParams:
        """Fresh parameters. The key is consumed."""

    def begin(self, params: PolicyParams, problem: Problem) -> Any:
        """The memory of who has seen the problem's state only."""

    def act(self, params: PolicyParams, memory: Any) -> Float[Array, " A"]:
        """The action, as a share of its box: in [-1, 1]."""

    def observe(
        self, params: PolicyParams, memory: Any, action: Float[Array, " A"], following: Float[Array, " S"]
    ) -> Any:
        """The memory after ``action``, a share of its box, has led to ``following``."""


class MlpPolicy:
    """``a = tanh(net(features(s, g)))``: a deterministic policy of state and goal, or of the state alone."""

    def __init__(
        self, task: Task, hidden: Sequence[int] = (256, 256, 256), octaves: int = 0, one_goal: bool = False
    ) -> None:
        """Describes the network.

        Args:
            task: what to act in.
            hidden: widths of the MLP.
            octaves: Fourier features of the task's leading ``fourier_size`` features, of state and goal.
            one_goal: whether the policy is for one goal, which it then is not given.
        """
        self.task, self.inputs, self._octaves = task, PolicyInputs(task, one_goal), octaves
        self._positions = task.fourier_size, min(task.fourier_size, self.inputs.goal_features)
        seen = self.inputs.state_features + self.inputs.goal_features
        self.features_size = seen + sum(fourier_size(size, octaves) - size for size in self._positions)
        self.net = mlp(self.features_size, hidden, task.action_size, activation=jax.nn.relu)

    def init(self, key: Key) -> PolicyParams:
        """Fresh parameters with identity scales; the learner sets the scales and the goal. The key is consumed."""
        return self.inputs.fresh(self.net.init(key))

    def features(self, params: PolicyParams, problem: Problem) -> Float[Array, " F"]:
        """What the network is given of a problem."""
        parts = []
        for z, size in zip(self.inputs(params, problem), self._positions, strict=True):
            # Normalised positions reach about +-2; halving keeps the lowest octave's period above the whole range.
            parts += [z[size:], fourier_features(z[:size] / 2, self._octaves)]
        return jnp.concatenate(parts)

    def begin(self, params: PolicyParams, problem: Problem) -> Problem:
        """The problem itself."""
        return Problem(problem.state, problem.goal)

    def act(self, params: PolicyParams, memory: Problem) -> Float[Array, " A"]:
        """The action in the state of ``memory``."""
        return jnp.tanh(self.net.apply(params.net, self.features(params, memory)))

    def observe(
        self,
        params: PolicyParams,
        memory: Problem,
        action: Float[Array, " A"],
        following: Float[Array, " S"],
    ) -> Problem:
        """The state that followed, and the goal."""
        return memory._replace(state=following)
