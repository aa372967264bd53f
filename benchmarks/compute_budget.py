"""What a planner's quality costs: every planner and every setting of its options, on one device, one data set, one evaluation.

    python -m benchmarks.compute_budget --output=benchmarks/results/compute_budget.json
    python -m benchmarks.compute_budget --preset=quick --sizes=umaze --output=quick.json
    python -m benchmarks.compute_budget --preset=all --sizes=umaze --only=MPPI --output=mppi.json

The full preset has every setting in the first of the mazes, one or two for each planner in the
others, times alone for what takes minutes to score. ``all`` leaves nothing out.

All rows of a maze are compiled first and then timed in turn at batch 1, a few calls of each per round, so that a busy moment
of the machine hits them alike. A program that an earlier maze had already compiled is not compiled again: its ``compile_s`` is
the time to load it. Scores are D4RL's, on C MuJoCo, the same starts for all rows. The file is written after every row.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from absl import flags

from benchmarks.contenders import Contender, contenders
from benchmarks.harness import random_problems
from invlearn_jax.evaluate import mean_ci
from invlearn_jax.evaluate.closed_loop import first_guess, follows, run_mujoco, start_states
from invlearn_jax.evaluate.flops import flops
from invlearn_jax.files import write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed
from invlearn_jax.tasks.d4rl import normalized_score, returns_of, success
from invlearn_jax.tasks.maze2d.environment import Maze2d
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.types import Params, PlanOutput, Problem

_SIZES = flags.DEFINE_list("sizes", ["umaze", "medium", "large"], "Mazes.")
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
        out = self.planner.plan(params, key, problem)
        return out.states if follows(self.planner) and self.planner.controller == "pd" else out.actions

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

    def score(self, env: Maze2d, episodes: int, seed: int) -> dict[str, Any]:
        """The closed-loop score on D4RL's own task, and where it is not known yet the throughput of planning for all."""
        start_key, run_key = jax.random.split(from_seed(seed))
        starts, goals = start_states(env, start_key, episodes, multi_goal=False)
        plan, seconds = jax.jit(jax.vmap(self.planner.plan, in_axes=(None, 0, 0))), []

        def timed(*given: Any) -> PlanOutput:
            begin = time.perf_counter()
            out = jax.block_until_ready(plan(*given))
            seconds.append(time.perf_counter() - begin)
            return out

        begin = time.perf_counter()
        rows = run_mujoco(self.planner, self.params, env, run_key, starts, goals, plan=timed)
        found = mean_ci(normalized_score(env.spec, returns_of(env.spec, rows.states, goals)))
        # The first call compiles.
        throughput = {"plans_per_s": episodes / float(np.median(seconds[1:])), "batch": episodes} if seconds[1:] else {}
        return ({} if self._plans is not None else throughput) | {
            "score_mean": found.mean,
            "score_sem": found.sem,
            "success_rate": float(success(rows.states, goals).mean()),
            "episodes": episodes,
            "score_s": time.perf_counter() - begin,
        }


def _compiled(function: Callable, *args: Any) -> Callable:
    return jax.jit(function).lower(*args).compile()


def main(argv: list[str]) -> None:
    """Times all rows of each maze in turn, then scores them one by one."""
    with tempfile.TemporaryDirectory() as folder:
        use_compile_cache(folder)
        _run()


def _run() -> None:
    record: dict[str, Any] = {"rows": [], **manifest(_SEED.value)}
    for size in _SIZES.value:
        for row in _maze(size):
            record["rows"].append(row)
            write_json(_OUTPUT.value, record)
            print(_line(row), flush=True)


def _maze(size: str) -> Iterator[dict[str, Any]]:
    env = f"maze2d-{size}-v1"
    chosen = _chosen(size)
    if not chosen:
        raise ValueError(f"No planner's name begins with any of {_ONLY.value}; leave --only out to see them all.")
    maze = make_task(env).environment
    keys, problems = random_problems(maze, from_seed(_SEED.value), _BATCH.value)
    running = []
    for contender in chosen:
        running.append(Running(contender, keys, problems, maze.episode_length))
        print(
            f"{size}: {contender.planner} {contender.setting}: compiled, {1e3 * running[-1].once_s:.3g} ms", flush=True
        )
    for _ in range(_ROUNDS):
        for each in running:
            each.turn(_SECONDS.value / _ROUNDS)
    for each in running:
        contender = each.contender
        labels = {"planner": contender.planner, "setting": contender.setting, "env": env, "trained": contender.trained}
        row = labels | {"device": jax.devices()[0].device_kind} | each.row()
        row |= {"score_mean": None, "score_sem": None, "success_rate": None, "episodes": 0}
        if contender.trained is not None:
            row |= each.score(maze, _EPISODES.value, _SEED.value)
        yield row


def _chosen(size: str) -> list[Contender]:
    preset, first = _PRESET.value, size == _SIZES.value[0]
    rows = [row for row in contenders(size, _CHECKPOINTS.value) if row.planner.startswith(tuple(_ONLY.value) or "")]
    if preset != "all":
        rows = [row if not row.costly else row._replace(trained=None) for row in rows]
    return [row for row in rows if row.quick or preset == "all" or (preset == "full" and first)]


def _line(row: dict[str, Any]) -> str:
    scored = "not scored" if row["score_mean"] is None else f"score {row['score_mean']:.1f} +- {row['score_sem']:.1f}"
    return (
        f"{row['env']} {row['planner']} {row['setting']}: {row['plan_ms_p50']:.3g} ms, {row['plans_per_s']:.3g} plans/s, "
        f"{row['flops_per_plan']:.3g} FLOPs, {scored}"
    )


if __name__ == "__main__":
    run_program(main)
