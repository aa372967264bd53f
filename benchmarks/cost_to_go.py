"""How good the learned cost-to-go is: rank correlation with the map's shortest times, and false local minima.

python -m benchmarks.cost_to_go --planners=maze2d-umaze-v1,maze2d-medium-v1,maze2d-large-v1 \
    --output=benchmarks/results/cost_to_go.json
"""

from absl import flags

from invlearn_jax.files import write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.planners import load_config, load_planner, planner_names
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed
from invlearn_jax.tasks.maze2d.cost_to_go import cost_to_go_quality
from invlearn_jax.tasks.maze2d.planner import build_cost_to_go
from invlearn_jax.tasks.registry import make_task

_PLANNERS = flags.DEFINE_list(
    "planners", [n for n in planner_names() if n.endswith("-v1")], "Shipped names or folders."
)
_GOALS = flags.DEFINE_integer("goals", 200, "Random goals per maze.", lower_bound=1)
_SEED = define_seed(7000, "Seed of the goals.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the rows as JSON.", required=True)


def main(argv: list[str]) -> None:
    """Judges the planners of the flags."""
    rows = []
    for name in _PLANNERS.value:
        config, _ = load_config(name)
        _, params = load_planner(name)
        layout = make_task(config.env).environment.spec.layout
        key = from_seed(_SEED.value)
        quality = cost_to_go_quality(build_cost_to_go(config), params.objective, layout, key, _GOALS.value)
        rows.append({"planner": name, "env": config.env, **quality})
        print(
            f"{name}: rank correlation {quality['spearman']:.5f} (worst goal {quality['spearman_worst']:.5f}), off by "
            f"{quality['mean_abs_error']:.4f} s, false minima at {100 * quality['goals_with_false_minima']:.1f} % of goals",
            flush=True,
        )
    write_json(_OUTPUT.value, {"rows": rows, **manifest(_SEED.value)})


if __name__ == "__main__":
    run_program(main)
