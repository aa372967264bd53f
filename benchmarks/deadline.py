"""Deadlines kept and missed: calibrated on this device, then thousands of plans, idle and beside a busy process.

    python -m benchmarks.deadline --planner=maze2d-large-v1 --output=benchmarks/results/deadline_large.json

Every plan is for another random problem. A deadline below the fastest setting's time gives a row that says so.
"""

import multiprocessing
import time

import jax
import numpy as np
from absl import flags

from benchmarks.harness import random_problems
from invlearn_jax.evaluate.deadline import DeadlinePlanner
from invlearn_jax.files import write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed
from invlearn_jax.methods.saved import load_planner, load_task

_PLANNER = flags.DEFINE_string("planner", None, "A shipped name or a folder.", required=True)
_DEADLINES = flags.DEFINE_multi_float("deadlines", [1.0, 5.0, 20.0], "In milliseconds.", lower_bound=0.0)
_PLANS = flags.DEFINE_integer("plans", 10_000, "Plans per deadline and load.", lower_bound=1)
_STEPS = flags.DEFINE_multi_integer("refine_steps", [0, 1, 2, 5, 10, 20, 50], "Numbers K to choose from.")
_CANDIDATES = flags.DEFINE_multi_integer("candidates", [1, 4], "Numbers of candidates to choose from.")
_CALLS = flags.DEFINE_integer("calls", 1000, "Timed calls per setting at calibration.", lower_bound=100)
_MARGIN = flags.DEFINE_float("margin", 1.3, "99th percentile times this must fit.", lower_bound=1.0)
_BUSY = flags.DEFINE_multi_integer("busy", [0, 1, 2], "Busy processes beside.", lower_bound=0)
_SEED = define_seed(9000, "Seed of the problems.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the rows as JSON.", required=True)

_PROBLEMS = 500


def _burn() -> None:
    block = np.random.default_rng(0).normal(size=(256, 256))
    while True:
        block = np.tanh(block @ block)


def main(argv: list[str]) -> None:
    """Calibrates once, idle, and counts the misses."""
    task = load_task(_PLANNER.value)
    params = load_planner(_PLANNER.value, task=task)[1]
    keys, problems = random_problems(task, from_seed(_SEED.value), _PROBLEMS)
    planner = DeadlinePlanner(
        lambda steps, candidates: load_planner(_PLANNER.value, steps, candidates, task=task)[0],
        params,
        problems,
        [(steps, candidates) for steps in _STEPS.value for candidates in _CANDIDATES.value],
        _CALLS.value,
        _MARGIN.value,
    )
    for row in planner.table:
        print(
            f"K = {row.refine_steps:2d}, {row.candidates} candidates: p50 {row.p50_ms:.3f} ms, p99 {row.p99_ms:.3f} ms, "
            f"cost {row.cost:.4f}"
        )
    singles = [(keys[i], jax.tree.map(lambda x, i=i: x[i], problems)) for i in range(_PROBLEMS)]
    rows = []
    for busy in _BUSY.value:
        beside = [multiprocessing.get_context("spawn").Process(target=_burn, daemon=True) for _ in range(busy)]
        for process in beside:
            process.start()
        if busy:
            time.sleep(5)  # until they compute
        for deadline in _DEADLINES.value:
            rows.append(_misses(planner, deadline, singles) | {"busy_processes": busy})
            print(rows[-1], flush=True)
        for process in beside:
            process.terminate()
    record = {"planner": _PLANNER.value, "env": task.name, "margin": _MARGIN.value, "calls": _CALLS.value}
    table = [row._asdict() for row in planner.table]
    write_json(_OUTPUT.value, {**record, "calibration": table, "rows": rows, **manifest(_SEED.value)})


def _misses(planner: DeadlinePlanner, deadline: float, singles: list[tuple]) -> dict:
    try:
        setting = planner.setting(deadline)
    except ValueError as error:
        return {"deadline_ms": deadline, "skipped": str(error)}
    times = []
    for call in range(_PLANS.value):
        key, problem = singles[call % len(singles)]
        begin = time.perf_counter()
        planner.plan_within(deadline, key, problem)
        times.append(1e3 * (time.perf_counter() - begin))
    p50, p99, worst = (float(np.percentile(times, q)) for q in (50, 99, 100))
    return {
        "deadline_ms": deadline,
        "refine_steps": setting.refine_steps,
        "candidates": setting.candidates,
        "plans": len(times),
        "miss_rate": float(np.mean(np.array(times) > deadline)),
        "p50_ms": p50,
        "p99_ms": p99,
        "worst_ms": worst,
    }


if __name__ == "__main__":
    run_program(main)
