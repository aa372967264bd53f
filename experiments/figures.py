"""Draws a planner's episodes as its task draws them: a picture, or where the task has one a moving picture.

python -m experiments.figures --planner=maze2d-large-v1 --output=docs/maze2d-large.png
python -m experiments.figures --planner=antmaze-large-diverse-v2 --output=ants.gif
"""

from pathlib import Path

from absl import flags

from invlearn_jax.files import replace_files
from invlearn_jax.io.command import run_program
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.methods.saved import find_planner, load_task, planner_names
from invlearn_jax.report.episodes import show
from invlearn_jax.report.figures import encode, style
from invlearn_jax.report.pictures import draw_episodes
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.tasks.task import Animates

_PLANNER = flags.DEFINE_string(
    "planner", None, f"A shipped name ({', '.join(planner_names())}) or a planner's folder.", required=True
)
_TASK = flags.DEFINE_string("task", None, "The task, NAME or FILE.py:CLASS; by default the planner's own.")
_EPISODES = flags.DEFINE_integer("episodes", 6, "How many.", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", None, "The file: .png or .svg, or .gif if the task makes one.", required=True)


def main(argv: list[str]) -> None:
    """Runs the episodes, draws, writes."""
    use_compile_cache()
    task, output = make_task(_TASK.value) if _TASK.value else load_task(_PLANNER.value), Path(_OUTPUT.value)
    if output.suffix not in (".png", ".svg", ".gif"):
        raise ValueError(f"--output is {output}; give a name that ends in .png, .svg or .gif.")
    shown = show(find_planner(_PLANNER.value), task, _EPISODES.value)
    if shown is None:
        raise ValueError(f"{task.name} has no episodes to draw: its plans are judged as they are.")
    if output.suffix == ".gif":
        if not isinstance(task, Animates) or (animation := task.animate(shown.episodes)).kind != "gif":
            raise ValueError(f"{task.name} makes no .gif; give .png or .svg.")
        replace_files({output: animation.data})
        return
    with style():
        png, svg = encode(draw_episodes(shown).figure)
    replace_files({output: png if output.suffix == ".png" else svg})


if __name__ == "__main__":
    run_program(main)
