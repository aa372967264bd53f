"""How good the learned cost-to-go is: rank correlation with the map's shortest times, and false local minima.

python -m benchmarks.cost_to_go --planners=maze2d-umaze-v1,maze2d-medium-v1,maze2d-large-v1 \
    --output=benchmarks/results/cost_to_go.json
"""

from absl import flags

from invlearn_jax.files import write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed
from invlearn_jax.methods.saved import load_planner, load_task, planner_names
from invlearn_jax.tasks.maze2d.cost_to_go import cost_to_go_quality
from invlearn_jax.tasks.maze2d.task import Maze2dTask

_PLANNERS = flags.DEFINE_list(
    "planners",
    [n for n in planner_names() if n.startswith("maze2d") and n.endswith("-v1")],
    "Shipped names or folders.",
)
_GOALS = flags.DEFINE_integer("goals", 200, "Random goals per maze.", lower_bound=1)
_SEED = define_seed(7000, "Seed of the goals.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the rows as JSON.", required=True)


def main(argv: list[str]) -> None:
    """Judges the planners of the flags."""
    rows = []
    for name in _PLANNERS.value:
        task = load_task(name)
        planner, params = load_planner(name, task=task)
        if not isinstance(task, Maze2dTask) or planner.objective.tail is None:
            raise ValueError(f"{name} has no cost-to-go of a maze2d; give a planner of one by the method inverter.")
        key, tail = from_seed(_SEED.value), planner.objective.tail
        quality = cost_to_go_quality(tail, params.objective.tail, task.spec.layout, key, _GOALS.value)
        rows.append({"planner": name, "env": task.name, **quality})
        print(
            f"{name}: rank correlation {quality['spearman']:.5f} (worst goal {quality['spearman_worst']:.5f}), off by "
            f"{quality['mean_abs_error']:.4f} s, false minima at {100 * quality['goals_with_false_minima']:.1f} % of goals",
            flush=True,
        )
    write_json(_OUTPUT.value, {"rows": rows, **manifest(_SEED.value)})


if __name__ == "__main__":
    run_program(main)
