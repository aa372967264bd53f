"""What a planner's quality costs: every planner and every setting of its options, on one device, one evaluation, for any task.

    python -m benchmarks.compute_budget --output=benchmarks/results/compute_budget.json
    python -m benchmarks.compute_budget --preset=quick --tasks=maze2d-umaze-v1 --output=quick.json
    python -m benchmarks.compute_budget --preset=all --tasks=maze2d-umaze-v1 --only=MPPI --output=mppi.json
    python -m benchmarks.compute_budget --tasks=my_robot.py:Reach --planners=runs/reach/planner,mine.py:factory --output=f.json

Without ``--planners`` every shipped planner for a task competes, as in the published record. A planner of one's own is a folder,
or ``FILE.py:factory`` with ``factory(task) -> (planner, params)``; against a planner of the method ``inverter`` model-based
control on its learned model competes, and on the true simulator.

The full preset has every setting for the first of the tasks, one or two for each planner for the others, times alone for what
takes minutes to score. ``all`` leaves nothing out.

All rows of a task are compiled first and then timed in turn at batch 1, a few calls of each per round, so that a busy moment
of the machine hits them alike. A program that an earlier task had already compiled is not compiled again: its ``compile_s`` is
the time to load it. Scores and costs are of closed-loop episodes on the task's simulator, the same starts for all rows. The file
is written after every row.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from absl import flags

from benchmarks.contenders import Contender, own_contenders, published_contenders
from benchmarks.harness import random_problems
from invlearn_jax.evaluate.episodes import draw_problems, episode_costs, first_guess, run_mujoco, successes
from invlearn_jax.evaluate.flops import flops
from invlearn_jax.evaluate.metrics import mean_ci
from invlearn_jax.files import write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed, streams
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.tasks.task import JudgesPlans, Task
from invlearn_jax.types import Follows, Params, PlanOutput, Problem

_TASKS = flags.DEFINE_list(
    "tasks", ["maze2d-umaze-v1", "maze2d-medium-v1", "maze2d-large-v1"], "Tasks, by name or FILE.py:CLASS."
)
_PLANNERS = flags.DEFINE_list(
    "planners", [], "Shipped names, folders or FILE.py:factory; by default all that are shipped for a task."
)
_PRESET = flags.DEFINE_enum("preset", "full", ["quick", "full", "all"], "How much of it; see the program's own words.")
_ONLY = flags.DEFINE_list("only", [], "Rows whose planner's name begins so; all by default.")
_CHECKPOINTS = flags.DEFINE_string("checkpoints", "", "A folder that is searched for planners before the shipped ones.")
_EPISODES = flags.DEFINE_integer("episodes", 100, "Episodes per row.", lower_bound=2)
_SECONDS = flags.DEFINE_float("row_seconds", 2.0, "Timed seconds per row and batch.", lower_bound=0.1)
_BATCH = flags.DEFINE_integer("batch", 1024, "Largest batch of the throughput.", lower_bound=1)
_SEED = define_seed(20261125, "Seed of starts and planning; the same for all rows.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the rows as JSON.", required=True)

_ROUNDS = 10  # in which the rows take turns
_FAST = 0.002  # seconds; planners below are timed at the large batch too, others as they plan for all episodes at once


class Running:
    """A contender, compiled."""

    def __init__(self, contender: Contender, keys: jax.Array, problems: Problem, episode_length: int) -> None:
        """Compiles it at batch 1, and where it is fast at the largest."""
        self.contender, self._episode_length = contender, episode_length
        self.planner, self.params = contender.load()
        # Traced once, whatever programs are made of it.
        self._whole = jax.jit(self.planner.plan)
        one = jax.tree.map(lambda x: x[0], problems)
        self._one = (keys[0], one._replace(guess=first_guess(self.planner)))
        begin = time.perf_counter()
        # What is executed is what is timed: the compiler drops what it does not need.
        self._plan = _compiled(self._output, self.params, *self._one)
        self.compile_s = time.perf_counter() - begin
        memory = self._plan.memory_analysis()
        self.peak_bytes = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
        self.once_s = min(self._call(self._plan, self._one) for _ in range(2))
        self._many = (keys, problems._replace(guess=first_guess(self.planner, len(keys))))
        self._plans = None
        if self.once_s < _FAST:
            self._plans = _compiled(jax.vmap(self._output, in_axes=(None, 0, 0)), self.params, *self._many)
        self.times: list[float] = []
        self.many_times: list[float] = []

    def _output(self, params: Params, key: jax.Array, problem: Problem) -> jax.Array:
        out = self._whole(params, key, problem)
        # Of a plan that is followed with feedback, whatever its first action needs.
        return self.planner.act(params, out, 0, problem.state) if isinstance(self.planner, Follows) else out.actions

    def _call(self, plan: Callable, given: tuple) -> float:
        begin = time.perf_counter()
        jax.block_until_ready(plan(self.params, *given))
        return time.perf_counter() - begin

    def turn(self, seconds: float) -> None:
        """A round's calls."""
        for _ in range(int(np.clip(seconds / self.once_s, 1, 200))):
            self.times.append(self._call(self._plan, self._one))
        if self._plans is not None:
            self.many_times.append(self._call(self._plans, self._many))

    def row(self) -> dict[str, Any]:
        """What was measured."""
        p50, p95, p99 = (1e3 * float(np.percentile(self.times, q)) for q in (50, 95, 99))
        per_plan = flops(self._output, self.params, *self._one)
        executed = min(self.planner.execute_steps, self._episode_length)
        batch = len(self._many[0]) if self._plans is not None else 1
        return {
            "plan_ms_p50": p50,
            "plan_ms_p95": p95,
            "plan_ms_p99": p99,
            "calls": len(self.times),
            "plans_per_s": batch / float(np.median(self.many_times or self.times)),
            "batch": batch,
            "flops_per_plan": per_plan,
            "flops_per_step": per_plan / executed,
            "ms_per_step": p50 / executed,
            "peak_bytes": int(self.peak_bytes),
            "compile_s": self.compile_s,
            "execute_steps": executed,
        }

    def score(self, task: Task, episodes: int, seed: int) -> dict[str, Any]:
        """Quality in the task's own evaluation, and where it is not known yet the throughput of planning for all episodes."""
        problem_key, run_key = streams(from_seed(seed), "problems", "episodes")
        begin = time.perf_counter()
        if isinstance(task, JudgesPlans):
            judged = task.judge(self.planner, self.params, run_key, episodes)
            found = {name: judged[name] for name in ("cost_mean", "cost_sem", "success_rate")}
            return found | {"episodes": episodes, "score_s": time.perf_counter() - begin}
        plan, seconds = jax.jit(jax.vmap(self._whole, in_axes=(None, 0, 0))), []

        def timed(*given: Any) -> PlanOutput:
            begin = time.perf_counter()
            out = jax.block_until_ready(plan(*given))
            seconds.append(time.perf_counter() - begin)
            return out

        problems = draw_problems(task, problem_key, episodes)
        rows = run_mujoco(self.planner, self.params, task, run_key, problems, plan=timed)
        cost, own = mean_ci(episode_costs(task, rows)), task.metrics(rows)
        # The first call compiles.
        throughput = {"plans_per_s": episodes / float(np.median(seconds[1:])), "batch": episodes} if seconds[1:] else {}
        return ({} if self._plans is not None else throughput) | {
            "score_mean": own.get("score_mean"),
            "score_sem": own.get("score_sem"),
            "cost_mean": cost.mean,
            "cost_sem": cost.sem,
            "success_rate": float(successes(task, rows).any(1).mean()),
            "episodes": episodes,
            "score_s": time.perf_counter() - begin,
        }


def _compiled(function: Callable, *args: Any) -> Callable:
    return jax.jit(function).lower(*args).compile()


def main(argv: list[str]) -> None:
    """Times all rows of each task in turn, then scores them one by one."""
    with tempfile.TemporaryDirectory() as folder:
        use_compile_cache(folder)
        _run()


def _run() -> None:
    record: dict[str, Any] = {"rows": [], **manifest(_SEED.value)}
    tasks = [make_task(name) for name in _TASKS.value]
    # All are known before anything is measured.
    chosen = [_chosen(task, first=index == 0) for index, task in enumerate(tasks)]
    _check(tasks, chosen)
    for task, rows in zip(tasks, chosen, strict=True):
        for row in _measured(task, rows):
            record["rows"].append(row)
            write_json(_OUTPUT.value, record)
            print(_line(row), flush=True)


def _measured(task: Task, chosen: list[Contender]) -> Iterator[dict[str, Any]]:
    keys, problems = random_problems(task, from_seed(_SEED.value), _BATCH.value)
    running = []
    for contender in chosen:
        running.append(Running(contender, keys, problems, task.episode_length))
        print(
            f"{task.name}: {contender.planner} {contender.setting}: compiled, {1e3 * running[-1].once_s:.3g} ms",
            flush=True,
        )
    for _ in range(_ROUNDS):
        for each in running:
            each.turn(_SECONDS.value / _ROUNDS)
    for each in running:
        contender = each.contender
        labels = {"planner": contender.planner, "setting": contender.setting, "env": task.name}
        row = labels | {"trained": contender.trained, "device": jax.devices()[0].device_kind} | each.row()
        row |= dict.fromkeys(("score_mean", "score_sem", "cost_mean", "cost_sem", "success_rate")) | {"episodes": 0}
        if contender.trained is not None:
            row |= each.score(task, _EPISODES.value, _SEED.value)
        yield row


def _chosen(task: Task, first: bool) -> list[Contender]:
    preset, only = _PRESET.value, tuple(_ONLY.value) or ""
    rows = [row for row in _contenders(task) if row.planner.startswith(only)]
    if preset != "all":
        rows = [row if not row.costly else row._replace(trained=None) for row in rows]
    return [row for row in rows if row.quick or preset == "all" or (preset == "full" and first)]


def _contenders(task: Task) -> list[Contender]:
    if not _PLANNERS.value:
        return published_contenders(task, _CHECKPOINTS.value)
    return [row for name in _PLANNERS.value for row in own_contenders(task, name)]


def _check(tasks: list[Task], chosen: list[list[Contender]]) -> None:
    """Refuses a table without rows, and a planner that is for none of the tasks.

    Raises:
        ValueError: says what is to be given.
    """
    if _ONLY.value and not all(chosen):
        raise ValueError(f"No planner's name begins with any of {_ONLY.value}; leave --only out to see them all.")
    for name in _PLANNERS.value:
        if not any(own_contenders(task, name) for task in tasks):
            names = ", ".join(task.name for task in tasks)
            raise ValueError(
                f"{name} plans for none of the tasks {names}; give its own task by --tasks, or leave it out."
            )


def _line(row: dict[str, Any]) -> str:
    found = "not scored"
    if row["cost_mean"] is not None:
        name = "score" if row["score_mean"] is not None else "cost"
        found = f"{name} {row[f'{name}_mean']:.4g} +- {row[f'{name}_sem']:.2g}"
    return (
        f"{row['env']} {row['planner']} {row['setting']}: {row['plan_ms_p50']:.3g} ms, {row['plans_per_s']:.3g} plans/s, "
        f"{row['flops_per_plan']:.3g} FLOPs, {found}"
    )


if __name__ == "__main__":
    run_program(main)
