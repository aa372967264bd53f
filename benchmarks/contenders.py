"""Who competes for the compute budget: every planner, at each setting of its inference options."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from invlearn_jax.methods.registry import find_method
from invlearn_jax.methods.saved import Description, describe_planner, load_planner, planner_names
from invlearn_jax.models import SimulatorModel
from invlearn_jax.names import unknown_name
from invlearn_jax.parametrisation import Box
from invlearn_jax.planners import InversePlanner, PlannerParams
from invlearn_jax.planners.shooting import Shooting, ShootingPlanner
from invlearn_jax.planners.watched import WatchedPlanner
from invlearn_jax.refine.named import named_refiner
from invlearn_jax.settings import with_settings
from invlearn_jax.tasks.registry import load_module, task_reference
from invlearn_jax.tasks.task import JudgesPlans, Task
from invlearn_jax.types import Params, Planner

# Diffuser as published, for its plan time alone: nothing here trains it. Tokens and levels of noise.
_FULL_DIFFUSER = {"maze2d-umaze-v1": (128, 64), "maze2d-medium-v1": (256, 256), "maze2d-large-v1": (384, 256)}
# From nothing the way is longer than from an Inverter's plan, and the steps larger.
_RATE = 0.1


class Contender(NamedTuple):
    """One row.

    Attributes:
        planner: its name.
        setting: the values of its inference options.
        load: makes it, with parameters.
        trained: the saved planner or file that it is, or stands on; None where its time alone is measured.
        quick: whether the quick preset has it, and the full one for every task.
        costly: whether its score takes minutes.
    """

    planner: str
    setting: dict[str, Any]
    load: Callable[[], tuple[Planner, Params]]
    trained: str | None
    quick: bool = False
    costly: bool = False


def published_contenders(task: Task, checkpoints: str = "") -> list[Contender]:
    """All rows of the published record for a task: every shipped planner for it, and model-based control on its models.

    Args:
        task: one that planners are shipped for under its name.
        checkpoints: a folder that is searched for a planner's name before the shipped ones are.

    Returns:
        The rows.

    Raises:
        ValueError: if no planner is shipped under the task's name.
    """
    name = task.name
    if name not in planner_names():
        raise unknown_name(
            "task with a published record (for others, name planners by --planners)", name, planner_names()
        )
    find = partial(_find, checkpoints)
    shipped = [
        (f"{name}-diffuser", _diffusers),
        (f"{name}-decision-diffuser", _decision_diffusers),
        (f"{name}-consistency", _consistency),
        (f"{name}-bc", partial(_policy, title="Goal-conditioned BC")),
        (f"{name}-rebrac", partial(_policy, title="ReBRAC")),
        (f"{name}-dt", partial(_policy, title="Decision Transformer")),
    ]
    rows = list(_inverters(task, "Inverter", find(name)))
    for planner, options in shipped:
        if planner in planner_names():
            rows += options(task, find(planner))
    rows += _controllers(task, find(name), "")
    if name in _FULL_DIFFUSER:
        rows += _full_size(task, find)
    return rows


def own_contenders(task: Task, name: str) -> list[Contender]:
    """The rows of one planner for a task.

    Args:
        task: what to plan for.
        name: a shipped planner, a folder, or ``FILE.py:factory`` with ``factory(task) -> (planner, params)``.

    Returns:
        The rows; none for a saved planner that is another task's.

    Raises:
        ValueError: for an unknown planner, or a file without that function.
        FileNotFoundError: if the file is missing.
    """
    if ".py:" in name:
        return [Contender(name, {}, partial(_made, name, task), name, quick=True)]
    found = describe_planner(name)
    if task_reference(found.task) != task_reference(task):
        return []
    if found.method != "inverter":
        return [_saved(task, name, name, quick=True)]
    own = list(_inverters(task, name, name))
    return own if isinstance(task, JudgesPlans) else [*own, *_controllers(task, name, f" of {name}")]


def _find(checkpoints: str, name: str) -> str:
    folder = Path(checkpoints) / name
    return str(folder) if checkpoints and folder.is_dir() else name


def _made(name: str, task: Task) -> tuple[Planner, Params]:
    file, _, function = name.rpartition(":")
    factory = getattr(load_module(Path(file)), function, None)
    if not callable(factory):
        raise ValueError(
            f"{file} has no function {function}. Give FILE.py:factory with factory(task) -> (planner, params)."
        )
    made = factory(task)
    if not (isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], Planner)):
        raise ValueError(
            f"{name} gave {made!r:.80}; let it give (planner, params), the planner with horizon, execute_steps, init and plan."
        )
    return made


def _saved(
    task: Task, planner: str, trained: str, quick: bool = False, costly: bool = False, **setting: Any
) -> Contender:
    load = partial(load_planner, trained, task=task, **setting)
    return Contender(planner, setting, load, Path(trained).name, quick, costly)


def _inverters(task: Task, title: str, trained: str) -> Iterator[Contender]:
    for steps in (0, 2, 10, 50):
        yield _saved(task, title, trained, steps in (0, 10), refine_steps=steps)
    yield _saved(task, title, trained, refine_steps=10, candidates=8)


def _diffusers(task: Task, trained: str) -> Iterator[Contender]:
    most = describe_planner(trained).settings.train_steps
    for follow, title in (("pd", "Diffuser, PD controller"), ("actions", "Diffuser, own actions")):
        yield _saved(task, title, trained, follow == "pd", follow=follow, sampler="ddpm", denoise_steps=most)
        yield _saved(task, title, trained, follow == "pd", follow=follow, sampler="ddim", denoise_steps=10)
    yield _saved(task, "Diffuser, PD controller", trained, sampler="ddim", denoise_steps=3)


def _decision_diffusers(task: Task, trained: str) -> Iterator[Contender]:
    planner, guided = "Decision Diffuser", {"guidance": 1.4, "temperature": 0.5, "candidates": 1}
    for sampler, steps in (("ddpm", 100), ("ddim", 20), ("ddim", 5)):
        setting = {"sampler": sampler, "denoise_steps": steps, **guided}
        yield _saved(task, planner, trained, steps == 5, steps == 100, **setting)
    yield _saved(task, f"{planner}, PD controller", trained, follow="pd", denoise_steps=20, **guided)
    yield _saved(task, f"{planner}, refined", trained, denoise_steps=5, refine_steps=10, **guided)
    for sampler, steps, count in (
        ("ddim", 20, 50),
        ("ddim", 5, 50),
        ("ddim", 5, 10),
        ("dpm_solver++", 5, 10),
        ("ddim", 20, 1),
    ):
        setting = {"sampler": sampler, "denoise_steps": steps, "candidates": count}
        quick = (sampler, steps, count) == ("ddim", 5, 10)
        yield _saved(task, "Modern recipe", trained, quick, count == 50, **setting)


def _consistency(task: Task, trained: str) -> Iterator[Contender]:
    for count in (1, 10, 50):
        yield _saved(task, "Modern recipe, one-step", trained, count == 10, count == 50, candidates=count)


def _policy(task: Task, trained: str, title: str) -> Iterator[Contender]:
    yield _saved(task, title, trained, quick=True)


def _controllers(task: Task, trained: str, whose: str) -> Iterator[Contender]:
    """Model-based control from nothing, each plan starting from the rest of the last, on the planner's model and on the truth."""
    for oracle, where in ((False, f"learned model{whose}"), (True, "true simulator")):
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
            how = named_refiner(refiner, _RATE)
            needs = how.needs if steps else "nothing"
            if oracle and not _has(task, needs):
                continue
            setting = {"refine_steps": steps, "candidates": candidates}
            load = partial(_controller, task, trained, refiner, steps, candidates, oracle)
            quick = not oracle and (planner, steps) == ("MPPI", 2)
            yield Contender(f"{planner}, {where}", setting, load, Path(trained).name, quick, oracle)


def _has(task: Task, needs: str) -> bool:
    """Whether the task's physics have the gradient that a refiner needs."""
    gradient = task.differentiable().gradient if needs == "reverse" else task.gradient
    return needs == "nothing" or gradient in ("reverse", needs)


def _controller(
    task: Task, trained: str, refiner: str, steps: int, candidates: int, oracle: bool
) -> tuple[InversePlanner, PlannerParams]:
    base, params = load_planner(trained, task=task)
    if isinstance(base, WatchedPlanner):
        base, params = base.planner, params.planner
    how = named_refiner(refiner, _RATE)
    model, model_params = base.model, params.model
    if oracle:
        model, model_params = SimulatorModel(task.differentiable() if how.needs == "reverse" and steps else task), ()
    start = Shooting(
        base.horizon, task.action_size, parametrisation=Box(task.action_low, task.action_high, base.horizon)
    )
    planner = ShootingPlanner(start, model, base.objective, how, steps, candidates, base.execute_steps)
    return planner, PlannerParams((), model_params, params.objective)


def _full_size(task: Task, find: Callable[[str], str]) -> Iterator[Contender]:
    """Networks of the size that Diffuser was published with, over the shipped planners' settings."""
    horizon, levels = _FULL_DIFFUSER[task.name]
    network = {"multipliers": (1, 4, 8), "train_steps": levels}
    diffuser = {"tokens": horizon, "denoise_steps": levels}
    full = {**network, **diffuser, "stride": 1, "gap": 1, "follow": "pd", "sampler": "ddpm", "candidates": 1}
    modern = {"denoise_steps": 20, "candidates": 50}
    for title, trained, changes, setting in (
        ("Diffuser, published size (time only)", "diffuser", full, diffuser),
        ("Modern recipe, Diffuser's network (time only)", "decision-diffuser", {**network, **modern}, modern),
    ):
        found = describe_planner(find(f"{task.name}-{trained}"))
        yield Contender(title, setting, partial(_untrained, task, found, changes), None)


def _untrained(task: Task, found: Description, changes: dict[str, Any]) -> tuple[Planner, Params]:
    planner = find_method(found.method, task).build(task, with_settings(found.settings, changes))
    return planner, planner.init(jax.random.key(0))
