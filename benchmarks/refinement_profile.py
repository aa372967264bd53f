"""Where the time of test-time refinement goes, and what it buys: cost and score against K.

    python -m benchmarks.refinement_profile --planner=maze2d-large-v1 \
        --output=benchmarks/results/refinement_profile_large.json [--trace=FOLDER]

At batch 1. The stages are timed as programs of their own, so each carries the dispatch of one call, which is timed apart:
an empty program. One step of refinement is a forward pass (the model's unroll and the objective), the backward pass (value and
gradient less the forward pass) and the optimiser (the step less value and gradient). ``step_inside_ms`` is what a step costs
inside the compiled loop: the slope of the plan's time over K.
"""

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from benchmarks.harness import random_problems
from invlearn_jax.evaluate.episodes import evaluate, summary
from invlearn_jax.evaluate.latency import measure
from invlearn_jax.files import write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed
from invlearn_jax.methods.saved import load_planner, load_task
from invlearn_jax.planners import InversePlanner, PlannerParams
from invlearn_jax.refine.named import REFINERS
from invlearn_jax.types import Problem

_PLANNER = flags.DEFINE_string("planner", None, "A shipped name or a folder.", required=True)
_STEPS = flags.DEFINE_multi_integer("refine_steps", [0, 1, 2, 5, 10, 20, 50], "Numbers K.", lower_bound=0)
_REFINER = flags.DEFINE_enum("refiner", "adam", REFINERS, "How to refine.")
_EPISODES = flags.DEFINE_integer("episodes", 100, "Episodes per K.", lower_bound=2)
_CALLS = flags.DEFINE_integer("calls", 500, "Timed calls.", lower_bound=10)
_TRACE = flags.DEFINE_string("trace", None, "A folder for a jax.profiler trace of ten plans with the largest K.")
_SEED = define_seed(9100, "Seed of problems and episodes.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the record as JSON.", required=True)


def stages(planner: InversePlanner, params: PlannerParams, key: jax.Array, problem: Problem, calls: int) -> dict:
    """Median milliseconds of the parts of one plan."""

    def propose(params: PlannerParams, problem: Problem) -> jax.Array:
        return planner.propose(params, key, problem)[0]

    def cost(params: PlannerParams, problem: Problem, latents: jax.Array) -> jax.Array:
        return planner.cost_of(params, problem)(latents)

    def step(params: PlannerParams, problem: Problem, state: tuple) -> tuple:
        return planner.refiner.update(key, planner.cost_of(params, problem), state)

    def begin(params: PlannerParams, problem: Problem, latents: jax.Array) -> tuple:
        return planner.refiner.init(planner.cost_of(params, problem), latents[None])[0]

    latents = jax.jit(propose)(params, problem)
    state = jax.jit(begin)(params, problem, latents)
    gradient = jax.value_and_grad(cost, argnums=2)
    times = {
        "dispatch": measure(lambda x: x + 1, jnp.zeros(()), calls=calls).p50,
        "proposal": measure(propose, params, problem, calls=calls).p50,
        "forward": measure(cost, params, problem, latents, calls=calls).p50,
        "value_and_gradient": measure(gradient, params, problem, latents, calls=calls).p50,
        "step": measure(step, params, problem, state, calls=calls).p50,
    }
    times["backward"] = times["value_and_gradient"] - times["forward"]
    times["optimiser"] = times["step"] - times["value_and_gradient"]
    return times


def main(argv: list[str]) -> None:
    """Profiles the planner of the flags."""
    task = load_task(_PLANNER.value)
    keys, problems = random_problems(task, from_seed(_SEED.value), 200)
    key, problem = keys[0], jax.tree.map(lambda x: x[0], problems)
    rows, plan = [], None
    for steps in sorted(set(_STEPS.value)):
        planner, params = load_planner(_PLANNER.value, steps, refiner=_REFINER.value, task=task)
        plan = jax.jit(planner.plan)
        batch = jax.jit(jax.vmap(plan, in_axes=(None, 0, 0)))(params, keys, problems)
        times = measure(plan, params, key, problem, calls=_CALLS.value)
        record = evaluate(planner, params, task, _EPISODES.value, _SEED.value)
        rows.append(
            {
                "refine_steps": steps,
                "plan_ms_p50": times.p50,
                "plan_ms_p95": times.p95,
                "plan_ms_p99": times.p99,
                "cost_mean": float(batch.cost.mean()),
                "proposal_cost_mean": float(batch.proposal_cost.mean()),
                "score_mean": record["score_mean"],
                "score_sem": record["score_sem"],
                "episode_cost_mean": record["cost_mean"],
                "episode_cost_sem": record["cost_sem"],
                "success_rate": record["success_rate"],
                "episodes": _EPISODES.value,
            }
        )
        print(
            f"K = {steps:2d}: {times.p50:.3f} ms (p99 {times.p99:.3f}), cost {rows[-1]['cost_mean']:.4f}; {summary(record)}",
            flush=True,
        )
    parts = stages(planner, params, key, problem, _CALLS.value) if planner.refiner.needs == "reverse" else {}
    known = [(row["refine_steps"], row["plan_ms_p50"]) for row in rows if row["refine_steps"]]
    inside = float(np.polyfit(*np.array(known).T, 1)[0]) if len(known) > 1 else None
    print({name: round(value, 4) for name, value in parts.items()}, f"a step inside the loop: {inside} ms")
    if _TRACE.value:
        with jax.profiler.trace(_TRACE.value):
            for _ in range(10):
                jax.block_until_ready(plan(params, key, problem))
    record = {"planner": _PLANNER.value, "env": task.name, "refiner": _REFINER.value, "horizon": task.horizon}
    times = {"stages_ms": parts, "step_inside_ms": inside}
    write_json(_OUTPUT.value, {**record, **times, "rows": rows, **manifest(_SEED.value)})


if __name__ == "__main__":
    run_program(main)
