"""D4RL's antmaze as a task: an ant among walls, to within 0.5 m of a goal."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.methods import inverter_settings
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.antmaze import drawing
from invlearn_jax.tasks.antmaze import model as ant
from invlearn_jax.tasks.antmaze.environment import GOAL_RADIUS, Antmaze, goal_near, random_start
from invlearn_jax.tasks.antmaze.rows import uprightness
from invlearn_jax.tasks.antmaze.simulator import MujocoAntmaze
from invlearn_jax.tasks.antmaze.specs import spec
from invlearn_jax.tasks.antmaze.walk import WAITING, DataSettings, data_parts, upright
from invlearn_jax.tasks.d4rl import sparse_reward
from invlearn_jax.tasks.published import best_published
from invlearn_jax.tasks.task import Animation, Episodes, Part, Task, Terms
from invlearn_jax.types import Key, Problem

_CLEAR = 0.75  # m from a cell's centre, within which no leg reaches a wall


@dataclasses.dataclass
class MazeSettings:
    """An ant's maze: what to learn from, and the disc (m, a little inside the 0.5 m that count) that time is spent outside of."""

    data: DataSettings = dataclasses.field(default_factory=lambda: DataSettings(broad_rows=0))
    goal_radius: float = bounded(0.4, above=0)
    goal_width: float = bounded(0.2, above=0)


class AntmazeTask(Task):
    """An ant in one of D4RL's mazes; states as in ``model``, goals ``[2]`` m."""

    dt = ant.FRAME_SKIP * ant.TIMESTEP
    horizon = 16
    ends_at_success = True
    state_size, action_size, goal_size = ant.STATE_SIZE, ant.ACTION_SIZE, 2
    fourier_size = 2

    def __init__(self, name: str) -> None:
        """By the environment's name.

        Raises:
            ValueError: for an unknown one.
        """
        self.name, self.settings = name, MazeSettings()
        self.spec, self.published = spec(name), best_published(name, False)
        self.episode_length = self.spec.episode_length
        layout = self.spec.layout
        self._free = np.asarray(ant.cell_centre(layout, layout.free), np.float32)
        self._goal_cell = np.asarray(ant.cell_centre(layout, layout.goal), np.float32)

    def cost(self, state: Float[Array, "29"], action: Float[Array, "8"], goal: Float[Array, "2"]) -> Terms:
        """Time outside the goal's disc."""
        return self.place_cost(self.achieved(state), goal)

    def place_cost(self, place: Float[Array, "2"], goal: Float[Array, "2"]) -> Terms:
        """Time outside the goal's disc."""
        own = self.settings
        # The root is kept away from zero, where its gradient is infinite.
        distance = jnp.sqrt(((place - goal) ** 2).sum() + 1e-6)
        return {"time_outside": jax.nn.sigmoid((distance - own.goal_radius) / own.goal_width)}

    def reward(self, state: Float[Array, "29"], action: Float[Array, "8"], goal: Float[Array, "2"]) -> Array:
        """D4RL's: 1 within 0.5 m of the goal, else 0."""
        return sparse_reward(state[:2], goal)

    def success(self, state: Float[Array, "29"], goal: Float[Array, "2"]) -> Array:
        """Within 0.5 m."""
        return jnp.linalg.norm(state[:2] - goal) <= GOAL_RADIUS

    def usable(self, state: Float[Array, "29"]) -> Array:
        """Whether the ant is upright."""
        return upright(state, self.settings.data.upright)

    def draw_state(self, key: Key) -> Float[Array, "29"]:
        """D4RL's start, moved to any free cell. The key is consumed."""
        start_key, cell_key, place_key = jax.random.split(key, 3)
        free = jnp.asarray(self._free)
        centre = free[jax.random.randint(cell_key, (), 0, len(self._free))]
        place = centre + jax.random.uniform(place_key, (2,), minval=-_CLEAR, maxval=_CLEAR)
        return random_start(start_key).at[:2].set(place)

    def draw_goal(self, key: Key) -> Float[Array, "2"]:
        """A goal drawn like D4RL's, but in any free cell. The key is consumed."""
        cell_key, goal_key = jax.random.split(key)
        free = jnp.asarray(self._free)
        return goal_near(goal_key, free[jax.random.randint(cell_key, (), 0, len(self._free))])

    def reset(self, key: Key) -> Float[Array, "29"]:
        """D4RL's start. The key is consumed."""
        return random_start(key)

    def draw_problem(self, key: Key) -> Problem:
        """D4RL's: from its start to a goal in the maze's goal cell. The key is consumed."""
        start_key, goal_key = jax.random.split(key)
        return Problem(self.reset(start_key), goal_near(goal_key, jnp.asarray(self._goal_cell)))

    @functools.cached_property
    def environment(self) -> Antmaze:
        """The maze on MJX, compiled at first use."""
        # That may be under jit: its arrays must be plain ones all the same.
        with jax.ensure_compile_time_eval():
            return Antmaze(self.spec)

    def step(self, state: Float[Array, "29"], action: Float[Array, "8"]) -> Float[Array, "29"]:
        """One control step on MJX."""
        return self.environment.step(self.environment.reset_to(state, jnp.zeros(2)), action).obs

    def simulator(self) -> MujocoAntmaze:
        """C MuJoCo."""
        return MujocoAntmaze(self.spec)

    def check_states(self, states: np.ndarray) -> None:
        """Refuses states ``[N, 29]`` that are not an ant's; see ``model.check_ant_states``."""
        ant.check_ant_states(states)

    def data(self, rows: int, key: Key) -> Mapping[str, Part]:
        """D4RL's recipe, or the user's files; rows of upright ants alone, and of those under way. The key is consumed."""
        parts = data_parts(self.settings.data, self.name, rows, key)
        return {name: part for name, part in parts.items() if name != WAITING}

    def configure(self, method: str, settings: Any) -> Any:
        """The settings that the shipped planners were trained with; others where the variant's data are all there is."""
        if method == "hierarchy":
            settings.lower, settings.hold, settings.reach, settings.near = "ant-motor", 10, 3.0, 1.0
            upper = settings.upper
            upper.data.rows, upper.among, upper.normalise, upper.refine_rate = 1_000_000, 0.6, False, 0.05
            upper.tail = inverter_settings.TailSettings(
                kind="graph", max_speed=2.0, bin_size=0.4, min_count=5, max_steps=4, steps=4000
            )
            upper.net.hidden = (256, 256)
            upper.objective.along, upper.objective.unvisited = 0.3, 10.0
            if self.settings.data.alone:
                # The shipped motor level was executed: one of the same data has to be given.
                settings.lower, settings.level.kind = "", "data"
                settings.reach, settings.near, settings.often = 1.8, 3.0, 20
                upper.among, upper.tail.min_count, upper.tail.steps = 0.3, 20, 3000
                upper.model.steps, upper.inverter.steps = 1000, 4000
        return settings

    def metrics(self, episodes: Episodes) -> dict[str, Any]:
        """D4RL's score, steps to the goal, flips, and where episodes were lost. What happens after the goal is of no account."""
        states, goals = episodes.states, np.asarray(episodes.goals, float)
        inside = np.linalg.norm(states[..., :2] - goals[:, None], axis=-1) <= GOAL_RADIUS
        reached = inside.any(1)
        last = np.where(reached, inside.argmax(1), states.shape[1] - 1)
        before = np.arange(states.shape[1]) <= last[:, None]
        down = (uprightness(states) < 0) & before
        falls, rises = down[:, 1:] & ~down[:, :-1], ~down[:, 1:] & down[:, :-1] & before[:, 1:]
        quartiles = [float(x) for x in np.percentile(last[reached], (25, 50, 75))] if reached.any() else None
        scores = 100.0 * reached
        return {
            "score_mean": float(scores.mean()),
            "score_sem": float(scores.std(ddof=1) / np.sqrt(len(scores))),
            "steps_to_goal_median": quartiles[1] if quartiles else None,
            "steps_to_goal_quartiles": quartiles,
            "flips_per_1000_steps": 1000 * float(falls.sum() / before.sum()),
            "lost_flipped": int((down.any(1) & ~reached).sum()),
            "lost_upright": int((~down.any(1) & ~reached).sum()),
            "rises": int(rises.sum()),
            "lost": [
                {"at": np.round(state[-1, :2].astype(float), 2).tolist(), "goal": np.round(goal, 2).tolist()}
                for state, goal in zip(states[~reached], goals[~reached], strict=True)
            ],
        }

    def draw(self, axes: Any, episodes: Episodes) -> None:
        """Draws the ants' ways between the walls."""
        drawing.draw_tracks(axes, self.spec.layout, episodes.states[..., :2], episodes.goals)

    def animate(self, episodes: Episodes) -> Animation:
        """Ants in their maze, seen from above; see ``task.Animates``."""
        return Animation(
            "gif", drawing.ant_gif(self.spec.layout, episodes.states, episodes.goals), "three times real speed"
        )
