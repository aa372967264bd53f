"""What a pulse is judged by: named, weighted terms, nominal or over errors of detuning and amplitude."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from invlearn_jax.tasks.gates.fidelity import gate_residual, infidelity, leakage
from invlearn_jax.tasks.gates.gates import small_product
from invlearn_jax.tasks.gates.jacobian import pulse_jacobian
from invlearn_jax.tasks.gates.propagators import propagate
from invlearn_jax.tasks.gates.systems import PulseSystem
from invlearn_jax.types import Params


class Errors(NamedTuple):
    """Errors that a pulse should bear: E pairs.

    Attributes:
        detuning: ``[E]`` rad/us.
        scale: ``[E]`` factors on the amplitude.
    """

    detuning: np.ndarray
    scale: np.ndarray


NO_ERRORS = Errors(np.zeros(1), np.ones(1))


def error_grid(detuning: float, amplitude: float, points: Sequence[int] = (5, 3)) -> Errors:
    """All pairs of detunings within ``+-detuning`` (rad/us) and factors within ``1 +- amplitude``.

    Raises:
        ValueError: for errors that are negative or not finite, or no points.
    """
    if not (np.isfinite([detuning, amplitude]).all() and detuning >= 0 and 0 <= amplitude < 1 and min(points) >= 1):
        raise ValueError(
            f"The errors are {detuning} rad/us and {amplitude}, at {tuple(points)} points; give finite ones of 0 or more, the "
            "second below 1, and at least one point of each."
        )
    d, s = (np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in points)
    grid = np.meshgrid(detuning * d, 1 + amplitude * s, indexing="ij")
    return Errors(grid[0].ravel(), grid[1].ravel())


def infidelities(
    system: PulseSystem, slices: Float[Array, "N C"], gate: Complex[Array, "d d"], errors: Errors
) -> Float[Array, " E"]:
    """``1 - F`` under each pair of errors."""

    def under(detuning: Array, scale: Array) -> Array:
        return infidelity(system, propagate(system, slices, detuning, scale), gate)

    detuning, scale = (jnp.asarray(x, slices.dtype) for x in errors)
    return jax.vmap(under)(detuning, scale)


class PulseObjective(NamedTuple):
    """A cost, by named terms: ``mean over errors of 1 - F``, and if asked for the worst, leakage, energy and smoothness.

    Attributes:
        errors: over which the infidelity is averaged.
        worst: weight of the greatest infidelity over the errors.
        leakage: weight of the probability to end outside the gate's levels.
        energy: weight of ``mean_n |u_n / limit|^2``.
        smoothness: weight of ``sum_n |(u_{n+1} - u_n) / limit|^2``, from and to zero at the ends.
    """

    errors: Errors = NO_ERRORS
    worst: float = 0.0
    leakage: float = 0.0
    energy: float = 0.0
    smoothness: float = 0.0

    def __call__(
        self, system: PulseSystem, slices: Float[Array, "N C"], gate: Complex[Array, "d d"]
    ) -> dict[str, Float[Array, ""]]:
        """The weighted terms of one pulse; their sum is the cost."""
        if self.errors is NO_ERRORS:
            mean = worst = infidelity(system, propagate(system, slices), gate)
        else:
            found = infidelities(system, slices, gate, self.errors)
            mean, worst = found.mean(), found.max()
        terms = {"infidelity": mean}
        if self.worst:
            terms["worst"] = self.worst * worst
        if self.leakage:
            # The compiler makes one of this and the same propagator above.
            terms["leakage"] = self.leakage * leakage(system, propagate(system, slices))
        relative = slices / system.limit
        if self.energy:
            terms["energy"] = self.energy * (relative**2).sum(-1).mean()
        if self.smoothness:
            terms["smoothness"] = self.smoothness * (jnp.diff(jnp.pad(relative, ((1, 1), (0, 0))), axis=0) ** 2).sum()
        return terms


class GateObjective(NamedTuple):
    """A planner's objective (``types.Objective``, ``types.HasResiduals``): a pulse's cost, from the start to the goal.

    The pulse is to make ``goal start'``. The residuals are those of the gate without errors.

    Attributes:
        system: what is driven.
        cost: of one pulse.
    """

    system: PulseSystem
    cost: PulseObjective = PulseObjective()

    def __call__(
        self,
        params: Params,
        states: Complex[Array, "N1 D D"],
        actions: Float[Array, "N C"],
        goal: Complex[Array, "d d"],
    ) -> dict[str, Float[Array, ""]]:
        """The weighted terms of one pulse."""
        return self.cost(self.system, actions, self._gate(states, goal))

    def residual(
        self,
        params: Params,
        states: Complex[Array, "N1 D D"],
        actions: Float[Array, "N C"],
        goal: Complex[Array, "d d"],
    ) -> Float[Array, " R"]:
        """What the pulse leaves to do; see ``fidelity.gate_residual``."""
        return gate_residual(self.system, propagate(self.system, actions), self._gate(states, goal))

    def jacobian(
        self, params: Params, state: Complex[Array, "d d"], actions: Float[Array, "N C"], goal: Complex[Array, "d d"]
    ) -> Float[Array, "R N C"]:
        """Of the residuals by the slices; see ``jacobian``."""
        return pulse_jacobian(self.system, actions, small_product(goal, jnp.conj(state.T)))

    def _gate(self, states: Array, goal: Array) -> Array:
        # Of the states only the first is used: the compiler then drops the path, which costs more than its end.
        levels = list(self.system.levels)
        start = jax.lax.stop_gradient(jax.lax.index_in_dim(states, 0, keepdims=False))[levels, :][:, levels]
        return small_product(goal, jnp.conj(start.T))
