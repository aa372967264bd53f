"""Learning a Pulse Inverter through the propagator: no data, no learned model; for two qubits each network alone, then both."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

from jaxtyping import Array

from invlearn_jax.keys import streams
from invlearn_jax.learn.loop import default_optimizer
from invlearn_jax.learn.stages import Run
from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.gates.build import PulseConfig, build_pulse_planner
from invlearn_jax.tasks.gates.fidelity import infidelity
from invlearn_jax.tasks.gates.gates import haar_gates, training_gates
from invlearn_jax.tasks.gates.propagators import propagate
from invlearn_jax.tasks.gates.pulse_inverter import TwoQubitInverter, TwoQubitParams
from invlearn_jax.tasks.gates.systems import PulseSystem
from invlearn_jax.tasks.gates.task import GateTask
from invlearn_jax.tasks.gates.training import pulse_state, pulse_update
from invlearn_jax.tasks.gates.waveform import pulse_slices
from invlearn_jax.tasks.gates.weyl import training_interactions
from invlearn_jax.types import Key, Params


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


def build(task: GateTask, settings: Settings, **inference: Any) -> InversePlanner:
    """The planner alone; see ``build.build_pulse_planner``."""
    config = PulseConfig(
        **dataclasses.asdict(task.settings),
        hidden=settings.hidden,
        interaction_hidden=settings.interaction_hidden,
        share=settings.share,
    )
    return build_pulse_planner(config, **inference)


def fit(task: GateTask, settings: Settings, run: Run, key: Key) -> tuple[InversePlanner, PlannerParams]:
    """Trains the Inverter. The key is consumed.

    Returns:
        The planner and its parameters.
    """
    planner = build(task, settings)
    inverter, objective = planner.inverter, task.objective.cost
    init_key, *keys = streams(key, "weights", "training", "interaction", "whole")
    params, system = inverter.init(init_key), inverter.system

    def whole(params: Params, gate: Array) -> Array:
        return sum(objective(system, pulse_slices(system, inverter.latent(params, gate)), gate).values())

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
