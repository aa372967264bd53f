"""The planner of pulses: ``planners.planner.InversePlanner`` with the Schroedinger propagator for forward model."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from invlearn_jax.planners.planner import InversePlanner
from invlearn_jax.refine import Refiner
from invlearn_jax.tasks.gates.gates import check_gate, small_product
from invlearn_jax.tasks.gates.objective import GateObjective, PulseObjective
from invlearn_jax.tasks.gates.propagators import propagation
from invlearn_jax.tasks.gates.pulse_inverter import PulseInverter
from invlearn_jax.tasks.gates.systems import PulseSystem
from invlearn_jax.types import Key, Params, Problem


class PulseModel:
    """The forward model: ``states [N+1, D, D]``, the unitary after each slice, the first being the start. It learns nothing."""

    gradient: Literal["reverse", "forward", "none"] = "reverse"

    def __init__(self, system: PulseSystem) -> None:
        """Of a system."""
        self.system, self.dt = system, system.dt

    def init(self, key: Key) -> Params:
        """No parameters. The key is not used."""
        return ()

    def unroll(
        self, params: Params, state: Complex[Array, "d d"], actions: Float[Array, "N C"]
    ) -> Complex[Array, "N1 D D"]:
        """What the pulse makes of the start, whose levels beyond the gate's are left alone."""
        levels = np.array(self.system.levels)
        start = jnp.eye(self.system.dimension, dtype=state.dtype).at[levels[:, None], levels].set(state)
        path = propagation(self.system, actions)[1:]
        return jnp.concatenate([start[None], jax.vmap(lambda u: small_product(u, start))(path)])


def pulse_planner(
    inverter: PulseInverter,
    objective: PulseObjective | None = None,
    refiner: Refiner | None = None,
    refine_steps: int = 0,
    candidates: int = 1,
) -> InversePlanner:
    """A planner of pulses, which are played whole.

    Args:
        inverter: proposes latents ``[M, C]`` of spline coefficients.
        objective: the cost; by default the infidelity.
        refiner: how to refine; needed for ``refine_steps > 0``.
        refine_steps: K.
        candidates: proposals per gate.

    Returns:
        The planner: ``actions [N, C]`` in rad/us, ``states [N+1, D, D]``. A matrix that is not unitary gets zeros and
        ``INVALID_PROBLEM``.

    Raises:
        ValueError: see ``InversePlanner``.
    """
    system = inverter.system
    cost = GateObjective(system, objective or PulseObjective())
    return InversePlanner(
        inverter, PulseModel(system), cost, refiner, refine_steps, candidates, execute_steps=system.slices
    )


def gate_problem(system: PulseSystem, gate: np.ndarray, start: np.ndarray | None = None) -> Problem:
    """The problem to bring ``start``, by default 1, to ``gate``, both ``[d, d]``.

    Raises:
        ValueError: for a matrix of another shape, or one that is not unitary.
    """
    size = system.gate_dimension
    begin = np.eye(size) if start is None else check_gate(start, size)
    return Problem(jnp.asarray(begin, complex), jnp.asarray(check_gate(gate, size)))
