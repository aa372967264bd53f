"""The report as one HTML page that needs nothing else: styles, drawings and images are inside."""

import base64
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from invlearn_jax.report.pictures import Picture
from invlearn_jax.report.results import Group, Row, judged_by, method_of, run_group
from invlearn_jax.report.run_files import RunFiles, part
from invlearn_jax.report.table import percent, result_table, value_text
from invlearn_jax.report.wording import number, shorten, span
from invlearn_jax.tasks.task import Animation

_FOLDER = Path(__file__).parent
_ENGINES = {"mujoco": "C MuJoCo", "mjx": "MJX"}


class RunPage(NamedTuple):
    """What the page shows of one run: its files, its figures, and its animation where its task has one."""

    run: RunFiles
    pictures: list[Picture]
    animation: Animation | None


def build_page(pages: list[RunPage], groups: list[Group], command: str) -> str:
    """Puts the page together. All that comes from files is escaped, by the template.

    Args:
        pages: the runs.
        groups: of the joint table.
        command: that made the page.

    Returns:
        The HTML.

    Raises:
        ImportError: without Jinja2; names the extra to install.
    """
    try:
        import jinja2
        from markupsafe import Markup
    except ImportError as error:
        raise ImportError("The report needs Jinja2. Install it with `pip install invlearn_jax[runner]`.") from error
    loader = jinja2.FileSystemLoader(_FOLDER)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["shorten"] = shorten
    runs = [page.run for page in pages]
    views = [_view(page) for page in pages]
    style = Markup((_FOLDER / "page.css").read_text())
    return environment.get_template("page.html.j2").render(
        **_headline(runs, groups), views=views, table=result_table(groups), command=command, style=style
    )


def _headline(runs: list[RunFiles], groups: list[Group]) -> dict[str, Any]:
    """Title, sentence below it, and the scores of several runs."""
    if len(runs) == 1:
        run = runs[0]
        if not run.evaluations:
            lead = "This run has not been evaluated yet; what its folder holds so far is shown below."
            return {"title": _title("", run.task, ""), "lead": lead, "scores": []}
        rest = _judgement(run_group(run).rows)
        return {"title": _title("", run.task, rest), "lead": _in_words(run), "scores": []}
    names = list(dict.fromkeys(run.task for run in runs))
    title = _title(f"{len(runs)} runs on ", names[0] if len(names) == 1 else f"{len(names)} tasks", "")
    scores = []
    for group in groups:
        several = len(group.seeds) > 1
        merged = any(len(other.seeds) > 1 and set(group.seeds) < set(other.seeds) for other in _like(group, groups))
        if merged or not group.rows:
            continue
        seeds = f"mean of {len(group.seeds)} seeds" if several else f"seed {group.seeds[0]}"
        about = ", ".join(filter(None, [group.method, seeds]))
        scores.append({"task": group.task, "text": f"{_judgement(group.rows).lstrip(': ')} ({about})"})
    lead = "With the least refinement that was evaluated: " if scores else "No run has been evaluated yet."
    return {"title": title, "lead": lead, "scores": scores}


def _title(before: str, name: str, rest: str) -> dict[str, str]:
    return {"before": before, "name": name, "rest": rest}


def _like(group: Group, groups: list[Group]) -> list[Group]:
    return [other for other in groups if (other.task, other.method) == (group.task, group.method)]


def headline_index(rows: list[Row]) -> int:
    """The evaluation that stands for a run: the one with the least refinement."""
    steps = [math.inf if row.refine_steps is None else row.refine_steps for row in rows]
    return min(range(len(rows)), key=lambda index: steps[index])


def _judgement(rows: list[Row]) -> str:
    """What the rows say of the task named before, e.g. ``: score 61.5 ± 1.2``."""
    measure = judged_by(rows)
    return f": {measure.name} {value_text(measure, rows[headline_index(rows)])}" if measure and rows else ""


def _pass(row: Row) -> str:
    return f"{row.refine_steps} refinement steps" if row.refine_steps else "one forward pass per plan"


def _in_words(run: RunFiles) -> str:
    """The headline's evaluation in sentences, of what its record holds."""
    rows = run_group(run).rows
    index = headline_index(rows)
    row, record, measure = rows[index], run.evaluations[index], judged_by(rows)
    text = f"The mean {measure.axis if measure.name == 'score' else measure.name}, " if measure else "An evaluation "
    text += "with its standard error, " if measure and measure.of(row)[1] is not None else ""
    text += f"of {record['episodes']:,} episodes " if record["episodes"] is not None else "of the episodes "
    text += f"on {_ENGINES.get(record['backend'], record['backend'])} " if record["backend"] else ""
    text += f"with {_pass(row)}."
    if None not in (record["horizon"], record["execute_steps"]):
        text += (
            f" {record['horizon']} steps are planned, {record['execute_steps']} executed, then the next plan is made."
        )
    if row.success is not None and math.isfinite(row.success):
        text += f" {percent(row.success)} reach the goal"
        text += f", the median one in {number(row.steps, 0)} steps." if row.steps is not None else "."
    if row.ratio is not None:
        text += f" The score is {percent(row.ratio)} of a bound that no controller can pass."
    if row.published:
        text += f" The best published score is {row.published.score:.1f} ({row.published.method})."
    return text


def _view(page: RunPage) -> dict[str, Any]:
    """What the template shows of one run."""
    run = page.run
    return {
        "task": run.task,
        "seed": run.seed,
        "method": method_of(run.config),
        "score": _judgement(run_group(run).rows),
        "words": _in_words(run) if run.evaluations else "",
        "animation": _animation(page.animation),
        "tiles": _tiles(run_group(run).rows),
        "state": _state(run.status),
        "pictures": [
            {
                "title": picture.title,
                "caption": picture.caption,
                "data": base64.b64encode(picture.svg).decode(),
            }
            for picture in page.pictures
        ],
        "facts": _facts(run),
        "config": json.dumps(run.config, indent=2, ensure_ascii=False),
    }


def _animation(animation: Animation | None) -> dict[str, str] | None:
    if animation is None:
        return None
    kind = {"svg": "svg+xml", "gif": "gif"}[animation.kind]
    return {"kind": kind, "data": base64.b64encode(animation.data).decode(), "caption": animation.caption}


def _state(status: dict[str, Any]) -> str:
    """How far a run is that has not ended; empty where it has, or nothing is known."""
    state = status.get("state")
    if not state or state == "done":
        return ""
    stage, step, steps = (status.get(name, unknown) for name, unknown in (("stage", ""), ("step", "?"), ("steps", "?")))
    return f"{state} ({stage}, step {step} of {steps})"


def _tiles(rows: list[Row]) -> list[dict[str, str]]:
    measure = judged_by(rows)
    if measure is None:
        return []
    row = rows[headline_index(rows)]
    refined = [r for r in rows if (r.refine_steps or 0) > (row.refine_steps or 0)]
    tiles = [(measure.name.capitalize(), value_text(measure, row, error=False), _interval(measure.of(row)[2]))]
    tiles += [
        (f"With K = {r.refine_steps}", value_text(measure, r, error=False), f"{number(r.plan_ms, 2)} ms per plan")
        for r in refined[-1:]
    ]
    if row.success is not None and measure.name != "success":
        tiles.append(("Episodes at the goal", percent(row.success), _interval(row.success_ci, 100.0)))
    if row.bound is not None:
        tiles.append(("Of the upper bound", percent(row.ratio), f"bound {number(row.bound)}"))
    if row.steps is not None:
        tiles.append(("Steps to the goal", number(row.steps, 0), "median of those who reach it"))
    if row.plan_ms is not None:
        tiles.append(("Time per plan", f"{number(row.plan_ms, 2)} ms", "median, one problem at a time"))
    return [{"label": label, "value": value, "note": note} for label, value, note in tiles]


def _interval(pair: Sequence[float] | None, scale: float = 1.0) -> str:
    return f"95 %: {span(pair, scale)}" if pair else ""


def _facts(run: RunFiles) -> list[dict[str, Any]]:
    manifest = run.manifest
    facts = [
        ("Command", manifest.get("command"), True),
        ("Revision", manifest.get("git_revision"), True),
        ("Seed", run.seed, False),
        ("Method", method_of(run.config), False),
        ("Device", manifest.get("device"), False),
        ("Versions", ", ".join(f"{name} {version}" for name, version in part(manifest, "versions").items()), False),
        ("Started", manifest.get("date"), False),
        ("Evaluation", _evaluation(run.evaluations[0]) if run.evaluations else None, False),
    ]
    return [{"label": label, "text": str(text), "code": code} for label, text, code in facts if text not in (None, "")]


def _evaluation(record: dict[str, Any]) -> str:
    told = [
        f"{record['episodes']} episodes per setting" if record["episodes"] is not None else "",
        f"seed {record['seed']}" if record["seed"] is not None else "",
        record["backend"] or "",
        record["device"] or "",
    ]
    return ", ".join(filter(None, told))
