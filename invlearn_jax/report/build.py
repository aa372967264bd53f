"""From run folders to the report: reads, draws, writes."""

import os
from collections.abc import Sequence

from invlearn_jax.files import replace_files, write_text
from invlearn_jax.progress import progress
from invlearn_jax.report.episodes import show
from invlearn_jax.report.page import RunPage, build_page
from invlearn_jax.report.pictures import draw_pictures
from invlearn_jax.report.results import all_groups
from invlearn_jax.report.run_files import RunFiles, read_runs
from invlearn_jax.tasks.task import Animates, Task


def write_report(folders: Sequence[str], output: str | os.PathLike, task: Task | None = None) -> None:
    """Writes the page, and the figures into ``figures/`` of each folder.

    Args:
        folders: of runs.
        output: of the page.
        task: a task that is not registered, to draw the episodes of its runs. A run's folder names the file of such a task, but
            a report never imports a file that a folder names.

    Raises:
        ValueError: if a folder is missing or broken; names the file.
        ImportError: without matplotlib or Jinja2.
        OSError: if something cannot be written.
    """
    runs = read_runs(folders, task)
    pages = []
    for run in progress(runs, "report", unit="run"):
        page = _run_page(run)
        files = {f"{picture.name}.png": picture.png for picture in page.pictures}
        if page.animation is not None:
            files[f"episodes.{page.animation.kind}"] = page.animation.data
        replace_files({run.path / "figures" / name: content for name, content in files.items()})
        pages.append(page)
    # A folder's name may be any bytes, a page is Unicode.
    command = os.fsencode(" ".join(["python -m experiments.report", *map(str, folders)])).decode(errors="replace")
    write_text(output, build_page(pages, all_groups(runs), command))


def _run_page(run: RunFiles) -> RunPage:
    shown = None if run.planner is None or run.world is None else show(run.planner, run.world)
    animation = shown.task.animate(shown.episodes) if shown and isinstance(shown.task, Animates) else None
    return RunPage(run, draw_pictures(run, shown), animation)
