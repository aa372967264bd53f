"""antmaze on MJX: jit it, vmap it."""

import functools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
from jaxtyping import Array, Float

from invlearn_jax.tasks.antmaze import model as ant
from invlearn_jax.tasks.layouts import Layout, parse_layout
from invlearn_jax.types import Key, Problem, State

GOAL_RADIUS = 0.5  # m
_RESET_POSITION = 0.1  # m and rad, half-width of the uniform noise on the start's positions
_RESET_SPEED = 0.1  # m/s and rad/s, standard deviation
# A goal lies beyond its cell's centre on each axis, by the sum of two uniform numbers from 0 to these (m).
_GOAL_SPREAD = (1.0, 0.5)
# MJX always runs all line-search iterations (50 by default, nearly all of them idle); 4 give the same motion.
_LINE_SEARCH_ITERATIONS = 4


class AntmazeSpec(NamedTuple):
    """What defines an antmaze environment.

    Attributes:
        name: its id.
        layout: the maze; the ant starts in its first free cell.
        episode_length: steps of 0.1 s to the time limit.
        reward: ``sparse`` pays 1 within 0.5 m of the goal.
        ref_min: D4RL's return for a score of 0.
        ref_max: D4RL's return for a score of 100.
    """

    name: str
    layout: Layout
    episode_length: int
    reward: Literal["sparse"] = "sparse"
    ref_min: float = 0.0
    ref_max: float = 1.0

    @property
    def ends_at_goal(self) -> bool:
        """Always."""
        return True


def random_start(key: Key) -> Float[Array, "29"]:
    """D4RL's start: upright at the origin, U(-0.1, 0.1) on all positions and N(0, 0.1) on all speeds. The key is consumed."""
    position_key, speed_key = jax.random.split(key)
    upright = jnp.zeros(ant.QPOS_SIZE).at[2:4].set(jnp.array([ant.STANDING, 1.0]))
    noise = jax.random.uniform(position_key, upright.shape, minval=-_RESET_POSITION, maxval=_RESET_POSITION)
    speed = _RESET_SPEED * jax.random.normal(speed_key, (ant.STATE_SIZE - ant.QPOS_SIZE,))
    start = jnp.concatenate([upright + noise, speed])
    # D4RL's MuJoCo rescaled the quaternion at once.
    quaternion = start[ant.QUATERNION]
    return start.at[ant.QUATERNION].set(quaternion / jnp.linalg.norm(quaternion))


def goal_near(key: Key, centre: Float[Array, "2"]) -> Float[Array, "2"]:
    """D4RL's draw of a goal in the cell around ``centre`` (m): U(0, 1) + U(0, 0.5) m beyond it, per axis. Consumes the key."""
    return centre + (jax.random.uniform(key, (2, 2)) * jnp.array(_GOAL_SPREAD)).sum(-1)


class Antmaze:
    """D4RL's antmaze (v2: a new goal at each reset) on MJX.

    Observation ``[29]``: see ``ant_model``. Action ``[8]`` in [-1, 1], x 30 N m. The episode ends at the goal, or at the
    time limit, which the evaluation keeps; a fall ends nothing. The simulator's gradient is forward-mode only (MJX's solver
    loops until convergence).

    MJX and C MuJoCo agree to single precision, but for one thing: where a capsule steeper than 60 degrees stands on the
    floor, MJX (3.3.0) turns the pyramid that bounds friction another way about the vertical.
    """

    dt = ant.FRAME_SKIP * ant.TIMESTEP
    gradient: Literal["reverse", "forward", "none"] = "forward"
    observation_size = ant.STATE_SIZE
    action_size = ant.ACTION_SIZE

    def __init__(self, spec: AntmazeSpec) -> None:
        """Compiles the maze's model.

        Args:
            spec: what to build; ``antmaze_spec`` makes one, ``specs`` holds D4RL's.
        """
        self.spec = spec
        self.episode_length = spec.episode_length
        self.mj_model = mujoco.MjModel.from_xml_string(ant.ant_xml(spec.layout))
        from mujoco import mjx  # noqa: PLC0415  (see tasks.mujoco: many who plan never step it)

        self._model = mjx.put_model(self.mj_model).tree_replace({"opt.ls_iterations": _LINE_SEARCH_ITERATIONS})
        self._template = mjx.make_data(self.mj_model)
        # Under a jit of its own MJX's Python is traced once, however often a program steps.
        self._physics = jax.jit(functools.partial(mjx.step, self._model))
        self._free = jnp.asarray(ant.cell_centre(spec.layout, spec.layout.free), jnp.float32)
        self._goal_cell = jnp.asarray(ant.cell_centre(spec.layout, spec.layout.goal), jnp.float32)
        # The middle of the goals that ``reset`` draws.
        self.goal = self._goal_cell + sum(_GOAL_SPREAD) / 2

    def reset(self, key: Key) -> State:
        """D4RL's start at the origin, see ``random_start``, and a goal in the maze's goal cell. The key is consumed."""
        start_key, goal_key = jax.random.split(key)
        return self.reset_to(random_start(start_key), goal_near(goal_key, self._goal_cell))

    def reset_to(self, obs: Float[Array, "29"], goal: Float[Array, "2"]) -> State:
        """A state at given positions, velocities and goal."""
        data = self._template.replace(qpos=obs[: ant.QPOS_SIZE], qvel=obs[ant.QPOS_SIZE :])
        return self._state(data, goal)

    def random_goal(self, key: Key) -> Float[Array, "2"]:
        """A goal drawn like the maze's own, but in any free cell. The key is consumed."""
        cell_key, goal_key = jax.random.split(key)
        return goal_near(goal_key, self._free[jax.random.randint(cell_key, (), 0, self._free.shape[0])])

    def step(self, state: State, action: Float[Array, "8"]) -> State:
        """One step of 0.1 s: clip the action to +-1, then simulate 5 steps of 0.02 s."""
        data = state.data.replace(ctrl=ant.TORQUE * jnp.clip(action, -1.0, 1.0))
        data, _ = jax.lax.scan(lambda data, _: (self._physics(data), None), data, length=ant.FRAME_SKIP)
        return self._state(data, state.info["goal"])

    def reward(self, position: Float[Array, "2"], goal: Float[Array, "2"]) -> Float[Array, ""]:
        """The reward of being at ``position``: 1 within 0.5 m of the goal, else 0."""
        return (jnp.linalg.norm(position - goal, axis=-1) <= GOAL_RADIUS).astype(jnp.float32)

    def problem(self, state: State, key: Key) -> Problem:
        """The problem of reaching the state's goal; nothing is drawn."""
        return Problem(state=state.obs, goal=state.info["goal"])

    def _state(self, data: Any, goal: Array) -> State:
        obs = jnp.concatenate([data.qpos, data.qvel])
        reward = self.reward(obs[:2], goal)
        metrics = {"distance": jnp.linalg.norm(obs[:2] - goal)}
        return State(data, obs, reward, reward, metrics, {"goal": goal})


def antmaze_spec(rows: Sequence[str], name: str = "antmaze-custom", episode_length: int = 1000) -> AntmazeSpec:
    """The specification of a user's own maze.

    Args:
        rows: the maze as rows of ``#``, ``O`` and ``G``; see ``parse_layout``. The ant starts in the first free cell.
        name: how to call it.
        episode_length: steps of 0.1 s.

    Returns:
        The specification.

    Raises:
        ValueError: for a bad maze or a length below 1.
    """
    if episode_length < 1:
        raise ValueError(f"episode_length is {episode_length}; give at least 1 step.")
    return AntmazeSpec(name, parse_layout(rows), episode_length)
