"""D4RL's antmaze data, regenerated on C MuJoCo, and broad data of an ant that walks, moves at random and falls.

The recipe is ``D4RL:scripts/generation/generate_ant_maze_datasets.py`` with ``--noisy``; see ``antmaze_data`` for its
quirks.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from invlearn_jax.keys import generator, indexed
from invlearn_jax.progress import progress
from invlearn_jax.tasks.antmaze import model as ant
from invlearn_jax.tasks.antmaze.environment import AntmazeSpec, goal_near, random_start
from invlearn_jax.tasks.antmaze.goal_policy import GoalPolicy
from invlearn_jax.tasks.antmaze.simulator import MujocoAntmaze
from invlearn_jax.tasks.d4rl import GOAL_RADIUS
from invlearn_jax.tasks.layouts import Layout
from invlearn_jax.types import Key

EPISODE_ROWS = 1001  # D4RL looks at its limit of 1000 steps before it counts the row
_SPREAD = 1.0  # m, waypoints and the starts of multi-start data lie U[0, 1] beyond their cell's centre
# Of broad data.
_WALKING = 2 / 3  # share of the episodes in which the policy acts
_DROPPED = 0.2  # share of the episodes that begin with a fall
_DROP_HEIGHT = 1.25  # m, from which no leg reaches the floor
_CLEAR = 0.75  # m from a cell's centre, within which no leg reaches a wall

_starts, _goals, _act = jax.jit(jax.vmap(random_start)), jax.jit(jax.vmap(goal_near)), jax.jit(GoalPolicy.act)

# D4RL's planner looks around a cell in this order.
_MOVES = ((0, -1), (0, 1), (1, 0), (-1, 0))


class Collection(NamedTuple):
    """Between which cells a data set's ant walks.

    Attributes:
        multi_start: whether episodes start in any free cell but those of ``goals``, or in the maze's first one.
        goals: the cells (row, column) that goals are drawn from; none means any free cell.
    """

    multi_start: bool = True
    goals: tuple[tuple[int, int], ...] = ()


_MEDIUM_GOALS = ((2, 6), (5, 1), (6, 5))
_LARGE_GOALS = ((1, 6), (3, 5), (3, 10), (5, 2), (7, 4), (7, 6), (7, 9))
# D4RL's published script draws goals from these cells with and without its flag --multigoal. That "diverse" means any cell is
# D4RL's description of the data.
COLLECTIONS = {
    "antmaze-umaze-v2": Collection(multi_start=False, goals=((3, 1),)),
    "antmaze-umaze-diverse-v2": Collection(),
    "antmaze-medium-play-v2": Collection(goals=_MEDIUM_GOALS),
    "antmaze-medium-diverse-v2": Collection(),
    "antmaze-large-play-v2": Collection(goals=_LARGE_GOALS),
    "antmaze-large-diverse-v2": Collection(),
}


class Navigator(NamedTuple):
    """D4RL's grid planner as tables over all C = rows x columns cells, numbered row by row.

    Attributes:
        following: ``[C, C]`` the cell to go to next, by goal's cell and own cell; the goal's at the goal.
        centres: ``[rows, columns, 2]`` m.
    """

    following: Int[Array, "C C"]
    centres: Float[Array, "rows columns 2"]

    def cell_of(self, position: Float[Array, "*b 2"]) -> Int[Array, "*b"]:
        """The cell that D4RL takes positions (m) to be in: that of the last row and column of centres passed, from the first.

        An ant on the near side of its corridor so counts as in the cell before, which may be a wall.
        """
        rows, columns = self.centres.shape[:2]
        passed = jnp.maximum(position - self.centres[1, 1], 0.0) // ant.CELL
        row, column = jnp.moveaxis(1 + passed[..., ::-1].astype(int), -1, 0)
        return jnp.minimum(row, rows - 1) * columns + jnp.minimum(column, columns - 1)

    def waypoint(self, key: Key, position: Float[Array, "*b 2"], goal: Float[Array, "*b 2"]) -> Float[Array, "*b 2"]:
        """Where to walk now: the next cell's centre + U(0, 1) m per axis, drawn anew in each call; the goal once in its cell.

        Args:
            key: consumed.
            position: of the ants, m.
            goal: m.

        Returns:
            The waypoints, m.
        """
        goal_cell = self.cell_of(goal)
        cell = self.following[goal_cell, self.cell_of(position)]
        noisy = self.centres.reshape(-1, 2)[cell] + jax.random.uniform(key, position.shape, maxval=_SPREAD)
        return jnp.where((cell == goal_cell)[..., None], goal, noisy)


def navigator(layout: Layout) -> Navigator:
    """Tabulates D4RL's grid planner: breadth-first from each goal, a cell being followed by the one that first sees it."""
    rows, columns = layout.walls.shape
    number = np.arange(rows * columns).reshape(rows, columns)
    following = np.repeat(number.ravel()[None], number.size, axis=0)
    for goal in np.ndindex(rows, columns):
        seen, frontier = {goal}, [goal]
        # Cells are appended while the loop is on its way.
        for row, column in frontier:
            around = [(row + i, column + j) for i, j in _MOVES if 0 <= row + i < rows and 0 <= column + j < columns]
            for cell in (cell for cell in around if cell not in seen):
                seen.add(cell)
                following[number[goal], number[cell]] = number[row, column]
                if not layout.walls[cell]:
                    frontier.append(cell)
    centres = ant.cell_centre(layout, np.moveaxis(np.indices((rows, columns)), 0, -1))
    return Navigator(jnp.asarray(following), jnp.asarray(centres, jnp.float32))


def _record(
    simulator: MujocoAntmaze,
    command: Callable[[int, np.ndarray], Array | np.ndarray],
    starts: np.ndarray,
    steps: int,
    what: str,
) -> tuple[np.ndarray, np.ndarray]:
    """States ``[N, steps + 1, 29]`` and actions ``[N, steps, 8]`` under ``command(step, obs) -> actions``, float32.

    ``what`` names the work where progress is shown.
    """
    states = np.empty((len(starts), steps + 1, ant.STATE_SIZE), np.float32)
    actions = np.empty((len(starts), steps, ant.ACTION_SIZE), np.float32)
    obs = np.asarray(starts, np.float64)
    for step in progress(range(steps), what, unit="step"):
        states[:, step] = obs
        actions[:, step] = command(step, states[:, step])
        obs = simulator.step(obs, actions[:, step])
    states[:, steps] = obs
    return states, actions


@jax.jit
def _navigate(policy: GoalPolicy, guide: Navigator, key: Key, obs: Array, goals: Array, noise: Array | float) -> Array:
    """``clip(pi(s, waypoint) + noise n, -1, 1)``, ``[N, 8]``."""
    waypoint_key, policy_key, noise_key = jax.random.split(key, 3)
    action = policy.act(policy_key, obs, guide.waypoint(waypoint_key, obs[:, :2], goals))
    return jnp.clip(action + noise * jax.random.normal(noise_key, action.shape), -1.0, 1.0)


def navigated(
    spec: AntmazeSpec,
    policy: GoalPolicy,
    key: Key,
    starts: np.ndarray,
    goals: np.ndarray,
    steps: int,
    noise: float = 0.0,
    what: str = "episodes of ants",
) -> tuple[np.ndarray, np.ndarray]:
    """What made D4RL's data: the policy on its way through the maze's cells, on C MuJoCo. Nothing ends an episode.

    Args:
        spec: the environment.
        policy: walks; see ``read_goal_policy``.
        key: consumed.
        starts: ``[N, 29]``.
        goals: ``[N, 2]`` m.
        steps: T, of 0.1 s.
        noise: standard deviation of the Gaussian added to the policy's own.
        what: names the work where progress is shown.

    Returns:
        The states ``[N, T+1, 29]`` and actions ``[N, T, 8]``, float32.
    """
    guide, simulator, ends = navigator(spec.layout), MujocoAntmaze(spec), jnp.asarray(goals, jnp.float32)

    def command(step: int, obs: np.ndarray) -> Array:
        return _navigate(policy, guide, indexed(key, step), obs, ends, noise)

    rows = _record(simulator, command, starts, steps, what)
    simulator.close()
    return rows


def starts_and_goals(spec: AntmazeSpec, collection: Collection, key: Key, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Starts ``[count, 29]`` and goals ``[count, 2]`` of a data set. The key is consumed."""
    start_key, cell_key, place_key, goal_cell_key, goal_key = jax.random.split(key, 5)
    free = spec.layout.free
    goal_cells = np.array(collection.goals) if collection.goals else free
    start_cells = free[~(free[:, None] == goal_cells).all(-1).any(1)] if collection.goals else free
    starts = np.array(_starts(jax.random.split(start_key, count)))
    if collection.multi_start:
        cells = start_cells[np.asarray(jax.random.randint(cell_key, (count,), 0, len(start_cells)))]
        starts[:, :2] = ant.cell_centre(spec.layout, cells) + jax.random.uniform(place_key, (count, 2), maxval=_SPREAD)
    cells = goal_cells[np.asarray(jax.random.randint(goal_cell_key, (count,), 0, len(goal_cells)))]
    centres = jnp.asarray(ant.cell_centre(spec.layout, cells), jnp.float32)
    return starts, np.asarray(_goals(jax.random.split(goal_key, count), centres))


def antmaze_data(
    spec: AntmazeSpec,
    policy: GoalPolicy,
    key: Key,
    rows: int,
    noise: float = 0.2,
    streams: int = 256,
    collection: Collection | None = None,
) -> dict[str, np.ndarray]:
    """D4RL-style data: episodes of 1001 rows between drawn starts and goals, laid end to end.

    Kept from D4RL: the way is planned over cells, and the waypoint's noise drawn anew in every step; nothing ends an
    episode but its length, neither goal nor fall, and ``timeouts`` marks its last row; ``infos/qpos, infos/qvel`` are those
    *after* the step; ``rewards[t] = terminals[t]`` tests the state after the step against one goal of the maze's own, drawn once,
    not the goal the ant is walking to, which is in ``infos/goal``. Different: in the last row of an episode that state is the
    true one, where D4RL takes the next episode's first.

    Args:
        spec: the environment.
        policy: walks; see ``read_goal_policy``.
        key: consumed.
        rows: how many rows to make.
        noise: standard deviation of the Gaussian added to each action.
        streams: episodes run side by side, at most.
        collection: between which cells; by default what D4RL did for the environment of that name, else anywhere.

    Returns:
        D4RL's keys as flat float32 and bool arrays; see ``write_d4rl``.
    """
    collection = collection or COLLECTIONS.get(spec.name, Collection())
    target_key, key = jax.random.split(key)
    episodes, steps = -(-rows // EPISODE_ROWS), min(rows, EPISODE_ROWS)
    rounds, parts = -(-episodes // streams), []
    for number, round_key in enumerate(jax.random.split(key, rounds), start=1):
        draw_key, run_key = jax.random.split(round_key)
        starts, goals = starts_and_goals(spec, collection, draw_key, -(-episodes // rounds))
        what = f"antmaze data, round {number} of {rounds}"
        states, actions = navigated(spec, policy, run_key, starts, goals, steps, noise, what)
        parts.append((states[:, :-1], actions, np.repeat(goals[:, None], steps, axis=1), states[:, 1:]))
    observations, actions, goals, after = (
        np.concatenate(part).reshape(-1, part[0].shape[-1])[:rows] for part in zip(*parts, strict=True)
    )
    own_cell = jnp.asarray(ant.cell_centre(spec.layout, spec.layout.goal), jnp.float32)
    reached = np.linalg.norm(after[:, :2] - np.asarray(goal_near(target_key, own_cell)), axis=-1) <= GOAL_RADIUS
    return {
        "observations": observations,
        "actions": actions,
        "rewards": reached.astype(np.float32),
        "terminals": reached,
        "timeouts": np.arange(rows) % EPISODE_ROWS == EPISODE_ROWS - 1,
        "infos/goal": goals,
        "infos/qpos": after[:, : ant.QPOS_SIZE],
        "infos/qvel": after[:, ant.QPOS_SIZE :],
    }


class _Behaviour(NamedTuple):
    """What N ants do in one round: ``a_t = clip(walks pi(s_t, heading_t) + noise_t, -1, 1)``.

    Attributes:
        walks: ``[N, 1]`` bool.
        headings: ``[T, N, 2]`` unit vectors.
        noise: ``[T, N, 8]``.
    """

    walks: np.ndarray
    headings: np.ndarray
    noise: np.ndarray


def _behaviour(rng: np.random.Generator, count: int, steps: int, policy: GoalPolicy | None) -> _Behaviour:
    walks = rng.uniform(size=(count, 1)) < (_WALKING if policy else 0.0)
    # Some ants turn every second, some every five.
    turns = np.arange(steps)[:, None] // rng.integers(10, 51, size=count)
    angles = rng.uniform(-np.pi, np.pi, size=(1 + turns.max(), count))[turns, np.arange(count)]
    # From white noise to noise that lasts for two seconds; walkers are disturbed, the others only move at random.
    keep, size = rng.uniform(0.0, 0.95, (count, 1)), rng.uniform(np.where(walks, 0.0, 0.3), np.where(walks, 0.8, 1.5))
    noise = rng.normal(size=(steps, count, ant.ACTION_SIZE))
    for step in range(1, steps):
        noise[step] = keep * noise[step - 1] + np.sqrt(1 - keep**2) * noise[step]
    return _Behaviour(walks, np.stack([np.cos(angles), np.sin(angles)], axis=-1), size * noise)


def _tumbled(rng: np.random.Generator, starts: np.ndarray, joint_range: np.ndarray) -> np.ndarray:
    """The starts, a fifth of them dropped: turned any way, with any joint angles, clear of the floor."""
    count = len(starts)
    dropped = starts.copy()
    dropped[:, 2] = _DROP_HEIGHT
    turn = rng.normal(size=(count, 4))
    dropped[:, ant.QUATERNION] = turn / np.linalg.norm(turn, axis=-1, keepdims=True)
    dropped[:, 7 : ant.QPOS_SIZE] = rng.uniform(joint_range[:, 0], joint_range[:, 1], size=(count, ant.ACTION_SIZE))
    dropped[:, ant.QPOS_SIZE :] = rng.normal(size=(count, ant.STATE_SIZE - ant.QPOS_SIZE))
    return np.where(rng.uniform(size=(count, 1)) < _DROPPED, dropped, starts)


def random_ant_data(
    policy: GoalPolicy | None,
    key: Key,
    rows: int,
    spec: AntmazeSpec | None = None,
    length: int = 200,
    streams: int = 256,
) -> dict[str, np.ndarray]:
    """Broad data: ants that walk in directions drawn anew every 1 to 5 s under noise of any strength, or move at random.

    A fifth of the episodes begins with a fall in any posture. Noise is smoothed by as much as 2 s, differently in each
    episode.

    Args:
        policy: walks in two thirds of the episodes; None for random exploration alone.
        key: consumed.
        rows: how many rows to make; rounded up to whole rounds of ``streams`` episodes, then cut.
        spec: the maze, in whose free cells episodes start; None for a floor without walls.
        length: rows of one episode, 0.1 s each.
        streams: episodes run side by side.

    Returns:
        ``observations, actions, rewards, terminals, timeouts``, the last true in each episode's last row; no rewards.
    """
    rng = generator(key)
    streams = min(streams, -(-rows // length))
    simulator, parts, rounds = MujocoAntmaze(spec), [], -(-rows // (length * streams))
    for number, round_key in enumerate(jax.random.split(key, rounds), start=1):
        start_key, run_key = jax.random.split(round_key)
        starts = np.array(_starts(jax.random.split(start_key, streams)))
        if spec is not None:
            cells = spec.layout.free[rng.integers(len(spec.layout.free), size=streams)]
            starts[:, :2] = ant.cell_centre(spec.layout, cells) + rng.uniform(-_CLEAR, _CLEAR, size=(streams, 2))
        starts = _tumbled(rng, starts, simulator.model.jnt_range[1:])
        behaviour = _behaviour(rng, streams, length, policy)

        def command(step: int, obs: np.ndarray, does: _Behaviour = behaviour, key: Key = run_key) -> np.ndarray:
            action = 0.0
            if policy is not None:
                action = does.walks * _act(policy, indexed(key, step), obs, obs[:, :2] + does.headings[step])
            return np.clip(action + does.noise[step], -1.0, 1.0)

        states, actions = _record(simulator, command, starts, length, f"broad ant data, round {number} of {rounds}")
        parts.append((states[:, :-1], actions))
    simulator.close()
    observations, actions = (np.concatenate(p).reshape(-1, p[0].shape[-1])[:rows] for p in zip(*parts, strict=True))
    return {
        "observations": observations,
        "actions": actions,
        "rewards": np.zeros(rows, np.float32),
        "terminals": np.zeros(rows, bool),
        "timeouts": np.arange(rows) % length == length - 1,
    }
