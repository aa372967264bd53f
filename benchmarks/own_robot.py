"""Figures and a picture of a planner of ``fit`` on its own task.

python -m experiments.run --task=examples/my_robot.py:Reach --workdir=runs/reach
python -m benchmarks.own_robot --planner=runs/reach/planner --output=benchmarks/results/own_robot.json [--picture=FILE.png]
"""

import jax
from absl import flags

from invlearn_jax.evaluate.episodes import evaluate_episodes, summary
from invlearn_jax.files import write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.methods.saved import load_planner, load_task

_PLANNER = flags.DEFINE_string("planner", None, "A planner's folder.", required=True)
_EPISODES = flags.DEFINE_integer("episodes", 500, "Episodes for each number of refinement steps.", lower_bound=2)
_SEED = define_seed(20_261_126, "Seed of starts, goals and planning.")
_STEPS = flags.DEFINE_list("refine_steps", ["0", "10"], "Numbers of refinement steps.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the records as JSON.", required=True)
_PICTURE = flags.DEFINE_string("picture", None, "Where to write the picture, if anywhere.")
_DRAWN = 12  # episodes


def main(argv: list[str]) -> None:
    """Evaluates the planner and draws some of its episodes."""
    from matplotlib import pyplot as plt

    task, records, rows = load_task(_PLANNER.value), [], None
    for steps in map(int, _STEPS.value):
        planner, params = load_planner(_PLANNER.value, refine_steps=steps, task=task)
        record, rows = evaluate_episodes(planner, params, task, _EPISODES.value, _SEED.value)
        records.append(record)
        print(summary(record), flush=True)
    write_json(_OUTPUT.value, records)
    if _PICTURE.value and rows is not None:
        figure, axes = plt.subplots(figsize=(4.2, 4.0), layout="constrained")
        task.draw(axes, jax.tree.map(lambda x: x[:_DRAWN], rows))
        figure.savefig(_PICTURE.value, dpi=150)
        plt.close(figure)


if __name__ == "__main__":
    run_program(main)
