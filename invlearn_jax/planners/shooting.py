"""Model-based control from nothing: Inverters that have learned nothing, and planners that go on from their last plan.

Together with a refiner they are the usual controllers: candidates alone are random shooting; with ``gradient``, gradient
shooting from zero; with ``predictive_sampling``, ``cem``, ``mppi``, ``dial`` or ``ilqr``, those methods. A ``SamplingPlanner``
executes the sampling methods' mean, as published; the other planners execute the best sequence seen.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.inputs import as_problem, float_type
from invlearn_jax.parametrisation import Box, Parametrisation
from invlearn_jax.planners.planner import InversePlanner
from invlearn_jax.refine.base import Refined, Refiner, finite_or_worst
from invlearn_jax.refine.sampling import Sampled
from invlearn_jax.types import Key, Problem


class Shooting:
    """Proposes the problem's ``guess`` (zeros where it has none), then random sequences."""

    def __init__(
        self, horizon: int, action_size: int, knots: int = 4, parametrisation: Parametrisation | None = None
    ) -> None:
        """Describes the proposals.

        Args:
            horizon: T.
            action_size: A.
            knots: a random sequence holds this many values, uniform on [-1, 1], for an equal share of the latents each.
            parametrisation: from latents in [-1, 1] to actions; by default actions in [-1, 1].
        """
        unit = np.ones(action_size)
        self.horizon, self.parametrisation = horizon, parametrisation or Box(-unit, unit, horizon)
        self._guess, self._shape = (horizon, action_size), (self.parametrisation.length, self.parametrisation.size)
        self._knots = min(knots, self.parametrisation.length)

    def init(self, key: Key) -> tuple:
        """No parameters; the key is ignored."""
        return ()

    def latents(self, params: tuple, key: Key, problem: Problem, num: int) -> Float[Array, "K L C"]:
        """The guess, cut to the bounds, or zeros; then ``num - 1`` random sequences. The key is consumed.

        Raises:
            ValueError: for a guess of the wrong size.
        """
        dtype, (length, size) = float_type(problem), self._shape
        guess = as_problem(problem, dtype).guess
        if guess is not None and guess.shape != self._guess:
            raise ValueError(f"The guess has shape {guess.shape}; this Inverter takes {self._guess}.")
        encoded = jnp.zeros(self._shape, dtype) if guess is None else self.parametrisation.encode(guess)
        drawn = jax.random.uniform(key, (num - 1, self._knots, size), dtype, minval=-1.0, maxval=1.0)
        held = jnp.repeat(drawn, -(-length // self._knots), axis=1)[:, :length]
        return jnp.concatenate([jnp.clip(encoded, -1.0, 1.0)[None], held])

    def propose(self, params: tuple, key: Key, problem: Problem, num: int) -> Float[Array, "K T A"]:
        """The same as actions. The key is consumed."""
        return jax.vmap(self.parametrisation.decode)(self.latents(params, key, problem, num))


class ShootingPlanner(InversePlanner):
    """An ``InversePlanner`` that in closed loop starts from the rest of its last plan; see ``types.WarmStarts``."""

    inverter: Shooting

    def first_guess(self) -> Float[Array, "T A"]:
        """The middle of the actions' range."""
        made = self.inverter.parametrisation
        return made.decode(jnp.zeros((made.length, made.size)))

    def next_guess(self, actions: Float[Array, "T A"]) -> Float[Array, "T A"]:
        """What the last plan leaves after its executed steps, its last action held."""
        left = jnp.arange(self.horizon) + self.execute_steps
        return actions[jnp.minimum(left, self.horizon - 1)]


class SamplingPlanner(ShootingPlanner):
    """Sampling MPC as published: each plan starts from the rest of the last one, and the sampler's mean is executed.

    That is the best sample of predictive sampling, the weighted mean of MPPI and DIAL, and the elites' mean of CEM: smoother than
    the best of all sequences seen, though not always cheaper.
    """

    refiner: Refiner

    def refined(self, key: Key, cost_of: Any, proposals: Float[Array, "K L C"]) -> Refined:
        """The mean after ``refine_steps`` rounds from the best proposal, or the proposal where the mean's cost is not finite.

        Its trace is of the best sequences of the single rounds. Consumes the key.
        """
        state, costs = self.refiner.init(cost_of, proposals)
        first: Sampled = state

        def one_round(state: Sampled, key: Key) -> tuple[Sampled, Array]:
            state, _, costs = self.refiner.update(key, cost_of, state)
            return state, finite_or_worst(costs).min()

        last, trace = jax.lax.scan(one_round, first, jax.random.split(key, self.refine_steps))
        cost, proposal_cost = cost_of(last.mean), finite_or_worst(costs).min()
        sound = jnp.isfinite(cost)
        mean = jnp.where(sound, last.mean, first.mean)
        return Refined(mean, jnp.where(sound, cost, proposal_cost), proposal_cost, trace)
