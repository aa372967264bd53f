"""From run folders to the report: reads, draws, writes."""

import os
from collections.abc import Sequence

from experiments.pipelines.animation import animate
from experiments.pipelines.ant_showcase import ant_animation, walk_maze
from experiments.pipelines.page import RunPage, build_page
from experiments.pipelines.report_figures import draw_pictures
from experiments.pipelines.results import all_groups
from experiments.pipelines.run_files import RunFiles, read_runs
from experiments.pipelines.showcase import make_showcase
from invlearn_jax.files import replace_files, write_text
from invlearn_jax.io.planners import load_config
from invlearn_jax.progress import progress
from invlearn_jax.tasks.antmaze.environment import AntmazeSpec
from invlearn_jax.tasks.maze2d.environment import Maze2dSpec
from invlearn_jax.tasks.registry import make_task

_REFINE = 10  # K of the drawn plans where no evaluation names one


def write_report(folders: Sequence[str], output: str | os.PathLike) -> None:
    """Writes the page, and the figures into ``figures/`` of each folder.

    Args:
        folders: of runs.
        output: of the page.

    Raises:
        ValueError: if a folder is missing or broken; names the file.
        ImportError: without matplotlib or Jinja2.
        OSError: if something cannot be written.
    """
    runs = read_runs(folders)
    pages = []
    for run in progress(runs, "report", unit="run"):
        page = _run_page(run)
        replace_files({run.path / "figures" / f"{picture.name}.png": picture.png for picture in page.pictures})
        pages.append(page)
    # A folder's name may be any bytes, a page is Unicode.
    command = os.fsencode(" ".join(["python -m experiments.report", *map(str, folders)])).decode(errors="replace")
    write_text(output, build_page(pages, all_groups(runs), command))


def _run_page(run: RunFiles) -> RunPage:
    spec = _maze(run.env)
    if run.planner is None or spec is None:
        return RunPage(run, draw_pictures(run, None), "")
    if isinstance(spec, AntmazeSpec):
        walks = walk_maze(run.planner, run.env)
        return RunPage(run, draw_pictures(run, walks), ant_animation(walks), "three times real speed")
    refine_steps = max((record["refine_steps"] or 0 for record in run.evaluations), default=0) or _REFINE
    # A plan that a controller follows is drawn as it is.
    if getattr(load_config(run.planner)[0], "follow", "inverse_dynamics") != "inverse_dynamics":
        refine_steps = 0
    showcase = make_showcase(run.planner, run.env, refine_steps)
    return RunPage(run, draw_pictures(run, showcase), animate(showcase))


def _maze(env: str) -> Maze2dSpec | AntmazeSpec | None:
    """The maze of that name, of which there is more to show; None for other tasks."""
    try:
        return getattr(make_task(env), "spec", None)
    except ValueError:
        return None
