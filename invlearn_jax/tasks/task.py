"""The Task: what is to be controlled, and to what end. Everything outside ``tasks/`` knows worlds by this contract alone.

Functions are of *one* state or problem and pure, so that callers ``jit`` and ``vmap`` them. Shape letters: S state, A action,
G goal, F features, T plan steps, N episodes, L episode steps.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.data.dataset import Dataset
from invlearn_jax.frames import Frame, WorldFrame
from invlearn_jax.keys import streams
from invlearn_jax.rollout import total
from invlearn_jax.tasks.published import Published
from invlearn_jax.types import Key, Params, Problem

Terms = dict[str, Float[Array, ""]]


class Part(NamedTuple):
    """Some of a task's data: ``rows``, and the ``share`` of a training batch that is drawn from them."""

    rows: Dataset
    share: float = 1.0


class Episodes(NamedTuple):
    """N closed-loop episodes of L steps, on the host.

    Attributes:
        goals: ``[N, G]``.
        states: ``[N, L+1, S]`` realised.
        actions: ``[N, L, A]``.
        plan_states: ``[N, plans, T+1, S]`` predicted; empty where they were not kept.
        results: ``[N, plans]`` result codes.
    """

    goals: np.ndarray
    states: np.ndarray
    actions: np.ndarray
    plan_states: np.ndarray
    results: np.ndarray


class Recorded(NamedTuple):
    """One episode of L steps that something acted in, on the host.

    Attributes:
        states: ``[L+1, S]`` float64.
        actions: ``[L, A]``.
        rewards: ``[L]``.
        over: whether the last state ends it for good, and not the time limit.
    """

    states: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    over: bool


@runtime_checkable
class Simulator(Protocol):
    """The true system, many copies at a time, in float64 on the host."""

    def step(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """States ``[N, S]`` one control step of ``dt`` after ``states [N, S]`` under ``actions [N, A]``."""

    def close(self) -> None:
        """Frees what the simulator holds."""


@runtime_checkable
class Unrolls(Protocol):
    """What a simulator may be besides: one that makes whole trajectories in one call."""

    def unroll(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """States ``[N, T+1, S]`` from ``states [N, S]`` under ``actions [N, T, A]``."""


class Task:
    """What a method needs to know of a world. A subclass sets the sizes and overrides what differs from the defaults.

    A subclass must give ``dt, state_size, action_size``, ``cost`` (or ``trajectory_cost``), ``draw_state``, ``step`` or
    ``simulator``, and, where ``goal_size > 0``, ``draw_goal``. ``MujocoTask`` gives all of them but ``cost`` and ``draw_goal``.

    Attributes:
        name: what it is called in records; the class's name by default.
        dt: seconds per control step.
        horizon: T, steps of a plan.
        episode_length: L, steps of an episode.
        execute_steps: steps of a plan to execute before the next one; by default an eighth of the horizon, at least 1.
        ends_at_success: whether an episode is over once its goal is reached.
        endless: whether ``over`` never holds, though the class has one of its own.
        state_size: S; a state is what a forward model predicts.
        action_size: A.
        choices: how many discrete actions there are, the whole numbers from 0 up, one per step (A is 1, and physics round what
            they are given); 0 where actions are real numbers within limits.
        goal_size: G; 0 for a task without goals.
        gradient: what differentiation through ``step`` supports.
        frame: in which models predict.
        fourier_size: how many leading features get Fourier features in networks (positions among walls).
        second_order: whether a state is places and their rates, ``[x [S/2], dx/dt [S/2]]``, an action pushes x the way it points,
            and goals are places x: plans may then be smooth curves, rest at a goal, and be followed by a PD controller.
        state_limits: ``[S]``, infinite where there is none, that the world clips a state to, ``+-``, before it steps; or None.
        settings: the world's own settings, a mutable dataclass that the command line can set, or None.
        published: the best published score, to compare with; None where none is known.
        demonstrations: the file of demonstrations that come with the task, or None; see ``imitation.demonstrations``.
    """

    name: str = ""
    dt: float = 0.0
    horizon: int = 32
    episode_length: int = 500
    execute_steps: int | None = None
    ends_at_success: bool = False
    endless: bool = False
    state_size: int = 0
    action_size: int = 0
    choices: int = 0
    goal_size: int = 0
    gradient: Literal["reverse", "forward", "none"] = "none"
    frame: Frame = WorldFrame()
    fourier_size: int = 0
    second_order: bool = False
    state_limits: np.ndarray | None = None
    settings: Any = None
    published: Published | None = None
    demonstrations: str | os.PathLike | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        """Names a class that does not name itself."""
        super().__init_subclass__(**options)
        cls.name = cls.__dict__.get("name") or cls.__name__

    @property
    def action_low(self) -> np.ndarray:
        """``[A]`` least actions, in the task's units: by default -1, or the first of the choices, 0."""
        return -np.ones(self.action_size, np.float32) if not self.choices else np.zeros(1, np.float32)

    @property
    def action_high(self) -> np.ndarray:
        """``[A]`` greatest actions, in the task's units: by default 1, or the last of the choices."""
        return np.ones(self.action_size, np.float32) * max(1, self.choices - 1)

    def steps_executed(self, horizon: int | None = None) -> int:
        """Steps to execute of a plan of so many (by default the task's): ``execute_steps``, or an eighth of them, at least 1."""
        return self.execute_steps or max(1, (horizon or self.horizon) // 8)

    # What networks see.

    def features(self, state: Float[Array, " S"]) -> Float[Array, " F"]:
        """What networks see of a state in the task's frame; smooth, without the jumps of angles. By default the state."""
        return state

    def goal_features(self, state: Float[Array, " S"], goal: Float[Array, " G"]) -> Float[Array, " Fg"]:
        """What networks see of a goal from a state: by default the goal and the way to it, ``[g, g - achieved(s)]``."""
        return jnp.concatenate([goal, goal - self.achieved(state)]) if self.goal_size else goal

    def achieved(self, state: Float[Array, " S"]) -> Float[Array, " G"]:
        """A state's place in goal space. By default its leading G entries."""
        return state[: self.goal_size]

    def ahead(self, state: Float[Array, " S"], seconds: float) -> Float[Array, " G"]:
        """Where the state is about to be in goal space; a cost-to-go over places looks from there. By default ``achieved``."""
        return self.achieved(state)

    def covered(self, state: Float[Array, " S"]) -> Float[Array, " C"]:
        """The coordinates in which data cover the world: a plan is charged for leaving them. By default the features."""
        return self.local_features(state)

    def covered_goal(self, goal: Float[Array, " G"]) -> Float[Array, " C"] | None:
        """A goal in the coordinates of ``covered``, where goals are places that data must have come to. By default None."""
        return None

    def local_features(self, state: Float[Array, " S"]) -> Float[Array, " F"]:
        """The features of the state as seen from itself."""
        return self.features(self.frame.local(state, self.frame.reference(state)))

    def from_observations(self, observations: np.ndarray) -> np.ndarray:
        """States ``[N, S]`` of recorded observations ``[N, O]``, on the host. By default they are the states.

        Raises:
            ValueError: for rows of another size; names both.
        """
        observations = np.asarray(observations)
        if observations.ndim != 2 or observations.shape[1] != self.state_size:
            raise ValueError(
                f"The observations have shape {observations.shape}; those of {self.name} have {self.state_size} numbers each. "
                "Give data of this task, or override from_observations."
            )
        return observations

    # The goal that is set.

    def cost(self, state: Float[Array, " S"], action: Float[Array, " A"], goal: Float[Array, " G"]) -> Terms:
        """Named costs per second of being in ``state`` after ``action``; lower is better."""
        raise _missing(self, "cost", "named costs per second, e.g. {'reach': distance**2}")

    def final_cost(self, state: Float[Array, " S"], goal: Float[Array, " G"]) -> Terms:
        """Named costs of ending a plan in ``state``. By default none."""
        return {}

    def trajectory_cost(
        self, states: Float[Array, "T1 S"], actions: Float[Array, "T A"], goal: Float[Array, " G"]
    ) -> Terms:
        """Named costs of a whole trajectory.

            J = dt sum_{t=1..T} cost(s_t, a_{t-1}, g) + final_cost(s_T, g),    the sum up to the first state in which all is over

        Override it where a cost is of the trajectory and not of its states.
        """
        running = jax.vmap(self.cost, in_axes=(0, 0, None))(states[1:], actions, goal)
        if has_end(self):
            going = jnp.cumprod(~jax.vmap(self.over)(states[:-1]))
            running = {name: jnp.where(going, values, 0.0) for name, values in running.items()}
        terms = {name: self.dt * values.sum() for name, values in running.items()}
        return terms | self.final_cost(states[-1], goal)

    def reward(
        self, state: Float[Array, " S"], action: Float[Array, " A"], goal: Float[Array, " G"]
    ) -> Float[Array, ""]:
        """The reward of a step that ends in ``state``, for methods and programs that want one: ``-dt sum cost`` by default."""
        return -self.dt * total(self.cost(state, action, goal))

    def place_cost(self, place: Float[Array, " G"], goal: Float[Array, " G"]) -> Terms:
        """Named costs per second of being at a place of goal space, for planning over places alone. By default none."""
        return {}

    def success(self, state: Float[Array, " S"], goal: Float[Array, " G"]) -> Array:
        """Whether the goal is reached in ``state``. By default never: a task of costs alone."""
        return jnp.array(False)

    def over(self, state: Float[Array, " S"]) -> Array:
        """Whether an episode is over for good in ``state``, as where a robot has fallen.

        Nothing is paid or earned after it. By default no state is such.
        """
        return jnp.array(False)

    # Where problems come from.

    def draw_state(self, key: Key) -> Float[Array, " S"]:
        """A state from all those that planning may start in, broad. The key is consumed."""
        raise _missing(self, "draw_state", "a state [S] from all that planning may start in")

    def draw_goal(self, key: Key) -> Float[Array, " G"]:
        """A goal. The key is consumed."""
        if self.goal_size:
            raise _missing(self, "draw_goal", f"a goal [{self.goal_size}]")
        return jnp.zeros((0,))

    def draw_goal_from(self, key: Key, state: Float[Array, " S"]) -> Float[Array, " G"]:
        """A goal for training from a state: by default any goal. The key is consumed."""
        return self.draw_goal(key)

    def reset(self, key: Key) -> Float[Array, " S"]:
        """The start of an episode. By default any state. The key is consumed."""
        return self.draw_state(key)

    def draw_problem(self, key: Key) -> Problem:
        """The problem of an episode: a start and a goal. The key is consumed."""
        start_key, goal_key = streams(key, "start", "goal")
        return Problem(self.reset(start_key), self.draw_goal(goal_key))

    def problem_sampler(self, rows: Dataset) -> Callable[[Key], Problem]:
        """Draws fresh problems for training an Inverter, given the rows of data: by default any state and goal.

        Where ``draw_state`` draws states that the system never comes to, override this to draw among the rows.
        """

        def draw(key: Key) -> Problem:
            state_key, goal_key = streams(key, "state", "goal")
            state = self.draw_state(state_key)
            return Problem(state, self.draw_goal_from(goal_key, state))

        return draw

    # Physics and data.

    def step(self, state: Float[Array, " S"], action: Float[Array, " A"]) -> Float[Array, " S"]:
        """One control step in JAX. Needed on accelerators only; on a CPU ``simulator`` serves."""
        raise _missing(self, "step", "the state [S] one control step later, in JAX")

    def differentiable(self) -> "Task":
        """The same with a ``step`` that has a reverse-mode gradient, where the physics can be had so. By default itself."""
        return self

    def simulator(self) -> Simulator:
        """The true system on the host. By default ``step``, jitted."""
        return JaxSimulator(self)

    def check_states(self, states: np.ndarray) -> None:
        """Refuses states ``[N, S]`` that the system cannot be in. By default it can be in all.

        Raises:
            ValueError: says which, and why.
        """

    def data(self, rows: int, key: Key) -> Dataset | Mapping[str, Part]:
        """What to learn a model from. By default smoothed random actions from ``draw_state``. The key is consumed."""
        from invlearn_jax.tasks.exploration import random_rows  # noqa: PLC0415  (exploration draws from tasks)

        return random_rows(self, rows, key)

    def explore(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """What random exploration does in states ``[N, S]``, given smoothed random actions ``[N, A]``: by default these.

        Where random actions upset the system at once, a feedback that keeps it up belongs here.
        """
        return actions

    def joined(self, rows: Dataset) -> Dataset:
        """The rows with an end only where the motion ends, where data mark other ends too. By default as they are."""
        return rows

    def usable(self, state: Float[Array, " S"]) -> Array:
        """Whether a state that a planner came to is one to learn from: by default any. A robot may have fallen for good."""
        return jnp.array(True)

    # What a method may be told, and what is reported.

    def methods(self) -> Mapping[str, Any]:
        """Methods of the task's own by name (``methods.registry.Method``), which come before the library's. By default none."""
        return {}

    def configure(self, method: str, settings: Any) -> Any:
        """The settings of a method for this task, given the method's own defaults. By default those."""
        return settings

    def metrics(self, episodes: Episodes) -> dict[str, Any]:
        """Figures of the task's own for a record, beside those that every evaluation has. By default none."""
        return {}

    def draw(self, axes: Any, episodes: Episodes) -> None:
        """Draws episodes into matplotlib axes. By default their way through the first two dimensions of goal space."""
        if self.goal_size < 2:
            seconds = self.dt * np.arange(episodes.states.shape[1])
            axes.plot(seconds, episodes.states[0])
            axes.set(xlabel="time, s", ylabel="state")
            return
        places = np.asarray(jax.vmap(jax.vmap(self.achieved))(jnp.asarray(episodes.states)))
        for way, goal in zip(places, episodes.goals, strict=True):
            axes.plot(way[:, 0], way[:, 1], linewidth=0.8)
            axes.plot(goal[0], goal[1], "k+", markersize=5)
        axes.set(xlabel="goal space, first axis", ylabel="second axis", aspect="equal")


@runtime_checkable
class JudgesPlans(Protocol):
    """What a task may be besides: one whose plans are executed whole, and judged as such instead of in closed loop."""

    def judge(self, planner: Any, params: Params, key: Key, problems: int) -> dict[str, Any]:
        """Figures over drawn problems: ``success_rate, cost_mean, cost_sem, results`` and its own. The key is consumed."""


@runtime_checkable
class CountsReturns(Protocol):
    """What a task may be besides: one that knows the returns of episodes better than as sums of ``Task.reward``."""

    def returns(self, episodes: Episodes) -> np.ndarray:
        """``[N]`` the return of each episode, up to its end."""


@runtime_checkable
class ActsOnObservations(Protocol):
    """What a task may be besides: one whose episodes another library's environment makes, with observations of its own."""

    observation_size: int

    def episode(self, act: Callable[[np.ndarray], np.ndarray], seed: int) -> Recorded:
        """An episode of the environment under ``act(observation [O]) -> action [A]``, which is clipped to the limits."""


@runtime_checkable
class HasRule(Protocol):
    """What a task may be besides: one that a rule of its own is an expert at."""

    def rule(self, states: np.ndarray) -> np.ndarray:
        """Actions ``[N, A]`` in states ``[N, S]``."""


class Drawing(NamedTuple):
    """A matplotlib ``figure`` with the ``name`` of its file, a ``title`` and a ``caption`` of one or two sentences."""

    name: str
    title: str
    caption: str
    figure: Any


class Animation(NamedTuple):
    """A moving picture: its ``kind``, its file's content, and a ``caption``."""

    kind: Literal["svg", "gif"]
    data: bytes
    caption: str


@runtime_checkable
class Illustrates(Protocol):
    """What a task may be besides: one with pictures of its own of what a planner has learned."""

    def illustrate(self, planner: Any, params: Params) -> list[Drawing]:
        """Pictures beside those of episodes, see ``Task.draw``; drawn in the report's style."""


@runtime_checkable
class Animates(Protocol):
    """What a task may be besides: one whose episodes can be shown moving."""

    def animate(self, episodes: Episodes) -> Animation:
        """Few episodes at once; one that is over stays where it was."""


def has_success(task: Task) -> bool:
    """Whether the task says when its goal is reached; without, it is one of costs alone."""
    return type(task).success is not Task.success


def has_end(task: Task) -> bool:
    """Whether there are states in which an episode is over for good; see ``Task.over``."""
    return type(task).over is not Task.over and not task.endless


class JaxSimulator:
    """A task's own ``step`` as a ``Simulator``."""

    def __init__(self, task: Task) -> None:
        """Compiles at the first call."""
        self._step = jax.jit(jax.vmap(task.step))

    def step(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """See ``Simulator``."""
        kind = jnp.result_type(float)
        return np.asarray(self._step(jnp.asarray(states, kind), jnp.asarray(actions, kind)), np.float64)

    def close(self) -> None:
        """Nothing to free."""


class MissingMethodError(TypeError):
    """A task's class lacks a method that its contract asks for."""


def _missing(task: Task, method: str, wanted: str) -> MissingMethodError:
    return MissingMethodError(f"{type(task).__name__} has no {method}(). Give it one that returns {wanted}.")
