"""Diffusion planners on maze2d from a plain description."""

import dataclasses

from invlearn_jax.models.diffusion import PlanDiffusion, sampler_steps
from invlearn_jax.models.inverse_dynamics import InverseDynamics
from invlearn_jax.names import unknown_name
from invlearn_jax.networks import temporal_unet
from invlearn_jax.planners.diffusion import DiffusionInverter, PlanLayout, Tracker
from invlearn_jax.planners.planner import InversePlanner
from invlearn_jax.settings import bounded, check_settings
from invlearn_jax.tasks.maze2d.planner import (
    ACTION_SIZE,
    DT,
    POSITION_SIZE,
    STATE_LIMITS,
    STATE_SIZE,
    MazeObjective,
    MazePlannerConfig,
    build_model,
    build_refiner,
)

FOLLOW = ("inverse_dynamics", "pd", "actions")
# What may be changed of a trained planner, where it has an effect; see ``inference_options``.
OPTIONS = ("sampler", "denoise_steps", "guidance", "temperature", "follow", "horizon")


@dataclasses.dataclass
class MazeDiffusionConfig:
    """A diffusion planner on maze2d: numbers and names only, so that JSON holds it.

    Attributes:
        base: the planner whose forward model and objective rank the candidates.
        tokens: H.
        stride: steps of 0.01 s between tokens.
        width: of the U-Net's first level.
        multipliers: of the width, by level.
        train_steps: N, levels of noise.
        with_actions: whether plans hold actions beside states, as in Diffuser.
        pin_goal: whether the plan's last token is known to rest at the goal, as in Diffuser.
        ask_goal: whether the goal is a condition that guidance can strengthen, as in Decision Diffuser.
        sampler: ``ddpm``, ``ddim`` or ``dpm_solver++``.
        denoise_steps: levels that the sampler visits.
        guidance: weight of the condition; 0 leaves it out.
        temperature: factor on the noise's standard deviation.
        follow: ``inverse_dynamics``, the published ``pd`` controller, or the plan's own ``actions``.
        gap: steps that inverse dynamics looks ahead.
        inverse_hidden: widths of its network.
        horizon: T, actions that inverse dynamics makes of a plan.
        candidates: plans that are drawn where no number is given.
        execute_steps: motor steps between plans; a followed plan may be shorter.
    """

    base: MazePlannerConfig = dataclasses.field(default_factory=MazePlannerConfig)
    tokens: int = bounded(32, low=2)
    stride: int = bounded(15, low=1)
    width: int = bounded(32, low=1)
    multipliers: tuple[int, ...] = bounded((1, 2, 4), low=1)
    train_steps: int = bounded(100, low=1)
    with_actions: bool = False
    pin_goal: bool = False
    ask_goal: bool = True
    sampler: str = "ddim"
    denoise_steps: int = bounded(20, low=1)
    guidance: float = bounded(1.0, low=0)
    temperature: float = bounded(1.0, low=0)
    follow: str = "inverse_dynamics"
    gap: int = bounded(15, low=1)
    inverse_hidden: tuple[int, ...] = bounded((256, 256), low=1)
    horizon: int = bounded(32, low=1)
    candidates: int = bounded(50, low=1)
    execute_steps: int = bounded(8, low=1)

    @property
    def env(self) -> str:
        """The environment it is for: the base's."""
        return self.base.env


def inference_options(config: MazeDiffusionConfig) -> tuple[str, ...]:
    """Which of ``OPTIONS`` have an effect.

    All samplers take a single step alike, guidance strengthens a condition, and only inverse dynamics makes a number of actions.
    """
    without = {
        "sampler": config.denoise_steps == 1,
        "denoise_steps": config.train_steps == 1,
        "guidance": not config.ask_goal,
        "horizon": config.follow != "inverse_dynamics",
    }
    return tuple(name for name in OPTIONS if not without.get(name, False))


def build_plan_diffusion(config: MazeDiffusionConfig) -> PlanDiffusion:
    """The model of plans."""
    channels = STATE_SIZE + ACTION_SIZE * config.with_actions
    asked = POSITION_SIZE * config.ask_goal
    network = temporal_unet(config.tokens, channels, asked + 1 if asked else 0, config.width, config.multipliers)
    return PlanDiffusion(network, config.tokens, channels, asked, config.train_steps)


def build_diffusion_inverter(config: MazeDiffusionConfig) -> DiffusionInverter:
    """The Inverter of a configuration."""
    return DiffusionInverter(
        build_plan_diffusion(config),
        PlanLayout(config.stride, DT, POSITION_SIZE, ACTION_SIZE * config.with_actions),
        InverseDynamics(
            STATE_SIZE, ACTION_SIZE, config.gap, 1, config.inverse_hidden, POSITION_SIZE, limits=STATE_LIMITS
        ),
        config.horizon,
        sampler_steps(config.sampler, config.train_steps, config.denoise_steps),
        config.pin_goal,
        config.guidance,
        config.temperature,
    )


def build_diffusion_planner(
    config: MazeDiffusionConfig,
    refine_steps: int = 0,
    candidates: int | None = None,
    refiner: str = "adam",
    execute_steps: int | None = None,
) -> InversePlanner | Tracker:
    """The planner of a configuration.

    Args:
        config: what to build.
        refine_steps: K, of the actions that inverse dynamics finds.
        candidates: plans to draw; the configuration's number by default.
        refiner: one of ``tasks.maze2d.planner.REFINERS``.
        execute_steps: steps between plans; the configuration's by default.

    Returns:
        The planner.

    Raises:
        ValueError: for settings that do not fit together; says which are allowed.
    """
    check_settings(config)
    if config.follow not in FOLLOW:
        raise unknown_name("way to follow a plan", config.follow, FOLLOW)
    candidates = config.candidates if candidates is None else candidates
    execute_steps = config.execute_steps if execute_steps is None else execute_steps
    inverter, objective = build_diffusion_inverter(config), MazeObjective(config.base)
    if config.follow == "inverse_dynamics":
        return InversePlanner(
            inverter,
            build_model(config.base),
            objective,
            build_refiner(refiner, config.base.refine_rate),
            refine_steps,
            candidates,
            execute_steps,
        )
    if refine_steps:
        raise ValueError(
            f"refine_steps is {refine_steps}; a plan that is followed by {config.follow!r} is not refined. Give 0, or follow "
            "by 'inverse_dynamics'."
        )
    return Tracker(inverter, objective, config.follow, execute_steps, candidates)
