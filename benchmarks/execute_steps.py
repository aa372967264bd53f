"""How much of a plan to execute before the next one: score and cost against k, for one pass and refined.

    python -m benchmarks.execute_steps --planner=maze2d-large-v1 --output=benchmarks/results/execute_steps_large.json

The same starts for all rows. A planner's own ``execute_steps`` is what this table recommends.
"""

from absl import flags

from invlearn_jax.evaluate.episodes import evaluate, summary
from invlearn_jax.files import write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.methods.saved import load_planner, load_task

_PLANNER = flags.DEFINE_string("planner", None, "A shipped name or a folder.", required=True)
_EXECUTE = flags.DEFINE_multi_integer("execute_steps", [1, 2, 4, 8, 16, 32], "The k to sweep.", lower_bound=1)
_STEPS = flags.DEFINE_multi_integer("refine_steps", [0, 10], "Numbers K of refinement steps.")
_EPISODES = flags.DEFINE_integer("episodes", 100, "Episodes per row.", lower_bound=2)
_SEED = define_seed(8000, "Seed of starts and goals.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the rows as JSON.", required=True)
_KEPT = (
    "execute_steps",
    "refine_steps",
    "score_mean",
    "score_sem",
    "cost_mean",
    "cost_sem",
    "success_rate",
    "bound_score",
    "action_jerk",
    "plan_ms_p50",
)


def main(argv: list[str]) -> None:
    """Sweeps k."""
    use_compile_cache()
    task, rows = load_task(_PLANNER.value), []
    for steps in _STEPS.value:
        for execute in _EXECUTE.value:
            planner, params = load_planner(_PLANNER.value, steps, execute_steps=execute, task=task)
            record = evaluate(planner, params, task, _EPISODES.value, _SEED.value)
            rows.append({name: record.get(name) for name in _KEPT})
            print(f"k={execute}: {summary(record)}", flush=True)
    record = {"env": task.name, "planner": _PLANNER.value, "episodes": _EPISODES.value}
    write_json(_OUTPUT.value, {**record, "rows": rows, **manifest(_SEED.value)})


if __name__ == "__main__":
    run_program(main)
