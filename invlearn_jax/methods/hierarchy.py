"""Inverse Learning on two levels: sub-goals over a planner that was learned already, for a task of the same states and actions.

    x' = x_{t + hold}    for    x = ahead(s_t, tau),  u = (subgoal - x) / reach,    while the lower level acts towards the subgoal

is what the upper level's model learns, by executing the lower level, by following it through its own learned model, or from
what the data did; its Inverter is trained through that model as any other. tau is ``upper.tail.look_ahead``: where a state is
about to be tells of its speed, too.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.data.dataset import Dataset, concatenate, kept_rows
from invlearn_jax.keys import generator, streams
from invlearn_jax.learn.stages import Run
from invlearn_jax.methods import inverter, inverter_settings
from invlearn_jax.methods import inverter_training as training
from invlearn_jax.methods.level_rows import evenly, hindsight_rows, level_rows, often_visited
from invlearn_jax.methods.registry import Shared
from invlearn_jax.methods.saved import load_planner
from invlearn_jax.names import unknown_name
from invlearn_jax.planners.hierarchy import Hierarchy, HierarchyParams
from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.task import Part, Task, Terms
from invlearn_jax.types import Key, Problem

LEVELS = ("executed", "simulated", "data")
_PLACES = 50_000  # from which the upper level's problems are drawn


@dataclasses.dataclass
class LevelSettings:
    """What the lower level is seen to do: ``robots`` side by side, ``rounds`` random sub-goals each, in so many ``episodes``.

    Its actions are ``executed`` on the task's simulator, or ``simulated`` by the lower level's own model: no simulator is needed
    then, and what that model does not know (walls, say, where it sees no position) is told by ``upper.objective.unvisited``
    alone. With ``data`` the lower level is not used: so many rows of the data (robots x episodes x rounds) are taken, whose
    later places count as the sub-goals that it was sent to; see ``level_rows.hindsight_rows``.
    """

    kind: str = "executed"
    robots: int = bounded(256, low=1)
    episodes: int = bounded(6, low=1)
    rounds: int = bounded(10, low=1)


def _upper() -> inverter.Settings:
    settings = inverter.Settings()
    settings.model = inverter_settings.ModelSettings(chunk=1, horizon=1, batch=1024)
    settings.tail.kind = "graph"
    settings.inverter = inverter_settings.TrainingSettings(steps=6000, advance=(1, 2, 3), state_noise=0.0)
    settings.correction.rounds = 0
    return settings


@dataclasses.dataclass
class Settings:
    """Two levels.

    Attributes:
        lower: the planner of the lower level, by its shipped name or folder.
        hold: steps that the upper level's model sees a sub-goal held for.
        subgoals: how many a plan holds.
        reach: how far a sub-goal lies from the place at most along each axis, in the goal's units; 0 for half the usual way from
            the task's states to their goals.
        near: from the goal, within which the goal itself is the sub-goal.
        often: rows that a bin of places (``upper.tail.bin_size``) must hold for its places to count as among the data. Where
            nothing is executed this keeps plans on the ways that whoever made the data went, away from walls.
        execute_steps: steps between plans of the upper level.
        level: see ``LevelSettings``.
        upper: of the upper level, as of the method ``inverter``; it has no rounds of correction and no cloning.
    """

    lower: str = ""
    hold: int = bounded(10, low=1)
    subgoals: int = bounded(6, low=1)
    reach: float = bounded(0.0, low=0.0)
    near: float = bounded(0.0, low=0.0)
    often: int = bounded(1, low=1)
    execute_steps: int = bounded(5, low=1)
    level: LevelSettings = dataclasses.field(default_factory=LevelSettings)
    upper: inverter.Settings = dataclasses.field(default_factory=_upper)


class SubgoalTask(Task):
    """The upper level's task: its states are the places of another task's goal space, its actions sub-goals."""

    def __init__(self, task: Task, hold: int, subgoals: int, reach: float) -> None:
        """Over a task.

        Args:
            task: whose goals are places.
            hold: steps of it that a sub-goal is held for.
            subgoals: T.
            reach: what an action of 1 is worth, in the places' units.
        """
        self._task, self.reach = task, reach
        self.name = f"{task.name}, sub-goals"
        self.dt, self.horizon = hold * task.dt, subgoals
        self.state_size = self.action_size = self.goal_size = self.fourier_size = task.goal_size

    def goal_features(self, state: Float[Array, " G"], goal: Float[Array, " G"]) -> Float[Array, " G"]:
        """The goal."""
        return goal

    def covered_goal(self, goal: Float[Array, " G"]) -> Float[Array, " G"]:
        """The goal: a place that data must have come to."""
        return goal

    def cost(self, state: Float[Array, " G"], action: Float[Array, " G"], goal: Float[Array, " G"]) -> Terms:
        """The task's cost of a place."""
        return self._task.place_cost(state, goal)

    def draw_state(self, key: Key) -> Float[Array, " G"]:
        """The place of one of the task's states. The key is consumed."""
        return self._task.achieved(self._task.draw_state(key))

    def draw_goal(self, key: Key) -> Float[Array, " G"]:
        """The task's. The key is consumed."""
        return self._task.draw_goal(key)


def shared(settings: Settings) -> dict[str, Shared]:
    """Which part of the parameters another planner's folder holds: the lower level's."""
    return {".lower": Shared(settings.lower)}


def build(
    task: Task,
    settings: Settings,
    refine_steps: int = 0,
    candidates: int | None = None,
    refiner: str = "adam",
    execute_steps: int | None = None,
) -> Hierarchy:
    """The planner for a task; ``refine_steps`` and ``candidates`` hold for both levels. See ``methods.inverter.build``.

    Raises:
        ValueError: for a task without goals, an unknown lower level or one of other states, actions or goals, or settings that
            do not fit together.
    """
    if not task.goal_size:
        raise ValueError(f"{task.name} has no goals, so there are no sub-goals to them. Use the method 'inverter'.")
    if settings.level.kind not in LEVELS:
        raise unknown_name("kind of level", settings.level.kind, LEVELS)
    own = settings.upper
    if own.correction.rounds or own.cloning.steps or own.cloning.weight or own.watch.steps:
        raise ValueError(
            "The upper level has neither correction nor cloning, and no second model: set upper.correction.rounds, "
            "upper.cloning.steps, upper.cloning.weight and upper.watch.steps to 0."
        )
    if not settings.lower:
        raise ValueError(
            "lower is ''; give the planner of the lower level, a shipped name or a folder: --config.lower=runs/lower/planner."
        )
    lower = load_planner(settings.lower, refine_steps, candidates, refiner)[0]
    if not isinstance(lower, InversePlanner):
        raise ValueError(f"The lower level {settings.lower} is a {type(lower).__name__}; give a planner of one level.")
    for name in ("state_size", "action_size", "goal_size"):
        have, want = getattr(lower.inverter, name, None), getattr(task, name)
        if have != want:
            raise ValueError(
                f"{name} of the lower level {settings.lower} is {have}, of {task.name} {want}. Give another one."
            )
    subgoals = _subgoal_task(task, settings)
    upper = inverter.unwatched(subgoals, settings.upper, refine_steps, candidates, refiner)
    steps = settings.execute_steps if execute_steps is None else execute_steps
    return Hierarchy(upper, lower, _place_of(task, settings), subgoals.reach, steps, settings.near)


def _place_of(task: Task, settings: Settings) -> Callable[[Array], Array]:
    """A state's place as the upper level sees it: where it is about to be."""
    return lambda state: task.ahead(state, settings.upper.tail.look_ahead)


def _subgoal_task(task: Task, settings: Settings) -> SubgoalTask:
    return SubgoalTask(task, settings.hold, settings.subgoals, settings.reach or _half_the_way(task))


def _half_the_way(task: Task, count: int = 512) -> float:
    """Half the median way from the task's states to their goals, along the axis where it is longest."""

    def way(key: Key) -> Float[Array, ""]:
        state_key, goal_key = streams(key, "state", "goal")
        state = task.draw_state(state_key)
        return jnp.abs(task.draw_goal_from(goal_key, state) - task.achieved(state)).max()

    return 0.5 * float(jnp.median(jax.jit(jax.vmap(way))(jax.random.split(jax.random.key(0), count))))


def fit(task: Task, settings: Settings, run: Run, key: Key) -> tuple[Hierarchy, HierarchyParams]:
    """Learns the upper level. The key is consumed. See ``methods.inverter.fit``."""
    planner, sub, own = build(task, settings), _subgoal_task(task, settings), settings.upper
    names = ("data", "level", "model weights", "model", "tail", "inverter weights", "scales", "starts", "inverter")
    keys = dict(zip(names, streams(key, *names), strict=True))
    lower, lower_params = load_planner(settings.lower)
    parts = run.parts("data", lambda: training.named_parts(task, task.data(own.data.rows, keys["data"])))
    rows = concatenate(*(part.rows for part in parts.values()))
    places = _places(_place_of(task, settings), rows)
    level = run.rows(
        "level_rows",
        lambda: lower_level(task, settings, sub.reach, lower, lower_params, rows, places, keys["level"]),
    )

    upper = inverter.unwatched(sub, own)
    model_params = training.first_model(upper.model, level, keys["model weights"])
    model_params = training.train_model(upper.model, own, run, {"level": Part(level)}, model_params, keys["model"])
    objective_params = training.fit_objective(sub, upper, own, run, places, keys["tail"])
    if settings.often > 1:
        usual = kept_rows(places, often_visited(places.states, own.tail.bin_size, settings.often))
        objective_params = training.covering(sub, upper, own, objective_params, usual)
    first = upper.inverter.init(keys["inverter weights"])
    seen = training.input_scales(sub, places, keys["scales"])["state"]
    # Goals are places too: those of training are drawn among the data's, also where episodes have but one.
    first = first._replace(state=seen, goal=seen)
    spread = places.states[
        evenly(places.states, own.tail.bin_size, own.tail.min_count, _PLACES, generator(keys["starts"]))
    ]
    params = training.train_inverter(
        upper,
        own,
        run,
        "inverter",
        PlannerParams(first, model_params, objective_params),
        _between(jnp.asarray(spread), 0.3 * own.tail.bin_size),
        places,
        None,
        keys["inverter"],
    )
    return planner, HierarchyParams(params, lower_params)


def lower_level(
    task: Task, settings: Settings, reach: float, lower: Any, params: Any, rows: Dataset, places: Dataset, key: Key
) -> Dataset:
    """What the lower level does towards random sub-goals, from states of the data that are spread evenly over their places."""
    rng, own, tail = generator(key), settings.level, settings.upper.tail
    if own.kind == "data":
        count = own.robots * own.episodes * own.rounds
        chosen = evenly(places.states, tail.bin_size, tail.min_count, count, rng)
        return hindsight_rows(places, chosen, settings.hold, reach)
    simulator = task.simulator() if own.kind == "executed" else None

    def begin(state: jax.Array, goal: jax.Array) -> jax.Array:
        """The plan's first action, or where the lower level's model says that it leads."""
        plan = lower.plan(params, jax.random.key(0), Problem(state, goal))
        return plan.actions[0] if simulator is not None else plan.states[1]

    plans = jax.jit(jax.vmap(begin))

    def follow(states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        first = np.asarray(plans(jnp.asarray(states, jnp.float32), jnp.asarray(goals, jnp.float32)))
        return first if simulator is None else simulator.step(states, first)

    parts = [
        level_rows(
            _place_of(task, settings),
            task.usable,
            follow,
            rows.states[evenly(places.states, tail.bin_size, tail.min_count, own.robots, rng)],
            rng,
            own.rounds,
            settings.hold,
            reach,
        )
        for _ in range(own.episodes)
    ]
    if simulator is not None:
        simulator.close()
    return concatenate(*parts)


def _places(place: Callable[[Array], Array], rows: Dataset) -> Dataset:
    """The data's places, as rows of the upper level without actions of its own."""
    places = np.asarray(jax.jit(jax.vmap(place))(jnp.asarray(rows.states)))
    return Dataset(places, np.zeros_like(places), rows.ends)


def _between(places: jax.Array, noise: float) -> Any:
    """Draws start and goal among ``places [M, G]`` with noise (standard deviation)."""

    def draw(key: Key) -> Problem:
        place_key, noise_key = streams(key, "places", "noise")
        ends = places[jax.random.randint(place_key, (2,), 0, places.shape[0])]
        return Problem(*(ends + noise * jax.random.normal(noise_key, ends.shape)))

    return draw
