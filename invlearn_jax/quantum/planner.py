"""The pulse planner: ``plan = refine(invert(problem))`` with the Schroedinger propagator for forward model."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from invlearn_jax.quantum.gates import check_gate, small_product
from invlearn_jax.quantum.jacobian import latent_jacobian, latent_residual
from invlearn_jax.quantum.objective import PulseObjective
from invlearn_jax.quantum.propagators import propagation
from invlearn_jax.quantum.systems import PulseSystem
from invlearn_jax.quantum.waveform import pulse_slices
from invlearn_jax.refine import Refiner, ResidualCost, refine
from invlearn_jax.types import Inverter, Key, Params, PlanOutput, Problem, Result


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
            ValueError: for a negative K, K without a refiner, or no candidate.
        """
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
            problem: see ``problem``.

        Returns:
            The plan: ``actions [N, C]`` in rad/us, ``states [N+1, D, D]`` the unitary after each slice. A gate that is not
            finite gets zeros and the result ``NON_FINITE``.

        Raises:
            ValueError: for a gate of the wrong shape.
        """
        size = self.system.gate_dimension
        if jnp.shape(problem.goal) != (size, size):
            raise ValueError(
                f"The gate has shape {jnp.shape(problem.goal)}; this planner takes ({size}, {size}). Give one, and use jax.vmap "
                "for a batch."
            )
        start = jnp.asarray(problem.state, problem.goal.dtype)
        gate = small_product(problem.goal, jnp.conj(start.T))
        given = jnp.isfinite(gate).all()
        gate = jnp.where(given, gate, jnp.eye(size, dtype=gate.dtype))
        latents = self._proposals(params, key, gate)
        cost = ResidualCost(
            lambda z: sum(self.objective(self.system, pulse_slices(self.system, z), gate).values()),
            lambda z: latent_residual(self.system, z, gate),
            lambda z: latent_jacobian(self.system, z, gate),
        )
        if self.candidates == 1 and self.refine_steps == 0:
            # Nothing to choose from: the cost is evidence only, and the compiler drops it where it is not used.
            latent, proposal_cost, trace = latents[0], cost(latents[0]), jnp.zeros((0,))
        else:
            refined = refine(self.refiner, key, cost, latents, self.refine_steps)
            latent, proposal_cost, trace = refined.actions, refined.proposal_cost, refined.trace
        slices = pulse_slices(self.system, latent)
        terms = self.objective(self.system, slices, gate)
        total = sum(terms.values())
        result = jnp.where((total < proposal_cost) | (self.refine_steps == 0), Result.OK, Result.NO_IMPROVEMENT)
        # What is finite has a finite cost; to ask that instead would propagate pulses of which only the actions are wanted.
        finite = given & jnp.isfinite(slices).all()
        states = propagation(self.system, slices)
        return PlanOutput(
            jnp.where(finite, slices, 0.0),
            states,
            total,
            terms,
            proposal_cost,
            trace,
            jnp.where(finite, result, Result.NON_FINITE).astype(jnp.int32),
        )

    def _proposals(self, params: PulseParams, key: Key, gate: Array) -> Array:
        # The network keeps its own precision; what follows has the gate's.
        kind: Any = jax.tree.leaves(params.inverter)[0].dtype if jax.tree.leaves(params.inverter) else gate.real.dtype
        asked = Problem(jnp.eye(len(gate)), gate.astype(jnp.result_type(kind, jnp.complex64)))
        return self.inverter.propose(params.inverter, key, asked, self.candidates).astype(gate.real.dtype)
