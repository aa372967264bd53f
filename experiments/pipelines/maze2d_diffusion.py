"""Diffusion planners from the data of a maze2d run: the model of plans, inverse dynamics, or a teacher's distillation."""

import dataclasses

import jax

from experiments.configs.maze2d_diffusion import Config
from experiments.pipelines.maze_data import Data, base_config, load_data, unbroken
from experiments.pipelines.stages import PlannerOf, run_stage
from invlearn_jax.data import fit_normalizer, window_store
from invlearn_jax.data.plans import plan_channels, plan_store
from invlearn_jax.io.planners import load_config, load_planner, save_planner
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.keys import from_seed, streams
from invlearn_jax.learn.diffusion import (
    DiffusionTraining,
    DrawPlans,
    averaged,
    consistency_state,
    consistency_update,
    diffusion_state,
    diffusion_update,
    plan_sampler,
)
from invlearn_jax.learn.forward_model import Source
from invlearn_jax.learn.inverse_dynamics import inverse_dynamics_state, inverse_dynamics_update
from invlearn_jax.learn.loop import default_optimizer
from invlearn_jax.models.diffusion import DiffusionParams, sampler_steps
from invlearn_jax.models.inverse_dynamics import InverseDynamicsParams
from invlearn_jax.planners import PlannerParams
from invlearn_jax.planners.diffusion import DiffusionInverter, DiffusionInverterParams
from invlearn_jax.tasks.maze2d.diffusion import MazeDiffusionConfig, build_diffusion_inverter, build_diffusion_planner

_PATH_STEPS = 20  # of the teacher's sampler, which consistency distillation follows


def describe(config: Config) -> MazeDiffusionConfig:
    """The planner that a configuration asks for.

    Raises:
        ValueError: for an unknown or broken base or teacher, or one of another kind.
    """
    base = base_config(config.base)
    if not config.teacher:
        return dataclasses.replace(config.planner, base=base)
    teacher, folder = load_config(config.teacher)
    if not isinstance(teacher, MazeDiffusionConfig):
        raise ValueError(f"teacher is {folder}, no diffusion planner; give one.")
    if teacher.base != base:
        raise ValueError(
            f"The teacher is for {teacher.env}, on another base than {config.base}. Give the base it stands on."
        )
    return dataclasses.replace(teacher, sampler="ddim", denoise_steps=config.planner.denoise_steps, guidance=1.0)


def check(config: Config) -> None:
    """Builds everything once without training it, so that a bad setting costs no time.

    Raises:
        ValueError: for a base or teacher that cannot be used, or settings that do not fit together.
    """
    for refine_steps in config.evaluation.refine_steps or (0,):
        build_diffusion_planner(describe(config), refine_steps)


def _sampler(config: Config, inverter: DiffusionInverter, params: DiffusionParams, data: Data) -> DrawPlans:
    rows, rests = data.main, not inverter.pin_goal
    if not rests:
        # The goal is to be where the plan ends, however long that takes: stretches run on from goal to goal.
        rows = unbroken(rows)
    store = plan_store(rows, inverter.span, bool(inverter.layout.action_size), rests)
    return plan_sampler(inverter, params, store, config.training.batch)


def train_diffusion(config: Config, run: RunFolder, data: Data, key: jax.Array) -> DiffusionParams:
    """Trains the model of plans on the goal-directed data."""
    settings, description = config.training, describe(config)
    inverter = build_diffusion_inverter(description)
    optimizer = default_optimizer(settings.learning_rate, settings.steps)
    rows = plan_channels(data.main, bool(inverter.layout.action_size))
    state = diffusion_state(inverter.diffusion, optimizer, key, rows)
    draw = _sampler(config, inverter, state.params, data)
    update = diffusion_update(inverter.diffusion, optimizer, draw, DiffusionTraining(settings.dropout, settings.decay))
    return averaged(_stage(config, run, "diffusion", update, state, settings.steps))


def distil(config: Config, run: RunFolder, data: Data, key: jax.Array) -> DiffusionInverterParams:
    """Distils the teacher; inverse dynamics stays as it is."""
    settings, description = config.training, describe(config)
    teacher = load_planner(config.teacher)[1].inverter
    inverter = build_diffusion_inverter(description)
    guidance = load_config(config.teacher)[0].guidance
    optimizer = default_optimizer(settings.learning_rate, settings.steps)
    state = consistency_state(optimizer, key, teacher.diffusion)
    update = consistency_update(
        inverter.diffusion,
        teacher.diffusion,
        optimizer,
        _sampler(config, inverter, teacher.diffusion, data),
        sampler_steps("ddim", description.train_steps, _PATH_STEPS),
        guidance,
        DiffusionTraining(settings.dropout, settings.decay),
    )
    return teacher._replace(diffusion=averaged(_stage(config, run, "consistency", update, state, settings.steps)))


def train_inverse_dynamics(config: Config, run: RunFolder, data: Data, key: jax.Array) -> InverseDynamicsParams:
    """Trains inverse dynamics over the plan's gap, on all data."""
    settings, rows = config.inverse, data.joined()
    model = build_diffusion_inverter(describe(config)).inverse_dynamics
    optimizer = default_optimizer(settings.learning_rate, settings.steps)
    state = inverse_dynamics_state(model, optimizer, key, rows, fit_normalizer(rows))
    parts = [part for part in (data.main, data.broad) if part is not None]
    sources = [Source(window_store(part, model.gap), 1.0) for part in parts]
    update = inverse_dynamics_update(model, optimizer, sources, settings.batch)
    return _stage(config, run, "inverse_dynamics", update, state, settings.steps).params


def _stage(config: Config, run: RunFolder, stage: str, update: object, state: object, steps: int) -> object:
    return run_stage(run, stage, update, state, steps, config.block, config.checkpoint_every, f"{stage}_loss")


def train_planner(config: Config, run: RunFolder, seed: int) -> tuple[str, PlannerOf]:
    """The whole training; a run that was killed goes on where its last checkpoint left it.

    Returns:
        The environment's name, and the planner for a number of refinement steps; it is also saved under ``planner/``.
    """
    plan_key, inverse_key = streams(from_seed(seed), "plans", "inverse dynamics")
    description = describe(config)
    base = load_planner(config.base)[1]
    data = load_data(config.data, description.env, run, seed)
    if config.teacher:
        learned = distil(config, run, data, plan_key)
    else:
        learned = DiffusionInverterParams(
            train_diffusion(config, run, data, plan_key), train_inverse_dynamics(config, run, data, inverse_key)
        )
    params = PlannerParams(learned, base.model, base.objective)
    save_planner(run.path / "planner", description, params, shares=config.base)
    return description.env, lambda refine_steps: (build_diffusion_planner(description, refine_steps), params)
