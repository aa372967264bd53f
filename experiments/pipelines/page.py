"""The report as one HTML page that needs nothing else: styles, drawings and images are inside."""

import base64
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from experiments.pipelines.report_figures import Picture
from experiments.pipelines.results import Group, Row, data_in_words, run_group
from experiments.pipelines.run_files import RunFiles

_STYLE_SHEET = Path(__file__).with_name("page.css")
_NARROW = {"hacking", "tracks"}
_STRIP = 116  # pixels
_NONE = "<td>–</td>"


class RunPage(NamedTuple):
    """What the page shows of one run: its files, its figures, its animation (empty without a planner) and that one's speed."""

    run: RunFiles
    pictures: list[Picture]
    animation: str
    speed: str = "half of real speed"


def build_page(pages: list[RunPage], groups: list[Group], command: str) -> str:
    """Puts the page together.

    Args:
        pages: the runs.
        groups: of the joint table.
        command: that made the page.

    Returns:
        The HTML.
    """
    title, lead = _headline([page.run for page in pages], groups)
    single = pages[0] if len(pages) == 1 else None
    opening = f'<p class="eyebrow">Inverse Learning · run report</p><h1>{title}</h1><p class="lead">{lead}</p>'
    header = f"<header>{_opening(opening, single)}</header>"
    body = [_results(groups, [page.run for page in pages])] if groups else []
    body += [_section(page, alone=page is single) for page in pages]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{_plain(title)}</title>\n'
        f"<style>\n{_STYLE_SHEET.read_text()}</style>\n</head>\n<body>\n{header}\n<main>\n"
        + "\n".join(body)
        + f"\n</main>\n<footer>Rebuilt from the run folders by <code>{escape(command)}</code>.</footer>\n</body>\n</html>\n"
    )


def _opening(text: str, page: RunPage | None) -> str:
    """Text beside the animation, tiles below; only the text where there is no run to show."""
    if page is None:
        return f'<div class="opening plain"><div>{text}</div></div>'
    if not page.animation:
        return f'<div class="opening plain"><div>{text}</div></div>{_tiles(page.run)}'
    figure = f"<figure>{page.animation}<figcaption>Closed-loop episodes at {page.speed}</figcaption></figure>"
    return f'<div class="opening"><div>{text}</div>{figure}</div>{_tiles(page.run)}'


def _headline(runs: list[RunFiles], groups: list[Group]) -> tuple[str, str]:
    if len(runs) == 1:
        run = runs[0]
        if not run.evaluations:
            return _name(run.env), "This run has not been evaluated yet; what its folder holds so far is shown below."
        row = headline_row(run_group(run))
        return f"{_name(run.env)} scores {row.score:.1f} ± {row.sem:.1f}", _in_words(run, row)
    envs = list(dict.fromkeys(run.env for run in runs))
    title = f"{len(runs)} runs on {_name(envs[0])}" if len(envs) == 1 else f"{len(runs)} runs on {len(envs)} mazes"
    lines = []
    for group in groups:
        several = len(group.seeds) > 1
        merged = any(len(other.seeds) > 1 and set(group.seeds) < set(other.seeds) for other in _like(group, groups))
        if merged or not group.rows:
            continue
        row = headline_row(group)
        seeds = f"mean of {len(group.seeds)} seeds" if several else f"seed {group.seeds[0]}"
        lines.append(f"<strong>{escape(group.env)}</strong> {row.score:.1f} ± {row.sem:.1f} ({seeds})")
    lead = f"Normalised scores with {_pass(None)}: {'; '.join(lines)}." if lines else "No run has been evaluated yet."
    return title, lead


def _name(env: str) -> str:
    """Kept on one line: a name has hyphens."""
    return f"<span>{escape(env)}</span>"


def _plain(title: str) -> str:
    return title.replace("<span>", "").replace("</span>", "")


def _like(group: Group, groups: list[Group]) -> list[Group]:
    return [other for other in groups if (other.env, other.data) == (group.env, group.data)]


def headline_row(group: Group) -> Row:
    """The evaluation that stands for a run: the maze's own goal, the least refinement."""
    return min(group.rows, key=lambda row: (row.multi_goal, row.refine_steps))


def _pass(row: Row | None) -> str:
    return f"{row.refine_steps} refinement steps" if row and row.refine_steps else "one forward pass per plan"


def _in_words(run: RunFiles, row: Row) -> str:
    record = next(
        r for r in run.evaluations if (r["multi_goal"], r["refine_steps"]) == (row.multi_goal, row.refine_steps)
    )
    engine = {"mujoco": "C MuJoCo", "mjx": "MJX"}.get(record["backend"], record["backend"])
    text = (
        f"The mean normalised score, with its standard error, of {record['episodes']} episodes on {escape(engine)} with "
        f"{_pass(row)}: {record['horizon']} steps are planned, {record['execute_steps']} executed, then the next plan is "
        f"made. {_percent(row.success)} reach the goal"
    )
    if row.ratio is not None:
        text += f", and the score is {100 * row.ratio:.0f} % of a bound that no controller can pass."
    else:
        text += f", the median one in {row.steps:.0f} steps." if row.steps is not None else "."
    if row.published:
        text += f" The best published score is {row.published.score:.1f} ({escape(row.published.method)})."
    return text


def _tiles(run: RunFiles) -> str:
    if not run.evaluations:
        return ""
    group = run_group(run)
    row = headline_row(group)
    tiles = [("Score", f"{row.score:.1f}", f"95 %: {_range(row.score_ci)}")]
    refined = [r for r in group.rows if r.multi_goal == row.multi_goal and r.refine_steps > row.refine_steps]
    tiles += [(f"With K = {r.refine_steps}", f"{r.score:.1f}", f"{r.plan_ms:.2f} ms per plan") for r in refined[-1:]]
    tiles.append(("Episodes at the goal", _percent(row.success), f"95 %: {_range(row.success_ci, 100)}"))
    if row.bound is not None:
        tiles.append(("Of the upper bound", f"{100 * row.ratio:.0f} %", f"bound {row.bound:.1f}"))
    if row.steps is not None:
        tiles.append(("Steps to the goal", f"{row.steps:.0f}", "median of those who reach it"))
    tiles.append(("Time per plan", f"{row.plan_ms:.2f} ms", "median, one problem at a time"))
    cells = "".join(f"<div><dt>{a}</dt><dd>{b}<small>{c}</small></dd></div>" for a, b, c in tiles)
    return f'<dl class="tiles">{cells}</dl>'


def _percent(share: float) -> str:
    """No share but the whole reads 100 %."""
    return f"{100 * share:.0f} %" if share == 1 or share < 0.99 else f"{100 * share:.1f} %"


def _range(pair: Sequence[float] | None, scale: float = 1.0) -> str:
    return f"{scale * pair[0]:.1f} to {scale * pair[1]:.1f}" if pair else ""


def _results(groups: list[Group], runs: list[RunFiles]) -> str:
    head = (
        '<tr><th class="text">Run</th><th class="text">Task</th><th>K</th><th>Score ± s.e.<br>95 % interval</th>'
        '<th class="text">Against the bound</th><th>At the goal<br>95 % interval</th><th>Of the<br>bound</th>'
        '<th>Data<br>controller</th><th class="text">Best<br>published</th><th>Plan<br>(ms)</th></tr>'
    )
    body = "".join(_table_rows(group) for group in groups)
    used = {row.published: None for group in groups for row in group.rows if row.published}
    sources = "; ".join(f"{p.score:.1f} {escape(p.method)} ({escape(p.source)})" for p in used)
    seeds = " (of a mean over seeds: over seeds, Student's)" if any(len(group.seeds) > 1 for group in groups) else ""
    notes = [
        f"K counts refinement steps; 0 is one forward pass. Scores are D4RL's normalised ones; standard error and interval are "
        f"over episodes{seeds}. maze2d's controller that made the data and its bound, the shortest way at the speed limit, have "
        "the same starts and goals; an antmaze's episodes end at the goal, after so many steps in the median, and its bound is "
        "100. Strips run from 0 to the bound: a blue dot and bar for the score and its interval, an orange tick for the best "
        "published score, a grey tick for the controller."
    ]
    if sources:
        published = f"Best published final-checkpoint scores: {sources}. They learn from D4RL's own files"
        random = any(run.config.get("data", {}).get("random_rows") for run in runs)
        published += "; runs with random rows add broad data, so compare with care" if random else ""
        ants = any("level" in run.config for run in runs)
        published += "; ants here learn from executing their own plans too, so compare with care" if ants else ""
        notes.append(f"{published}.")
    note = "".join(f'<p class="note">{text}</p>' for text in notes)
    return (
        f'<section id="results"><h2>Results</h2><div class="scroll"><table><thead>{head}</thead><tbody>{body}</tbody></table>'
        f"</div>{note}</section>"
    )


def _table_rows(group: Group) -> str:
    several = len(group.seeds) > 1
    seeds = f"mean of seeds {', '.join(map(str, group.seeds))}" if several else f"seed {group.seeds[0]}"
    lines = []
    for index, row in enumerate(group.rows):
        cells = [
            f'<td class="text" rowspan="{len(group.rows)}">{_name(group.env)}<small>{escape(group.data)}</small>'
            f"<small>{seeds}</small></td>" * (index == 0),
            f'<td class="text whole">{"random goals" if row.multi_goal else "the maze’s goal"}</td>',
            f"<td>{row.refine_steps}</td>",
            f'<td class="whole"><strong>{row.score:.1f}</strong> ± {row.sem:.1f}<small>{_range(row.score_ci)}</small></td>',
            f'<td class="text">{_strip(row)}</td>',
            f'<td class="whole">{100 * row.success:.1f} %<small>{_range(row.success_ci, 100)}</small>{_steps(row)}</td>',
            _NONE
            if row.bound is None
            else f'<td class="whole">{100 * row.ratio:.1f} %<small>{row.bound:.1f}</small></td>',
            _NONE if row.controller is None else f"<td>{row.controller:.1f}</td>",
            f'<td class="text whole">{_published(row)}</td>',
            f"<td>{row.plan_ms:.2f}</td>",
        ]
        kind = " ".join(["mean"] * several + ["first"] * (index == 0))
        lines.append(f'<tr class="{kind}">{"".join(cells)}</tr>')
    return "".join(lines)


def _steps(row: Row) -> str:
    return "" if row.steps is None else f"<small>{row.steps:.0f} steps</small>"


def _published(row: Row) -> str:
    return f"{row.published.score:.1f}<small>{escape(row.published.method)}</small>" if row.published else "–"


def _strip(row: Row) -> str:
    """The score on a line from 0 to the bound (or beyond, where something lies beyond)."""
    bound = 100.0 if row.bound is None else row.bound
    marks = [bound, row.controller or 0.0, row.score_ci[1], row.published.score if row.published else 0.0]
    end = max(*marks, 1e-9)

    def place(value: float) -> str:
        return f"{4 + (_STRIP - 8) * min(max(value, 0.0), end) / end:.1f}"

    def tick(value: float, color: str) -> str:
        return f'<path d="M{place(value)} 4v14" stroke="{color}" stroke-width="2"/>'

    drawn = [f'<path d="M4 11H{place(bound)}" stroke="#dddbd4" stroke-width="5" stroke-linecap="round"/>']
    drawn += [] if row.controller is None else [tick(row.controller, "#8a8f98")]
    drawn += [tick(row.published.score, "#d55e00")] if row.published else []
    low, high = (place(x) for x in row.score_ci)
    drawn.append(f'<path d="M{low} 11H{high}" stroke="#0072b2" stroke-width="3"/>')
    drawn.append(f'<circle cx="{place(row.score)}" cy="11" r="4.5" fill="#0072b2" stroke="#fff" stroke-width="1.2"/>')
    label = f"score {row.score:.1f} of {bound:.1f}"
    return (
        f'<svg width="{_STRIP}" height="22" viewBox="0 0 {_STRIP} 22" role="img" aria-label="{label}">'
        f"{''.join(drawn)}</svg>"
    )


def _section(page: RunPage, alone: bool) -> str:
    run = page.run
    parts = ["<h2>The planner at work</h2>"] if alone and page.pictures else []
    if not alone:
        row = headline_row(run_group(run)) if run.evaluations else None
        score = f": {row.score:.1f} ± {row.sem:.1f}" if row else ""
        text = f"<h2>{_name(run.env)}, seed {run.seed}{score}</h2><p>Data: {escape(data_in_words(run.config))}.</p>"
        text += f"<p>{_in_words(run, row)}</p>" if row else ""
        parts.append(_opening(text, page))
    if (state := run.status.get("state")) and state != "done":
        place = f"{run.status.get('stage', '')}, step {run.status.get('step', '?')} of {run.status.get('steps', '?')}"
        parts.append(f'<p class="note">This run is not complete: {escape(str(state))} ({escape(place)}).</p>')
    if page.pictures:
        parts.append(f'<div class="pictures">{"".join(map(_picture, page.pictures))}</div>')
    parts.append(_making(run, alone))
    return f"<section>{''.join(parts)}</section>"


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.svg).decode()
    kind = ' class="narrow"' if picture.name in _NARROW else ""
    return (
        f'<figure{kind}><h3>{escape(picture.title)}</h3><div class="view"><img alt="{escape(picture.title)}" '
        f'src="data:image/svg+xml;base64,{data}"></div><figcaption>{escape(picture.caption)}</figcaption></figure>'
    )


def _making(run: RunFiles, alone: bool) -> str:
    manifest: dict[str, Any] = run.manifest
    versions = manifest.get("versions", {})
    told = ", ".join(f"{name} {number}" for name, number in versions.items()) if isinstance(versions, dict) else ""
    facts = {
        "Command": f"<code>{escape(str(manifest['command']))}</code>" if manifest.get("command") else "",
        "Revision": f"<code>{escape(str(manifest['git_revision']))}</code>" if manifest.get("git_revision") else "",
        "Seed": str(run.seed),
        "Data": escape(data_in_words(run.config)),
        "Device": escape(str(manifest.get("device", ""))),
        "Versions": escape(told),
        "Started": escape(str(manifest.get("date", ""))),
    }
    if run.evaluations:
        first = run.evaluations[0]
        facts["Evaluation"] = (
            f"{first['episodes']} episodes per setting, seed {first['seed']}, {escape(first['backend'])}"
        )
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items() if value)
    config = escape(json.dumps(run.config, indent=2))
    heading = (
        '<h2 style="margin-top:56px">How it was made</h2>'
        if alone
        else '<h3 style="margin-top:28px">How it was made</h3>'
    )
    return f'{heading}<dl class="made">{rows}</dl><details><summary>All settings</summary><pre>{config}</pre></details>'
