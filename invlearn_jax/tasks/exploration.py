"""Data of random exploration: smoothed random actions from random states, for any task with a simulator."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from invlearn_jax.data.dataset import Dataset, kept_rows
from invlearn_jax.keys import streams
from invlearn_jax.progress import progress
from invlearn_jax.types import Key

if TYPE_CHECKING:
    from invlearn_jax.tasks.task import Task

_SHORTEST = 128  # steps of a trajectory, which windows of training must fit into
_LONGEST_HOLD = 16  # steps for which a random action is held at most


def smooth_actions(rng: np.random.Generator, low: np.ndarray, high: np.ndarray, count: int, steps: int) -> np.ndarray:
    """``[count, steps, A]`` actions: knots uniform in the box, each held or ramped to for a random 1 to 16 steps.

    Sequences differ in their amplitude, U(0, 1) of the box around its middle, so that slow motions are in the data too.
    """
    size = len(low)
    hold = rng.integers(1, _LONGEST_HOLD + 1, size=(count, 1, 1))
    at = np.arange(steps)[None, :, None] / hold
    knots = rng.uniform(-1.0, 1.0, size=(count, steps + 1, size)) * rng.uniform(size=(count, 1, 1)) ** 0.5
    index, share = np.floor(at).astype(int), at % 1.0
    index = np.broadcast_to(index, (count, steps, size))
    first, second = (np.take_along_axis(knots, index + i, axis=1) for i in (0, 1))
    ramp = rng.integers(0, 2, size=(count, 1, 1))
    return (low + high) / 2 + (high - low) / 2 * (first + ramp * share * (second - first))


def random_rows(
    task: "Task", rows: int, key: Key, steps: int | None = None, draw: Callable[[Key], jax.Array] | None = None
) -> Dataset:
    """Rows of random exploration on the task's simulator.

    Args:
        task: whose ``draw_state``, action box, ``explore`` and simulator are used.
        rows: about how many; at least this many are made.
        key: consumed.
        steps: of each trajectory; by default four plans, at least 128.
        draw: ``(key) -> state [S]`` that a trajectory begins with; the task's ``draw_state`` by default.

    Returns:
        Trajectories from fresh states. One that leaves the finite numbers is cut before it does.

    Raises:
        ValueError: for fewer than one row, or where nearly everything left the finite numbers.
    """
    if rows < 1:
        raise ValueError(f"rows is {rows}; give at least 1.")
    steps = steps or max(4 * task.horizon, _SHORTEST)
    count = -(-rows // steps)
    state_key, action_key = streams(key, "states", "actions")
    state = np.asarray(jax.jit(jax.vmap(draw or task.draw_state))(jax.random.split(state_key, count)), np.float64)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(action_key)).ravel().tolist())
    actions = smooth_actions(rng, task.action_low, task.action_high, count, steps).astype(np.float32)
    states, simulator = [state], task.simulator()
    for step in progress(range(steps), "random exploration", unit="step"):
        actions[:, step] = task.explore(states[step], actions[:, step])
        if step < steps - 1:
            states.append(simulator.step(states[step], actions[:, step]))
    simulator.close()
    return finite_rows(np.stack(states, axis=1), actions)


def finite_rows(states: np.ndarray, actions: np.ndarray) -> Dataset:
    """Trajectories ``[N, L, S]`` with the action of each state ``[N, L, A]``, each cut before it leaves the finite numbers.

    Raises:
        ValueError: where less than half of the rows are finite.
    """
    with np.errstate(over="ignore"):
        states = states.astype(np.float32)
    good = np.logical_and.accumulate(np.isfinite(states).all(-1), axis=1)
    if good.mean() < 0.5:
        raise ValueError(
            f"{100 * (1 - good.mean()):.0f} % of the simulated states are not finite: the simulation diverges. Use a smaller "
            "timestep in the model, smaller action limits, or a draw_state nearer to rest."
        )
    ends = np.zeros(good.shape, bool)
    ends[:, -1] = True
    ends[:, :-1] |= good[:, :-1] & ~good[:, 1:]
    kept = good.reshape(-1)
    flat = (x.reshape(-1, *x.shape[2:])[kept] for x in (states, np.asarray(actions, np.float32), ends))
    return Dataset(*flat)


def usable_rows(task: "Task", rows: Dataset) -> Dataset:
    """The rows whose states are usable; episodes are cut where others are left out.

    Raises:
        ValueError: if none is left.
    """
    keep = np.asarray(jax.jit(jax.vmap(task.usable))(jnp.asarray(rows.states)))
    if not keep.any():
        raise ValueError(f"No state of the rows is usable for {task.name}. Check the data, or what usable() allows.")
    return kept_rows(rows, keep)
