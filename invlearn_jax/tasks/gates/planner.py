"""The pulse planner: ``plan = refine(invert(problem))`` with the Schroedinger propagator for forward model."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from invlearn_jax.inputs import as_array, check_whole, usable
from invlearn_jax.refine import Refiner, ResidualCost, refine
from invlearn_jax.tasks.gates.gates import check_gate, departure, small_product
from invlearn_jax.tasks.gates.jacobian import latent_jacobian, latent_residual
from invlearn_jax.tasks.gates.objective import PulseObjective
from invlearn_jax.tasks.gates.propagators import propagation
from invlearn_jax.tasks.gates.pulse_inverter import as_gate
from invlearn_jax.tasks.gates.systems import PulseSystem
from invlearn_jax.tasks.gates.waveform import pulse_slices
from invlearn_jax.types import Inverter, Key, Params, PlanOutput, Problem, Result, finding, gravest

# Largest entry of |G' G - 1| of a gate, in single and in double precision.
_TOLERANCE = {4: 1e-4, 8: 1e-6}


class PulseParams(NamedTuple):
    """What the planner consumes: the Inverter's parameters. The forward model is physics and learns nothing."""

    inverter: Params


class PulsePlanner:
    """Proposes pulses, refines them, returns the best with its evidence.

    The precision is the gate's: complex128 (with JAX's ``jax_enable_x64``) refines in float64, complex64 in float32.
    """

    def __init__(
        self,
        system: PulseSystem,
        inverter: Inverter,
        objective: PulseObjective | None = None,
        refiner: Refiner | None = None,
        refine_steps: int = 0,
        candidates: int = 1,
    ) -> None:
        """Puts the parts together.

        Args:
            system: what is driven.
            inverter: proposes latents ``[M, C]`` of spline coefficients.
            objective: the cost; by default the infidelity.
            refiner: how to refine; needed for ``refine_steps > 0``.
            refine_steps: K.
            candidates: proposals per gate.

        Raises:
            ValueError: for counts that are not whole, a negative K, K without a refiner, or no candidate.
        """
        check_whole(refine_steps=refine_steps, candidates=candidates)
        if refine_steps < 0 or (refine_steps and refiner is None):
            raise ValueError(f"refine_steps is {refine_steps}; give 0 or more, and a refiner for more than 0.")
        if candidates < 1:
            raise ValueError(f"candidates is {candidates}; give at least 1.")
        self.system, self.inverter, self.objective = system, inverter, objective or PulseObjective()
        self.refiner, self.refine_steps, self.candidates = refiner, refine_steps, candidates
        self.horizon = self.execute_steps = system.slices

    def init(self, key: Key) -> PulseParams:
        """Fresh parameters. The key is consumed."""
        return PulseParams(self.inverter.init(key))

    def problem(self, gate: np.ndarray, start: np.ndarray | None = None) -> Problem:
        """The problem to bring ``start``, by default 1, to ``gate``, both ``[d, d]``.

        Raises:
            ValueError: for a matrix of another shape, or one that is not unitary.
        """
        size = self.system.gate_dimension
        begin = np.eye(size) if start is None else check_gate(start, size)
        return Problem(jnp.asarray(begin, complex), jnp.asarray(check_gate(gate, size)))

    def plan(self, params: PulseParams, key: Key, problem: Problem) -> PlanOutput:
        """A pulse for one gate.

        Args:
            params: from training or ``init``.
            key: consumed.
            problem: see ``problem``; lists and matrices of any type are taken, and cast to a complex one.

        Returns:
            The plan: ``actions [N, C]`` in rad/us, ``states [N+1, D, D]`` the unitary after each slice. A gate that is not
            finite gets zeros and the result ``NON_FINITE``, a matrix that is not unitary zeros and ``INVALID_PROBLEM``. A cost
            that is not finite is ``NON_FINITE`` too.

        Raises:
            ValueError: for a start or a gate of the wrong shape, or of what are no numbers.
        """
        safe, finite = usable(self._matrices(problem))
        unitary = jnp.maximum(departure(safe.state), departure(safe.goal)) <= _TOLERANCE[safe.goal.real.dtype.itemsize]
        given = finite & unitary
        gate = small_product(safe.goal, jnp.conj(safe.state.T))
        gate = jnp.where(given, gate, jnp.eye(len(gate), dtype=gate.dtype))
        latents = self._proposals(params, key, gate)
        cost = ResidualCost(
            lambda z: sum(self.objective(self.system, pulse_slices(self.system, z), gate).values()),
            lambda z: latent_residual(self.system, z, gate),
            lambda z: latent_jacobian(self.system, z, gate),
        )
        if self.candidates == 1 and self.refine_steps == 0:
            # Nothing to choose from: the cost is evidence only, and the compiler drops it where it is not used.
            latent, proposal_cost, trace = latents[0], cost(latents[0]), jnp.zeros((0,), latents.dtype)
        else:
            refined = refine(self.refiner, key, cost, latents, self.refine_steps)
            latent, proposal_cost, trace = refined.actions, refined.proposal_cost, refined.trace
        slices = pulse_slices(self.system, latent)
        terms = self.objective(self.system, slices, gate)
        total = sum(terms.values())
        # The actions do not wait for the cost: that would propagate pulses of which only the actions are wanted.
        made = finite & jnp.isfinite(slices).all()
        result = gravest(
            finding(Result.NON_FINITE, ~(made & jnp.isfinite(total))),
            finding(Result.INVALID_PROBLEM, ~unitary),
            finding(Result.NO_IMPROVEMENT, (self.refine_steps > 0) & ~(total < proposal_cost)),
        )
        states = propagation(self.system, slices)
        return PlanOutput(
            jnp.where(made & given, slices, 0.0),
            states,
            total,
            terms,
            proposal_cost,
            trace,
            result,
        )

    def _matrices(self, problem: Problem) -> Problem:
        """Start and gate in a complex type, whose precision is the gate's."""
        size = self.system.gate_dimension
        goal = as_gate(problem.goal)
        start = as_array("start", problem.state, goal.dtype)
        for name, matrix in (("start", start), ("gate", goal)):
            if matrix.shape != (size, size):
                raise ValueError(
                    f"The {name} has shape {matrix.shape}; this planner takes ({size}, {size}). Give one, and use jax.vmap for a "
                    "batch."
                )
        return Problem(start, goal)

    def _proposals(self, params: PulseParams, key: Key, gate: Array) -> Array:
        # The network keeps its own precision; what follows has the gate's.
        kind: Any = jax.tree.leaves(params.inverter)[0].dtype if jax.tree.leaves(params.inverter) else gate.real.dtype
        asked = Problem(jnp.eye(len(gate)), gate.astype(jnp.result_type(kind, jnp.complex64)))
        return self.inverter.propose(params.inverter, key, asked, self.candidates).astype(gate.real.dtype)
