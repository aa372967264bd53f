"""maze2d as tasks: a ball that is to reach a place and stay there."""

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from invlearn_jax.data.dataset import Dataset, concatenate
from invlearn_jax.data.plans import joined_episodes
from invlearn_jax.evaluate.metrics import jerk, mean_ci
from invlearn_jax.keys import streams
from invlearn_jax.learn.inverter import problem_sampler
from invlearn_jax.objectives import TaskObjective
from invlearn_jax.planners.planner import InversePlanner
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.d4rl import (
    GOAL_RADIUS,
    dense_reward,
    normalized_score,
    returns_of,
    sparse_reward,
    steps_to_goal,
    success,
)
from invlearn_jax.tasks.maze2d import configured, drawing
from invlearn_jax.tasks.maze2d import model as ball
from invlearn_jax.tasks.maze2d.contacts import contact_rows
from invlearn_jax.tasks.maze2d.controller import controller_returns
from invlearn_jax.tasks.maze2d.environment import Maze2d, Maze2dSpec, inside_maze, random_goal, random_start
from invlearn_jax.tasks.maze2d.files import read_for
from invlearn_jax.tasks.maze2d.generator import controller_data, random_data
from invlearn_jax.tasks.maze2d.oracle import bound_return, time_bound
from invlearn_jax.tasks.maze2d.simulator import MujocoMaze2d
from invlearn_jax.tasks.maze2d.specs import SPECS, own_spec
from invlearn_jax.tasks.published import best_published
from invlearn_jax.tasks.registry import TaskEntry
from invlearn_jax.tasks.task import Animation, Drawing, Episodes, Part, Task, Terms
from invlearn_jax.types import Key, Params, Planner, Problem

_BIN = 0.1  # m, of the places between which starts and goals of training are drawn evenly
_LEAST = 3  # rows in a bin that counts


@dataclasses.dataclass
class Settings:
    """How far a maze's planners look, what they are to reach, and what they learn from beside the rows that the method sets.

    Attributes:
        horizon: T, steps of a plan.
        execute_steps: how many of them to execute before the next plan.
        goal_radius: metres, of the goal's soft disc; a little inside the 0.5 m that count.
        goal_width: metres, of the disc's edge.
        path: files of your own (D4RL HDF5, OGBench npz or a Minari folder), comma-separated, instead of the controller's rows.
        noise: standard deviation of the controller's action noise.
        random_rows: rows of broad random data to add; 0 learns from the D4RL-style data alone.
        random_share: of a training batch that is drawn from these.
        contact_share: of a training batch that is drawn from windows with a contact where there are no such rows; see
            ``contact_rows``.
    """

    horizon: int = bounded(32, low=1)
    execute_steps: int = bounded(8, low=1)
    goal_radius: float = bounded(0.45, above=0.0)
    goal_width: float = bounded(0.05, above=0.0)
    path: str = ""
    noise: float = bounded(0.5, low=0.0)
    random_rows: int = bounded(800_000, low=0)
    random_share: float = bounded(0.75, low=0.0, high=1.0)
    contact_share: float = bounded(0.0, low=0.0, below=1.0)


class Maze2dTask(Task):
    """D4RL's maze2d: the state is position (m) and velocity (m/s), the goal a place, the action a force.

    J = dt sum_t sigmoid((|x_t - g| - radius) / width): seconds outside the goal's disc; see ``Settings``.
    """

    dt = ball.TIMESTEP
    state_size, action_size, goal_size = 4, 2, 2
    gradient: Literal["reverse", "forward", "none"] = "forward"
    fourier_size, second_order = 2, True
    state_limits = np.array([np.inf, np.inf, ball.MAX_SPEED, ball.MAX_SPEED])

    def __init__(
        self, spec: Maze2dSpec, multi_goal: bool = False, name: str = "", solver_iterations: int | None = None
    ) -> None:
        """Wraps a maze.

        Args:
            spec: of the maze.
            multi_goal: whether every episode has a random goal instead of the maze's own.
            name: the spec's by default.
            solver_iterations: of MJX's contact solver; see ``Maze2d``.
        """
        self.spec, self.multi_goal, self.name = spec, multi_goal, name or spec.name
        self._solver_iterations = solver_iterations
        if solver_iterations == 1:
            self.gradient = "reverse"
        self.episode_length, self.published = spec.episode_length, best_published(spec.name, multi_goal)
        self._driven: tuple[tuple, np.ndarray] | None = None
        self.settings = Settings(random_rows=configured.sizes(spec.layout)["random_rows"])

    @property
    def horizon(self) -> int:  # type: ignore[override]  # Of the settings, which can be set.
        """T, steps of a plan."""
        return self.settings.horizon

    @property
    def execute_steps(self) -> int:  # type: ignore[override]
        """Steps of a plan to execute before the next one."""
        return self.settings.execute_steps

    @functools.cached_property
    def environment(self) -> Maze2d:
        """The maze on MJX, compiled at first use."""
        # That may be under jit: its arrays must be plain ones all the same.
        with jax.ensure_compile_time_eval():
            return Maze2d(self.spec, self._solver_iterations)

    def differentiable(self) -> "Maze2dTask":
        """The maze with contacts that are a little softer."""
        task = Maze2dTask(self.spec, self.multi_goal, self.name, solver_iterations=1)
        task.settings = self.settings
        return task

    def goal_features(self, state: Float[Array, "4"], goal: Float[Array, "2"]) -> Float[Array, "2"]:
        """The goal alone: ways between walls are not straight."""
        return goal

    def ahead(self, state: Float[Array, "4"], seconds: float) -> Float[Array, "2"]:
        """Where the ball comes to in so many seconds at its speed."""
        return state[:2] + seconds * state[2:]

    def covered(self, state: Float[Array, "4"]) -> Float[Array, "2"]:
        """The position: what stands where is what data must show."""
        return state[:2]

    def covered_goal(self, goal: Float[Array, "2"]) -> Float[Array, "2"]:
        """The goal itself: one in a wall is outside the data."""
        return goal

    def cost(self, state: Float[Array, "4"], action: Float[Array, "2"], goal: Float[Array, "2"]) -> Terms:
        """``time_outside`` of the goal's disc."""
        return self.place_cost(state[:2], goal)

    def place_cost(self, place: Float[Array, "2"], goal: Float[Array, "2"]) -> Terms:
        """``time_outside`` of the goal's disc."""
        # The root is kept away from zero, where its gradient is infinite.
        distance = jnp.sqrt(((place - goal) ** 2).sum() + 1e-6)
        own = self.settings
        return {"time_outside": jax.nn.sigmoid((distance - own.goal_radius) / own.goal_width)}

    def reward(self, state: Float[Array, "4"], action: Float[Array, "2"], goal: Float[Array, "2"]) -> Float[Array, ""]:
        """D4RL's: of being within 0.5 m of the goal, or of the distance; see ``tasks.d4rl``."""
        return (sparse_reward if self.spec.reward == "sparse" else dense_reward)(state[:2], goal)

    def success(self, state: Float[Array, "4"], goal: Float[Array, "2"]) -> Bool[Array, ""]:
        """Whether the ball is within 0.5 m of the goal."""
        return jnp.linalg.norm(state[:2] - goal) <= GOAL_RADIUS

    def draw_state(self, key: Key) -> Float[Array, "4"]:
        """A place in a free cell, a velocity uniform up to a random share of 5 m/s. The key is consumed."""
        place_key, speed_key, share_key = streams(key, "place", "speed", "share")
        speed = jax.random.uniform(speed_key, (2,), minval=-ball.MAX_SPEED, maxval=ball.MAX_SPEED)
        return jnp.concatenate([self._place(place_key), speed * jax.random.uniform(share_key)])

    def draw_goal(self, key: Key) -> Float[Array, "2"]:
        """The maze's own goal, or D4RL's random one. The key is consumed."""
        if self.multi_goal:
            return random_goal(self.spec.layout, key)
        return jnp.asarray(self.spec.layout.goal, jnp.float32)

    def draw_goal_from(self, key: Key, state: Float[Array, "4"]) -> Float[Array, "2"]:
        """Any place in a free cell. The key is consumed."""
        return self._place(key)

    def reset(self, key: Key) -> Float[Array, "4"]:
        """D4RL's start; see ``random_start``. The key is consumed."""
        return random_start(self.spec.layout, key)

    def problem_sampler(self, rows: Dataset) -> Callable[[Key], Problem]:
        """Starts and goals evenly over the places that the data came to."""
        places, speed = jnp.asarray(_places(rows.states[:, :2])), jnp.asarray(rows.states[:, 2:].std(0))
        return problem_sampler(places, speed, configured.near_share(self.spec.layout))

    def step(self, state: Float[Array, "4"], action: Float[Array, "2"]) -> Float[Array, "4"]:
        """One control step on MJX."""
        env = self.environment
        return env.step(env.reset_to(state, env.goal), action).obs

    def simulator(self) -> MujocoMaze2d:
        """C MuJoCo in float64."""
        return MujocoMaze2d(self.spec)

    def check_states(self, states: np.ndarray) -> None:
        """Refuses states ``[N, 4]`` with the ball in a wall.

        Raises:
            ValueError: says where.
        """
        blocked = np.flatnonzero(~inside_maze(self.spec.layout, states[:, :2]))
        if len(blocked):
            raise ValueError(f"The ball is in a wall of {self.name}, at {states[blocked[0], :2].tolist()}.")

    def data(self, rows: int, key: Key) -> dict[str, Part]:
        """The user's files, or D4RL's data regenerated; and broad random data beside them. The key is consumed.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if a file's rows are not the maze's; see ``read_for``.
        """
        own, controller_key, random_key = self.settings, *streams(key, "controller", "random")
        paths = [path for path in own.path.split(",") if path]
        if paths:
            name, main = "own", concatenate(*(read_for(self.spec, os.fspath(path)) for path in paths))
        else:
            made = controller_data(self.environment, controller_key, rows, own.noise)
            # The true state: D4RL's observation repeats once after every new goal.
            states = np.concatenate([made["infos/qpos"], made["infos/qvel"]], axis=1)
            name, main = "d4rl", Dataset(states, made["actions"], made["timeouts"])
        if not own.random_rows:
            contacts = contact_rows(main) if own.contact_share else None
            if contacts is None:
                return {name: Part(main)}
            return {name: Part(main, 1 - own.contact_share), "contacts": Part(contacts, own.contact_share)}
        made = random_data(self.environment, random_key, own.random_rows)
        broad = Dataset(made["observations"], made["actions"], made["timeouts"])
        return {name: Part(main, 1 - own.random_share), "random": Part(broad, own.random_share)}

    def joined(self, rows: Dataset) -> Dataset:
        """Rows without the ends that D4RL marks at each new goal, though the ball rolls on."""
        return joined_episodes(rows, 2 * ball.MAX_SPEED * self.dt, 2)

    def configure(self, method: str, settings: Any) -> Any:
        """See ``configured.configure``."""
        broad = self.settings.random_rows > 0
        return configured.configure(self.spec, self.multi_goal, broad, method, settings)

    def metrics(self, episodes: Episodes) -> dict[str, Any]:
        """D4RL's return and score, beside those of the shortest ways and of D4RL's controller from the same starts."""
        spec, states, goals = self.spec, episodes.states, episodes.goals
        returns = returns_of(spec, states, goals)
        length = episodes.actions.shape[1]
        bounds = bound_return(time_bound(spec.layout, states[:, 0], goals), length, spec.reward)
        controller = self._controller(states[:, 0], goals, length)
        steps, reached = steps_to_goal(states, goals), success(states, goals)
        score, bound = (mean_ci(normalized_score(spec, x)) for x in (returns, bounds))
        return {
            "multi_goal": self.multi_goal,
            "return_mean": float(returns.mean()),
            **score.fields("score"),
            "bound_score": bound.mean,
            "ratio_to_bound": float(returns.sum() / bounds.sum()) if bounds.sum() else None,
            "score_ratio_to_bound": score.mean / bound.mean,
            "controller_score": float(normalized_score(spec, controller).mean()),
            "ratio_to_controller": float(returns.sum() / controller.sum()) if controller.sum() else None,
            "steps_to_goal_mean": float(np.nanmean(steps)) if reached.any() else None,
            "action_jerk": float(np.mean(jerk(episodes.actions, self.dt))),
        }

    def _controller(self, starts: np.ndarray, goals: np.ndarray, length: int) -> np.ndarray:
        """The controller's returns; those from the last starts are kept, since planners are compared from the same ones."""
        same = (starts.tobytes(), goals.tobytes(), length)
        if self._driven is None or self._driven[0] != same:
            self._driven = same, controller_returns(self.environment, starts, goals, jax.random.key(0), length)
        return self._driven[1]

    def draw(self, axes: Any, episodes: Episodes) -> None:
        """Draws episodes between the walls, with what was planned."""
        drawing.draw_maze(axes, self.spec.layout)
        for index, (states, plans, goal) in enumerate(
            zip(episodes.states, episodes.plan_states, episodes.goals, strict=True)
        ):
            drawing.draw_episode(axes, states[:, :2], plans[..., :2], goal, named=index == 0)
        drawing.draw_scale_bar(axes)

    def animate(self, episodes: Episodes) -> Animation:
        """The balls on their ways; see ``task.Animates``."""
        paths = episodes.states[..., :2]
        return Animation(
            "svg", drawing.animated(self.spec.layout, paths, episodes.goals, self.dt), "half of real speed"
        )

    def illustrate(self, planner: Planner, params: Params) -> list[Drawing]:
        """The cost-to-go of the maze's own goal, where the planner has learned one; see ``task.Illustrates``."""
        if not (isinstance(planner, InversePlanner) and isinstance(planner.objective, TaskObjective)):
            return []
        tail, goal = planner.objective.tail, np.asarray(self.spec.layout.goal, np.float32)
        if tail is None:
            return []

        def learned(points: np.ndarray) -> np.ndarray:
            still = np.pad(points, ((0, 0), (0, 2))).astype(np.float32)
            return np.asarray(jax.jit(jax.vmap(tail, (None, 0, None)))(params.objective.tail, still, goal))

        return [drawing.draw_times(self.spec.layout, goal, learned)]

    def _place(self, key: Key) -> Float[Array, "2"]:
        cell_key, place_key = streams(key, "cell", "place")
        free = jnp.asarray(self.spec.layout.free, jnp.float32)
        cell = free[jax.random.randint(cell_key, (), 0, free.shape[0])]
        return cell + jax.random.uniform(place_key, (2,), minval=ball.FREE_LOW, maxval=ball.FREE_HIGH)


def _places(positions: np.ndarray) -> np.ndarray:
    """``[M, 2]`` the mean position in each bin of 0.1 m that held some rows."""
    cells = np.floor(positions / _BIN).astype(np.int64)
    _, node, count = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    node = node.reshape(-1)
    centre = np.stack([np.bincount(node, x) / count for x in positions.T], axis=1)
    seen = count >= min(_LEAST, count.max())
    return centre[seen].astype(np.float32)


def entries() -> dict[str, TaskEntry]:
    """D4RL's mazes, with their own goals and with random ones."""
    found = {}
    for name, spec in SPECS.items():
        size, version = name.rsplit("-", 1)
        goals = {name: (False, "its own goal"), f"{size}-multi-{version}": (True, "a random goal per episode")}
        for own, (multi, words) in goals.items():
            make = functools.partial(Maze2dTask, spec, multi, own)
            found[own] = TaskEntry(make, f"D4RL's maze2d, {spec.reward} reward, {words}")
    return found


def own_maze(name: str) -> Maze2dTask | None:
    """A user's own maze from its rows joined by ``/``, or None for a name that has no walls.

    Raises:
        ValueError: for a bad maze.
    """
    return Maze2dTask(own_spec(name)) if "#" in name and ".py" not in name else None
