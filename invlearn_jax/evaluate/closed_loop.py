"""Closed-loop evaluation: plan, execute ``execute_steps`` of the plan, plan again.

Every episode goes on to the time limit; where its environment ends it at the goal, it stays there on C MuJoCo, and goes on
unheeded on MJX.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.inputs import float_type
from invlearn_jax.progress import announce, progress
from invlearn_jax.tasks.antmaze.environment import Antmaze
from invlearn_jax.tasks.antmaze.simulator import MujocoAntmaze
from invlearn_jax.tasks.d4rl import GOAL_RADIUS
from invlearn_jax.tasks.maze2d.environment import Maze2d
from invlearn_jax.tasks.maze2d.simulator import MujocoMaze2d
from invlearn_jax.types import Key, Params, Planner, PlanOutput, Problem


class Episodes(NamedTuple):
    """N closed-loop episodes of L steps.

    Attributes:
        goals: ``[N, 2]``.
        states: ``[N, L+1, S]`` realised.
        actions: ``[N, L, A]``.
        plan_states: ``[N, plans, T+1, S]`` predicted.
        results: ``[N, plans]`` result codes.
    """

    goals: np.ndarray
    states: np.ndarray
    actions: np.ndarray
    plan_states: np.ndarray
    results: np.ndarray


def start_states(env: Maze2d | Antmaze, key: Key, episodes: int, multi_goal: bool) -> tuple[np.ndarray, np.ndarray]:
    """Starts ``[N, S]`` and goals ``[N, 2]`` of D4RL's protocol; with ``multi_goal`` a random goal each. Consumes the key."""
    reset_key, goal_key = jax.random.split(key)
    # Reset draws cell, offset and speed and returns them as the observation, with the maze's own goal.
    state = jax.jit(jax.vmap(env.reset))(jax.random.split(reset_key, episodes))
    goals = state.info["goal"]
    if multi_goal:
        goals = jax.jit(jax.vmap(env.random_goal))(jax.random.split(goal_key, episodes))
    return np.asarray(state.obs), np.asarray(goals)


def follows(planner: Planner) -> bool:
    """Whether the planner follows its plan by ``act(params, plan, step, state) -> action`` instead of executing its actions."""
    return hasattr(planner, "act")


def first_guess(planner: Planner, *batch: int) -> Array | None:
    """Zeros ``[*batch, T, A]`` for a planner with ``warm_start``, else None."""
    if not getattr(planner, "warm_start", False):
        return None
    return jnp.zeros((*batch, planner.horizon, planner.inverter.action_size))


def next_guess(planner: Planner, actions: Float[Array, "*b T A"]) -> Array | None:
    """What the last plan leaves after its executed steps, its last action held; None without ``warm_start``."""
    if not getattr(planner, "warm_start", False):
        return None
    # In the first guess's type, which a scan keeps.
    actions = actions.astype(float_type())
    left = jnp.arange(planner.horizon) + planner.execute_steps
    return actions[..., jnp.minimum(left, planner.horizon - 1), :]


def _ended(env: Maze2d | Antmaze, state: np.ndarray, goals: Array) -> np.ndarray:
    """``[N]`` which episodes are over."""
    # In the precision that episodes are recorded and judged in.
    position = state[:, :2].astype(np.float32).astype(float)
    at_goal = np.linalg.norm(position - np.asarray(goals, float), axis=1) <= GOAL_RADIUS
    return at_goal & env.spec.ends_at_goal


def run_mujoco(
    planner: Planner,
    params: Params,
    env: Maze2d | Antmaze,
    key: Key,
    starts: np.ndarray,
    goals: np.ndarray,
    steps: int | None = None,
    plan: Callable | None = None,
) -> Episodes:
    """Runs all episodes side by side on C MuJoCo; planning is one jitted, vmapped call every ``execute_steps``.

    Args:
        planner: what plans.
        params: its parameters.
        env: whose physics are stepped.
        key: consumed.
        starts: ``[N, S]``.
        goals: ``[N, 2]``.
        steps: episode length; the environment's by default.
        plan: ``(params, keys, problems) -> plans`` for the whole batch, where it was compiled already.

    Returns:
        The episodes.
    """
    steps = steps or env.episode_length
    simulator = (MujocoAntmaze if isinstance(env, Antmaze) else MujocoMaze2d)(env.spec)
    plan = plan or jax.jit(jax.vmap(planner.plan, in_axes=(None, 0, 0)))
    act = jax.jit(jax.vmap(planner.act, in_axes=(None, 0, None, 0))) if follows(planner) else None
    state, states, actions, plans = np.asarray(starts, np.float64), [np.asarray(starts)], [], []
    goals, guess = jnp.asarray(goals, jnp.float32), first_guess(planner, len(starts))
    for begin in progress(range(0, steps, planner.execute_steps), "episodes", unit="plan"):
        key, plan_key = jax.random.split(key)
        keys = jax.random.split(plan_key, len(starts))
        out = plan(params, keys, Problem(jnp.asarray(state, jnp.float32), goals, guess))
        guess = next_guess(planner, out.actions)
        plans.append((np.asarray(out.states), np.asarray(out.result)))
        chosen = np.asarray(out.actions)
        for step in range(min(planner.execute_steps, steps - begin)):
            action = (
                chosen[:, step] if act is None else np.asarray(act(params, out, step, jnp.asarray(state, jnp.float32)))
            )
            going = ~_ended(env, state, goals)
            # Physics is what an evaluation's time goes into.
            state = state.copy()
            if going.any():
                state[going] = simulator.step(state[going], action[going])
            states.append(state.astype(np.float32))
            actions.append(action)
    simulator.close()
    predicted, results = (np.stack(x, axis=1) for x in zip(*plans, strict=True))
    return Episodes(np.asarray(goals), np.stack(states, 1), np.stack(actions, 1), predicted, results)


def run_mjx(
    planner: Planner,
    params: Params,
    env: Maze2d | Antmaze,
    key: Key,
    starts: np.ndarray,
    goals: np.ndarray,
    steps: int | None = None,
) -> Episodes:
    """The same on MJX: all episodes, plans and physics in one jitted program. See ``run_mujoco``."""
    steps = steps or env.episode_length
    rounds = -(-steps // planner.execute_steps)
    episode = _mjx_episode(planner, env, rounds, steps)
    keys = jax.random.split(key, len(starts))
    # JAX's default is the type that MJX's own arrays have.
    begin = (jnp.asarray(starts, float_type()), jnp.asarray(goals, float_type()))
    with announce("compiling and running the episodes on MJX"):
        rows = jax.jit(jax.vmap(episode, in_axes=(None, 0, 0, 0)))(params, keys, *begin)
        states, actions, predicted, results = (np.asarray(x) for x in rows)
    states = np.concatenate([np.asarray(starts)[:, None], states], axis=1)[:, : steps + 1]
    return Episodes(np.asarray(goals), states, actions[:, :steps], predicted, results)


def _mjx_episode(planner: Planner, env: Maze2d | Antmaze, rounds: int, steps: int) -> Callable:
    def episode(params: Params, key: Key, start: jax.Array, goal: jax.Array) -> tuple:
        def physics(out: PlanOutput, state: tuple, step: jax.Array) -> tuple:
            action = planner.act(params, out, step, state.obs) if follows(planner) else out.actions[step]
            state = env.step(state, action.astype(state.obs.dtype))
            return state, (state.obs, action)

        def one_round(carry: tuple, key: Key) -> tuple:
            state, guess = carry
            out = planner.plan(params, key, Problem(state.obs, goal, guess))
            executed = jnp.arange(min(planner.execute_steps, steps))
            state, (states, chosen) = jax.lax.scan(functools.partial(physics, out), state, executed)
            return (state, next_guess(planner, out.actions)), (states, chosen, out.states, out.result)

        begin = env.reset_to(start, goal), first_guess(planner)
        rows = jax.lax.scan(one_round, begin, jax.random.split(key, rounds))[1]
        states, actions, predicted, results = rows
        return states.reshape(-1, states.shape[-1]), actions.reshape(-1, actions.shape[-1]), predicted, results

    return episode
