"""D4RL's maze2d data, regenerated: a waypoint controller wandering from goal to goal, vectorised on MJX.

The recipe is ``D4RL:scripts/generation/generate_maze2d_datasets.py`` with ``--noisy``; see ``controller_data`` for its
quirks. ``random_data`` is the broad counterpart: random states and smoothed random actions.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from invlearn_jax.keys import generator
from invlearn_jax.progress import progress
from invlearn_jax.tasks.d4rl import GOAL_RADIUS
from invlearn_jax.tasks.layouts import Layout, cell_distances
from invlearn_jax.tasks.maze2d.environment import Maze2d, inside_maze
from invlearn_jax.tasks.maze2d.model import FREE_HIGH, FREE_LOW
from invlearn_jax.types import Key

# A goal or waypoint counts as reached within this distance (m), at a displacement of less than this per step (m).
_REACHED = 0.1
_WAYPOINT_NOISE = 0.2  # m, subtracted from waypoints, U[0, 0.2]
_GAIN = 10.0  # 1/m
_DAMPING = 1.0  # s/m

_BLOCK = 500  # steps of all streams between two words of progress

# D4RL's planner tries moves in this order; the first that shortens the way is taken.
_MOVES = ((0, -1), (0, 1), (-1, 0), (1, 0))


def next_cells(layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """The grid planner as a table.

    Args:
        layout: the maze of C free cells.

    Returns:
        ``[C, C]`` the free cell to go to next, by (goal, cell), the goal itself at the goal; and ``[rows, columns]`` each
        free cell's index, -1 at walls.
    """
    free = layout.free
    index = np.full(layout.walls.shape, -1)
    index[tuple(free.T)] = np.arange(len(free))
    table = np.zeros((len(free), len(free)), int)
    for goal, cell in enumerate(free):
        distance = cell_distances(layout.walls, cell)
        for here, (row, column) in enumerate(free):
            moves = [(row + i, column + j) for i, j in _MOVES]
            closer = [m for m in moves if distance[m] >= 0 and distance[m] < distance[row, column]]
            table[goal, here] = index[closer[0]] if closer else here
    return table, index


class ControllerState(NamedTuple):
    """Where the waypoint controller is on its way; cells are indices into the layout's free cells."""

    goal_cell: Array
    waypoint_cell: Array
    waypoint: Array
    last_position: Array


class WaypointController:
    """D4RL's PD controller over grid waypoints: ``clip(10 (waypoint - position) - velocity, -1, 1)``."""

    def __init__(self, layout: Layout) -> None:
        """Tabulates the grid planner of a layout."""
        table, index = next_cells(layout)
        self._next, self._index = jnp.asarray(table), jnp.asarray(index)
        self._free = jnp.asarray(layout.free, jnp.float32)

    def cell_of(self, position: Array) -> Array:
        """The free cell of a position ``[2]`` m: that of the rounded position or, where it is a wall, the nearest corridor's.

        Corridors are off-centre, so a ball in one can round to the wall beside it. D4RL plans from that wall cell itself,
        which its grid planner may leave on the far side.
        """
        row, column = jnp.clip(jnp.round(position).astype(int), 0, jnp.array(self._index.shape) - 1)
        beyond = position - jnp.clip(position, self._free + FREE_LOW, self._free + FREE_HIGH)
        cell = self._index[row, column]
        return jnp.where(cell >= 0, cell, jnp.argmin((beyond**2).sum(-1)))

    def start(self, key: Key, position: Array, goal: Array) -> ControllerState:
        """Plans afresh from ``position`` to the cell of ``goal`` (both ``[2]`` m). The key is consumed."""
        goal_cell, cell = self.cell_of(goal), self.cell_of(position)
        return self._towards(key, goal_cell, self._next[goal_cell, cell], self._free[cell])

    def _towards(self, key: Key, goal_cell: Array, waypoint_cell: Array, last_position: Array) -> ControllerState:
        noise = jax.random.uniform(key, (2,), maxval=_WAYPOINT_NOISE) * (waypoint_cell != goal_cell)
        return ControllerState(goal_cell, waypoint_cell, self._free[waypoint_cell] - noise, last_position)

    def act(self, key: Key, state: ControllerState, obs: Array) -> tuple[Array, ControllerState, Array]:
        """One step.

        Args:
            key: consumed (the noise of the next waypoint).
            state: from ``start`` or the last call.
            obs: ``[4]`` position and velocity.

        Returns:
            The action ``[2]``, the next state, and whether the goal cell was reached.
        """
        position = obs[:2]
        slow = jnp.linalg.norm(position - state.last_position) < _REACHED
        action = jnp.clip(_GAIN * (state.waypoint - position) - _DAMPING * obs[2:], -1.0, 1.0)
        finished = (jnp.linalg.norm(self._free[state.goal_cell] - position) < _REACHED) & slow
        arrived = (jnp.linalg.norm(state.waypoint - position) < _REACHED) & slow
        following = self._towards(key, state.goal_cell, self._next[state.goal_cell, state.waypoint_cell], position)
        held = state._replace(last_position=position)
        return action, jax.tree.map(lambda a, b: jnp.where(arrived, a, b), following, held), finished


def _controller_step(env: Maze2d, controller: WaypointController, noise: float, carry: tuple, key: Key) -> tuple:
    state, recorded, control, count, goal = carry
    waypoint_key, noise_key, goal_key, start_key = jax.random.split(key, 4)
    action, control, finished = controller.act(waypoint_key, control, recorded)
    action = jnp.clip(action + noise * jax.random.normal(noise_key, (2,)), -1.0, 1.0)
    following = env.step(state, action)
    # D4RL looks at the limit before it counts the row: a segment may have one row more.
    ended = finished | (count >= env.episode_length)
    row = (recorded, action, ended, goal, state.obs)
    new_goal = env.random_goal(goal_key)
    # D4RL does not refresh its observation after drawing a goal: the next row repeats this one's.
    fresh = controller.start(start_key, recorded[:2], new_goal)
    same_cell = controller.cell_of(new_goal) == control.goal_cell
    replanned = jax.tree.map(lambda a, b: jnp.where(ended & ~same_cell, a, b), fresh, control)
    recorded = jnp.where(ended, recorded, following.obs)
    return (following, recorded, replanned, jnp.where(ended, 0, count + 1), jnp.where(ended, new_goal, goal)), row


@functools.partial(jax.jit, static_argnames=("env", "streams"))
def _controller_begin(env: Maze2d, key: Key, streams: int) -> tuple:
    controller = WaypointController(env.spec.layout)

    def begin(key: Key) -> tuple:
        reset_key, goal_key, start_key = jax.random.split(key, 3)
        state, goal = env.reset(reset_key), env.random_goal(goal_key)
        return state, state.obs, controller.start(start_key, state.obs[:2], goal), jnp.zeros((), int), goal

    return jax.vmap(begin)(jax.random.split(key, streams))


@functools.partial(jax.jit, static_argnames=("env", "noise", "streams"))
def _controller_rows(env: Maze2d, carry: tuple, keys: Array, noise: float, streams: int) -> tuple:
    """The next steps of all streams, one for each key."""
    step = jax.vmap(functools.partial(_controller_step, env, WaypointController(env.spec.layout), noise))
    return jax.lax.scan(lambda c, k: step(c, jax.random.split(k, streams)), carry, keys)


def controller_data(env: Maze2d, key: Key, rows: int, noise: float = 0.5, streams: int = 256) -> dict[str, np.ndarray]:
    """D4RL-style data: ``streams`` endless trajectories, laid end to end.

    Kept from D4RL: the goal is drawn anew when reached or at the time limit; ``timeouts`` marks that row; the recorded
    observation then repeats once while ``infos/qpos, infos/qvel`` hold the true state; goals in the controller's present
    target cell do not make it plan anew, so one-row segments occur; ``rewards[t]`` tests ``observations[t]`` against the
    maze's own goal; no terminals. Different: a stream's last row is a timeout too, and 256 streams replace the one.

    Args:
        env: a maze2d environment.
        key: consumed.
        rows: how many rows to make.
        noise: standard deviation of the Gaussian added to each action.
        streams: trajectories run side by side.

    Returns:
        D4RL's keys as flat float32 and bool arrays.
    """
    streams = min(streams, rows)
    steps = -(-rows // streams)
    begin_key, run_key = jax.random.split(key)
    keys, carry, parts = jax.random.split(run_key, steps), _controller_begin(env, begin_key, streams), []
    # Blocks of one length, so that one program serves all; what the last has too much is cut off.
    block = -(-steps // -(-steps // _BLOCK))
    for first in progress(range(0, steps, block), "waypoint controller's data", unit="block"):
        carry, part = _controller_rows(env, carry, keys[jnp.arange(first, first + block) % steps], noise, streams)
        parts.append([np.asarray(x) for x in part])
    observations, actions, ends, goals, truth = (
        np.concatenate(part)[:steps].swapaxes(0, 1) for part in zip(*parts, strict=True)
    )
    ends[:, -1] = True
    observations, actions, ends, goals, truth = (
        x.reshape(-1, *x.shape[2:])[:rows] for x in (observations, actions, ends, goals, truth)
    )
    distance = np.linalg.norm(observations[:, :2] - np.asarray(env.goal), axis=-1)
    reward = distance <= GOAL_RADIUS if env.spec.reward == "sparse" else np.exp(-distance)
    return {
        "observations": observations,
        "actions": actions,
        "rewards": reward.astype(np.float32),
        "terminals": np.zeros(rows, bool),
        "timeouts": ends,
        "infos/goal": goals,
        "infos/qpos": truth[:, :2],
        "infos/qvel": truth[:, 2:],
    }


def random_free_positions(layout: Layout, rng: np.random.Generator, count: int) -> np.ndarray:
    """``[count, 2]`` positions uniform over wherever the ball's centre can be, in metres."""
    found = np.zeros((0, 2))
    while len(found) < count:
        draw = rng.uniform(0, layout.walls.shape, size=(2 * count, 2))
        found = np.concatenate([found, draw[inside_maze(layout, draw, slack=0.0)]])
    return found[:count]


@functools.partial(jax.jit, static_argnames=("env", "steps"))
def _random_rows(env: Maze2d, key: Key, start: Array, steps: int) -> tuple:
    goal = env.goal
    state = jax.vmap(lambda obs: env.reset_to(obs, goal))(start)
    level_key, run_key = jax.random.split(key)
    # How fast an episode's actions change, from white noise to held for half a second.
    keep = jax.random.uniform(level_key, (start.shape[0], 1), maxval=0.98)

    def step(carry: tuple, key: Key) -> tuple:
        state, smooth = carry
        smooth = keep * smooth + jnp.sqrt(1 - keep**2) * jax.random.normal(key, smooth.shape)
        action = jnp.clip(1.5 * smooth, -1.0, 1.0)
        return (jax.vmap(env.step)(state, action), smooth), (state.obs, action)

    first_key, run_key = jax.random.split(run_key)
    smooth = jax.random.normal(first_key, (start.shape[0], 2))
    return jax.lax.scan(step, (state, smooth), jax.random.split(run_key, steps))[1]


def random_data(env: Maze2d, key: Key, rows: int, length: int = 64, streams: int = 256) -> dict[str, np.ndarray]:
    """Broad data: episodes from uniform random positions and velocities under smoothed random actions.

    Args:
        env: a maze2d environment.
        key: consumed.
        rows: how many rows to make; rounded up to whole rounds of ``streams`` episodes, then cut.
        length: rows of one episode.
        streams: episodes run side by side.

    Returns:
        ``observations, actions, rewards, terminals, timeouts``, the last true in each episode's last row.
    """
    rounds = -(-rows // (length * streams))
    rng = generator(key)
    parts = []
    for part_key in progress(jax.random.split(key, rounds), "random data", unit="round"):
        position = random_free_positions(env.spec.layout, rng, streams)
        speed = rng.uniform(-5.2, 5.2, size=(streams, 2)) * rng.uniform(size=(streams, 1))
        start = jnp.asarray(np.concatenate([position, speed], 1), jnp.float32)
        parts.append([np.asarray(x).swapaxes(0, 1) for x in _random_rows(env, part_key, start, length)])
    observations, actions = (np.concatenate(p).reshape(-1, p[0].shape[-1])[:rows] for p in zip(*parts, strict=True))
    ends = np.tile(np.arange(length) == length - 1, rounds * streams)[:rows]
    distance = np.linalg.norm(observations[:, :2] - np.asarray(env.goal), axis=-1)
    reward = distance <= GOAL_RADIUS if env.spec.reward == "sparse" else np.exp(-distance)
    return {
        "observations": observations,
        "actions": actions,
        "rewards": reward.astype(np.float32),
        "terminals": np.zeros(rows, bool),
        "timeouts": ends,
    }
