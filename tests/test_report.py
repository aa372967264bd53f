"""The report's page: what is in it, what may be missing, how it refuses broken folders, and that it trusts none."""

import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from helpers import run_here

from invlearn_jax.report import build
from invlearn_jax.report.build import write_report
from invlearn_jax.report.results import all_groups
from invlearn_jax.report.run_files import read_runs

ERRORS = {"state": [0.0, 0.02, 0.03], "achieved": [0.0, 0.01, 0.02]}


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch):
    """Pictures take most of a report's time, and have tests of their own."""
    monkeypatch.setattr(build, "draw_pictures", lambda run, shown: [])


def record(refine_steps=0, score=61.54):
    return {
        "task": "maze2d-umaze-v1",
        "backend": "mujoco",
        "episodes": 50,
        "seed": 9,
        "horizon": 8,
        "execute_steps": 4,
        "refine_steps": refine_steps,
        "score_mean": score,
        "score_sem": 1.23,
        "score_ci95": [score - 2.41, score + 2.41],
        "success_rate": 0.86,
        "success_ci95": [0.738, 0.93],
        "bound_score": 168.8,
        "score_ratio_to_bound": score / 168.8,
        "controller_score": 133.7,
        "gap_mean": 0.0123,
        "plan_ms_p50": 0.37 + refine_steps,
    }


def write(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def make_run(folder, seed=0, records=None, task="maze2d-umaze-v1"):
    folder.mkdir(parents=True)
    config = {"task": task, "task_settings": None, "method": "inverter", "settings": {"data": {"rows": 1000}}}
    write(folder / "config.json", {"config": config, "seed": seed})
    manifest = {"command": "python -m experiments.run <b>", "git_revision": "0123abcd", "versions": {"jax": "0.10.2"}}
    write(
        folder / "manifest.json", manifest | {"device": "a test device", "seed": seed, "date": "2000-01-01T00:00:00Z"}
    )
    write(folder / "status.json", {"state": "done", "stage": "done", "step": 1, "steps": 1, "error": ""})
    if records:
        write(folder / "eval.json", records)
    return folder


def page_of(*folders, task=None):
    output = folders[0].parent / "report.html"
    write_report([str(folder) for folder in folders], output, task)
    return output.read_text()


class Links(HTMLParser):
    """Gathers what a page refers to, and checks that its tags close."""

    VOID = frozenset({"meta", "link", "img", "br", "path", "circle"})

    def __init__(self, page):
        super().__init__()
        self.found, self.open = [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in {"src", "href", "xlink:href", "data", "action"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_holds_the_table_and_how_it_was_made(tmp_path):
    page = page_of(make_run(tmp_path / "run", records=[record(), record(1, 70.0)]))
    for text in (
        *("maze2d-umaze-v1", "<small>inverter</small>", "<strong>61.5</strong> ± 1.2", "59.1 to 64.0", "86.0 %"),
        *("73.8 to 93.0", f"{100 * 61.54 / 168.8:.1f} %", "168.8", "133.7", "0.37", "1.37", "146.3", "0.0123"),
        *("Diffusion Veteran", "<strong>70.0</strong>", "0123abcd", "a test device", "jax 0.10.2", "2000-01-01"),
        "python -m experiments.run &lt;b&gt;",
    ):
        assert text in page, text
    assert "<b>" not in page
    assert Links(page).found == ["data:,"]
    assert not re.search(r"https?:|url\(|@import|<script", page)


def test_the_same_files_give_the_same_page(tmp_path):
    folder = make_run(tmp_path / "run", records=[record()])
    assert page_of(folder) == page_of(folder)


def test_what_a_run_has_not_written_yet_is_left_out(tmp_path):
    folder = make_run(tmp_path / "early")
    (folder / "manifest.json").unlink()
    write(folder / "status.json", {"state": "running", "stage": "model", "step": 250, "steps": 4000})
    page = page_of(folder)
    assert "not been evaluated" in page
    assert "running (model, step 250 of 4000)" in page
    assert "<table" not in page
    assert "<img" not in page


SCRIPT = "<script>alert(1)</script>"
MATHS = r"$\frac{x_1^2$ \undefined $"
LONG = "x" * 239
NAMES = [SCRIPT, MATHS, LONG, "\u4e2d\u6587 \x00\x1b[31m\n", "{{ 7 * 7 }}", "_hidden"]


def hostile_run(folder, name):
    """A run whose every text is the given one."""
    make_run(folder, records=[record() | {"task": name, "backend": name}, record(2)])
    write(folder / "config.json", {"config": {"task": name, "method": name, name: name}, "seed": 1})
    write(folder / "status.json", {"state": name, "stage": name, "step": name, "steps": {name: name}})
    write(folder / "manifest.json", dict.fromkeys(("command", "git_revision", "device", "date"), name))
    # Characters that a CSV file cannot hold are in the other files.
    stage = name.translate({0: None, 10: None})
    write(folder / "metrics.csv", f"stage,step,name,value\n{stage},10,{stage},0.5\n{stage},20,{stage},0.1\n")
    write(folder / "model.json", {name: ERRORS})
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_names_are_text_and_nothing_else(tmp_path, name):
    page = page_of(hostile_run(tmp_path / "run", name))
    Links(page)
    assert "<script" not in page
    words = re.sub(r"title=\"[^\"]*\"|<pre>.*?</pre>|<dd>.*?</dd>", "", page, flags=re.DOTALL)
    heading = re.findall("<h1>.*?</h1>", words, flags=re.DOTALL)[0]
    assert len(heading) < 250
    assert "49" not in heading


@pytest.mark.parametrize("where", ["config", "evaluation", "planner"])
def test_a_file_that_a_folder_names_is_not_run(tmp_path, where):
    (tmp_path / "evil.py").write_text("raise SystemExit('this file was run')")
    name = f"{tmp_path / 'evil.py'}:Evil"
    folder = make_run(tmp_path / "run", records=[record() | ({"task": name} if where == "evaluation" else {})])
    if where != "planner":
        write(folder / "config.json", {"config": {"task": name if where == "config" else None}, "seed": 0})
    (folder / "planner").mkdir()
    write(folder / "planner" / "planner.json", {"task": name, "method": "inverter", "settings": {}})
    np.savez(folder / "planner" / "params.npz")
    if where == "planner":
        # Of a task that is known, the planner is read; the file that it names is not.
        with pytest.raises(ValueError, match="The planner in .* cannot be loaded"):
            page_of(folder)
    else:
        assert "evil.py:Evil" in page_of(folder)


@pytest.mark.parametrize(
    "number", [np.nan, np.inf, -np.inf, 10**4000, -1e308], ids=["nan", "inf", "-inf", "int", "huge"]
)
def test_numbers_that_are_not_finite_are_named_so(tmp_path, number):
    numbers = [name for name, value in record().items() if isinstance(value, float)]
    odd = record(2) | dict.fromkeys(numbers, number) | {"score_ci95": [number, 3.0], "success_ci95": [number, number]}
    page = page_of(*(make_run(tmp_path / str(seed), seed, [record(), odd]) for seed in (0, 1)))
    assert "<strong>61.5</strong>" in page
    assert "not finite" in page
    assert not re.search(r"\b(nan|inf)\b", re.sub("<pre>.*?</pre>", "", page, flags=re.DOTALL))


def test_a_task_from_elsewhere_with_costs_and_hardly_anything_else(tmp_path):
    """A record as ``experiments.evaluate`` writes it for a task without scores."""
    own = {"task": "Reach", "backend": "mujoco", "episodes": 100, "seed": 3, "refine_steps": 0, "device": "cpu"}
    own |= {"success_rate": None, "cost_mean": 0.123456, "cost_sem": 0.004, "return_mean": -12.5, "score_mean": None}
    own |= {"score_sem": None, "plan_ms_p50": 0.2, "plan_ms_p99": 0.4}
    folder = make_run(tmp_path / "run", records=[own, {"task": "Reach", "cost_mean": 0.1}], task="Reach")
    (folder / "planner").mkdir()
    write(folder / "planner" / "planner.json", {"kind": "of another library"})
    page = page_of(folder)
    for text in ("Reach", "cost 0.1235 ± 0.004", "-12.5", "0.40", "Cost ± s.e."):
        assert text in page, text
    for text in ("Score ± s.e.", "bound", "published", "maze"):
        assert text not in re.sub("<style>.*?</style>|<code>.*?</code>", "", page, flags=re.DOTALL), text


def test_an_empty_record_is_shown_as_one(tmp_path):
    folder = make_run(tmp_path / "run", records=[{}])
    write(folder / "config.json", {"config": {}, "seed": 0})
    assert ">run</span>" in page_of(folder)


def test_seeds_of_equal_settings_get_a_mean(tmp_path):
    folders = [make_run(tmp_path / str(seed), seed, [record(score=score)]) for seed, score in ((0, 60.0), (3, 64.0))]
    groups = all_groups(read_runs([str(folder) for folder in folders]))
    assert [group.seeds for group in groups] == [(0,), (3,), (0, 3)]
    (row,) = groups[-1].rows
    assert (row.score, row.sem) == pytest.approx((62.0, 2.0))
    # Student's t with one degree of freedom: 12.7062.
    assert row.score_ci == pytest.approx((62 - 25.412, 62 + 25.412), abs=1e-2)
    assert row.ratio == pytest.approx(62 / 168.8)
    page = page_of(*folders)
    for text in ("2 runs on", "mean of seeds 0, 3", "<strong>62.0</strong> ± 2.0"):
        assert text in page


def test_a_folder_given_twice_counts_once(tmp_path):
    folder = make_run(tmp_path / "run", records=[record()])
    assert len(read_runs([str(folder), f"{folder}/."])) == 1


def broken_record(**changes):
    return [record() | changes]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("config.json", None, "missing"),
        ("config.json", "{", "not valid JSON"),
        ("config.json", [], "not a dict"),
        ("config.json", {"config": [], "seed": 0}, "'config'"),
        ("config.json", {"config": {}, "seed": "<script>"}, "'seed'"),
        ("config.json", {"config": {}, "seed": 2**80}, "'seed'"),
        ("config.json", "[" * 100_000, "not valid JSON"),
        ("config.json", '{"config": {"name": "\\ud800"}, "seed": 0}', "not valid JSON"),
        ("manifest.json", "nonsense", "not valid JSON"),
        ("status.json", "", "not valid JSON"),
        ("metrics.csv", "a,b\n1,2\n", "stage, step, name, value"),
        ("metrics.csv", "stage,step,name,value\nmodel,one,loss,2\n", "one"),
        ("metrics.csv", "stage,step,name,value\nmodel,inf,loss,2\n", "step inf"),
        ("model.json", {"d4rl": {"state": ["0.1"]}}, "'d4rl'"),
        ("eval.json", {}, "not a list"),
        ("eval.json", [3], "entry 0"),
        ("eval.json", broken_record(score_mean="many"), "'score_mean'"),
        ("eval.json", broken_record(score_mean=True), "'score_mean'"),
        ("eval.json", broken_record(episodes=2.5), "'episodes'"),
        ("eval.json", broken_record(task=["maze2d-umaze-v1"]), "'task'"),
        ("eval.json", broken_record(score_ci95=[1.0]), "'score_ci95'"),
    ],
)
def test_a_broken_file_is_named(tmp_path, name, content, says):
    folder = make_run(tmp_path / "run", records=[record()])
    if content is None:
        (folder / name).unlink()
    else:
        write(folder / name, content)
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        page_of(folder)
    assert str(folder / name) in str(caught.value)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(("name", "content"), [("planner.json", "{}x"), ("params.npz", "PK")])
def test_a_broken_planner_is_named(tmp_path, name, content):
    folder = make_run(tmp_path / "run", records=[record()])
    (folder / "planner").mkdir()
    write(folder / "planner" / "planner.json", {"task": "maze2d-umaze-v1", "method": "inverter", "settings": {}})
    write(folder / "planner" / name, content)
    with pytest.raises(ValueError, match=re.escape(str(folder / "planner"))):
        page_of(folder)


def test_no_folder_and_a_missing_one_are_refused(tmp_path):
    with pytest.raises(ValueError, match="No run folder"):
        write_report([], tmp_path / "report.html")
    with pytest.raises(ValueError, match="absent is not a folder"):
        page_of(tmp_path / "absent")


def test_the_program_says_what_is_wrong():
    with pytest.raises(ValueError, match="No run folder was given"):
        run_here("experiments.report")


def test_a_run_whose_every_number_is_odd(tmp_path):
    folder = make_run(tmp_path / "run", records=[record() | {"score_mean": math.nan, "plan_ms_p50": 0.0}])
    assert "<strong>not finite</strong>" in page_of(folder)
