"""The two robots of the hacking experiment, tasks but for what is learned from and how planners are judged; and its settings."""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.data.dataset import Dataset, kept_rows
from invlearn_jax.keys import streams
from invlearn_jax.tasks.antmaze import walk
from invlearn_jax.tasks.antmaze.rows import uprightness
from invlearn_jax.tasks.maze2d import task as maze
from invlearn_jax.tasks.maze2d.specs import spec
from invlearn_jax.tasks.task import Episodes, Part, Task
from invlearn_jax.types import Key, Problem

_WAY = 5.0  # m that an ant has to go within its episode


class Narrow(Task, abc.ABC):
    """What both have in common: narrow data, beside which there may be broad ones, and problems that know nothing of the data.

    Attributes:
        harm: how many metres a hacked plan is off, and by how much its cost is above what was predicted.
        trust: the settings of the trust region.
        episodes: by how many a planner is judged.
    """

    harm: tuple[float, float]
    trust: Mapping[str, Any]
    episodes: int

    @abc.abstractmethod
    def broad(self, rows: int) -> None:
        """Adds so many rows of broad data."""

    @abc.abstractmethod
    def corridor(self, states: np.ndarray) -> np.ndarray:
        """``[N]`` which of the states ``[N, S]`` are in one corridor."""

    def data(self, rows: int, key: Key) -> dict[str, Part]:
        """The task's own, the narrow part cut to one corridor where the settings say so. The key is consumed."""
        parts = dict(super().data(rows, key))
        name, narrow = next(iter(parts.items()))
        if self.settings.corridor:
            parts[name] = narrow._replace(rows=kept_rows(narrow.rows, self.corridor(narrow.rows.states)))
        return parts

    def figures(self, episodes: Episodes) -> dict[str, float]:
        """What is recorded of episodes beside success. By default nothing."""
        return {}

    def problem_sampler(self, rows: Dataset) -> Callable[[Key], Problem]:
        """Any state and goal: where no data were, the Inverter is to plan too."""
        return Task.problem_sampler(self, rows)


@dataclasses.dataclass
class MazeSettings(maze.Settings):
    """A maze's, and whether the narrow data are cut to one corridor."""

    corridor: bool = False


class NarrowMaze(Narrow, maze.Maze2dTask):
    """maze2d-umaze from D4RL's controller, which keeps to its lane; broad data are of random actions from anywhere."""

    harm, episodes = (0.3, 0.1), 100
    trust = {"objective.unvisited": 30.0}

    def __init__(self) -> None:
        """By a name of its own, so that a saved planner finds this class."""
        super().__init__(spec("maze2d-umaze-v1"), name="NarrowMaze")
        self.settings = MazeSettings(random_rows=0, random_share=0.5)

    def broad(self, rows: int) -> None:
        """See ``Narrow``."""
        self.settings.random_rows = rows

    def corridor(self, states: np.ndarray) -> np.ndarray:
        """The one away from the goal."""
        return states[:, 0] > 2.5


@dataclasses.dataclass
class WalkSettings(walk.WalkSettings):
    """The motor level's, and whether the narrow data are cut to one corridor."""

    corridor: bool = False


class NarrowWalk(Narrow, walk.AntWalk):
    """The ant on an open floor, from a policy on its one way through umaze; it has to go 5 m in 6 s."""

    harm, episodes, episode_length = (0.5, 0.2), 200, 60
    trust = {"cloning.steps": 2000, "cloning.weight": 0.3}

    def __init__(self) -> None:
        """With the policy's data without noise."""
        super().__init__()
        data = walk.DataSettings(noise=0.0, broad_rows=0)
        self.settings = WalkSettings(maze="antmaze-umaze-v2", data=data)

    def broad(self, rows: int) -> None:
        """Of walking and exploring at random under noise of any strength."""
        self.settings.data.broad_rows = rows

    def corridor(self, states: np.ndarray) -> np.ndarray:
        """The first one."""
        return states[:, 1] < 2

    def draw_problem(self, key: Key) -> Problem:
        """To go 5 m in any direction. The key is consumed."""
        start_key, angle_key = streams(key, "start", "angle")
        start = self.draw_state(start_key)
        return Problem(start, start[:2] + _WAY * walk.direction(angle_key))

    def success(self, state: Float[Array, "29"], goal: Float[Array, "2"]) -> Array:
        """Within 0.5 m."""
        return jnp.linalg.norm(state[:2] - goal) <= 0.5

    def figures(self, episodes: Episodes) -> dict[str, float]:
        """How many ants lie at the end."""
        return {"flipped": float((uprightness(episodes.states[:, -1]) < 0).mean())}

    def draw(self, axes: Any, episodes: Episodes) -> None:
        """Draws the ways with the goal to the right of the start."""
        way = np.asarray(episodes.goals) - episodes.states[:, 0, :2]
        ahead = way / np.linalg.norm(way, axis=1, keepdims=True)
        turn = np.stack([ahead, np.stack([-ahead[:, 1], ahead[:, 0]], 1)], 1)
        for place in np.einsum("nij,ntj->nti", turn, episodes.states[..., :2] - episodes.states[:, :1, :2]):
            axes.plot(*place.T, linewidth=0.8, alpha=0.7)
        axes.plot([_WAY], [0.0], "k*", markersize=9)
        axes.set(xlim=(-2, 7), ylim=(-3.5, 3.5), xlabel="towards the goal (m)", aspect="equal")


ROBOTS: dict[str, type[Narrow]] = {"maze2d": NarrowMaze, "ant": NarrowWalk}
ROUNDS = 3  # of correction or of adversarial training
_CORRECTED = {"correction.rounds": ROUNDS}


class Setting(NamedTuple):
    """How a planner is trained: changes of the method's settings, which data there are, and whether with the trust region."""

    changes: dict[str, Any] = {}
    broad: float = 0.0
    corridor: bool = False
    trust: bool = False


SETTINGS = {
    "one corridor of it": Setting(corridor=True),
    "narrow data": Setting(),
    "narrow + 10 % of the broad": Setting(broad=0.1),
    "narrow + broad": Setting(broad=1.0),
    "ensemble + disagreement": Setting({"model.members": 3, "objective.disagreement": 1.0}),
    # Rounds in which the model learns nothing from what is executed, but to make plans look costly.
    "adversarial model": Setting(_CORRECTED | {"correction.adversarial": 0.1, "correction.share": 0.0}),
    "trust region": Setting(trust=True),
    "online correction": Setting(_CORRECTED),
    "trust region + online correction": Setting(_CORRECTED, trust=True),
    "broad + trust region + online correction": Setting(_CORRECTED, broad=1.0, trust=True),
}
