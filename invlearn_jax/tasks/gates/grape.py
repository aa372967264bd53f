"""Pulses without learning: GRAPE from random pulses, and DRAG pulses with virtual z rotations.

Gradient ascent pulse engineering (Khaneja et al., J. Magn. Reson. 172, 296) with exact gradients of the slices' propagators and
L-BFGS (de Fouquieres et al., J. Magn. Reson. 212, 412), on the splines that the Inverters use: a planner with random proposals.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Complex, Float

from invlearn_jax.planners.planner import InversePlanner
from invlearn_jax.refine import gradient
from invlearn_jax.tasks.gates.objective import PulseObjective
from invlearn_jax.tasks.gates.planner import pulse_planner
from invlearn_jax.tasks.gates.pulse_inverter import PulseInverter
from invlearn_jax.tasks.gates.systems import PulseSystem
from invlearn_jax.types import Key, Params, Problem


class RandomPulses(PulseInverter):
    """Proposes latents ``z ~ N(0, scale^2)``, whatever the gate: an Inverter that has learned nothing."""

    def __init__(self, system: PulseSystem, scale: float = 1.0) -> None:
        """Describes it.

        Args:
            system: what is driven.
            scale: standard deviation of the latents; coefficients are ``limit z / sqrt(1 + |z|^2)``.

        Raises:
            ValueError: for a scale that is not positive and finite.
        """
        if not (np.isfinite(scale) and scale > 0):
            raise ValueError(f"The scale of random pulses is {scale}; give a finite number above 0.")
        super().__init__(system)
        self.scale = scale

    def init(self, key: Key) -> Params:
        """No parameters. The key is not used."""
        return ()

    def latents(self, params: Params, key: Key, problem: Problem, num: int) -> Float[Array, "K M C"]:
        """Draws ``num`` latents. The key is consumed."""
        shape = (num, self.parametrisation.length, self.parametrisation.size)
        return self.scale * jax.random.normal(key, shape, problem.goal.real.dtype)


def grape(
    system: PulseSystem,
    starts: int = 1,
    steps: int = 100,
    scale: float = 1.0,
    objective: PulseObjective | None = None,
    memory: int = 10,
) -> InversePlanner:
    """GRAPE: the best of ``starts`` random pulses after ``steps`` steps of L-BFGS each.

    Args:
        system: what is driven.
        starts: random pulses per gate; some end in local minima.
        steps: of L-BFGS.
        scale: of the random pulses' latents.
        objective: the cost; by default the infidelity.
        memory: steps from which L-BFGS estimates curvature.

    Returns:
        The planner. Its parameters are ``planner.init(key)``, its key draws the starts.

    Raises:
        ValueError: for no start, a negative number of steps, or a scale that is not positive.
    """
    refiner = gradient(optax.lbfgs(memory_size=memory), limit=float("inf"))
    return pulse_planner(RandomPulses(system, scale), objective, refiner, steps, starts)


def drag_pulse(system: PulseSystem, gate: Complex[Array, "2 2"]) -> tuple[Float[Array, "N 2"], Float[Array, ""]]:
    """The laboratory's way to any gate of one qubit: two quarter turns, everything about z being a change of frame.

        V = Rz(a) X90 Rz(b) X90 Rz(c) = Rz(a + b + c) X90[-(b + c)] X90[-c],   Rz(a) = exp(-i a sigma_z / 2)

    where ``X90[p]`` is a quarter turn about ``cos(p) x + sin(p) y`` (McKay et al., PRA 96, 022330, eq. 4). Each is a raised
    cosine of half the gate time, ``W(t) = (pi / T) (1 - cos(4 pi t / T))``. A third level asks for ``W + i Wy`` with
    ``Wy = -(dW/dt) / anharmonicity`` (DRAG; Motzoi et al., PRL 103, 110501), which keeps it empty; two levels need none.

    Args:
        system: a qubit or a transmon.
        gate: V, unitary.

    Returns:
        The slices ``[N, 2]``, rad/us, and the last angle ``a + b + c``, rad, by which the frame is turned after the pulse: the
        gate is ``Rz(angle) U``.

    Raises:
        ValueError: for a system of several drives, or a pulse whose quarter turns would exceed the limit.
    """
    if len(system.controls) != 2 or system.gate_dimension != 2:
        raise ValueError(
            f"DRAG pulses are for one qubit with one drive; {system.name} has {len(system.controls)} controls."
        )
    shape = _quarter_turn(system)
    size = np.abs(shape).max()
    if size > system.limit:
        raise ValueError(
            f"A quarter turn in half of {system.gate_time:g} us takes {size:.4g} rad/us; the limit is {system.limit:.4g}. Give "
            "more time, or a larger limit."
        )
    special = gate / jnp.sqrt(gate[0, 0] * gate[1, 1] - gate[0, 1] * gate[1, 0])
    # V = Rz(phi) Rx(theta) Rz(lam).
    theta = 2 * jnp.arctan2(jnp.abs(special[1, 0]), jnp.abs(special[0, 0]))
    total, difference = 2 * jnp.angle(special[1, 1]), 2 * jnp.angle(special[1, 0]) + jnp.pi
    phi, lam = (total + difference) / 2, (total - difference) / 2
    a, b, c = phi - jnp.pi / 2, jnp.pi - theta, lam - jnp.pi / 2
    turns = [jnp.exp(-1j * angle) * shape for angle in (c, b + c)]
    rest = jnp.zeros(system.slices - 2 * len(shape))
    pulse = jnp.concatenate([turns[0], rest, turns[1]])
    return jnp.stack([pulse.real, pulse.imag], axis=1).astype(gate.real.dtype), a + b + c


def _quarter_turn(system: PulseSystem) -> np.ndarray:
    """``[N // 2]`` a quarter turn about x and what DRAG adds, as complex amplitudes, rad/us."""
    count = system.slices // 2
    time = 2 * np.pi * (np.arange(count) + 0.5) / count
    # The slices' area is exactly pi / 2, as that of the cosine is.
    height = np.pi / 2 / (count * system.dt)
    shape = height * (1 - np.cos(time))
    if system.dimension == 2:
        return shape.astype(complex)
    energies = np.diag(system.drift).real
    anharmonicity = energies[2] - 2 * energies[1] + energies[0]
    slope = height * np.sin(time) * 2 * np.pi / (count * system.dt)
    return shape - 1j * slope / anharmonicity
