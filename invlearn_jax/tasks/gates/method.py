"""Learning a Pulse Inverter through the propagator: no data, no learned model; for two qubits each network alone, then both."""

import dataclasses
import math
from collections.abc import Callable
from functools import partial

from jaxtyping import Array

from invlearn_jax.inputs import check_whole
from invlearn_jax.keys import streams
from invlearn_jax.learn.loop import default_optimizer
from invlearn_jax.learn.stages import Run
from invlearn_jax.names import unknown_name
from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.refine.named import named_refiner
from invlearn_jax.rollout import total
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.gates.fidelity import infidelity
from invlearn_jax.tasks.gates.gates import haar_gates, training_gates
from invlearn_jax.tasks.gates.objective import NO_ERRORS
from invlearn_jax.tasks.gates.planner import pulse_planner
from invlearn_jax.tasks.gates.propagators import propagate
from invlearn_jax.tasks.gates.pulse_inverter import QubitInverter, TwoQubitInverter, TwoQubitParams
from invlearn_jax.tasks.gates.systems import PulseSystem
from invlearn_jax.tasks.gates.task import GateTask
from invlearn_jax.tasks.gates.training import pulse_state, pulse_update
from invlearn_jax.tasks.gates.waveform import pulse_slices
from invlearn_jax.tasks.gates.weyl import training_interactions
from invlearn_jax.types import Key, Params

REFINERS = ("gauss_newton", "lbfgs", "adam")
_RATE = 0.01  # of Adam


@dataclasses.dataclass
class TrainingSettings:
    """Training through the propagator: updates, targets per update, learning rate."""

    steps: int = bounded(40_000, low=0)
    batch: int = bounded(512, low=1)
    learning_rate: float = bounded(3e-3, above=0)


@dataclasses.dataclass
class Settings:
    """The Pulse Inverter.

    Attributes:
        hidden: widths of the network; for two qubits, of the one for the single qubits' gates.
        interaction_hidden: widths of the network for interactions.
        share: of the coupling that passes while the single qubits' gates are made and counts as interaction.
        training: of the network; for two qubits, of the one for the single qubits' gates.
        interaction: for two qubits, training of the network for interactions.
        whole: for two qubits, training of both on whole gates.
        block: updates per compiled call.
        checkpoint_every: updates between checkpoints, a multiple of ``block``.
    """

    hidden: tuple[int, ...] = bounded((64, 64), low=1)
    interaction_hidden: tuple[int, ...] = bounded((), low=1)
    share: float = bounded(0.25, low=0, high=1)
    training: TrainingSettings = dataclasses.field(default_factory=TrainingSettings)
    interaction: TrainingSettings = dataclasses.field(default_factory=lambda: TrainingSettings(0, 128))
    whole: TrainingSettings = dataclasses.field(default_factory=lambda: TrainingSettings(0, 128, 3e-4))
    block: int = bounded(250, low=1)
    checkpoint_every: int = bounded(1000, low=1, multiple_of="block")


def build(
    task: GateTask,
    settings: Settings,
    refine_steps: int = 0,
    candidates: int | None = None,
    refiner: str | None = None,
    execute_steps: int | None = None,
) -> InversePlanner:
    """The planner for a task.

    Args:
        task: what to plan for.
        settings: of the method.
        refine_steps: K.
        candidates: proposals: None or 1, since the Inverter has one answer.
        refiner: one of ``REFINERS``. By default Gauss-Newton, which makes the gate itself exact; where errors are to be borne
            L-BFGS on the mean over them.
        execute_steps: a pulse is played whole; None, or its number of slices.

    Returns:
        The planner.

    Raises:
        ValueError: for settings that do not fit together; says which are allowed.
    """
    system, objective = task.system, task.objective.cost
    check_whole(execute_steps=execute_steps, candidates=candidates)
    if execute_steps not in (None, system.slices):
        raise ValueError(
            f"execute_steps is {execute_steps}; a pulse is played whole, {system.slices} slices. Leave it out."
        )
    if candidates not in (None, 1):
        raise ValueError(f"candidates is {candidates}; the Inverter of pulses has one answer to a gate. Leave it out.")
    name = refiner or ("gauss_newton" if objective.errors is NO_ERRORS else "lbfgs")
    if name not in REFINERS:
        raise unknown_name("refiner of pulses", name, REFINERS)
    return pulse_planner(
        _inverter(system, settings), objective, named_refiner(name, _RATE, limit=math.inf), refine_steps
    )


def _inverter(system: PulseSystem, settings: Settings) -> QubitInverter | TwoQubitInverter:
    if system.name == "two_qubit":
        return TwoQubitInverter(system, settings.hidden, settings.interaction_hidden, settings.share)
    return QubitInverter(system, settings.hidden)


def fit(task: GateTask, settings: Settings, run: Run, key: Key) -> tuple[InversePlanner, PlannerParams]:
    """Trains the Inverter. The key is consumed.

    Returns:
        The planner and its parameters.
    """
    planner = build(task, settings)
    inverter, objective = _inverter(task.system, settings), task.objective.cost
    init_key, *keys = streams(key, "weights", "training", "interaction", "whole")
    params, system = inverter.init(init_key), inverter.system

    def whole(params: Params, gate: Array) -> Array:
        return total(objective(system, pulse_slices(system, inverter.latent(params, gate)), gate))

    def stage(
        name: str, key: Array, training: TrainingSettings, loss: Callable, draw: Callable, params: Params
    ) -> Params:
        optimizer = default_optimizer(training.learning_rate, training.steps, last=1e-3)
        update = pulse_update(loss, draw, optimizer, training.batch)
        state = pulse_state(optimizer, params, key)
        return run.train(
            name, update, state, training.steps, settings.block, settings.checkpoint_every, "infidelity"
        ).params

    if isinstance(inverter, TwoQubitInverter):
        local = partial(_section_infidelity, inverter.local_system, inverter.local_latent, inverter.local_target)
        middle = partial(
            _section_infidelity, inverter.interaction_system, inverter.interaction_latent, inverter.interaction_target
        )
        params = TwoQubitParams(
            stage("local", keys[0], settings.training, local, _pairs, params.local),
            stage("interaction", keys[1], settings.interaction, middle, training_interactions, params.interaction),
        )
        params = stage("whole", keys[2], settings.whole, whole, partial(haar_gates, dimension=4), params)
    else:
        params = stage("inverter", keys[0], settings.training, whole, training_gates, params)
    return planner, PlannerParams(params, (), ())


def _pairs(key: Array, num: int) -> Array:
    return training_gates(key, 2 * num).reshape(num, 2, 2, 2)


def _section_infidelity(
    system: PulseSystem, latent: Callable, target_of: Callable, params: Params, target: Array
) -> Array:
    return infidelity(system, propagate(system, pulse_slices(system, latent(params, target))), target_of(target))
