"""Training and evaluating Pulse Inverters."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from experiments.configs.pulse import Config, PulseEvaluationConfig, TrainingConfig
from experiments.pipelines.stages import PlannerOf, run_stage
from invlearn_jax.io.planners import save_planner
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.keys import from_seed, stream
from invlearn_jax.learn.loop import default_optimizer
from invlearn_jax.planners import InversePlanner, PlannerParams
from invlearn_jax.rollout import total
from invlearn_jax.tasks.gates.build import build_objective, build_pulse_inverter, build_pulse_planner
from invlearn_jax.tasks.gates.fidelity import infidelity
from invlearn_jax.tasks.gates.gates import haar_gates, training_gates
from invlearn_jax.tasks.gates.propagators import propagate
from invlearn_jax.tasks.gates.pulse_inverter import TwoQubitInverter, TwoQubitParams
from invlearn_jax.tasks.gates.systems import PulseSystem
from invlearn_jax.tasks.gates.training import pulse_state, pulse_update
from invlearn_jax.tasks.gates.waveform import pulse_slices
from invlearn_jax.tasks.gates.weyl import training_interactions
from invlearn_jax.types import Params, Problem


def check(config: Config) -> None:
    """Builds everything once without training it, so that a bad setting costs no time.

    Raises:
        ValueError: for settings that do not fit together.
    """
    jax.eval_shape(build_pulse_planner(config.planner).init, jax.random.key(0))


def train_inverter(config: Config, run: RunFolder, seed: int) -> tuple[str, PlannerOf]:
    """Trains the Inverter; for two qubits each of its networks alone and then both on whole gates.

    Returns:
        The system's name, and the planner for a number of refinement steps; it is also saved under ``planner/``.
    """
    inverter, objective = build_pulse_inverter(config.planner), build_objective(config.planner)
    init_key, *keys = jax.random.split(stream(from_seed(seed), "pulse inverter"), 4)
    params, system = inverter.init(init_key), inverter.system

    def whole(params: Params, gate: Array) -> Array:
        return total(objective(system, pulse_slices(system, inverter.latent(params, gate)), gate))

    def stage(
        name: str, key: Array, settings: TrainingConfig, loss: Callable, draw: Callable, params: Params
    ) -> Params:
        optimizer = default_optimizer(settings.learning_rate, settings.steps, last=1e-3)
        update = pulse_update(loss, draw, optimizer, settings.batch)
        state = pulse_state(optimizer, params, key)
        return run_stage(
            run, name, update, state, settings.steps, config.block, config.checkpoint_every, "infidelity"
        ).params

    if isinstance(inverter, TwoQubitInverter):
        local = partial(_section_infidelity, inverter.local_system, inverter.local_latent, inverter.local_target)
        middle = partial(
            _section_infidelity, inverter.interaction_system, inverter.interaction_latent, inverter.interaction_target
        )
        params = TwoQubitParams(
            stage("local", keys[0], config.training, local, _pairs, params.local),
            stage("interaction", keys[1], config.interaction, middle, training_interactions, params.interaction),
        )
        params = stage("whole", keys[2], config.whole, whole, partial(haar_gates, dimension=4), params)
    else:
        params = stage("inverter", keys[0], config.training, whole, training_gates, params)
    save_planner(run.path / "planner", config.planner, PlannerParams(params, (), ()))
    return system.name, lambda refine_steps: (
        build_pulse_planner(config.planner, refine_steps),
        PlannerParams(params, (), ()),
    )


def _pairs(key: Array, num: int) -> Array:
    return training_gates(key, 2 * num).reshape(num, 2, 2, 2)


def _section_infidelity(
    system: PulseSystem, latent: Callable, target_of: Callable, params: Params, target: Array
) -> Array:
    return infidelity(system, propagate(system, pulse_slices(system, latent(params, target))), target_of(target))


def evaluate(
    settings: PulseEvaluationConfig, system: str, planner_of: PlannerOf
) -> Iterator[tuple[dict[str, Any], str]]:
    """1 - F on fresh gates: a record and a line for each number of refinement steps."""
    for steps in sorted(set(settings.refine_steps)):
        found = infidelities_of(*planner_of(steps), settings.gates, settings.seed)
        line = f"{system} K={steps}: 1 - F median {found['median']:.2e}, 99.9 % {found['p999']:.2e}, max {found['max']:.2e}"
        yield {"system": system, "refine_steps": steps, "seed": settings.seed, **found}, line


def infidelities_of(planner: InversePlanner, params: PlannerParams, gates: int, seed: int) -> dict[str, float]:
    """Quantiles of the cost on gates from the Haar measure, in JAX's default precision."""
    size = planner.inverter.system.gate_dimension
    targets = haar_gates(from_seed(seed), gates, size)
    start, key = jnp.eye(size, dtype=targets.dtype), jax.random.key(0)
    plan = jax.jit(lambda p, g: jax.lax.map(lambda t: planner.plan(p, key, Problem(start, t)).cost, g, batch_size=250))
    found = np.asarray(plan(params, targets), float)
    p999 = float(np.quantile(found, 0.999))
    return {"gates": gates, "median": float(np.median(found)), "p999": p999, "max": float(found.max())}
