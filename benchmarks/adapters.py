"""Others' environments as tasks: whether steps and rewards are the environment's, under random actions from its own starts.

    python -m benchmarks.adapters --tasks=playground:CartpoleSwingup,gymnasium:HalfCheetah-v5 --output=adapters.json

Of each: seconds to make it; ``return_mean`` by the environment itself beside ``own_return_mean``, the sum of the task's reward,
which learning sees; ``replay_error``, how far the environment's next states are from the simulator's (99th percentile, of any
entry); and whether an untrained Inverter's plan is finite.
"""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from invlearn_jax.files import write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed, streams
from invlearn_jax.methods.fitting import method_settings
from invlearn_jax.methods.registry import find_method
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.tasks.task import Episodes, Task
from invlearn_jax.types import Problem

_TASKS = flags.DEFINE_list("tasks", None, "Tasks, by name or FILE.py:CLASS.", required=True)
_EPISODES = flags.DEFINE_integer("episodes", 4, "Episodes of each.", lower_bound=2)
_STEPS = flags.DEFINE_integer("steps", 50, "Steps of each episode.", lower_bound=1)
_SEED = define_seed(20_261_127, "Seed of starts and actions.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the rows as JSON.", required=True)


def main(argv: list[str]) -> None:
    """Tries all tasks out, and writes the file after each."""
    rows: list[dict[str, Any]] = []
    for name in _TASKS.value:
        begin = time.process_time()
        task = make_task(name)
        made = time.process_time() - begin
        rows.append({"task": name, "make_cpu_s": made, **_row(task), **manifest(_SEED.value)})
        write_json(_OUTPUT.value, rows)
        shown = {key: rows[-1].get(key) for key in ("task", "return_mean", "own_return_mean", "replay_error")}
        print(shown, flush=True)


def _row(task: Task) -> dict[str, Any]:
    problem_key, action_key, plan_key = streams(from_seed(_SEED.value), "problems", "actions", "plans")
    problems = jax.jit(jax.vmap(task.draw_problem))(jax.random.split(problem_key, _EPISODES.value))
    shape = (_EPISODES.value, _STEPS.value, task.action_size)
    actions = np.asarray(jax.random.uniform(action_key, shape, minval=task.action_low, maxval=task.action_high))
    states, simulator = [np.asarray(problems.state, np.float64)], task.simulator()
    for step in range(_STEPS.value):
        states.append(simulator.step(states[-1], actions[:, step]))
    simulator.close()
    episodes = Episodes(
        np.asarray(problems.goal), np.stack(states, 1).astype(np.float32), actions, np.zeros(0), np.zeros(0)
    )
    reward = jax.jit(jax.vmap(jax.vmap(task.reward, (0, 0, None))))
    own = np.asarray(reward(episodes.states[:, 1:], actions, jnp.asarray(problems.goal)))
    planner = find_method("inverter", task).build(task, method_settings(task, "inverter"))
    first = Problem(*(jnp.asarray(x[0]) for x in (problems.state, problems.goal)))
    plan = jax.jit(planner.plan)(planner.init(plan_key), plan_key, first)
    return {
        "sizes": [task.state_size, task.action_size, task.goal_size],
        "dt": task.dt,
        "episodes": _EPISODES.value,
        "steps": _STEPS.value,
        "own_return_mean": float(own.sum(1).mean()),
        **task.metrics(episodes),
        "plan_is_finite": bool(jnp.isfinite(plan.cost) & jnp.isfinite(plan.actions).all()),
    }


if __name__ == "__main__":
    run_program(main)
