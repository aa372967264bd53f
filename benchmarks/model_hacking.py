"""Model hacking over random problems: what plans promise against what they come to, and through which walls they lead.

python -m benchmarks.model_hacking --planner=maze2d-large-v1 --problems=10000 --output=benchmarks/results/hacking_large.json
    --figure=benchmarks/results/hacking_large.png
"""

from pathlib import Path

from absl import flags

from invlearn_jax.files import replace_files, write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed
from invlearn_jax.methods.saved import load_planner, load_task
from invlearn_jax.report.figures import canvas, encode, style
from invlearn_jax.tasks.layouts import Layout
from invlearn_jax.tasks.maze2d.drawing import draw_hacking, draw_maze, maze_size
from invlearn_jax.tasks.maze2d.hacking import hacking_gap, hacking_summary
from invlearn_jax.tasks.maze2d.task import Maze2dTask

_PLANNER = flags.DEFINE_string("planner", None, "A shipped name or a folder.", required=True)
_PROBLEMS = flags.DEFINE_integer("problems", 10_000, "Random problems.", lower_bound=2)
_STEPS = flags.DEFINE_multi_integer("refine_steps", [0, 10], "Numbers K of refinement steps.")
_SEED = define_seed(6000, "Seed of the problems.")
_FIGURE = flags.DEFINE_string("figure", None, "Where to draw the worst places, as PNG.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the record as JSON.", required=True)


def main(argv: list[str]) -> None:
    """Measures the planner of the flags."""
    use_compile_cache()
    task = load_task(_PLANNER.value)
    if not isinstance(task, Maze2dTask):
        raise ValueError(
            f"{_PLANNER.value} plans for {task.name}, which has no walls that are known; give one of a maze2d."
        )
    rows = []
    for steps in _STEPS.value:
        planner, params = load_planner(_PLANNER.value, refine_steps=steps, task=task)
        report = hacking_gap(planner, params, task, from_seed(_SEED.value), _PROBLEMS.value)
        rows.append({"refine_steps": steps, **hacking_summary(report)})
        print(
            f"{task.name} K={steps}: gap {rows[-1]['gap_mean']:.4f}, wrong side of a wall "
            f"{100 * rows[-1]['wrong_side_rate']:.2f} % of {_PROBLEMS.value}",
            flush=True,
        )
    if _FIGURE.value:
        replace_files({Path(_FIGURE.value): worst_places(task.spec.layout, rows)})
    write_json(_OUTPUT.value, {"env": task.name, "planner": _PLANNER.value, "rows": rows, **manifest(_SEED.value)})


def worst_places(layout: Layout, rows: list[dict]) -> bytes:
    """The plans with the largest gaps, a maze for each K, as PNG."""
    height, width = maze_size(layout)
    with style():
        figure, axes = canvas(1, len(rows), 4.5 * len(rows), 4.5 * height / width + 0.6)
        for place, row in zip(axes[0], rows, strict=True):
            draw_maze(place, layout)
            draw_hacking(place, row["worst"])
            wrong = f"{100 * row['wrong_side_rate']:.2f} % of {row['problems']} end beyond a wall"
            place.set_title(f"K = {row['refine_steps']}: {wrong}")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        return encode(figure)[0]


if __name__ == "__main__":
    run_program(main)
