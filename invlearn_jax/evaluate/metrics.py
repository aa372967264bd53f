"""Scores of episodes, with intervals. The reward of a step is that of the state after it."""

from typing import NamedTuple

import jax
import numpy as np

from invlearn_jax.data.maze2d_generator import WaypointController
from invlearn_jax.envs.maze2d import GOAL_RADIUS, Maze2d, Maze2dSpec
from invlearn_jax.envs.mujoco_backend import MujocoMaze2d
from invlearn_jax.tasks.antmaze.environment import AntmazeSpec
from invlearn_jax.types import Key

_Z95 = 1.959963984540054  # the normal distribution's 97.5 % point


class Interval(NamedTuple):
    """An estimate with its standard error and 95 % confidence interval."""

    mean: float
    sem: float
    low: float
    high: float


def normalized_score(spec: Maze2dSpec | AntmazeSpec, returns: np.ndarray | float) -> np.ndarray | float:
    """D4RL's score ``100 (return - ref_min) / (ref_max - ref_min)``.

    Args:
        spec: the environment, with its reference returns.
        returns: of any shape.

    Returns:
        The scores; in maze2d above 100 is better than D4RL's controller as it was measured, in antmaze 100 is success.

    Raises:
        ValueError: if the environment has no reference returns.
    """
    if spec.ref_min is None or spec.ref_max is None:
        raise ValueError(
            f"{spec.name!r} has no reference returns; report the return, or give the spec ref_min and ref_max."
        )
    return 100.0 * (np.asarray(returns, float) - spec.ref_min) / (spec.ref_max - spec.ref_min)


def _distance(states: np.ndarray, goals: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.asarray(states, float)[..., :2] - np.asarray(goals, float)[:, None], axis=-1)


def returns_of(spec: Maze2dSpec | AntmazeSpec, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
    """``sum_{t=1..L} r(s_t)``, or up to the goal where that ends the episode.

    The first state, which no action led to, pays nothing.

    Args:
        spec: whose reward, sparse (1 within 0.5 m) or dense (``exp(-distance)``), is summed.
        states: ``[N, L+1, S]``.
        goals: ``[N, 2]`` metres.

    Returns:
        ``[N]`` returns.
    """
    distance = _distance(states, goals)[:, 1:]
    reward = distance <= GOAL_RADIUS if spec.reward == "sparse" else np.exp(-distance)
    return (reward.any(-1) if spec.ends_at_goal else reward.sum(-1)).astype(float)


def steps_to_goal(states: np.ndarray, goals: np.ndarray, radius: float = GOAL_RADIUS) -> np.ndarray:
    """The first t with ``|x_t - g| <= radius``.

    Args:
        states: ``[N, L+1, 4]``.
        goals: ``[N, 2]`` metres.
        radius: metres.

    Returns:
        ``[N]`` steps, 0 where the start is inside already, NaN where the goal was never reached.
    """
    inside = _distance(states, goals) <= radius
    return np.where(inside.any(-1), inside.argmax(-1), np.nan)


def success(states: np.ndarray, goals: np.ndarray, radius: float = GOAL_RADIUS) -> np.ndarray:
    """``[N]`` bool, whether the episode was ever within ``radius`` of its goal; see ``steps_to_goal``."""
    return np.isfinite(steps_to_goal(states, goals, radius))


def mean_ci(values: np.ndarray) -> Interval:
    """``mean -+ 1.96 s / sqrt(n)``, s being the sample's standard deviation.

    Args:
        values: ``[n]`` independent values.

    Returns:
        The mean with its normal 95 % interval; one value has an infinite standard error.

    Raises:
        ValueError: for no values.
    """
    values = np.asarray(values, float).ravel()
    if not len(values):
        raise ValueError("No values were given; a mean needs at least one.")
    mean = float(values.mean())
    sem = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("inf")
    return Interval(mean, sem, mean - _Z95 * sem, mean + _Z95 * sem)


def wilson(successes: int, trials: int) -> Interval:
    """Wilson's 95 % interval of a rate.

    With ``p = successes / n`` and ``z = 1.96``,

        (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n).

    Args:
        successes: how often it came out so.
        trials: n.

    Returns:
        The rate p, its standard error ``sqrt(p (1 - p) / n)`` and the interval, which stays in [0, 1].

    Raises:
        ValueError: unless 0 <= successes <= trials and trials >= 1.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(
            f"{successes} successes of {trials} trials; give 0 <= successes <= trials and at least one trial."
        )
    rate, weight = successes / trials, _Z95**2 / trials
    variance = rate * (1 - rate) / trials
    middle = (rate + weight / 2) / (1 + weight)
    half = _Z95 * np.sqrt(variance + weight / (4 * trials)) / (1 + weight)
    return Interval(rate, float(np.sqrt(variance)), float(max(middle - half, 0.0)), float(min(middle + half, 1.0)))


def jerk(actions: np.ndarray, dt: float) -> np.ndarray | float:
    """``mean_t |a_{t+1} - a_t| / dt``, Euclidean over the action's entries.

    Args:
        actions: ``[..., T, A]``, T >= 2.
        dt: seconds per step.

    Returns:
        ``[...]`` per second.
    """
    return np.linalg.norm(np.diff(np.asarray(actions, float), axis=-2), axis=-1).mean(-1) / dt


def prediction_error(
    plan_states: np.ndarray, states: np.ndarray, execute_steps: int, position_size: int = 2
) -> np.ndarray:
    """How far the state at the end of a plan's executed part is from its prediction.

    Args:
        plan_states: ``[N, plans, T+1, S]`` predicted.
        states: ``[N, L+1, S]`` realised.
        execute_steps: k, steps between plans.
        position_size: leading state entries that are the position.

    Returns:
        ``[N]`` metres, the mean over an episode's plans; a last plan cut short by the episode's end is left out. A plan that is
        followed beyond its end is held against its end.
    """
    end = min(execute_steps, plan_states.shape[2] - 1)
    realised = states[:, end::execute_steps, :position_size]
    count = min(realised.shape[1], plan_states.shape[1])
    predicted = plan_states[:, :count, end, :position_size]
    return np.linalg.norm(predicted - realised[:, :count], axis=-1).mean(1)


def controller_states(env: Maze2d, starts: np.ndarray, goals: np.ndarray, key: Key) -> np.ndarray:
    """D4RL's waypoint controller, planned afresh for each episode, without action noise, on C MuJoCo.

    Args:
        env: the environment; its time limit is the length L.
        starts: ``[N, 4]``.
        goals: ``[N, 2]`` metres; the controller drives to the index of the goal's cell, as D4RL's does.
        key: consumed (the noise on the waypoints, which is part of the controller).

    Returns:
        ``[N, L+1, 4]`` the states, float64.
    """
    controller, count = WaypointController(env.spec.layout), len(starts)
    begin = jax.jit(lambda key, *ends: jax.vmap(controller.start)(jax.random.split(key, count), *ends))
    act = jax.jit(lambda key, *now: jax.vmap(controller.act)(jax.random.split(key, count), *now))
    start_key, run_key = jax.random.split(key)
    state = np.asarray(starts, np.float64)
    control = begin(start_key, state[:, :2].astype(np.float32), np.asarray(goals, np.float32))
    simulator, states = MujocoMaze2d(env.spec), [state]
    for step_key in list(jax.random.split(run_key, env.episode_length)):
        actions, control, _ = act(step_key, control, state.astype(np.float32))
        state = simulator.step(state, np.asarray(actions))
        states.append(state)
    simulator.close()
    return np.stack(states, axis=1)


def controller_returns(env: Maze2d, starts: np.ndarray, goals: np.ndarray, key: Key) -> np.ndarray:
    """``[N]`` returns of D4RL's waypoint controller; see ``controller_states``. The key is consumed."""
    return returns_of(env.spec, controller_states(env, starts, goals, key), goals)
