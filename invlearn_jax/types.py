"""The central types. Shape letters: B problems, K candidates, T horizon, S state, A action, N episodes, E ensemble.

Everything here describes *one* problem; callers ``vmap``. Data types are NamedTuples, hence plain pytrees.
"""

import functools
from enum import IntEnum
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray, PyTree

Params: TypeAlias = PyTree
Key: TypeAlias = PRNGKeyArray


class Problem(NamedTuple):
    """What is asked of a planner: bring ``state`` to ``goal``.

    Attributes:
        state: ``[S]`` the current state, in the environment's units and frame.
        goal: ``[G]`` what to reach (a place x, y in metres, say).
        guess: ``[T, A]`` actions to start from, for planners that warm-start (``WarmStarts``); by default none.

    Planners take lists, tuples and NumPy arrays of any real type too, and cast them to their parameters' floating type.
    """

    state: Float[Array, "*b S"]
    goal: PyTree
    guess: Float[Array, "*b T A"] | None = None


class Transition(NamedTuple):
    """One step of an environment, ``next_state`` following ``state`` under ``action``."""

    state: Float[Array, "*b S"]
    action: Float[Array, "*b A"]
    next_state: Float[Array, "*b S"]


class Window(NamedTuple):
    """A run of consecutive steps of one episode.

    Attributes:
        states: ``[T+1, S]``.
        actions: ``[T, A]``, ``actions[t]`` leading from ``states[t]`` to ``states[t+1]``.
    """

    states: Float[Array, "*b T1 S"]
    actions: Float[Array, "*b T A"]


class Result(IntEnum):
    """How a plan came out. ``describe`` gives the sentence."""

    OK = 0
    NON_FINITE = 1
    BOUND_SATURATED = 2
    NO_IMPROVEMENT = 3
    OUTSIDE_DATA = 4
    MODEL_DISAGREES = 5
    INVALID_PROBLEM = 6

    def describe(self) -> str:
        """The result as a sentence."""
        return _SENTENCES[self]


_SENTENCES = {
    Result.OK: "The plan is finite and within its bounds.",
    Result.NON_FINITE: (
        "The state, the goal or the guess is NaN, infinite or too large to compute with, and zero actions were returned; or the "
        "plan's predicted cost is not finite."
    ),
    Result.BOUND_SATURATED: "Every action of the plan lies on its bound.",
    Result.NO_IMPROVEMENT: "Refinement found nothing better than the proposal, which was returned.",
    Result.OUTSIDE_DATA: "The state or the goal lies where no training data were; do not trust model or plan there.",
    Result.MODEL_DISAGREES: (
        "A second model, which the plan was not made with, predicts another outcome; the plan may exploit an error of the first."
    ),
    Result.INVALID_PROBLEM: (
        "The state or the goal is none that the system can have (such as a matrix that is not unitary); "
        "zero actions were returned."
    ),
}

# The gravest first: of several findings a plan carries one.
_GRAVITY = (
    Result.NON_FINITE,
    Result.INVALID_PROBLEM,
    Result.OUTSIDE_DATA,
    Result.MODEL_DISAGREES,
    Result.NO_IMPROVEMENT,
    Result.BOUND_SATURATED,
    Result.OK,
)


def gravest(*findings: Int[ArrayLike, "*b"]) -> Int[Array, "*b"]:
    """The gravest of several results, as int32."""
    rank = jnp.array([_GRAVITY.index(result) for result in Result])
    code = jnp.array(_GRAVITY, jnp.int32)
    return code[functools.reduce(jnp.minimum, [rank[jnp.asarray(finding)] for finding in findings])]


def finding(result: Result, found: Bool[Array, "*b"]) -> Int[Array, "*b"]:
    """``result`` where something was found, else ``OK``."""
    return jnp.where(found, result, Result.OK)


class PlanOutput(NamedTuple):
    """A plan with its evidence.

    Attributes:
        actions: ``[T, A]`` within the action bounds, never NaN.
        states: ``[T+1, S]`` as the forward model predicts them, ``states[0]`` being the problem's state.
        cost: the plan's total cost under the model, lower is better.
        cost_terms: the cost by named term.
        proposal_cost: the best proposal's cost before refinement.
        refine_trace: ``[steps]`` best cost after each refinement step.
        result: a ``Result`` as int32.
        info: further evidence of the planner's own, by name.
    """

    actions: Float[Array, "*b T A"]
    states: Float[Array, "*b T1 S"]
    cost: Float[Array, "*b"]
    cost_terms: dict[str, Float[Array, "*b"]]
    proposal_cost: Float[Array, "*b"]
    refine_trace: Float[Array, "*b R"]
    result: Int[Array, "*b"]
    info: dict[str, Array] = {}


@runtime_checkable
class ForwardModel(Protocol):
    """What actions do. A learned net and the true simulator meet the same contract."""

    dt: float
    gradient: Literal["reverse", "forward", "none"]

    def init(self, key: Key) -> Params:
        """Fresh parameters. The key is consumed."""

    def unroll(self, params: Params, state: Float[Array, " S"], actions: Float[Array, "T A"]) -> Float[Array, "T1 S"]:
        """The states ``[T+1, S]`` that follow ``state`` under ``actions``, the first being ``state``."""


@runtime_checkable
class Inverter(Protocol):
    """Proposes whole action sequences. Samplers and random priors are Inverters too."""

    horizon: int

    def init(self, key: Key) -> Params:
        """Fresh parameters. The key is consumed."""

    def propose(self, params: Params, key: Key, problem: Problem, num: int) -> Float[Array, "K T A"]:
        """Draws ``num`` action sequences for one problem. The key is consumed."""


@runtime_checkable
class KnowsData(Protocol):
    """What an Inverter may be besides: one that knows where its training data were."""

    def covers(self, params: Params, problem: Problem) -> Bool[Array, ""]:
        """Whether every entry of the state, and the goal, lie where the training data were."""


@runtime_checkable
class ReadsProblems(Protocol):
    """What an Inverter may be besides: one whose problems are not real vectors, or not all possible ones (matrices, say)."""

    def read(self, params: Params, problem: Problem) -> tuple[Problem, Bool[Array, ""], Bool[Array, ""]]:
        """A problem to compute with in its types, whether what was given is finite, and whether the system can have it.

        Raises:
            ValueError: for another shape, or what are no numbers.
        """


@runtime_checkable
class Objective(Protocol):
    """A cost over a predicted trajectory, by named terms; never a reward."""

    def __call__(
        self, params: Params, states: Float[Array, "T1 S"], actions: Float[Array, "T A"], goal: PyTree
    ) -> dict[str, Float[Array, ""]]:
        """The weighted terms; their sum is the cost."""


@runtime_checkable
class LearnedObjective(Objective, Protocol):
    """An Objective with parameters of its own (a learned cost-to-go, say)."""

    def init(self, key: Key) -> Params:
        """Fresh parameters. The key is consumed."""


@runtime_checkable
class HasResiduals(Protocol):
    """What an Objective may be besides: one that is least where R residuals are 0, which Gauss-Newton makes use of."""

    def residual(
        self, params: Params, states: Float[Array, "T1 S"], actions: Float[Array, "T A"], goal: PyTree
    ) -> Float[Array, " R"]:
        """The residuals."""

    def jacobian(
        self, params: Params, state: Float[Array, " S"], actions: Float[Array, "T A"], goal: PyTree
    ) -> Float[Array, "R T A"] | None:
        """Their Jacobian by the actions, where there is a quicker way than R reverse passes, else None."""


@runtime_checkable
class Planner(Protocol):
    """``plan = refine(invert(problem))``, scored by a forward model."""

    horizon: int
    execute_steps: int

    def init(self, key: Key) -> Params:
        """Fresh parameters. The key is consumed."""

    def plan(self, params: Params, key: Key, problem: Problem) -> PlanOutput:
        """Plans for one problem. The key is consumed. Works under ``jit``, ``vmap`` and ``jax.export``."""


@runtime_checkable
class Follows(Protocol):
    """What a planner may be besides: one whose plan is followed with feedback instead of executed as it stands."""

    def act(self, params: Params, plan: PlanOutput, step: Int[Array, ""] | int, state: Float[Array, " S"]) -> Array:
        """The action ``[A]`` at a step of the plan, in the state at hand."""


@runtime_checkable
class WarmStarts(Protocol):
    """What a planner may be besides: one that starts from what its last plan left, ``Problem.guess``."""

    def first_guess(self) -> Float[Array, "T A"]:
        """What the first plan of an episode starts from."""

    def next_guess(self, actions: Float[Array, "T A"]) -> Float[Array, "T A"]:
        """What the next plan starts from, given the actions of the last one."""


class State(NamedTuple):
    """An environment's state, field-compatible with MuJoCo Playground and brax.

    Attributes:
        data: what the simulator needs to go on.
        obs: ``[S]``.
        reward: of the state *after* the step that led here.
        done: 1.0 where the episode has ended.
        metrics: named scalars for the log.
        info: anything else, ``info["goal"]`` being the goal.
    """

    data: Any
    obs: Float[Array, "*b S"]
    reward: Float[Array, "*b"]
    done: Float[Array, "*b"]
    metrics: dict[str, Array]
    info: dict[str, Array]

    def replace(self, **changes: Any) -> "State":
        """A copy with some fields replaced (brax's name for ``_replace``)."""
        return self._replace(**changes)


@runtime_checkable
class Environment(Protocol):
    """A simulated world that can be reset, stepped and asked for a problem."""

    dt: float
    gradient: Literal["reverse", "forward", "none"]
    episode_length: int
    observation_size: int
    action_size: int

    def reset(self, key: Key) -> State:
        """A fresh start. The key is consumed."""

    def step(self, state: State, action: Float[Array, " A"]) -> State:
        """One control step of ``dt`` seconds."""

    def problem(self, state: State, key: Key) -> Problem:
        """The planning problem that ``state`` poses. The key is consumed where the goal is drawn."""
