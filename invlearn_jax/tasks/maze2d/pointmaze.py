"""gymnasium-robotics' PointMaze as a task: ``--task=pointmaze:PointMaze_UMaze-v3``.

It is D4RL's ball among walls in another frame (``gymnasium_robotics``): everything is learned and planned in maze2d's, and
episodes are judged by the environment itself, in its own.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.evaluate.metrics import mean_ci
from invlearn_jax.names import unknown_name
from invlearn_jax.progress import progress
from invlearn_jax.tasks.maze2d.environment import maze2d_spec
from invlearn_jax.tasks.maze2d.gymnasium_robotics import states_from_pointmaze, states_to_pointmaze, turned_back
from invlearn_jax.tasks.maze2d.task import Maze2dTask
from invlearn_jax.tasks.task import Episodes
from invlearn_jax.types import Key, Problem

_PREFIX = "pointmaze:"
_RADIUS = 0.45  # m from the goal, within which the ball is there
_INSIDE = 0.4  # m, of the disc that the cost asks for: a little less
_PROBLEMS = 1024  # starts and goals of the environment's own


class PointMazeTask(Maze2dTask):
    """A maze of gymnasium-robotics. States, actions and goals are in maze2d's frame; see ``gymnasium_robotics``.

    Starts and goals are the environment's own (of 1024 of its resets), and so is the return in records.
    """

    def __init__(self, environment: str) -> None:
        """Makes the environment.

        Args:
            environment: its id, e.g. ``PointMaze_UMaze-v3``.

        Raises:
            ImportError: without gymnasium-robotics; names the extra to install.
            ValueError: for an unknown id, or one whose goal moves within an episode.
        """
        self.env = _made(environment)
        inner = self.env.unwrapped
        if inner.reset_target:
            raise ValueError(
                f"{environment} moves its goal when it is reached; a task's goal stays. Make it with reset_target=False."
            )
        rows = [["#" if cell == 1 else "O" for cell in row] for row in inner.maze.maze_map]
        row, column = inner.maze.cell_xy_to_rowcol(inner.maze.unique_goal_locations[0])
        rows[row][column] = "G"
        steps = self.env.spec.max_episode_steps
        spec = maze2d_spec(["".join(row) for row in rows], _PREFIX + environment, steps, inner.reward_type)
        super().__init__(spec._replace(ref_min=0.0, ref_max=float(steps)), multi_goal=True)
        self.settings.goal_radius = _INSIDE
        drawn = [self._drawn(seed) for seed in range(_PROBLEMS)]
        self._problems = Problem(*(jnp.asarray(np.stack(x), jnp.float32) for x in zip(*drawn, strict=True)))

    def reset(self, key: Key) -> Float[Array, "4"]:
        """A start of the environment's own. The key is consumed."""
        return self.draw_problem(key).state

    def draw_goal(self, key: Key) -> Float[Array, "2"]:
        """A goal of the environment's own. The key is consumed."""
        return self.draw_problem(key).goal

    def draw_problem(self, key: Key) -> Problem:
        """Start and goal of one of the environment's resets. The key is consumed."""
        number = jax.random.randint(key, (), 0, _PROBLEMS)
        return Problem(self._problems.state[number], self._problems.goal[number])

    def reward(self, state: Float[Array, "4"], action: Float[Array, "2"], goal: Float[Array, "2"]) -> Float[Array, ""]:
        """The environment's: 1 within 0.45 m of the goal, or ``exp(-distance)``."""
        distance = jnp.linalg.norm(state[:2] - goal)
        return jnp.exp(-distance) if self.spec.reward == "dense" else (distance <= _RADIUS).astype(distance.dtype)

    def success(self, state: Float[Array, "4"], goal: Float[Array, "2"]) -> Array:
        """Whether the ball is within 0.45 m of the goal."""
        return jnp.linalg.norm(state[:2] - goal) <= _RADIUS

    def metrics(self, episodes: Episodes) -> dict[str, Any]:
        """Return and success by the environment itself, which is put into every state and steps from it.

        ``replay_error`` is how far its next state is from the episode's, at the 99th percentile: of any entry, m or m/s.
        """
        rows = list(zip(episodes.states, episodes.actions, episodes.goals, strict=True))
        replayed = [self._replayed(*row) for row in progress(rows, "returns by the environment", unit="episode")]
        returns, reached, errors = zip(*replayed, strict=True)
        error = float(np.percentile(np.concatenate(errors), 99))
        found = mean_ci(np.array(returns)).fields("return")
        return found | {"environment_success_rate": float(np.mean(reached)), "replay_error": error}

    def _replayed(self, states: np.ndarray, actions: np.ndarray, goal: np.ndarray) -> tuple[float, bool, np.ndarray]:
        layout, inner = self.spec.layout, self.env.unwrapped
        self.env.reset(seed=0)
        inner.goal = states_to_pointmaze(np.asarray(goal, np.float64), layout)
        total, reached, following = 0.0, False, []
        for state, action in zip(
            states_to_pointmaze(states[:-1].astype(np.float64), layout), turned_back(actions), strict=True
        ):
            inner.point_env.set_state(state[:2], state[2:])
            seen, reward, _, _, info = inner.step(action)
            total, reached = total + float(reward), reached or info["success"]
            following.append(seen["observation"])
        return total, reached, np.abs(states_from_pointmaze(np.stack(following), layout) - states[1:]).max(1)

    def _drawn(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        seen, _ = self.env.reset(seed=seed)
        layout = self.spec.layout
        return states_from_pointmaze(seen["observation"], layout), states_from_pointmaze(seen["desired_goal"], layout)


def _made(environment: str) -> Any:
    try:
        import gymnasium  # noqa: PLC0415  (an extra)
        import gymnasium_robotics  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise ImportError("PointMaze needs gymnasium-robotics: pip install 'invlearn_jax[robotics]'.") from error
    gymnasium.register_envs(gymnasium_robotics)
    known = [name for name in gymnasium.registry if name.startswith("PointMaze_")]
    if environment not in known:
        raise unknown_name("PointMaze of gymnasium-robotics", environment, known)
    return gymnasium.make(environment, reset_target=False)


def point_maze(name: str) -> PointMazeTask | None:
    """The maze of ``pointmaze:ID``, or None for another name. See ``PointMazeTask``."""
    return PointMazeTask(name.removeprefix(_PREFIX)) if name.startswith(_PREFIX) else None
