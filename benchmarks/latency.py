"""Latency of planning: trace, compile and run apart, by stage, batch and number K of refinement steps.

    python -m benchmarks.latency --planner=maze2d-umaze-v1 --output=benchmarks/results/latency.json [--preset=quick]

Rows with output ``actions`` ask for the actions alone, so that the compiler drops scores that nobody reads; ``full`` rows
ask for the whole ``PlanOutput``. Batch 1 is the plain call, larger ones are vmapped. Every call is waited for. No compile
cache is used. A row takes ``--calls`` calls (at batch 1 at least 100 are worth their percentiles) or as many as fit
``--row_seconds``; its column ``calls`` says how many.
"""

from typing import Any, NamedTuple

import jax
from absl import flags

from benchmarks.harness import Case, plan_case, print_head, random_problems, sweep
from invlearn_jax.files import write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed
from invlearn_jax.methods.saved import load_planner, load_task, planner_names
from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.refine.named import REFINERS
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key, Problem


class Preset(NamedTuple):
    """How much to measure: batches, numbers of refinement steps, timed calls."""

    batches: tuple[int, ...]
    refine_steps: tuple[int, ...]
    calls: int


_LARGEST = 65536
PRESETS = {
    "full": Preset((1, 4, 16, 64, 256, 1024, 4096, _LARGEST), (0, 1, 2, 5, 10, 20), 200),
    "quick": Preset((1, 64, 1024, _LARGEST), (0, 2, 10), 100),
}
_COLUMNS = (
    "stage",
    "output",
    "refine_steps",
    "batch",
    "trace_ms",
    "compile_ms",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "calls",
    "per_s",
)

_PLANNER = flags.DEFINE_string(
    "planner", None, f"A shipped name ({', '.join(planner_names())}) or a folder.", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the rows as JSON.", required=True)
_PRESET = flags.DEFINE_enum("preset", "full", sorted(PRESETS), "How much to measure.")
_REFINER = flags.DEFINE_enum("refiner", "adam", REFINERS, "How to refine.")
_BATCHES = flags.DEFINE_multi_integer("batches", None, "Batches instead of the preset's.", lower_bound=1)
_STEPS = flags.DEFINE_multi_integer("refine_steps", None, "Numbers K instead of the preset's.", lower_bound=0)
_CALLS = flags.DEFINE_integer("calls", None, "Timed calls per row instead of the preset's.", lower_bound=1)
_ROW_SECONDS = flags.DEFINE_float("row_seconds", 30.0, "Longest time for a row's calls.", lower_bound=0.0)
_SEED = define_seed(0, "Seed of the problems.")


def preset(name: str) -> Preset:
    """A preset for the device at hand: the quick one leaves out the largest batch on a CPU."""
    chosen = PRESETS[name]
    if name == "quick" and jax.default_backend() == "cpu":
        return chosen._replace(batches=tuple(b for b in chosen.batches if b < _LARGEST))
    return chosen


def stage_cases(planner: InversePlanner) -> list[Case]:
    """The planner's stages, each fed with the output of the one before."""

    def propose(params: PlannerParams, key: Key, problem: Problem, extra: Any = ()) -> jax.Array:
        return planner.propose(params, key, problem)

    def score(params: PlannerParams, key: Key, problem: Problem, proposals: jax.Array) -> tuple:
        return planner.score(params, problem, planner.decode(proposals[0]))

    def begin(params: PlannerParams, key: Key, problem: Problem) -> Any:
        return planner.refiner.init(planner.cost_of(params, problem), propose(params, key, problem))[0]

    def refine_step(params: PlannerParams, key: Key, problem: Problem, state: Any) -> tuple:
        return planner.refiner.update(key, planner.cost_of(params, problem), state)

    labels = {"output": "full", "refine_steps": None}
    return [
        Case({"stage": "propose", **labels}, propose),
        Case({"stage": "score", **labels}, score, propose),
        Case({"stage": "refine_step", **labels}, refine_step, begin),
    ]


def main(argv: list[str]) -> None:
    """Measures the planner of the flags."""
    task = load_task(_PLANNER.value)
    planners = {
        k: load_planner(_PLANNER.value, k, refiner=_REFINER.value, task=task) for k in (0, *_settings().refine_steps)
    }
    rows = _rows(planners, task)
    record = {
        "planner": _PLANNER.value,
        "env": task.name,
        "preset": _PRESET.value,
        "refiner": _REFINER.value,
        "horizon": task.horizon,
        "rows": rows,
        **manifest(_SEED.value),
    }
    write_json(_OUTPUT.value, record)


def _settings() -> Preset:
    chosen = preset(_PRESET.value)
    return Preset(
        tuple(sorted(_BATCHES.value or chosen.batches)),
        tuple(sorted(_STEPS.value if _STEPS.value is not None else chosen.refine_steps)),
        _CALLS.value or chosen.calls,
    )


def _rows(planners: dict[int, tuple[InversePlanner, PlannerParams]], task: Task) -> list[dict[str, Any]]:
    settings = _settings()
    cases = [(case, planners[0][1]) for case in stage_cases(planners[0][0])]
    for steps in settings.refine_steps:
        planner, params = planners[steps]
        cases += [(plan_case(planner, steps, output), params) for output in ("actions", "full")]
    print_head(_COLUMNS)
    keys, problems = random_problems(task, from_seed(_SEED.value), settings.batches[-1])
    rows = []
    for case, params in cases:
        rows += sweep(case, params, keys, problems, settings.batches, settings.calls, _ROW_SECONDS.value, _COLUMNS)
    return rows


if __name__ == "__main__":
    run_program(main)
