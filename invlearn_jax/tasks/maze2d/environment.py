"""maze2d on MJX: jit it, vmap it."""

import functools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.tasks.d4rl import dense_reward, sparse_reward
from invlearn_jax.tasks.layouts import Layout, parse_layout
from invlearn_jax.tasks.maze2d import model as ball
from invlearn_jax.types import Key, Problem, State

_RESET_POSITION = 0.1  # m, half-width of the uniform noise on a cell's index
_RESET_SPEED = 0.1  # m/s, standard deviation
# MJX always runs all line-search iterations (50 by default, nearly all of them idle). With at most three contacts the
# search is over after two, and the solver's further iterations would mend a step cut short.
_LINE_SEARCH_ITERATIONS = 4


class Maze2dSpec(NamedTuple):
    """What defines a maze2d environment.

    Attributes:
        name: its id.
        layout: the maze.
        episode_length: steps of 0.01 s to the time limit.
        reward: ``sparse`` pays 1 within 0.5 m of the goal, ``dense`` pays ``exp(-distance)``; both every step.
        ref_min: D4RL's reference return of a random policy, or None where D4RL has none.
        ref_max: D4RL's reference return of its controller (which is no upper bound), or None.
    """

    name: str
    layout: Layout
    episode_length: int
    reward: Literal["sparse", "dense"]
    ref_min: float | None = None
    ref_max: float | None = None

    @property
    def ends_at_goal(self) -> bool:
        """Never: the ball stays at the goal to the time limit."""
        return False


def random_start(layout: Layout, key: Key) -> Float[Array, "4"]:
    """A start uniform over the free cells, U(-0.1, 0.1) m around the cell, N(0, 0.1) m/s. The key is consumed."""
    cell_key, noise_key, speed_key = jax.random.split(key, 3)
    return jnp.concatenate([_near_cell(layout, cell_key, noise_key), _RESET_SPEED * jax.random.normal(speed_key, (2,))])


def random_goal(layout: Layout, key: Key) -> Float[Array, "2"]:
    """A free cell + U(-0.1, 0.1) m. The key is consumed."""
    return _near_cell(layout, *jax.random.split(key))


def _near_cell(layout: Layout, cell_key: Key, noise_key: Key) -> Float[Array, "2"]:
    free = jnp.asarray(layout.free, jnp.float32)
    cell = free[jax.random.randint(cell_key, (), 0, free.shape[0])]
    return cell + jax.random.uniform(noise_key, (2,), minval=-_RESET_POSITION, maxval=_RESET_POSITION)


class Maze2d:
    """D4RL's maze2d on MJX.

    Observation ``[4]``: position x, y (m) and velocity x, y (m/s). Action ``[2]`` in [-1, 1], x 100 N. The episode never
    ends but for the time limit, which the evaluation keeps. The simulator's gradient is forward-mode only (MJX's solver
    loops until convergence).
    """

    dt = ball.TIMESTEP
    gradient: Literal["reverse", "forward", "none"] = "forward"
    observation_size = 4
    action_size = 2

    def __init__(self, spec: Maze2dSpec, solver_iterations: int | None = None) -> None:
        """Compiles the maze's model.

        Args:
            spec: what to build; ``maze2d_spec`` makes one, ``specs`` holds D4RL's.
            solver_iterations: of the contact solver; D4RL's 20 by default. With 1, contacts are a little softer and the
                step has a reverse-mode gradient.
        """
        self.spec = spec
        self.episode_length = spec.episode_length
        self.mj_model = mujoco.MjModel.from_xml_string(ball.maze2d_xml(spec.layout))
        if solver_iterations is not None:
            self.mj_model.opt.iterations = solver_iterations
            self.gradient = "reverse" if solver_iterations == 1 else "forward"
        from mujoco import mjx  # noqa: PLC0415  (see tasks.mujoco: many who plan never step it)

        self._model = mjx.put_model(self.mj_model)
        if self.mj_model.opt.iterations > 1:
            self._model = self._model.tree_replace({"opt.ls_iterations": _LINE_SEARCH_ITERATIONS})
        self._template = mjx.make_data(self.mj_model)
        # Under a jit of its own MJX's Python is traced once, however often a program steps.
        self._physics = jax.jit(functools.partial(mjx.step, self._model))
        self.goal = jnp.asarray(spec.layout.goal, jnp.float32)

    def reset(self, key: Key) -> State:
        """D4RL's start, see ``random_start``, and the maze's goal. The key is consumed."""
        return self.reset_to(random_start(self.spec.layout, key), self.goal)

    def reset_to(self, obs: Float[Array, "4"], goal: Float[Array, "2"]) -> State:
        """A state at a given position, velocity and goal."""
        data = self._template.replace(qpos=obs[:2], qvel=obs[2:])
        return self._state(data, goal)

    def random_goal(self, key: Key) -> Float[Array, "2"]:
        """A goal as D4RL's multi-goal protocol draws it; see ``random_goal``. The key is consumed."""
        return random_goal(self.spec.layout, key)

    def step(self, state: State, action: Float[Array, "2"]) -> State:
        """One step of 0.01 s: clip the action to +-1 and the velocity to +-5 m/s, then simulate."""
        data = state.data.replace(
            qvel=jnp.clip(state.data.qvel, -ball.MAX_SPEED, ball.MAX_SPEED), ctrl=jnp.clip(action, -1.0, 1.0)
        )
        return self._state(self._physics(data), state.info["goal"])

    def reward(self, position: Float[Array, "2"], goal: Float[Array, "2"]) -> Float[Array, ""]:
        """The reward of being at ``position``; see ``Maze2dSpec``."""
        return {"sparse": sparse_reward, "dense": dense_reward}[self.spec.reward](position, goal)

    def problem(self, state: State, key: Key) -> Problem:
        """The problem of reaching the state's goal; nothing is drawn."""
        return Problem(state=state.obs, goal=state.info["goal"])

    def _state(self, data: Any, goal: Array) -> State:
        obs = jnp.concatenate([data.qpos, data.qvel])
        reward = self.reward(data.qpos, goal)
        metrics = {"distance": jnp.linalg.norm(data.qpos - goal)}
        return State(data, obs, reward, jnp.zeros_like(reward), metrics, {"goal": goal})


def maze2d_spec(
    rows: Sequence[str],
    name: str = "maze2d-custom",
    episode_length: int = 600,
    reward: Literal["sparse", "dense"] = "sparse",
) -> Maze2dSpec:
    """The specification of a user's own maze.

    Args:
        rows: the maze as rows of ``#``, ``O`` and ``G``; see ``parse_layout``.
        name: how to call it.
        episode_length: steps of 0.01 s.
        reward: ``sparse`` or ``dense``.

    Returns:
        The specification, without reference scores.

    Raises:
        ValueError: for a bad maze, a length below 1 or an unknown reward.
    """
    if episode_length < 1:
        raise ValueError(f"episode_length is {episode_length}; give at least 1 step.")
    if reward not in ("sparse", "dense"):
        raise ValueError(f"reward is {reward!r}; allowed are 'sparse' and 'dense'.")
    return Maze2dSpec(name, parse_layout(rows), episode_length, reward)


def inside_maze(layout: Layout, position: np.ndarray, slack: float = 0.05) -> np.ndarray:
    """Whether the ball's centre can be at ``position`` (``[..., 2]`` m), give or take ``slack`` metres.

    The ball's centre must keep its radius from every wall box; near a convex corner the forbidden region is rounded.
    """
    position = np.asarray(position, float)
    centres = np.argwhere(layout.walls) + ball.WALL_OFFSET - ball.BODY_OFFSET
    gap = np.maximum(np.abs(position[..., None, :] - centres) - ball.WALL_HALF, 0.0)
    clear = (np.linalg.norm(gap, axis=-1) >= ball.RADIUS - slack).all(-1)
    upper = np.array(layout.walls.shape) - 1 + ball.WALL_OFFSET - ball.BODY_OFFSET
    return clear & (position > 0).all(-1) & (position < upper).all(-1)
