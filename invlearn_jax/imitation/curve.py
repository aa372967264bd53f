"""How a policy does while it learns: episodes on the task's simulator every so many updates, kept in the run's folder."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from invlearn_jax.files import read_json, write_json
from invlearn_jax.imitation.learner import learned_agent
from invlearn_jax.inputs import float_type
from invlearn_jax.keys import indexed, streams
from invlearn_jax.learn.loop import TrainState
from invlearn_jax.parametrisation import Box
from invlearn_jax.progress import say
from invlearn_jax.tasks.returns import episode_returns
from invlearn_jax.tasks.task import CountsReturns, Episodes, Task
from invlearn_jax.types import Key, Params

_ENOUGH = 3  # evaluations in a row

Act = Callable[[Params, Array], Array]


def policy_episodes(task: Task, act: Callable[[Array], Array], key: Key, episodes: int) -> Episodes:
    """Episodes of a policy, side by side on the task's simulator.

    Args:
        task: whose protocol is followed; its goals are drawn once for each episode.
        act: from states ``[N, S]`` to shares of the actions' box ``[N, A]``.
        key: consumed.
        episodes: N.

    Returns:
        The episodes, in which states stay as they are once all is over; no plans.
    """
    start_key, goal_key = streams(key, "starts", "goals")
    starts = np.asarray(jax.jit(jax.vmap(task.reset))(jax.random.split(start_key, episodes)), np.float64)
    goals = np.asarray(jax.jit(jax.vmap(task.draw_goal))(jax.random.split(goal_key, episodes)))
    decode, over = Box(task.action_low, task.action_high, 1).decode, jax.jit(jax.vmap(task.over))
    simulator = task.simulator()
    state, going = starts, np.ones(episodes, bool)
    states, actions = [state], []
    for _ in range(task.episode_length):
        action = np.asarray(decode(act(jnp.asarray(state, float_type()))))
        state = state.copy()
        if going.any():
            state[going] = simulator.step(state[going], action[going])
            going = going & ~np.asarray(over(jnp.asarray(state, float_type())))
        states.append(state)
        actions.append(action)
    simulator.close()
    none = np.zeros((episodes, 0))
    return Episodes(goals, np.stack(states, 1).astype(np.float32), np.stack(actions, 1), none, none)


def task_returns(task: Task, rows: Episodes) -> np.ndarray:
    """``[N]`` the returns of episodes: by the task's own account where it ``CountsReturns``, else the sums of its rewards."""
    return task.returns(rows) if isinstance(task, CountsReturns) else episode_returns(task, rows)[0]


class Curve:
    """Returns over updates, in ``FILE``; tells when a wanted return is reached for good: in three evaluations in a row."""

    def __init__(
        self, path: Path, task: Task, act: Act, key: Key, episodes: int, every: int, wanted: float | None = None
    ) -> None:
        """Reads what an earlier run left.

        Args:
            path: the file.
            task: what to act in.
            act: ``(params, states [N, S]) -> shares [N, A]``, which is compiled here.
            key: consumed; each evaluation takes a key of its own.
            episodes: of an evaluation.
            every: updates between evaluations.
            wanted: the return at which to stop; None trains to the end.
        """
        self._path, self._task, self._act, self._key = path, task, jax.jit(act), key
        self._episodes, self._every, self._wanted = episodes, every, wanted
        self.rows: list[dict[str, float]] = read_json(path)["rows"] if path.exists() else []

    def reached(self) -> bool:
        """Whether the last three evaluations were all at the wanted return or above."""
        last = [row["return_mean"] for row in self.rows[-_ENOUGH:]]
        return self._wanted is not None and len(last) == _ENOUGH and min(last) >= self._wanted

    def __call__(self, state: TrainState) -> bool:
        """Evaluates where that is due; whether training has reached what was wanted."""
        step = int(state.step)
        if step % self._every or any(row["step"] == step for row in self.rows):
            return self.reached()
        self.rows = [row for row in self.rows if row["step"] < step]
        episodes = policy_episodes(
            self._task, lambda states: self._act(learned_agent(state), states), indexed(self._key, step), self._episodes
        )
        self.rows.append({"step": step, "return_mean": float(task_returns(self._task, episodes).mean())})
        write_json(self._path, {"rows": self.rows})
        say(f"update {step}: return {self.rows[-1]['return_mean']:.5g} over {self._episodes} episodes")
        return self.reached()
