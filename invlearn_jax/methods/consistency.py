"""A Decision Diffuser distilled to one step (consistency distillation, arXiv 2303.01469)."""

import dataclasses

import jax

from invlearn_jax.keys import streams
from invlearn_jax.learn.diffusion import DiffusionTraining, averaged, consistency_state, consistency_update
from invlearn_jax.learn.loop import default_optimizer
from invlearn_jax.learn.stages import Run
from invlearn_jax.methods import scoring
from invlearn_jax.methods.plan_diffusion import (
    INFERENCE_OPTIONS,
    PlanSettings,
    PlanTraining,
    build_inverter,
    build_planner,
    draw_plans,
    inference_options,
    learn_plans,
)
from invlearn_jax.methods.saved import load_planner
from invlearn_jax.methods.scoring import shared
from invlearn_jax.models.diffusion import sampler_steps
from invlearn_jax.planners.diffusion import DiffusionInverter, DiffusionInverterParams, Tracker
from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key

build = build_planner
__all__ = ["INFERENCE_OPTIONS", "Settings", "build", "fit", "inference_options", "shared"]

_PATH_STEPS = 20  # of the teacher's sampler, which distillation follows


@dataclasses.dataclass
class Settings(PlanSettings):
    """``PlanSettings`` of student and teacher, with one denoising step.

    Attributes:
        teacher: the diffusion planner to distil, by its shipped name or folder, with plans of these settings; ``""`` trains one
            first, as ``decision-diffuser`` does.
        distilling: training of the student; see ``PlanTraining``.
    """

    denoise_steps: int = bounded(1, low=1)
    teacher: str = ""
    distilling: PlanTraining = dataclasses.field(default_factory=lambda: PlanTraining(steps=3000, learning_rate=3e-4))


def fit(task: Task, settings: Settings, run: Run, key: Key) -> tuple[InversePlanner | Tracker, PlannerParams]:
    """Learns a planner for a task. The key is consumed. See ``methods.inverter.fit``.

    Raises:
        ValueError: for a teacher that is unknown, no diffusion planner, or one whose plans are not of these settings.
    """
    planner, inverter, guidance = build(task, settings), build_inverter(task, settings), settings.guidance
    data_key, scoring_key, plans_key, key = streams(key, "data", "scoring", "plans", "distilling")
    taught = None
    if settings.teacher:
        taught, guidance = _teacher(settings.teacher, inverter)
    parts = scoring.load_parts(task, settings, run, data_key)
    scored = scoring.learn_scoring(task, settings, run, parts, scoring_key)
    if taught is None:
        taught = learn_plans(task, settings, run, parts, plans_key)
    own = settings.distilling
    optimizer = default_optimizer(own.learning_rate, own.steps)
    draw_settings = dataclasses.replace(settings, training=own)
    update = consistency_update(
        inverter.diffusion,
        taught.diffusion,
        optimizer,
        draw_plans(task, draw_settings, taught.diffusion, next(iter(parts.values())).rows),
        sampler_steps("ddim", settings.train_steps, min(_PATH_STEPS, settings.train_steps)),
        guidance,
        DiffusionTraining(own.dropout, own.decay),
    )
    state = consistency_state(optimizer, key, taught.diffusion)
    saved = settings.block, settings.checkpoint_every
    student = averaged(run.train("consistency", update, state, own.steps, *saved, "consistency_loss"))
    return planner, PlannerParams(taught._replace(diffusion=student), *scored)


def _teacher(name: str, student: DiffusionInverter) -> tuple[DiffusionInverterParams, float]:
    """The teacher's parameters and its guidance."""
    planner, params = load_planner(name)
    teacher = planner.inverter if isinstance(planner, InversePlanner | Tracker) else None
    if not isinstance(teacher, DiffusionInverter):
        raise ValueError(f"teacher is {name}, no diffusion planner; give one.")
    theirs, own = _form(teacher), _form(student)
    wrong = [f"{part} is {theirs[part]} there, {own[part]} here" for part in own if theirs[part] != own[part]]
    if wrong:
        raise ValueError(f"Plans of the teacher {name} are others: {'; '.join(wrong)}. Give the teacher's settings.")
    return params.inverter, teacher.guidance


def _form(inverter: DiffusionInverter) -> dict[str, object]:
    """What must be the same for a teacher and its student."""
    shapes = jax.eval_shape(inverter.init, jax.random.key(0))
    return {
        "stride": inverter.layout.stride,
        "train_steps": inverter.diffusion.train_steps,
        "gap": inverter.inverse_dynamics.gap,
        "pin_goal": inverter.pin_goal,
        "arrays of networks": str(jax.tree.map(lambda x: x.shape, shapes)),
    }
