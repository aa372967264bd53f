"""Who competes for the compute budget: every planner, at each setting of its inference options."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from invlearn_jax.io.planners import load_config, load_planner
from invlearn_jax.models import SimulatorModel
from invlearn_jax.planners import InversePlanner, PlannerParams
from invlearn_jax.planners.shooting import Shooting
from invlearn_jax.tasks.maze2d import specs as maze2d_specs
from invlearn_jax.tasks.maze2d.diffusion import MazeDiffusionConfig, build_diffusion_planner
from invlearn_jax.tasks.maze2d.environment import Maze2d
from invlearn_jax.tasks.maze2d.planner import ACTION_SIZE, MazeObjective, build_model, build_refiner
from invlearn_jax.types import Params, Planner

# The published architectures, for their plan time alone: nothing here trains them.
_FULL_DIFFUSER = {"umaze": (128, 64), "medium": (256, 256), "large": (384, 256)}


class Contender(NamedTuple):
    """One row.

    Attributes:
        planner: its name.
        setting: the values of its inference options.
        load: makes it, with parameters.
        trained: the shipped planner it is, or stands on; None where its time alone is measured.
        quick: whether the quick preset has it, and the full one in every maze.
        costly: whether its score takes minutes.
    """

    planner: str
    setting: dict[str, Any]
    load: Callable[[], tuple[Planner, Params]]
    trained: str | None
    quick: bool = False
    costly: bool = False


def contenders(size: str, checkpoints: str = "") -> list[Contender]:
    """All rows of a maze.

    Args:
        size: ``umaze``, ``medium`` or ``large``.
        checkpoints: a folder that is searched for a planner's name before the shipped ones are.

    Returns:
        The rows.
    """
    find = partial(_find, checkpoints)
    name = f"maze2d-{size}-v1"
    return [
        *_inverters(find, name),
        *_diffusers(find, name),
        *_decision_diffusers(find, name),
        *_policies(find, name),
        *_controllers(find, name, oracle=False),
        *_controllers(find, name, oracle=True),
        *_full_size(find, name, size),
    ]


def _find(checkpoints: str, name: str) -> str:
    folder = Path(checkpoints) / name
    return str(folder) if checkpoints and folder.is_dir() else name


def _shipped(
    find: Callable[[str], str], planner: str, trained: str, quick: bool = False, costly: bool = False, **setting: Any
) -> Contender:
    return Contender(planner, setting, lambda: load_planner(find(trained), **setting), trained, quick, costly)


def _inverters(find: Callable, name: str) -> Iterator[Contender]:
    for steps in (0, 2, 10, 50):
        yield _shipped(find, "Inverter", name, steps in (0, 10), refine_steps=steps)
    yield _shipped(find, "Inverter", name, refine_steps=10, candidates=8)


def _diffusers(find: Callable, name: str) -> Iterator[Contender]:
    trained = f"{name}-diffuser"
    most = load_config(find(trained))[0].train_steps
    for follow, title in (("pd", "Diffuser, PD controller"), ("actions", "Diffuser, own actions")):
        yield _shipped(find, title, trained, follow == "pd", follow=follow, sampler="ddpm", denoise_steps=most)
        yield _shipped(find, title, trained, follow == "pd", follow=follow, sampler="ddim", denoise_steps=10)
    yield _shipped(find, "Diffuser, PD controller", trained, sampler="ddim", denoise_steps=3)


def _decision_diffusers(find: Callable, name: str) -> Iterator[Contender]:
    trained, planner = f"{name}-decision-diffuser", "Decision Diffuser"
    guided = {"guidance": 1.4, "temperature": 0.5, "candidates": 1}
    for sampler, steps in (("ddpm", 100), ("ddim", 20), ("ddim", 5)):
        setting = {"sampler": sampler, "denoise_steps": steps, **guided}
        yield _shipped(find, planner, trained, steps == 5, steps == 100, **setting)
    yield _shipped(find, f"{planner}, PD controller", trained, follow="pd", denoise_steps=20, **guided)
    yield _shipped(find, f"{planner}, refined", trained, denoise_steps=5, refine_steps=10, **guided)
    for sampler, steps, count in (
        ("ddim", 20, 50),
        ("ddim", 5, 50),
        ("ddim", 5, 10),
        ("dpm_solver++", 5, 10),
        ("ddim", 20, 1),
    ):
        setting = {"sampler": sampler, "denoise_steps": steps, "candidates": count}
        quick = (sampler, steps, count) == ("ddim", 5, 10)
        yield _shipped(find, "Modern recipe", trained, quick, count == 50, **setting)
    for count in (1, 10, 50):
        yield _shipped(
            find, "Modern recipe, one-step", f"{name}-consistency", count == 10, count == 50, candidates=count
        )


def _policies(find: Callable, name: str) -> Iterator[Contender]:
    yield _shipped(find, "Goal-conditioned BC", f"{name}-bc", quick=True)
    yield _shipped(find, "ReBRAC", f"{name}-rebrac", quick=True)
    yield _shipped(find, "Decision Transformer", f"{name}-dt", quick=True)


def _controllers(find: Callable, name: str, oracle: bool) -> Iterator[Contender]:
    """Model-based control from nothing, each plan starting from the rest of the last."""
    where = "true simulator" if oracle else "learned model"
    for planner, refiner, steps, candidates in (
        ("Random shooting", "adam", 0, 64),
        ("Predictive sampling", "predictive_sampling", 2, 1),
        ("CEM", "cem", 2, 1),
        ("CEM", "cem", 5, 1),
        ("MPPI", "mppi", 2, 1),
        ("Gradient shooting", "adam", 10, 1),
        ("Gradient shooting", "adam", 50, 1),
        ("iLQR", "ilqr", 2, 1),
    ):
        setting = {"refine_steps": steps, "candidates": candidates}
        load = partial(_controller, find, name, refiner, steps, candidates, oracle)
        quick = not oracle and (planner, steps) == ("MPPI", 2)
        yield Contender(f"{planner}, {where}", setting, load, name, quick, oracle)


def _controller(
    find: Callable, name: str, refiner: str, steps: int, candidates: int, oracle: bool
) -> tuple[InversePlanner, PlannerParams]:
    config, params = load_config(find(name))[0], load_planner(find(name))[1]
    model, model_params = build_model(config), params.model
    if oracle:
        # One iteration of the contact solver is what leaves a reverse gradient.
        env = Maze2d(maze2d_specs.spec(config.env), solver_iterations=1 if refiner == "adam" and steps else None)
        model, model_params = SimulatorModel(env), ()
    # From nothing the way is longer than from an Inverter's plan, and the steps larger.
    how = build_refiner(refiner, 0.1)
    start = Shooting(config.horizon, ACTION_SIZE)
    planner = InversePlanner(start, model, MazeObjective(config), how, steps, candidates, config.execute_steps)
    return planner, PlannerParams((), model_params, params.objective)


def _full_size(find: Callable, name: str, size: str) -> Iterator[Contender]:
    base = load_config(find(name))[0]
    horizon, levels = _FULL_DIFFUSER[size]
    full = MazeDiffusionConfig(base=base, multipliers=(1, 4, 8), train_steps=levels)
    diffuser = {"tokens": horizon, "denoise_steps": levels}
    modern = {"denoise_steps": 20, "candidates": 50}
    changes = {"stride": 1, "with_actions": True, "pin_goal": True, "ask_goal": False, "sampler": "ddpm"}
    changes |= {"candidates": 1, "follow": "pd", "gap": 1, "execute_steps": 10_000}
    yield Contender(
        "Diffuser, published size (time only)", diffuser, partial(_untrained, full, **changes, **diffuser), None
    )
    yield Contender("Modern recipe, Diffuser's network (time only)", modern, partial(_untrained, full, **modern), None)


def _untrained(config: MazeDiffusionConfig, **changes: Any) -> tuple[Planner, Params]:
    planner = build_diffusion_planner(dataclasses.replace(config, **changes))
    return planner, planner.init(jax.random.key(0))
