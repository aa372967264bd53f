"""The ant's motor level as a task: torques for a goal a few metres away, on an open floor.

    J = mean_t |x_t - p_t| + w mean_t max(0.9 - u_t, 0)

p_t goes straight to the goal at the pace, u_t is uprightness (``objectives.off_pace``, ``objectives.tilt``).
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.data.dataset import Dataset, concatenate, kept_rows
from invlearn_jax.frames import HeadingFrame
from invlearn_jax.keys import streams
from invlearn_jax.learn.collect import CorrectionSettings
from invlearn_jax.methods import inverter_settings
from invlearn_jax.objectives import off_pace, tilt
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.antmaze import model as ant
from invlearn_jax.tasks.antmaze.environment import random_start
from invlearn_jax.tasks.antmaze.files import read_for
from invlearn_jax.tasks.antmaze.generator import antmaze_data, random_ant_data
from invlearn_jax.tasks.antmaze.goal_policy import goal_policy_names, read_goal_policy
from invlearn_jax.tasks.antmaze.locomotion import Locomotion
from invlearn_jax.tasks.antmaze.rows import under_way, upright_rows, uprightness
from invlearn_jax.tasks.antmaze.simulator import MujocoAntmaze
from invlearn_jax.tasks.antmaze.specs import spec
from invlearn_jax.tasks.task import Episodes, Part, Task, Terms
from invlearn_jax.types import Key, Problem

_FAR = 100.0  # m, where the goals of episodes are, so that they are directions
RANDOM = "none"  # in place of a policy
WALKING, WAITING = "walking", "waiting"  # parts of the data: see DataSettings.under_way


@dataclasses.dataclass
class DataSettings:
    """What to learn from.

    Attributes:
        path: files of your own (D4RL HDF5 or OGBench npz), comma-separated; empty makes D4RL's data anew.
        policy: the goal-reaching policy that makes data, shipped or an npz file, see ``read_goal_policy``; ``none`` for an ant
            that moves at random. Broad data are of its ants too, also beside files of your own.
        noise: standard deviation of the noise on the policy's actions.
        broad_rows: rows of broad data on an open floor to add; 0 for none.
        broad_share: of a batch that they are.
        upright: least uprightness of the rows to learn from.
        alone: whether these rows are all there is to learn from, as for published offline methods: no broad data, and settings of
            the methods that execute nothing. Rows of ants that are not under way are then a part of their own: they are not
            cloned, and sub-goals are not learned from them.
        under_way: metres that an ant must get away from where it is within a second to be under way.
    """

    path: str = ""
    policy: str = "ant-v1"
    noise: float = bounded(0.2, low=0)
    broad_rows: int = bounded(500_000, low=0)
    broad_share: float = bounded(0.5, low=0, high=1)
    upright: float = bounded(0.2, low=-1, below=1)
    alone: bool = False
    under_way: float = bounded(0.7, above=0)


@dataclasses.dataclass
class WalkSettings:
    """The motor level's world.

    Attributes:
        maze: in which the data were made.
        data: see ``DataSettings``.
        pace: metres per step at which it is to go.
        tilt_weight: metres of mean distance off the pace that leaning over fully is worth.
        upright: vertical part of the ant's own vertical axis below which it leans over.
        reach: metres beyond which only the goal's direction counts.
        nearest: metres, of the goals of training.
        farthest: metres, of the goals of training.
    """

    maze: str = "antmaze-large-diverse-v2"
    data: DataSettings = dataclasses.field(default_factory=DataSettings)
    pace: float = bounded(0.2, above=0)
    tilt_weight: float = bounded(3.0, low=0)
    upright: float = bounded(0.9, low=-1, high=1)
    reach: float = bounded(4.0, above=0)
    nearest: float = bounded(0.3, low=0)
    farthest: float = bounded(5.0, above=0)


class AntWalk(Task):
    """An ant that walks to a place on an open floor; states as in ``model``, goals ``[2]`` m."""

    name = "ant-walk"
    dt = ant.FRAME_SKIP * ant.TIMESTEP
    horizon = 16
    execute_steps = 1
    episode_length = 300
    state_size, action_size, goal_size = ant.STATE_SIZE, ant.ACTION_SIZE, 2
    frame = HeadingFrame(ant.STATE_SIZE)

    def __init__(self) -> None:
        """With settings of its own."""
        self.settings = WalkSettings()

    def features(self, state: Float[Array, "29"]) -> Float[Array, "27"]:
        """All but x and y, of which walking does not depend."""
        return state[2:]

    def goal_features(self, state: Float[Array, "29"], goal: Float[Array, "2"]) -> Float[Array, "3"]:
        """``[r d / |d|, r]``, d the way to the goal in the heading frame, ``r = min(|d| / reach, 1)``."""
        way = self.frame.point(goal, self.frame.reference(state))
        distance = jnp.sqrt((way**2).sum() + 1e-6)
        share = jnp.minimum(distance / self.settings.reach, 1.0)
        return jnp.concatenate([share * way / distance, share[None]])

    def trajectory_cost(self, states: Float[Array, "T1 29"], actions: Float[Array, "T 8"], goal: Array) -> Terms:
        """See the module's equation."""
        own = self.settings
        return {
            "off_pace": off_pace(own.pace, 2)((), states, actions, goal),
            "tilt": own.tilt_weight * tilt(own.upright)((), states, actions, goal),
        }

    def draw_state(self, key: Key) -> Float[Array, "29"]:
        """Upright at the origin, facing any way. The key is consumed."""
        start_key, heading_key = streams(key, "start", "heading")
        half = jax.random.uniform(heading_key, minval=-jnp.pi / 2, maxval=jnp.pi / 2)
        turned = jnp.stack([jnp.cos(half), 0 * half, 0 * half, jnp.sin(half)])
        return random_start(start_key).at[ant.QUATERNION].set(turned)

    def draw_goal(self, key: Key) -> Float[Array, "2"]:
        """A goal near the origin. The key is consumed."""
        return self.draw_goal_from(key, jnp.zeros(ant.STATE_SIZE))

    def draw_goal_from(self, key: Key, state: Float[Array, "29"]) -> Float[Array, "2"]:
        """A goal in any direction, ``nearest`` to ``farthest`` m away. The key is consumed."""
        angle_key, distance_key = streams(key, "angle", "distance")
        distance = jax.random.uniform(distance_key, minval=self.settings.nearest, maxval=self.settings.farthest)
        return state[:2] + distance * direction(angle_key)

    def draw_problem(self, key: Key) -> Problem:
        """To walk on in one direction. The key is consumed."""
        start_key, angle_key = streams(key, "start", "angle")
        start = self.draw_state(start_key)
        return Problem(start, start[:2] + _FAR * direction(angle_key))

    def problem_sampler(self, rows: Dataset) -> Callable[[Key], Problem]:
        """Starts among the rows, moved to the origin."""
        states = jnp.asarray(rows.states)

        def draw(key: Key) -> Problem:
            row_key, goal_key = streams(key, "row", "goal")
            state = states[jax.random.randint(row_key, (), 0, states.shape[0])].at[:2].set(0.0)
            return Problem(state, self.draw_goal_from(goal_key, state))

        return draw

    def simulator(self) -> MujocoAntmaze:
        """C MuJoCo, without walls."""
        return MujocoAntmaze()

    def data(self, rows: int, key: Key) -> Mapping[str, Part]:
        """D4RL's recipe, or the user's files, and broad data on an open floor; upright rows alone. The key is consumed."""
        return data_parts(self.settings.data, self.settings.maze, rows, key)

    def usable(self, state: Float[Array, "29"]) -> Array:
        """Whether the ant is upright."""
        return upright(state, self.settings.data.upright)

    def methods(self) -> Mapping[str, Any]:
        """``goal-policy``: a policy that makes the mazes' data, from nothing but random exploration."""
        from invlearn_jax.tasks.antmaze import policy_method  # noqa: PLC0415  (it learns on this task)

        return {"goal-policy": policy_method}

    def configure(self, method: str, settings: Any) -> Any:
        """The settings that the shipped motor level was trained with; others where its data are all there is."""
        if method == "inverter":
            settings.data.rows = 1_000_000
            settings.model = inverter_settings.ModelSettings(
                chunk=1,
                hidden=(256, 256, 256),
                steps=3000,
                batch=128,
                horizon=10,
                learning_rate=5e-4,
                one_step=10_000,
            )
            settings.net.hidden = (512, 512)
            settings.objective.unvisited, settings.normalise = 0.0, False
            settings.cloning = inverter_settings.CloningSettings(steps=3000, weight=0.3)
            settings.inverter = inverter_settings.TrainingSettings(
                steps=4000, advance=(1, 2, 4), reset_share=0.1, goal_share=0.1, state_noise=0.03
            )
            settings.correction = CorrectionSettings(
                robots=256, steps=500, hold=20, follow=1, starts=0.0, model_steps=2000, inverter_steps=2000
            )
            if self.settings.data.alone:
                # With nothing executed, what is learned through the model has to stay near the clone (docs/tried.md).
                settings.model.one_step, settings.model.steps = 3000, 1500
                settings.cloning.weight, settings.correction.rounds = 10.0, 0
                settings.inverter.steps, settings.inverter.learning_rate = 1000, 3e-4
        return settings

    def metrics(self, episodes: Episodes) -> dict[str, Any]:
        """Metres per step towards the goal, flips, and getting up again."""
        way = np.asarray(episodes.goals) - episodes.states[:, 0, :2]
        ahead = way / np.linalg.norm(way, axis=1, keepdims=True)
        progress = (np.diff(episodes.states[..., :2], axis=1) * ahead[:, None]).sum(-1)
        return Locomotion(progress.T, uprightness(episodes.states[:, 1:]).T).summary()


def data_parts(settings: DataSettings, maze: str, rows: int, key: Key) -> dict[str, Part]:
    """Data of ants in a maze, ``walking`` (and ``waiting``), and ``broad`` ones of an open floor. The key is consumed.

    Upright rows alone.
    """
    walking_key, broad_key = streams(key, "walking", "broad")
    share = settings.broad_share if settings.broad_rows else 0.0
    walking = upright_rows(walking_rows(settings, maze, rows, walking_key), settings.upright)
    if settings.alone:
        return _by_progress(walking, settings.under_way)
    parts = {WALKING: Part(walking, 1.0 - share)}
    if settings.broad_rows:
        # Without a policy broad data are of ants that move at random alone.
        policy = None if settings.policy in ("", RANDOM) else read_goal_policy(settings.policy)
        broad = _as_rows(random_ant_data(policy, broad_key, settings.broad_rows))
        parts["broad"] = Part(upright_rows(broad, settings.upright), share)
    return parts


def _by_progress(rows: Dataset, least: float) -> dict[str, Part]:
    """Rows of ants that are under way and of those that are not, in proportion; see ``DataSettings``.

    Raises:
        ValueError: if all rows are of one kind.
    """
    moving = under_way(rows, least)
    if moving.all() or not moving.any():
        raise ValueError(
            f"data.under_way is {least} m, and {'every' if moving.all() else 'no'} row is of an ant that gets so far in a "
            "second. Give another distance."
        )
    part = float(moving.mean())
    return {
        WALKING: Part(kept_rows(rows, moving), part),
        WAITING: Part(kept_rows(rows, ~moving), 1 - part),
    }


def upright(state: Float[Array, "29"], least: float) -> Array:
    """Whether the torso's own vertical axis points up by at least so much; see ``rows.uprightness``."""
    w, x, y, z = state[ant.QUATERNION]
    return 1 - 2 * (x**2 + y**2) / (w**2 + x**2 + y**2 + z**2) >= least


def walking_rows(settings: DataSettings, maze: str, rows: int, key: Key) -> Dataset:
    """The user's files, or D4RL's data regenerated.

    Args:
        settings: which.
        maze: the environment that they are of.
        rows: to make.
        key: consumed.

    Returns:
        The rows.

    Raises:
        ValueError: if there are neither files nor a policy.
    """
    found = spec(maze)
    paths = [path for path in settings.path.split(",") if path]
    if paths:
        return concatenate(*(read_for(found, path) for path in paths))
    if not settings.policy:
        raise ValueError(
            "There are no data to learn from. Give files of your own by data.path, or, by data.policy, a goal-reaching policy, "
            f"which makes D4RL's data anew: {', '.join(goal_policy_names())}, or an npz file of your own."
        )
    if settings.policy == RANDOM:
        return _as_rows(random_ant_data(None, key, rows))
    return _as_rows(antmaze_data(found, read_goal_policy(settings.policy), key, rows, settings.noise))


def _as_rows(arrays: Mapping[str, np.ndarray]) -> Dataset:
    return Dataset(arrays["observations"], arrays["actions"], arrays["timeouts"])


def direction(key: Key) -> Float[Array, "2"]:
    """A unit vector in any direction. The key is consumed."""
    angle = jax.random.uniform(key, maxval=2 * jnp.pi)
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)])
