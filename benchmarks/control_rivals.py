"""Who competes in control: trained Inverters, and sampling MPC on the true simulator as its users run it."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax

from benchmarks.contenders import Contender
from invlearn_jax.files import read_json
from invlearn_jax.methods.saved import describe_planner, load_planner
from invlearn_jax.models import HostSimulatorModel, SimulatorModel
from invlearn_jax.objectives import ObjectiveWeights, TaskObjective
from invlearn_jax.parametrisation import Box
from invlearn_jax.planners import SamplingPlanner, Shooting
from invlearn_jax.planners.planner import PlannerParams
from invlearn_jax.refine import Refiner, cem, dial, mppi, predictive_sampling
from invlearn_jax.tasks.registry import task_reference
from invlearn_jax.tasks.task import Task

REFINE_STEPS = (0, 10)  # of Inverters
_SECONDS = 1.0  # that sampling MPC plans ahead
_KNOTS = 8  # values of its noise, each held for as long


class Rival(NamedTuple):
    """A setting of sampling MPC.

    Attributes:
        planner: its name.
        samples: per round.
        rounds: per plan.
        sigma: standard deviation of the noise, as a share of half the actions' range.
        quick: whether the quick preset has it.
        on_mjx: whether it simulates on MJX instead of C MuJoCo.
        played: whether more than its time is measured.
    """

    planner: str
    samples: int
    rounds: int
    sigma: float = 0.3
    quick: bool = False
    on_mjx: bool = False
    played: bool = True

    def refiner(self) -> Refiner:
        """What moves its plans."""
        made = {
            "Predictive sampling": predictive_sampling,
            "MPPI": mppi,
            "CEM": partial(cem, elites=max(2, self.samples // 32)),
            "DIAL": dial,
        }
        return made[self.planner](self.samples, sigma=self.sigma, knots=_KNOTS)


# Chosen on another seed. Cubic splines of 8 coefficients, fitted anew to what is left of each plan, did worse (cart-pole,
# predictive sampling: 2.98 for 1.88, single unrecorded runs).
RIVALS = (
    Rival("Predictive sampling", 32, 1, quick=True),
    Rival("MPPI", 32, 1, 0.5, quick=True),
    Rival("CEM", 32, 1, 0.5, quick=True),
    Rival("DIAL", 16, 2, 0.5, quick=True),
    Rival("Predictive sampling", 128, 1),
    Rival("MPPI", 128, 1, 0.5),
    Rival("MPPI", 512, 1, 0.5),
    Rival("CEM", 128, 1, 0.5),
    Rival("DIAL", 64, 2, 0.5),
    Rival("Predictive sampling", 128, 1, on_mjx=True, played=False),
)


def contenders(task: Task, planners: list[str], quick: bool, sigma: float | None = None) -> list[Contender]:
    """The rows of a task: the Inverters among the planners that are of it, then the rivals.

    Args:
        task: what is to be controlled.
        planners: folders of planners, or of runs that hold one.
        quick: leaves out what takes long.
        sigma: of all rivals' noise, see ``Rival``; by default as each has it.

    Returns:
        The rows.

    Raises:
        ValueError: for a folder without a planner.
    """
    found = [row for name in planners for row in _inverters(task, name)]
    rivals = [rival._replace(sigma=sigma or rival.sigma) for rival in RIVALS if rival.quick == quick]
    return found + [_contender(task, rival) for rival in rivals]


def planner_folder(name: str) -> str:
    """The planner's folder, given its own or its run's."""
    inside = Path(name) / "planner"
    return str(inside) if (inside / "planner.json").is_file() else name


def train_seconds(name: str) -> float | None:
    """Seconds from the beginning of the run that a planner is of until it was saved, pauses included; None for no run."""
    planner = Path(planner_folder(name))
    manifest = planner.parent / "manifest.json"
    if not manifest.is_file():
        return None
    begin = datetime.fromisoformat(read_json(manifest)["date"]).timestamp()
    return (planner / "planner.json").stat().st_mtime - begin


def _inverters(task: Task, name: str) -> Iterator[Contender]:
    folder = planner_folder(name)
    described = describe_planner(folder)
    if task_reference(described.task) != task_reference(task):
        return
    for steps in REFINE_STEPS if described.method == "inverter" else (0,):
        setting = {"refine_steps": steps, "simulator": None}
        title = described.method.replace("-", " ").capitalize()
        yield Contender(title, setting, partial(load_planner, folder, refine_steps=steps, task=task), name)


def _contender(task: Task, rival: Rival) -> Contender:
    setting = {
        "refine_steps": rival.rounds,
        "samples": rival.samples,
        "sigma": rival.sigma,
        "knots": _KNOTS,
        "simulator": "MJX" if rival.on_mjx else "C MuJoCo",
    }
    return Contender(rival.planner, setting, partial(_load, task, rival), "" if rival.played else None)


def _load(task: Task, rival: Rival) -> tuple[SamplingPlanner, PlannerParams]:
    horizon = max(1, round(_SECONDS / task.dt))
    box = Box(task.action_low, task.action_high, horizon)
    planner = SamplingPlanner(
        Shooting(horizon, task.action_size, parametrisation=box),
        SimulatorModel(task) if rival.on_mjx else HostSimulatorModel(task),
        TaskObjective(task, ObjectiveWeights()),
        rival.refiner(),
        rival.rounds,
        execute_steps=task.steps_executed(),
    )
    return planner, planner.init(jax.random.key(0))
