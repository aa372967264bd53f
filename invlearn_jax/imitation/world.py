"""A task as a stream of steps inside a jitted program: episodes begin anew where they end."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from invlearn_jax.imitation.replay import Rows
from invlearn_jax.models.simulator import HostSimulatorModel
from invlearn_jax.names import unknown_name
from invlearn_jax.parametrisation import Box
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key

PHYSICS = ("auto", "host", "device")


class Place(NamedTuple):
    """Where an episode stands.

    Attributes:
        state: ``[S]``.
        steps: taken in this episode.
        total: its reward so far.
        last_return: of the episode before; 0 in the first.
    """

    state: Float[Array, " S"]
    steps: Int[Array, ""]
    total: Float[Array, ""]
    last_return: Float[Array, ""]


class World:
    """A task without goals, or with one that is drawn anew for every episode's reward alone, stepped one step at a time."""

    def __init__(self, task: Task, physics: str = "auto") -> None:
        """Starts the physics.

        Args:
            task: what to step.
            physics: by the task's ``simulator()`` on the ``host``, by its ``step`` on the ``device``, or ``auto``: the first on a
                CPU where a task has a simulator of its own.

        Raises:
            ValueError: for other physics.
        """
        if physics not in PHYSICS:
            raise unknown_name("physics", physics, PHYSICS)
        self.task = task
        own = type(task).simulator is not Task.simulator
        if physics == "host" or (physics == "auto" and own and jax.default_backend() == "cpu"):
            model = HostSimulatorModel(task)
            self._step: Callable[[Array, Array], Array] = lambda state, action: model.unroll((), state, action[None])[1]
        else:
            self._step = task.step
        self._decode = Box(task.action_low, task.action_high, 1).decode
        self._goal = jnp.zeros(task.goal_size)

    def begin(self, key: Key) -> Place:
        """The start of the first episode. The key is consumed."""
        return Place(self.task.reset(key), jnp.zeros((), jnp.int32), jnp.zeros(()), jnp.zeros(()))

    def step(self, place: Place, key: Key, policy: Callable[[Key, Array], Array]) -> tuple[Place, Rows]:
        """One step by a policy ``(key, state) -> share of the actions' box``, and its row. The key is consumed."""
        action_key, reset_key = jax.random.split(key)
        share = policy(action_key, place.state)
        action = self._decode(share)
        following = self._step(place.state, action)
        reward, over = self.task.reward(following, action, self._goal), self.task.over(following)
        row = Rows(place.state, share, following, over, reward)
        steps, total = place.steps + 1, place.total + reward
        ended = over | (steps >= self.task.episode_length)
        fresh = Place(self.task.reset(reset_key), jnp.zeros_like(steps), jnp.zeros_like(total), total)
        going = Place(following, steps, total, place.last_return)
        return jax.tree.map(lambda x, y: jnp.where(ended, x, y), fresh, going), row
