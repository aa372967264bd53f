"""Episodes of D4RL's waypoint controller, which its scores are measured against."""

import jax
import numpy as np

from invlearn_jax.tasks.d4rl import returns_of
from invlearn_jax.tasks.maze2d.environment import Maze2d
from invlearn_jax.tasks.maze2d.generator import WaypointController
from invlearn_jax.tasks.maze2d.simulator import MujocoMaze2d
from invlearn_jax.types import Key


def controller_states(
    env: Maze2d, starts: np.ndarray, goals: np.ndarray, key: Key, steps: int | None = None
) -> np.ndarray:
    """D4RL's waypoint controller, planned afresh for each episode, without action noise, on C MuJoCo.

    Args:
        env: the environment.
        starts: ``[N, 4]``.
        goals: ``[N, 2]`` metres; the controller drives to the index of the goal's cell, as D4RL's does.
        key: consumed (the noise on the waypoints, which is part of the controller).
        steps: the length L; the environment's time limit by default.

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
    for step_key in list(jax.random.split(run_key, steps or env.episode_length)):
        actions, control, _ = act(step_key, control, state.astype(np.float32))
        state = simulator.step(state, np.asarray(actions))
        states.append(state)
    simulator.close()
    return np.stack(states, axis=1)


def controller_returns(
    env: Maze2d, starts: np.ndarray, goals: np.ndarray, key: Key, steps: int | None = None
) -> np.ndarray:
    """``[N]`` returns of D4RL's waypoint controller; see ``controller_states``. The key is consumed."""
    return returns_of(env.spec, controller_states(env, starts, goals, key, steps), goals)
