"""What the diffusion planners have in common: settings, networks, training of the model of plans and of inverse dynamics."""

import dataclasses
from typing import Literal

from invlearn_jax.data.dataset import Dataset, concatenate, window_store
from invlearn_jax.data.plans import plan_store
from invlearn_jax.keys import streams
from invlearn_jax.learn.diffusion import (
    DiffusionTraining,
    DrawPlans,
    averaged,
    diffusion_state,
    diffusion_update,
    plan_sampler,
)
from invlearn_jax.learn.forward_model import Source
from invlearn_jax.learn.inverse_dynamics import inverse_dynamics_state, inverse_dynamics_update
from invlearn_jax.learn.loop import default_optimizer
from invlearn_jax.learn.stages import Run
from invlearn_jax.methods import scoring
from invlearn_jax.methods.inverter_training import Parts
from invlearn_jax.methods.registry import NotRefinedError
from invlearn_jax.methods.scoring import ScoringSettings
from invlearn_jax.models.diffusion import DiffusionParams, PlanDiffusion, sampler_steps
from invlearn_jax.models.inverse_dynamics import InverseDynamics, InverseDynamicsParams
from invlearn_jax.names import unknown_name
from invlearn_jax.networks import temporal_unet
from invlearn_jax.planners.diffusion import DiffusionInverter, DiffusionInverterParams, PlanLayout, Tracker
from invlearn_jax.planners.planner import InversePlanner
from invlearn_jax.refine.named import named_refiner
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key

FOLLOW = ("inverse_dynamics", "pd", "actions")
INFERENCE_OPTIONS = ("sampler", "denoise_steps", "guidance", "temperature", "follow", "horizon")


@dataclasses.dataclass
class PlanTraining:
    """Training of the model of plans; see ``learn.diffusion``.

    Attributes:
        steps: updates.
        batch: plans per update.
        learning_rate: greatest.
        dropout: probability that the goal is left out.
        decay: of the moving average.
    """

    steps: int = bounded(16_000, low=1)
    batch: int = bounded(64, low=1)
    learning_rate: float = bounded(1e-3, above=0.0)
    dropout: float = bounded(0.25, low=0.0, high=1.0)
    decay: float = bounded(0.999, low=0.0, below=1.0)


@dataclasses.dataclass
class InverseTraining:
    """Training of the inverse dynamics: updates, pairs per update, learning rate."""

    steps: int = bounded(4000, low=1)
    batch: int = bounded(512, low=1)
    learning_rate: float = bounded(2e-3, above=0.0)


@dataclasses.dataclass
class PlanSettings(ScoringSettings):
    """A diffusion planner.

    Attributes:
        tokens: H.
        stride: steps between tokens.
        width: of the U-Net's first level.
        multipliers: of the width, by level.
        train_steps: N, levels of noise.
        with_actions: whether plans hold actions beside states, as in Diffuser.
        pin_goal: whether the plan's last token is known to be at the goal, as in Diffuser.
        ask_goal: whether the goal is a condition that guidance can strengthen, as in Decision Diffuser.
        sampler: ``ddpm``, ``ddim`` or ``dpm_solver++``.
        denoise_steps: levels that the sampler visits.
        guidance: weight of the condition; 0 leaves it out.
        temperature: factor on the noise's standard deviation.
        follow: ``inverse_dynamics``, the published ``pd`` controller (for tasks of second order), or the plan's own ``actions``.
        gap: steps that inverse dynamics looks ahead; 0 for the stride.
        inverse_hidden: widths of its network.
        horizon: T, actions that inverse dynamics makes of a plan; 0 for the task's horizon, as far as the plan reaches.
        candidates: plans that are drawn where no number is given.
        execute_steps: steps between plans; a followed plan may be shorter; 0 for the task's.
        training: see ``PlanTraining``.
        inverse: see ``InverseTraining``.
    """

    tokens: int = bounded(32, low=2)
    stride: int = bounded(1, low=1)
    width: int = bounded(32, low=1)
    multipliers: tuple[int, ...] = bounded((1, 2, 4), low=1)
    train_steps: int = bounded(100, low=1)
    with_actions: bool = False
    pin_goal: bool = False
    ask_goal: bool = True
    sampler: str = "ddim"
    denoise_steps: int = bounded(20, low=1)
    guidance: float = bounded(1.0, low=0.0)
    temperature: float = bounded(1.0, low=0.0)
    follow: str = "inverse_dynamics"
    gap: int = bounded(0, low=0)
    inverse_hidden: tuple[int, ...] = bounded((256, 256), low=1)
    horizon: int = bounded(0, low=0)
    candidates: int = bounded(50, low=1)
    execute_steps: int = bounded(0, low=0)
    training: PlanTraining = dataclasses.field(default_factory=PlanTraining)
    inverse: InverseTraining = dataclasses.field(default_factory=InverseTraining)


def inference_options(settings: PlanSettings) -> tuple[str, ...]:
    """Which of ``INFERENCE_OPTIONS`` have an effect.

    All samplers take a single step alike, guidance strengthens a condition, and only inverse dynamics makes a number of actions.
    """
    without = {
        "sampler": settings.denoise_steps == 1,
        "denoise_steps": settings.train_steps == 1,
        "guidance": not settings.ask_goal,
        "horizon": settings.follow != "inverse_dynamics",
    }
    return tuple(name for name in INFERENCE_OPTIONS if not without.get(name, False))


def build_inverter(task: Task, settings: PlanSettings) -> DiffusionInverter:
    """The Inverter.

    Raises:
        ValueError: for settings that do not fit together; says which are allowed.
    """
    layout = PlanLayout(task, settings.stride, settings.with_actions)
    size = task.goal_size * settings.ask_goal
    network = temporal_unet(
        settings.tokens, layout.channels, size + 1 if size else 0, settings.width, settings.multipliers
    )
    gap = settings.gap or settings.stride
    reach = (settings.tokens - 1) * settings.stride - gap
    return DiffusionInverter(
        PlanDiffusion(network, settings.tokens, layout.channels, size, settings.train_steps),
        layout,
        InverseDynamics(task, gap, 1, settings.inverse_hidden),
        settings.horizon or min(task.horizon, reach),
        sampler_steps(settings.sampler, settings.train_steps, settings.denoise_steps),
        settings.pin_goal,
        settings.guidance,
        settings.temperature,
    )


def build_planner(
    task: Task,
    settings: PlanSettings,
    refine_steps: int = 0,
    candidates: int | None = None,
    refiner: str = "adam",
    execute_steps: int | None = None,
) -> InversePlanner | Tracker:
    """The planner for a task; ``refine_steps`` of the actions that inverse dynamics finds. See ``methods.inverter.build``.

    Raises:
        ValueError: for settings that do not fit together; says which are allowed.
    """
    if settings.follow not in FOLLOW:
        raise unknown_name("way to follow a plan", settings.follow, FOLLOW)
    inverter = build_inverter(task, settings)
    candidates = settings.candidates if candidates is None else candidates
    if execute_steps is None:
        # The task's own number is for plans of its own horizon.
        usual = min(task.steps_executed(inverter.horizon), inverter.horizon)
        execute_steps = settings.execute_steps or usual
    model, objective = scoring.model_and_objective(task, settings, inverter.horizon)
    if settings.follow == "inverse_dynamics":
        how = named_refiner(refiner, settings.refine_rate)
        return InversePlanner(inverter, model, objective, how, refine_steps, candidates, execute_steps)
    if refine_steps:
        raise NotRefinedError(
            f"refine_steps is {refine_steps}; a plan that is followed by {settings.follow!r} is not refined. Give 0, or follow "
            "by 'inverse_dynamics'."
        )
    controller: Literal["pd", "actions"] = "pd" if settings.follow == "pd" else "actions"
    return Tracker(inverter, objective, controller, execute_steps, candidates)


def draw_plans(task: Task, settings: PlanSettings, params: DiffusionParams, rows: Dataset) -> DrawPlans:
    """Draws plans from the rows, for parameters that hold the channels' limits.

    Raises:
        ValueError: if no episode is as long as a plan.
    """
    inverter = build_inverter(task, settings)
    if not inverter.rests:
        # The goal is to be where the plan ends, however long that takes.
        rows = task.joined(rows)
    store = plan_store(rows, inverter.layout.rows(rows), inverter.span, inverter.rests)
    return plan_sampler(inverter, params, store, settings.training.batch)


def learn_plans(task: Task, settings: PlanSettings, run: Run, parts: Parts, key: Key) -> DiffusionInverterParams:
    """Trains the model of plans on the data's first part, and inverse dynamics on all. The key is consumed."""
    inverter, training = build_inverter(task, settings), settings.training
    plan_key, inverse_key = streams(key, "plans", "inverse dynamics")
    rows = next(iter(parts.values())).rows
    optimizer = default_optimizer(training.learning_rate, training.steps)
    state = diffusion_state(inverter.diffusion, optimizer, plan_key, inverter.layout.rows(rows))
    draw = draw_plans(task, settings, state.params, rows)
    update = diffusion_update(inverter.diffusion, optimizer, draw, DiffusionTraining(training.dropout, training.decay))
    saved = settings.block, settings.checkpoint_every
    plans = averaged(run.train("diffusion", update, state, training.steps, *saved, "diffusion_loss"))
    return DiffusionInverterParams(
        plans, _learn_inverse(task, settings, inverter.inverse_dynamics, run, parts, inverse_key)
    )


def _learn_inverse(
    task: Task, settings: PlanSettings, model: InverseDynamics, run: Run, parts: Parts, key: Key
) -> InverseDynamicsParams:
    own, scaled = settings.inverse, [scoring.shares(task, part.rows) for part in parts.values()]
    optimizer = default_optimizer(own.learning_rate, own.steps)
    state = inverse_dynamics_state(model, optimizer, key, concatenate(*scaled))
    sources = [Source(window_store(rows, model.gap), 1.0) for rows in scaled]
    update = inverse_dynamics_update(model, optimizer, sources, own.batch)
    saved = settings.block, settings.checkpoint_every
    return run.train("inverse_dynamics", update, state, own.steps, *saved, "inverse_dynamics_loss").params
