"""What the speed benchmarks share: problems, a sweep over batches that knows when to stop, and tables."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from invlearn_jax.evaluate.latency import measure
from invlearn_jax.keys import streams
from invlearn_jax.learn.stages import read_parts
from invlearn_jax.methods.saved import load_task
from invlearn_jax.tasks.task import Part, Task
from invlearn_jax.types import Key, Params, Planner, PlanOutput, Problem

# measure() makes at least one call to warm up and five timed ones.
_FEWEST_CALLS = 6


class Case(NamedTuple):
    """Something to time, written for one problem.

    Attributes:
        labels: the columns that tell its rows from others.
        function: ``(params, key, problem, extra) -> output``; everything it returns is computed and waited for.
        prepare: ``(params, key, problem) -> extra``: what comes before it, untimed.
    """

    labels: dict[str, Any]
    function: Callable[[Params, Key, Problem, Any], Any]
    prepare: Callable[[Params, Key, Problem], Any] = lambda params, key, problem: ()


def plan_case(planner: Planner, refine_steps: int, output: str) -> Case:
    """The whole plan; ``output`` is ``actions`` (the compiler drops what they do not need) or ``full``."""

    def plan(params: Params, key: Key, problem: Problem, extra: tuple) -> PlanOutput | jax.Array:
        out = planner.plan(params, key, problem)
        return out.actions if output == "actions" else out

    return Case({"stage": "plan", "output": output, "refine_steps": refine_steps}, plan)


def random_problems(task: Task, key: Key, count: int) -> tuple[jax.Array, Problem]:
    """``count`` keys and problems: starts of episodes, any goals. The key is consumed."""
    plan_key, problem_key = streams(key, "planning of problems", "starts of problems")

    def draw(key: Key) -> Problem:
        start_key, goal_key = streams(key, "start", "goal")
        start = task.reset(start_key)
        return Problem(start, task.draw_goal_from(goal_key, start))

    problems = jax.jit(jax.vmap(draw))(jax.random.split(problem_key, count))
    return jax.random.split(plan_key, count), problems


def run_data(folder: str) -> tuple[Task, dict[str, Part]]:
    """The task that a run is of, and the data that it trains on.

    Raises:
        ValueError: if the run has not made its data and planner.
    """
    run = Path(folder)
    if not (run / "data" / "data.json").is_file() or not (run / "planner").is_dir():
        raise ValueError(f"{folder} is no run's folder with data and a planner; give one of experiments.run.")
    return load_task(run / "planner"), read_parts(run / "data", "data")


def sweep(
    case: Case,
    params: Params,
    keys: jax.Array,
    problems: Problem,
    batches: Iterable[int],
    calls: int,
    row_seconds: float,
    columns: Sequence[str],
) -> list[dict[str, Any]]:
    """Times a case at growing batches, printing each row.

    A batch whose fewest calls would take longer than ``row_seconds``, going by the batch before, or that does not fit the
    memory, gives a row that says so in ``skipped`` instead of times.

    Args:
        case: what to time; batch 1 is not vmapped.
        params: the planner's.
        keys: one for each problem.
        problems: as many as the largest batch; batch B takes the first B.
        batches: in growing order.
        calls: timed calls per row; fewer where they would take longer than ``row_seconds``.
        row_seconds: seconds per row.
        columns: what to print.

    Returns:
        One row per batch: the case's labels, ``batch``, times in milliseconds and ``per_s``, problems per second.
    """
    rows: list[dict[str, Any]] = []
    call_seconds = 0.0
    for batch in batches:
        row = {**case.labels, "batch": batch, "skipped": None}
        expected = _FEWEST_CALLS * call_seconds * batch
        if expected > row_seconds:
            row["skipped"] = f"about {expected:.0f} s for {_FEWEST_CALLS} calls"
        else:
            row |= _timed(case, params, keys, problems, batch, calls, row_seconds)
        if row["skipped"] is None:
            call_seconds = row["p50_ms"] / 1e3 / batch
        rows.append(row)
        print_row(row, columns)
    return rows


def _timed(
    case: Case, params: Params, keys: jax.Array, problems: Problem, batch: int, calls: int, row_seconds: float
) -> dict[str, Any]:
    if batch == 1:
        keys, problems = jax.tree.map(lambda x: x[0], (keys, problems))
        function, prepare = case.function, case.prepare
    else:
        keys, problems = jax.tree.map(lambda x: x[:batch], (keys, problems))
        function = jax.vmap(case.function, in_axes=(None, 0, 0, 0))
        prepare = jax.vmap(case.prepare, in_axes=(None, 0, 0))
    try:
        extra = jax.jit(prepare)(params, keys, problems)
        times = measure(function, params, keys, problems, extra, calls=calls, seconds=row_seconds)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return {"skipped": "out of memory"}
    return {
        "trace_ms": times.trace_ms,
        "compile_ms": times.compile_ms,
        "p50_ms": times.p50,
        "p95_ms": times.p95,
        "p99_ms": times.p99,
        "calls": times.calls,
        "per_s": 1e3 * batch / times.p50,
    }


def print_row(row: dict[str, Any], columns: Sequence[str]) -> None:
    """One row of a table, at once."""
    cells = " ".join(_cell(row.get(name)).rjust(_width(name)) for name in columns)
    print(cells + (f"  skipped: {row['skipped']}" if row.get("skipped") else ""), flush=True)


def print_head(columns: Sequence[str]) -> None:
    """The head of a table."""
    print(" ".join(name.rjust(_width(name)) for name in columns), flush=True)


def _width(name: str) -> int:
    return max(11, len(name))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)
