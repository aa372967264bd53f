"""Control: trained Inverters against sampling MPC on the true simulator, cost against milliseconds, on the same held-out starts.

    python -m benchmarks.control --tasks=cartpole-swingup --planners=runs/cartpole --output=benchmarks/results/control.json
    python -m benchmarks.control --tasks=my_robot.py:Reach --planners=runs/reach --preset=quick --output=reach.json

The rivals are those that users of hydrax, judo and mujoco_mpc run: predictive sampling, MPPI, CEM and DIAL, 1 s ahead, with
noise held for 1/8 s, each plan starting from the rest of the last one. They plan by the true model, C MuJoCo in threads, and as
often as the Inverter. The quick preset gives them 32 rollouts, the full one 128 and 512, and times MJX beside.

All of a task are compiled first and then timed in turn at batch 1. Costs are of closed-loop episodes on C MuJoCo. The file is
written after every row, a picture beside it at the end; ``benchmarks.control_page`` writes the page.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

from benchmarks.contenders import Contender
from benchmarks.control_figures import draw, told
from benchmarks.control_rivals import contenders, train_seconds
from invlearn_jax.evaluate.episodes import draw_problems, episode_costs, first_guess, run_mujoco, successes
from invlearn_jax.evaluate.metrics import mean_ci
from invlearn_jax.files import replace_files, write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.compile_cache import ensure_compile_cache
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed, streams
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.tasks.task import Task, has_success
from invlearn_jax.types import Problem

_TASKS = flags.DEFINE_list("tasks", ["pendulum-swingup", "cartpole-swingup"], "Tasks, by name or FILE.py:CLASS.")
_PLANNERS = flags.DEFINE_list("planners", [], "Folders of trained planners, or of runs that hold one.")
_PRESET = flags.DEFINE_enum("preset", "full", ["quick", "full"], "Which rivals; see the program's own words.")
_MJX = flags.DEFINE_bool(
    "mjx", True, "Whether the full preset times MJX too, which takes minutes to compile for long chains of joints."
)
_RIVALS = flags.DEFINE_list("rivals", [], "Only these of the preset's rivals, by name: CEM,DIAL; all by default.")
_SIGMA = flags.DEFINE_float(
    "sigma",
    None,
    "Standard deviation of all rivals' noise, as a share of half the actions' range; by default 0.3 for predictive sampling and "
    "0.5 for others, as chosen on the swing-ups.",
    lower_bound=1e-3,
)
_EPISODES = flags.DEFINE_integer("episodes", 32, "Episodes of a trained planner.", lower_bound=2)
_RIVAL_EPISODES = flags.DEFINE_integer(
    "rival_episodes", 0, "Episodes of a rival, from the first of the same starts; 0 for as many.", lower_bound=0
)
_CALLS = flags.DEFINE_integer("calls", 200, "Timed plans of each planner.", lower_bound=10)
_SEED = define_seed(20261129, "Seed of starts and planning; the same for all.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "Where to write the rows as JSON; the picture lies beside.", required=True
)

_ROUNDS = 10  # in which planners take turns


class Running:
    """A contender, compiled for one problem: what is executed is what is timed."""

    def __init__(self, contender: Contender, key: jax.Array, problem: Problem) -> None:
        """Compiles it, and calls it twice."""
        self.contender, self.times = contender, []
        self.planner, self.params = contender.load()
        self._given = (self.params, key, problem._replace(guess=first_guess(self.planner)))
        self._plan = jax.jit(lambda params, key, problem: self.planner.plan(params, key, problem).actions)
        for _ in range(2):
            jax.block_until_ready(self._plan(*self._given))

    def turn(self, calls: int) -> None:
        """A round's calls."""
        for _ in range(calls):
            begin = time.perf_counter()
            jax.block_until_ready(self._plan(*self._given))
            self.times.append(1e3 * (time.perf_counter() - begin))


def main(argv: list[str]) -> None:
    """Times all planners of each task in turn, then lets them play one by one."""
    ensure_compile_cache()
    tasks = [make_task(name) for name in _TASKS.value]
    chosen = [contenders(task, _PLANNERS.value, _PRESET.value == "quick", _SIGMA.value) for task in tasks]
    chosen = [[row for row in rows if _wanted(row)] for rows in chosen]
    _check(tasks, chosen)
    record: dict[str, Any] = {"rows": [], "cores": len(os.sched_getaffinity(0)), **manifest(_SEED.value)}
    for task, rows in zip(tasks, chosen, strict=True):
        for row in _measured(task, rows):
            record["rows"].append(row)
            write_json(_OUTPUT.value, record)
            print(_line(row), flush=True)
    replace_files({Path(_OUTPUT.value).with_suffix(".png"): draw(record["rows"])})


def _wanted(row: Contender) -> bool:
    """Whether the flags leave a row in: a trained planner always, a rival by its name, one that is only timed with MJX alone."""
    if row.trained is None and not _MJX.value:
        return False
    return bool(row.trained) or not _RIVALS.value or row.planner in _RIVALS.value


def _check(tasks: list[Task], chosen: list[list[Contender]]) -> None:
    """Refuses a planner that is of none of the tasks.

    Raises:
        ValueError: says which.
    """
    used = {row.trained for rows in chosen for row in rows}
    for name in _PLANNERS.value:
        if name not in used:
            names = ", ".join(task.name for task in tasks)
            raise ValueError(
                f"{name} plans for none of the tasks {names}; give its own task by --tasks, or leave it out."
            )


def _measured(task: Task, chosen: list[Contender]) -> Iterator[dict[str, Any]]:
    problem_key, run_key, time_key = streams(from_seed(_SEED.value), "problems", "episodes", "latency")
    problems = draw_problems(task, problem_key, _EPISODES.value)
    running = []
    for contender in chosen:
        running.append(Running(contender, time_key, jax.tree.map(lambda x: x[0], problems)))
        print(f"{task.name}: {contender.planner}, {told(contender.setting)}: compiled", flush=True)
    for _ in range(_ROUNDS):
        for each in running:
            each.turn(_CALLS.value // _ROUNDS)
    for each in running:
        trained = each.contender.trained
        p50, p99 = (float(np.percentile(each.times, q)) for q in (50, 99))
        row = {
            "task": task.name,
            "planner": each.contender.planner,
            **each.contender.setting,
            "horizon_s": each.planner.horizon * task.dt,
            "execute_steps": each.planner.execute_steps,
            "plan_ms_p50": p50,
            "plan_ms_p99": p99,
            "calls": len(each.times),
            "train_s": train_seconds(trained) if trained else None,
            **dict.fromkeys(("cost_mean", "cost_sem", "success_rate")),
            "episodes": 0,
        }
        if trained is not None:
            own = _EPISODES.value if trained else _RIVAL_EPISODES.value or _EPISODES.value
            row |= _played(each, task, run_key, jax.tree.map(lambda x, n=own: x[:n], problems))
        yield row


def _played(running: Running, task: Task, key: jax.Array, problems: Problem) -> dict[str, Any]:
    """Costs and the task's own figures of closed-loop episodes; those whose cost is not finite are counted as ``diverged``."""
    begin = time.perf_counter()
    rows = run_mujoco(running.planner, running.params, task, key, problems)
    costs = episode_costs(task, rows)
    finite = np.isfinite(costs)
    cost = mean_ci(costs[finite])
    return {
        "cost_mean": cost.mean,
        "cost_sem": cost.sem,
        "success_rate": float(successes(task, rows).any(1).mean()) if has_success(task) else None,
        "episodes": len(costs),
        "diverged": int((~finite).sum()),
        # Of each start, so that planners can be compared start by start.
        "costs": [float(value) if np.isfinite(value) else None for value in costs],
        "played_s": time.perf_counter() - begin,
        **task.metrics(rows),
    }


def _line(row: dict[str, Any]) -> str:
    found = "time only"
    if row["cost_mean"] is not None:
        found = f"cost {row['cost_mean']:.4g} +- {row['cost_sem']:.2g} ({row['episodes']} episodes)"
    return f"{row['task']}: {row['planner']}, {told(row)}: {row['plan_ms_p50']:.3g} ms, {found}"


if __name__ == "__main__":
    run_program(main)
