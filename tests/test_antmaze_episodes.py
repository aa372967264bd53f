"""Episodes of antmaze: closed loop on C MuJoCo, and the gymnasium bridge."""

import jax
import jax.numpy as jnp
import numpy as np

from invlearn_jax.evaluate.episodes import draw_problems, run_mujoco
from invlearn_jax.tasks.d4rl import normalized_score, returns_of
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.types import PlanOutput, Problem


class Still:
    """A planner whose ants do nothing."""

    horizon, execute_steps = 3, 2

    def init(self, key):
        return ()

    def plan(self, params, key, problem):
        states, zero = jnp.repeat(problem.state[None], 4, axis=0), jnp.zeros(())
        return PlanOutput(jnp.zeros((3, 8)), states, zero, {}, zero, jnp.zeros(0), jnp.zeros((), jnp.int32))


def test_closed_loop_on_c_mujoco():
    task = make_task("antmaze-umaze-v2")
    begin, goals, _ = draw_problems(task, jax.random.key(0), 6)
    goals = np.where(np.arange(6)[:, None] < 2, begin[:, :2] + 0.1, goals)
    rows = run_mujoco(Still(), (), task, jax.random.key(1), Problem(begin, goals), steps=5)
    assert rows.states.shape == (6, 6, 29)
    assert rows.actions.shape == (6, 5, 8)
    # The goal ends an episode, so it pays once.
    returns = returns_of(task.spec, rows.states, goals)
    assert returns.tolist() == [1, 1, 0, 0, 0, 0]
    assert normalized_score(task.spec, returns).tolist() == [100, 100, 0, 0, 0, 0]
