"""``check_task``: a task is tried out before anything is trained on it, and its faults are named."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from invlearn_jax.keys import streams
from invlearn_jax.rollout import total
from invlearn_jax.tasks.task import Task

_TRIED = 64  # states, goals and actions


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
    keys = streams(jax.random.key(0), "states", "goals", "actions", "problems")
    states = _drawn(task, "draw_state", task.draw_state, keys[0], (task.state_size,))
    goals = _drawn(task, "draw_goal", task.draw_goal, keys[1], (task.goal_size,))
    share = jax.random.uniform(keys[2], (_TRIED, task.action_size))
    actions = task.action_low + share * (task.action_high - task.action_low)
    _drawn(task, "reset", task.reset, keys[3], (task.state_size,))

    features = _called(task, "features", task.local_features, states)
    _of_rank(task, "features", features, 1)
    _of_rank(task, "goal_features", _called(task, "goal_features", task.goal_features, states, goals), 1)
    _of_rank(task, "covered", _called(task, "covered", task.covered, states), 1)
    if task.goal_size:
        achieved = _called(task, "achieved", task.achieved, states)
        if achieved.shape[1:] != (task.goal_size,):
            raise _wrong(task, "achieved", f"shape {achieved.shape[1:]}", f"a place in goal space, ({task.goal_size},)")
    success = _called(task, "success", task.success, states, goals)
    if success.shape[1:] != ():
        raise _wrong(task, "success", f"shape {success.shape[1:]}", "one truth value")
    plan = jnp.broadcast_to(states[:, None], (_TRIED, task.horizon + 1, task.state_size))
    sequence = jnp.broadcast_to(actions[:, None], (_TRIED, task.horizon, task.action_size))
    _check_terms(task, _called(task, "trajectory_cost", task.trajectory_cost, plan, sequence, goals))
    _check_sight(task, states, sequence, goals)


def _check_sizes(task: Task) -> None:
    whole = {
        name: getattr(task, name) for name in ("horizon", "episode_length", "state_size", "action_size", "goal_size")
    }
    for name, value in whole.items():
        least = 0 if name == "goal_size" else 1
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ValueError(
                f"{name} of {task.name or type(task).__name__} is {value!r}; give a whole number from {least} up."
            )
    if not task.dt > 0:
        raise ValueError(
            f"dt of {task.name or type(task).__name__} is {task.dt!r}; give seconds per control step, more than 0."
        )
    for name in ("action_low", "action_high"):
        bound = np.asarray(getattr(task, name))
        if bound.shape != (task.action_size,) or not np.isfinite(bound).all():
            raise _wrong(task, name, f"{bound.tolist()}", f"{task.action_size} finite numbers")
    if not (np.asarray(task.action_low) < np.asarray(task.action_high)).all():
        raise _wrong(task, "action_low", "a bound that is not below action_high", "a lower bound for every action")
    if task.execute_steps is not None and not 1 <= task.execute_steps <= task.horizon:
        raise ValueError(
            f"execute_steps of {task.name} is {task.execute_steps}; allowed are 1 to the horizon, {task.horizon}."
        )


def _drawn(task: Task, name: str, draw: Callable, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    value = _called(task, name, draw, jax.random.split(key, _TRIED))
    if value.shape[1:] != shape:
        raise _wrong(task, name, f"shape {value.shape[1:]}", f"shape {shape}")
    return value.astype(float)


def _called(task: Task, name: str, function: Callable, *batches: Any) -> Any:
    """The function over batches under jit, its errors named and its numbers checked."""
    try:
        value = jax.jit(jax.vmap(function))(*batches)
    except TypeError as error:
        if "has no" in str(error):
            raise
        raise _wrong(task, name, f"an error, {error}", "a pure function of arrays") from error
    except jax.errors.JAXTypeError as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise _wrong(
            task, name, f"Python control flow over values that jit does not know ({reason})", "jnp.where instead of if"
        ) from error
    except (ValueError, IndexError, KeyError, AttributeError) as error:
        raise _wrong(task, name, f"{type(error).__name__}: {error}", "a pure function of arrays") from error
    for leaf in jax.tree.leaves(value):
        if not np.isfinite(np.asarray(leaf, float)).all():
            raise _wrong(task, name, "NaN or infinite numbers", "finite numbers for every drawn state, goal and action")
    return value


def _of_rank(task: Task, name: str, value: jax.Array, rank: int) -> None:
    if value.ndim != rank + 1:
        raise _wrong(task, name, f"shape {value.shape[1:]}", "a vector")


def _check_terms(task: Task, terms: Any) -> None:
    if not isinstance(terms, dict) or not terms or not all(isinstance(name, str) for name in terms):
        raise _wrong(task, "cost", f"a {type(terms).__name__}", "a dict of one or more named terms, {'reach': ...}")
    for name, value in terms.items():
        if value.shape[1:] != ():
            raise _wrong(task, "cost", f"shape {value.shape[1:]} for the term {name!r}", "a scalar for each term")


def _check_sight(task: Task, states: jax.Array, actions: jax.Array, goals: jax.Array) -> None:
    """No entry of the state may move the cost and nothing that networks see."""

    def cost(state: jax.Array, actions: jax.Array, goal: jax.Array) -> jax.Array:
        plan = jnp.broadcast_to(state, (task.horizon + 1, task.state_size))
        return total(task.trajectory_cost(plan, actions, goal))

    def seen(state: jax.Array, goal: jax.Array) -> jax.Array:
        return jnp.concatenate([task.local_features(state), task.goal_features(state, goal)])

    slope = jax.jit(jax.vmap(jax.grad(cost)))(states, actions, goals)
    if not np.isfinite(np.asarray(slope)).all():
        raise _wrong(
            task,
            "cost",
            "a gradient that is not finite",
            "a cost that can be differentiated, e.g. no root of exactly zero",
        )
    sight = jax.jit(jax.vmap(jax.jacfwd(seen)))(states, goals)
    moved = np.abs(np.asarray(slope)).max(0) > 0
    hidden = np.abs(np.asarray(sight)).max((0, 1)) == 0
    if (moved & hidden).any():
        raise _wrong(
            task,
            "cost",
            f"a dependence on entries {np.flatnonzero(moved & hidden).tolist()} of the state, which neither features nor "
            "goal_features show",
            "costs of what networks see; add these entries to features",
        )


def _wrong(task: Task, method: str, came: str, wanted: str) -> ValueError:
    return ValueError(f"{type(task).__name__}.{method} gave {came}; wanted is {wanted}.")
