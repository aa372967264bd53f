"""A grid of 5 by 5 cells with rewards in three corners, small enough for exact solutions (``exact``)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from invlearn_jax.data.dataset import Dataset
from invlearn_jax.tasks.classic.choice import choice
from invlearn_jax.tasks.classic.drawing import draw_map
from invlearn_jax.tasks.classic.exact import Tables, soft_optimum, walk
from invlearn_jax.tasks.classic.settings import imitation_settings
from invlearn_jax.tasks.returns import return_metrics
from invlearn_jax.tasks.task import Episodes, Task, Terms
from invlearn_jax.types import Key

SIDE = 5
CORNERS = ((0, 4), (4, 0), (4, 4))
_MOVES = np.array([(-1, 0), (1, 0), (0, -1), (0, 1), (0, 0)])  # up, down, left, right, stay: of (row, column)


class GridWorld(Task):
    """A step leads to a neighbouring cell, or nowhere; corners (0, 4), (4, 0) and (4, 4) pay 1 a step.

    The state is (row, column); networks see which of the 25 cells it is, [25] of 0 and 1. A move against the border stays. The
    reward is that of the cell arrived at: with a discount of 0.9 and temperature 1 the soft-optimal policy's rewards are then
    worth 4.2 (far corner) to 8.6 (a corner that pays), entropy not counted; the IQ-Learn paper's figure 4 shows 4.7 to 8.6. The
    reward of the cell departed from gives 3.4 to 8.5.
    """

    name = "gridworld"
    dt, state_size, action_size, choices = 1.0, 2, 1, len(_MOVES)
    horizon, episode_length, execute_steps = 8, 50, 1

    def cell(self, state: Float[Array, " 2"]) -> Int[Array, ""]:
        """The cell's number, row by row from the top left."""
        row, column = jnp.clip(jnp.round(state), 0, SIDE - 1)
        return (SIDE * row + column).astype(int)

    def features(self, state: Float[Array, " S"]) -> Float[Array, " F"]:
        """``[25]``: 1 for the cell that it is in."""
        return jax.nn.one_hot(self.cell(state), SIDE**2, dtype=state.dtype)

    def cost(self, state: Float[Array, " S"], action: Float[Array, " A"], goal: Float[Array, " G"]) -> Terms:
        """Minus the reward of the cell."""
        return {"corner": -jnp.asarray(reward_map().ravel(), state.dtype)[self.cell(state)]}

    def draw_state(self, key: Key) -> Float[Array, " S"]:
        """Any cell. The key is consumed."""
        return jax.random.randint(key, (2,), 0, SIDE).astype(float)

    def step(self, state: Float[Array, " S"], action: Float[Array, " A"]) -> Float[Array, " S"]:
        """The neighbouring cell, or the same at the border."""
        move = jnp.asarray(_MOVES, state.dtype)[choice(action, self.choices)]
        return jnp.clip(jnp.round(state) + move, 0, SIDE - 1)

    def configure(self, method: str, settings: Any) -> Any:
        """Settings of imitation; see ``imitation_settings``."""
        return imitation_settings(method, settings, 1, 1.0, 1.0)

    def metrics(self, episodes: Episodes) -> dict[str, Any]:
        """Mean return, its standard error, and mean length in steps."""
        return return_metrics(self, episodes)

    def draw(self, axes: Any, episodes: Episodes) -> None:
        """The ways of up to ten episodes on the map of rewards, each a little aside of the middle of cells."""
        draw_map(axes, reward_map())
        for way, aside in zip(episodes.states[:10], np.linspace(-0.3, 0.3, 10), strict=False):
            axes.plot(way[:, 1] + aside, way[:, 0] + aside, linewidth=0.8, color="#0072b2")
        axes.set(xlabel="column", ylabel="row")


def reward_map() -> Float[np.ndarray, "5 5"]:
    """The reward of arriving at each cell."""
    rewards = np.zeros((SIDE, SIDE))
    rewards[tuple(zip(*CORNERS, strict=True))] = 1.0
    return rewards


def grid_tables(discount: float = 0.9) -> Tables:
    """The grid as tables: 25 states, 5 actions, any start."""
    places = np.stack(np.divmod(np.arange(SIDE**2), SIDE), axis=1)
    row, column = np.moveaxis(np.clip(places[:, None] + _MOVES, 0, SIDE - 1), -1, 0)
    following = SIDE * row + column
    transitions = np.eye(SIDE**2)[following]
    return Tables(transitions, reward_map().ravel()[following], np.full(SIDE**2, SIDE**-2), discount)


def demonstrations(
    rng: np.random.Generator, episodes: int = 30, steps: int = 50, discount: float = 0.9, temperature: float = 1.0
) -> Dataset:
    """Episodes of the soft-optimal policy, as rows of the task.

    Args:
        rng: drawn from.
        episodes: how many; each ends with a last row whose action is drawn, too.
        steps: rows of each.
        discount: what the policy is optimal for.
        temperature: of its entropy.
    """
    tables = grid_tables(discount)
    cells, chosen = walk(tables, soft_optimum(tables, temperature).policy, rng, episodes, steps)
    ends = np.zeros(cells.shape, bool)
    ends[:, -1] = True
    states = np.stack(np.divmod(cells.ravel(), SIDE), axis=1).astype(np.float32)
    return Dataset(states, chosen.reshape(-1, 1).astype(np.float32), ends.ravel())
