"""``check_task``: a task is tried out before anything is trained on it, and its faults are named."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from invlearn_jax.keys import streams
from invlearn_jax.rollout import total
from invlearn_jax.tasks.task import MissingMethodError, Task

_TRIED = 64  # states, goals and actions
_STEPPED = 8  # of them by the simulator
# Whose numbers are looked at first: what draws, before what is made of the drawn.
_IN_TURN = (
    "draw_state", "draw_goal", "reset", "draw_goal_from", "features", "goal_features", "covered", "achieved", "success", "over",
    "cost", "final_cost", "trajectory_cost",
)  # fmt: skip


def check_task(task: Task) -> None:
    """Refuses a task that breaks its contract.

    Every function is called on drawn states, goals and actions; its shape and numbers are checked, and that costs depend on
    nothing that networks cannot see.

    Raises:
        TypeError: for a class that lacks a method.
        ValueError: names the method, what came and what is wanted.
    """
    if not isinstance(task, Task):
        raise TypeError(
            f"{task!r} is no Task. Let its class inherit from invlearn_jax.Task or MujocoTask, and give an instance."
        )
    _check_sizes(task)
    # One program for all functions: a new task is tried out in the time of one compilation.
    tried = jax.jit(functools.partial(_try_out, task))(jax.random.key(0))
    for name in _IN_TURN:
        for leaf in jax.tree.leaves(tried.named.get(name)):
            if not np.isfinite(np.asarray(leaf, float)).all():
                raise _wrong(
                    task, name, "NaN or infinite numbers", "finite numbers for every drawn state, goal and action"
                )
    _check_sight(task, np.asarray(tried.slope), np.asarray(tried.seen_slope))
    _check_simulator(task, np.asarray(tried.states[:_STEPPED]), np.asarray(tried.actions[:_STEPPED]))


class _Tried(NamedTuple):
    """What a task's functions gave.

    Attributes:
        states: ``[N, S]`` drawn.
        actions: ``[N, A]`` within their limits.
        named: the functions' values over the batch, by name.
        slope: ``[N, S]`` of the cost by the state, which stays where it is.
        seen_slope: ``[N, F, S]`` of what networks see.
    """

    states: jax.Array
    actions: jax.Array
    named: dict[str, Any]
    slope: jax.Array
    seen_slope: jax.Array


def _try_out(task: Task, key: jax.Array) -> _Tried:
    """Calls every function of the task on drawn numbers; refuses what has a wrong shape or cannot be traced."""
    named: dict[str, Any] = {}

    def array(name: str, function: Callable, shape: tuple[int, ...] | None, *batches: Any) -> jax.Array:
        named[name] = _array(task, name, function, shape, *batches)
        return named[name]

    keys = streams(key, "states", "goals", "actions", "problems", "training goals")
    of_state, of_goal = (task.state_size,), (task.goal_size,)
    states = array("draw_state", task.draw_state, of_state, _keys(keys[0])).astype(float)
    goals = array("draw_goal", task.draw_goal, of_goal, _keys(keys[1])).astype(float)
    share = jax.random.uniform(keys[2], (_TRIED, task.action_size))
    actions = jnp.asarray(task.action_low + share * (task.action_high - task.action_low), float)
    array("reset", task.reset, of_state, _keys(keys[3]))
    array("draw_goal_from", task.draw_goal_from, of_goal, _keys(keys[4]), states)

    features = array("features", task.local_features, None, states)
    if not 0 <= task.fourier_size <= features.shape[1]:
        raise _wrong(task, "fourier_size", task.fourier_size, f"0 to the number of features, {features.shape[1]}")
    array("goal_features", task.goal_features, None, states, goals)
    array("covered", task.covered, None, states)
    array("achieved", task.achieved, of_goal, states)
    array("success", task.success, (), states, goals)
    array("over", task.over, (), states)
    named |= _costs(task, states, actions, goals)
    return _Tried(states, actions, named, *_slopes(task, states, actions, goals))


def _check_sizes(task: Task) -> None:
    owner = type(task).__name__
    for name in ("horizon", "episode_length", "state_size", "action_size", "goal_size", "fourier_size"):
        value, least = getattr(task, name), 0 if name in ("goal_size", "fourier_size") else 1
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"{name} of {owner} is {value!r}; give a whole number from {least} up.")
    if task.choices and (task.choices < 2 or task.action_size != 1):
        raise ValueError(
            f"{owner} has {task.choices} choices and {task.action_size} actions per step; give 2 choices or more and 1 action, "
            "or no choices for actions that are real numbers."
        )
    half, odd = divmod(task.state_size, 2)
    if task.second_order and (odd or task.action_size != half or task.goal_size not in (0, half)):
        raise ValueError(
            f"{owner} is of second order, with states, actions and goals of sizes {task.state_size}, {task.action_size} and "
            f"{task.goal_size}; give as many actions, and goals, as there are places: half the state. Or leave second_order out."
        )
    if not isinstance(task.dt, int | float | np.number) or not 0 < task.dt < np.inf:
        raise ValueError(f"dt of {owner} is {task.dt!r}; give seconds per control step, more than 0.")
    for name in ("action_low", "action_high"):
        bound = np.asarray(getattr(task, name))
        if bound.shape != (task.action_size,) or not np.isfinite(bound).all():
            raise _wrong(task, name, f"{bound.tolist()}", f"{task.action_size} finite numbers")
    if not (np.asarray(task.action_low) < np.asarray(task.action_high)).all():
        raise _wrong(task, "action_low", "a bound that is not below action_high", "a lower bound for every action")
    if task.execute_steps is not None and not 1 <= task.execute_steps <= task.horizon:
        raise ValueError(
            f"execute_steps of {owner} is {task.execute_steps}; allowed are 1 to the horizon, {task.horizon}."
        )


def _keys(key: jax.Array) -> jax.Array:
    return jax.random.split(key, _TRIED)


def _called(task: Task, name: str, function: Callable, *batches: Any) -> Any:
    """The function over batches, its errors named."""
    try:
        return jax.vmap(function)(*batches)
    except MissingMethodError:
        raise
    except jax.errors.TracerBoolConversionError as error:
        raise _wrong(
            task,
            name,
            "Python control flow (if, while, and, or) over values that are not known under jit",
            "jnp.where instead",
        ) from error
    # A user's function may raise anything.
    except Exception as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise _wrong(
            task, name, f"an error, {type(error).__name__}: {reason}", "a pure function of JAX arrays"
        ) from error


def _array(task: Task, name: str, function: Callable, shape: tuple[int, ...] | None, *batches: Any) -> jax.Array:
    """What a function gives, once it is found to be an array of this shape; None stands for any vector."""
    value = _called(task, name, function, *batches)
    wanted = "a vector" if shape is None else f"an array of shape {shape}"
    if not isinstance(value, jax.Array):
        raise _wrong(task, name, f"a {type(value).__name__}", wanted)
    if value.ndim != 2 if shape is None else value.shape[1:] != shape:
        raise _wrong(task, name, f"shape {value.shape[1:]}", wanted)
    return value


def _terms(task: Task, name: str, function: Callable, *batches: Any) -> dict[str, jax.Array]:
    """The named terms that a function gives, once they are found to be scalars."""
    terms = _called(task, name, function, *batches)
    if not isinstance(terms, dict) or not all(isinstance(key, str) for key in terms):
        kind = "jax.Array" if isinstance(terms, jax.Array) else type(terms).__name__
        raise _wrong(task, name, f"a {kind}", "a dict of named terms, {'reach': ...}")
    for key, value in terms.items():
        if not isinstance(value, jax.Array) or value.shape[1:] != ():
            came = f"shape {value.shape[1:]}" if isinstance(value, jax.Array) else f"a {type(value).__name__}"
            raise _wrong(task, name, f"{came} for the term {key!r}", "a scalar for each term")
    return terms


def _costs(task: Task, states: jax.Array, actions: jax.Array, goals: jax.Array) -> dict[str, dict[str, jax.Array]]:
    """The terms of the cost functions, by the functions' names."""
    found: dict[str, dict[str, jax.Array]] = {}
    if type(task).trajectory_cost is Task.trajectory_cost:
        found["cost"] = _terms(task, "cost", task.cost, states, actions, goals)
        found["final_cost"] = _terms(task, "final_cost", task.final_cost, states, goals)
        twice = found["cost"].keys() & found["final_cost"].keys()
        if twice:
            raise _wrong(task, "final_cost", f"terms that cost gives too, {sorted(twice)}", "terms of other names")
    terms = _terms(task, "trajectory_cost", task.trajectory_cost, *_still(task, states, actions), goals)
    if not terms:
        raise _wrong(task, "cost", "no term", "a dict of one or more named terms, {'reach': ...}")
    return found | {"trajectory_cost": terms}


def _still(task: Task, states: jax.Array, actions: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Trajectories ``[N, T+1, S]``, ``[N, T, A]`` that stay where they are."""
    return jnp.repeat(states[:, None], task.horizon + 1, axis=1), jnp.repeat(actions[:, None], task.horizon, axis=1)


def _slopes(task: Task, states: jax.Array, actions: jax.Array, goals: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The slopes by the state of the cost, and of all that networks see."""

    def cost(state: jax.Array, action: jax.Array, goal: jax.Array) -> jax.Array:
        plan, sequence = _still(task, state[None], action[None])
        return total(task.trajectory_cost(plan[0], sequence[0], goal))

    def seen(state: jax.Array, goal: jax.Array) -> jax.Array:
        return jnp.concatenate([task.local_features(state), task.goal_features(state, goal)])

    return jax.vmap(jax.grad(cost))(states, actions, goals), jax.vmap(jax.jacfwd(seen))(states, goals)


def _check_sight(task: Task, slope: np.ndarray, seen_slope: np.ndarray) -> None:
    """No entry of the state may move the cost and nothing that networks see."""
    if not np.isfinite(slope).all():
        raise _wrong(
            task,
            "cost",
            "a gradient that is not finite",
            "a cost that can be differentiated, e.g. no root of exactly zero",
        )
    moved = np.abs(slope).max(0) > 0
    hidden = np.abs(seen_slope).max((0, 1), initial=0.0) == 0
    if (moved & hidden).any():
        raise _wrong(
            task,
            "cost",
            f"a dependence on entries {np.flatnonzero(moved & hidden).tolist()} of the state, which neither features nor "
            "goal_features show",
            "costs of what networks see; add these entries to features",
        )


def _check_simulator(task: Task, states: np.ndarray, actions: np.ndarray) -> None:
    """One step of the true system; where states diverge, ``data`` says so."""
    try:
        simulator = task.simulator()
        following = simulator.step(states, actions)
        simulator.close()
    except MissingMethodError:
        raise
    # A user's function may raise anything.
    except Exception as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise _wrong(
            task, "simulator", f"an error, {type(error).__name__}: {reason}", "a system that can be stepped"
        ) from error
    if np.shape(following) != states.shape:
        name = "step" if type(task).simulator is Task.simulator else "simulator().step"
        raise _wrong(task, name, f"shape {np.shape(following)[1:]}", f"the next state, of shape {states.shape[1:]}")


def _wrong(task: Task, method: str, came: Any, wanted: str) -> ValueError:
    return ValueError(f"{type(task).__name__}.{method} gave {came}; wanted is {wanted}.")
