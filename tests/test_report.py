"""The report: what is in the page and its figures, what may be missing, and how it refuses broken folders."""

import base64
import dataclasses
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import jax
import numpy as np
import pytest
from conftest import ROOT

from experiments.configs.maze2d import Config
from experiments.pipelines.reporting import write_report
from experiments.pipelines.results import all_groups
from experiments.pipelines.run_files import read_runs
from invlearn_jax.io.planners import load_config, save_planner
from invlearn_jax.report import figures
from invlearn_jax.tasks import layouts
from invlearn_jax.tasks.layouts import parse_layout
from invlearn_jax.tasks.maze2d import drawing
from invlearn_jax.tasks.maze2d import model as ball
from invlearn_jax.tasks.maze2d.environment import inside_maze
from invlearn_jax.tasks.maze2d.planner import MazePlannerConfig, build_planner

matplotlib_image = pytest.importorskip("matplotlib.image")
TINY = MazePlannerConfig(
    horizon=8,
    execute_steps=8,
    inverter_hidden=(8,),
    model_chunk=4,
    model_hidden=(8,),
    cost_to_go_hidden=(8,),
)
METRICS = """stage,step,name,value
model,10,model_loss,0.5
model,20,model_loss,0.01
cost_to_go,10,cost_to_go_loss,0.3
inverter,10,cost,1.5
inverter,20,cost,nan
inverter,20,logit_penalty,0.0
inverter,3
"""
ERRORS = {"all": [0.0, 0.02, 0.03], "free": [0.0, 0.01, 0.02], "wall": [], "wall_share": 0.0}


def record(refine_steps=0, multi_goal=False, score=61.54):
    return {
        "env": "maze2d-umaze-v1",
        "backend": "mujoco",
        "episodes": 50,
        "seed": 9,
        "multi_goal": multi_goal,
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
        "plan_ms_p50": 0.37 + refine_steps,
    }


def write(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def make_run(folder, seed=0, records=None, planner=False):
    folder.mkdir(parents=True)
    config = dataclasses.asdict(dataclasses.replace(Config(), planner=TINY))
    write(folder / "config.json", {"config": config, "seed": seed})
    manifest = {"command": "python -m experiments.run <b>", "git_revision": "0123abcd", "versions": {"jax": "0.10.2"}}
    write(
        folder / "manifest.json", manifest | {"device": "a test device", "seed": seed, "date": "2000-01-01T00:00:00Z"}
    )
    write(folder / "status.json", {"state": "done", "stage": "done", "step": 1, "steps": 1, "error": ""})
    if records:
        write(folder / "eval.json", records)
    if planner:
        params = build_planner(TINY).init(jax.random.key(seed))
        save_planner(folder / "planner", TINY, params)
    return folder


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A folder with everything in it, and its page."""
    folder = make_run(
        tmp_path_factory.mktemp("runs") / "full", records=[record(), record(1), record(0, True, 70.0)], planner=True
    )
    write(folder / "metrics.csv", METRICS)
    write(folder / "model.json", {"d4rl": ERRORS, "random": ERRORS | {"wall": [0.0, 0.05, 0.09]}})
    worst = {"start": [1.0, 1.0, 0.0, 0.0], "predicted_end": [2.0, 2.0], "realised_end": [1.1, 2.0], "gap": 0.4}
    numbers = {"gap_mean": 0.02, "gap_low": 0.01, "gap_high": 0.03, "gap_p99": 0.3}
    rates = {"wrong_side_rate": 0.045, "wrong_side_low": 0.02, "wrong_side_high": 0.08}
    write(folder / "hacking.json", {"problems": 200, **numbers, **rates, "worst": [worst | {"wrong_side": True}]})
    output = folder.parent / "report.html"
    write_report([str(folder)], output)
    return folder, output.read_text()


class Links(HTMLParser):
    """Gathers what a page refers to, and checks that its tags close."""

    VOID = frozenset({"meta", "link", "img", "br", "path", "circle", "rect", "animate"})

    def __init__(self):
        super().__init__()
        self.found, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in {"src", "href", "xlink:href", "data", "action"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_refers_to_nothing_outside(full):
    _, page = full
    links = Links()
    links.feed(page)
    assert len(links.found) >= 7
    assert all(link.startswith("data:") for link in links.found)
    assert not links.open
    assert "http:" not in page
    assert "https:" not in page
    assert not re.search(r"url\(|@import|<script", page)


def test_the_page_holds_the_table(full):
    _, page = full
    for text in (
        "maze2d-umaze-v1",
        "1 M D4RL-style + 0.8 M random rows",
        "<strong>61.5</strong> ± 1.2",
        "59.1 to 64.0",
        "86.0 %",
        "73.8 to 93.0",
        f"{100 * 61.54 / 168.8:.1f} %",
        "168.8",
        "133.7",
        "0.37",
        "1.37",
        "146.3",
        "158.2",
        "<strong>70.0</strong>",
        "random goals",
    ):
        assert text in page, text


def test_the_page_says_how_it_was_made(full):
    _, page = full
    for text in ("0123abcd", "a test device", "jax 0.10.2", "python -m experiments.run &lt;b&gt;", "2000-01-01"):
        assert text in page, text
    assert "<b>" not in page


def test_the_figures_are_images_with_content(full):
    folder, page = full
    names = {path.name for path in (folder / "figures").iterdir()}
    kinds = ("scores", "plans", "cost_to_go", "model_error", "hacking", "training")
    assert names == {f"{kind}.png" for kind in kinds}
    for name in names:
        image = matplotlib_image.imread(folder / "figures" / name)
        assert min(image.shape[:2]) > 300
        assert image[..., :3].std() > 0.02
    assert page.count("data:image/svg+xml;base64,") == len(names)


def test_the_same_files_give_the_same_page(tmp_path):
    folder, pages = make_run(tmp_path / "run", records=[record()]), []
    for _ in range(2):
        write_report([str(folder)], tmp_path / "report.html")
        pages.append((tmp_path / "report.html").read_text())
    assert pages[0] == pages[1]


def test_what_a_run_has_not_written_yet_is_left_out(tmp_path):
    folder = make_run(tmp_path / "early")
    (folder / "manifest.json").unlink()
    write(folder / "status.json", {"state": "running", "stage": "model", "step": 250, "steps": 4000})
    write_report([str(folder)], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "not been evaluated" in page
    assert "running (model, step 250 of 4000)" in page
    assert "<table" not in page
    assert "<img" not in page


SCRIPT = "<script>alert(1)</script>"
MATHS = r"$\frac{x_1^2$ \undefined $"
LONG = "x" * 239


@pytest.mark.parametrize("name", [SCRIPT, MATHS, LONG, "\u4e2d\u6587 \x00\x1b[31m\n", "{{ 7 * 7 }}", "_hidden"])
def test_names_are_text_and_nothing_else(tmp_path, name):
    folder = make_run(tmp_path / "run", records=[record() | {"env": name, "task": name, "backend": name}, record(2)])
    config = {"planner": {"env": name}, "data": {"path": name}, name: name}
    write(folder / "config.json", {"config": config, "seed": 1})
    write(folder / "status.json", {"state": name, "stage": name, "step": name, "steps": {name: name}})
    write(folder / "manifest.json", dict.fromkeys(("command", "git_revision", "device", "date"), name))
    # Characters that a CSV file cannot hold are in the other files.
    stage = name.translate({0: None, 10: None})
    write(folder / "metrics.csv", f"stage,step,name,value\n{stage},10,{stage},0.5\n{stage},20,{stage},0.1\n")
    write(folder / "model.json", {name: ERRORS})
    write_report([str(folder)], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    links = Links()
    links.feed(page)
    assert not links.open
    assert "<script" not in page
    words = re.sub(r"title=\"[^\"]*\"|<pre>.*?</pre>|<dd>.*?</dd>|src=\"[^\"]*\"", "", page, flags=re.DOTALL)
    heading = re.findall("<h1>.*?</h1>", words, flags=re.DOTALL)[0]
    assert len(heading) < 250
    assert "49" not in heading
    assert {path.name for path in (folder / "figures").iterdir()} == {"scores.png", "model_error.png", "training.png"}
    assert page.count("data:image/svg+xml;base64,") == 3
    for picture in re.findall(r"data:image/svg\+xml;base64,([^\"]*)", page):
        ElementTree.fromstring(base64.b64decode(picture))


@pytest.mark.parametrize(
    "number", [np.nan, np.inf, -np.inf, 10**4000, -1e308], ids=["nan", "inf", "-inf", "int", "huge"]
)
def test_numbers_that_are_not_finite_are_named_so(tmp_path, number):
    numbers = [name for name, value in record().items() if isinstance(value, float)]
    odd = record(2) | dict.fromkeys(numbers, number) | {"score_ci95": [number, 3.0], "success_ci95": [number, number]}
    folders = [make_run(tmp_path / str(seed), seed, [record(), odd]) for seed in (0, 1)]
    for folder in folders:
        write(folder / "metrics.csv", f"stage,step,name,value\nmodel,1,loss,0.5\nmodel,2,loss,{str(number)[:300]}\n")
        write(folder / "model.json", {"own": {"all": [0.0, number], "free": [number], "wall": []}})
    write_report([str(folder) for folder in folders], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<strong>61.5</strong>" in page
    assert "not finite" in page
    assert not re.search(r"\b(nan|inf)\b", re.sub("<pre>.*?</pre>", "", page, flags=re.DOTALL))


def test_a_run_whose_every_number_is_odd(tmp_path):
    folder = make_run(tmp_path / "run", records=[record() | {"score_mean": float("nan"), "plan_ms_p50": 0.0}])
    write_report([str(folder)], tmp_path / "report.html")
    assert "<strong>not finite</strong>" in (tmp_path / "report.html").read_text()


def test_a_task_from_elsewhere_with_costs_and_hardly_anything_else(tmp_path):
    """A record as ``experiments.evaluate`` writes it for a task without scores."""
    own = {"task": "arm.py:Reach", "backend": "mujoco", "episodes": 100, "seed": 3, "refine_steps": 0, "device": "cpu"}
    own |= {"success_rate": None, "cost_mean": 0.123456, "cost_sem": 0.004, "return_mean": -12.5, "score_mean": None}
    own |= {"score_sem": None, "plan_ms_p50": 0.2, "plan_ms_p99": 0.4}
    folder = make_run(tmp_path / "run", records=[own, {"task": "arm.py:Reach", "cost_mean": 0.1}])
    write(folder / "config.json", {"config": {"method": "inverter"}, "seed": 3})
    (folder / "planner").mkdir()
    write(folder / "planner" / "planner.json", {"kind": "of another library"})
    write_report([str(folder)], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    for text in ("arm.py:Reach", "cost 0.1235 ± 0.004", "-12.5", "0.40", "Cost ± s.e."):
        assert text in page, text
    for text in ("Score ± s.e.", "bound", "published", "random goals", "maze"):
        assert text not in re.sub("<style>.*?</style>|<code>.*?</code>", "", page, flags=re.DOTALL), text
    assert {path.name for path in (folder / "figures").iterdir()} == {"scores.png"}


def test_an_empty_record_is_shown_as_one(tmp_path):
    folder = make_run(tmp_path / "run", records=[{}])
    write(folder / "config.json", {"config": {}, "seed": 0})
    write_report([str(folder)], tmp_path / "report.html")
    assert ">run</span>" in (tmp_path / "report.html").read_text()


def test_names_of_points_lie_on_nothing():
    with figures.style():
        figure, axes = figures.canvas(1, 1, 4, 3)
        axis = axes[0, 0]
        x, y = [1.0, 1.001, 1.02, 3.0, 3.01], [1.0, 1.001, 1.0, 2.0, 2.0]
        axis.set(xlim=(0, 5), ylim=(0, 3))
        axis.plot(x, y, "o-")
        figures.label_points(axis, x, y, [f"K = {index}" for index in range(5)])
        figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in axis.texts]
        assert len(boxes) >= 2
        points = axis.transData.transform(np.stack([x, y], axis=1))
        for index, box in enumerate(boxes):
            assert not box.count_overlaps(boxes[:index] + boxes[index + 1 :])
            assert not box.count_contains(points)


def test_a_stack_is_reported_without_a_planner_of_its_own(tmp_path):
    folder = make_run(tmp_path / "stack", records=[record()])
    write(folder / "config.json", {"config": {"stack": {"motor": "elsewhere"}}, "seed": 0})
    write_report([str(folder)], tmp_path / "report.html")
    assert "stack over elsewhere" in (tmp_path / "report.html").read_text()


def test_an_antmaze_is_reported_with_its_tracks(tmp_path):
    ant = {name: value for name, value in record().items() if not name.startswith(("score_", "bound", "controller"))}
    ant |= {"env": "antmaze-umaze-v2", "score_mean": 96.0, "success_rate": 0.96, "steps_to_goal_median": 124.0}
    folder = make_run(tmp_path / "ant", records=[ant | {"success_ci95": [0.865, 0.989]}])
    config = {"planner": {"env": "antmaze-umaze-v2"}, "level": {}, "motor": "ant-motor", "data": {"rows": 1_000_000}}
    write(folder / "config.json", {"config": config, "seed": 0})
    shutil.copytree(load_config("antmaze-umaze-v2")[1], folder / "planner")
    write_report([str(folder)], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    for text in ("<strong>96.0</strong> ± 2.8", "86.5 to 98.9", "124 steps", "MeanFlowQL", "three times real speed"):
        assert text in page, text
    assert page.count("data:image/gif;base64,") == 1
    assert "12 episodes on C MuJoCo" in page
    assert {path.name for path in (folder / "figures").iterdir()} == {"scores.png", "tracks.png"}


def test_seeds_of_equal_settings_get_a_mean(tmp_path):
    folders = [make_run(tmp_path / str(seed), seed, [record(score=score)]) for seed, score in ((0, 60.0), (3, 64.0))]
    groups = all_groups(read_runs([str(folder) for folder in folders]))
    assert [group.seeds for group in groups] == [(0,), (3,), (0, 3)]
    (row,) = groups[-1].rows
    assert (row.score, row.sem) == pytest.approx((62.0, 2.0))
    # Student's t with one degree of freedom: 12.7062.
    assert row.score_ci == pytest.approx((62 - 25.412, 62 + 25.412), abs=1e-2)
    assert row.ratio == pytest.approx(62 / 168.8)
    write_report([str(folder) for folder in folders], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "2 runs on" in page
    assert "mean of seeds 0, 3" in page
    assert "<strong>62.0</strong> ± 2.0" in page


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
        ("config.json", {"config": {"planner": {"system": "qubit"}}, "seed": 0}, "benchmarks.pulses"),
        ("config.json", {"config": {"correction": {}}, "seed": 0}, "benchmarks.ant_motor"),
        ("config.json", {"config": {"motor": {"correction": {}}}, "seed": 0}, "benchmarks.ant_motor"),
        ("manifest.json", "nonsense", "not valid JSON"),
        ("status.json", "", "not valid JSON"),
        ("metrics.csv", "a,b\n1,2\n", "stage, step, name, value"),
        ("metrics.csv", "stage,step,name,value\nmodel,one,loss,2\n", "one"),
        ("model.json", {"d4rl": {"all": ["0.1"]}}, "'d4rl'"),
        ("eval.json", {}, "not a list"),
        ("eval.json", [3], "entry 0"),
        ("eval.json", broken_record(score_mean="many"), "'score_mean'"),
        ("eval.json", broken_record(score_mean=True), "'score_mean'"),
        ("eval.json", broken_record(episodes=2.5), "'episodes'"),
        ("eval.json", broken_record(env=["maze2d-umaze-v1"]), "'env'"),
        ("metrics.csv", "stage,step,name,value\nmodel,inf,loss,2\n", "step inf"),
        ("eval.json", broken_record(score_ci95=[1.0]), "'score_ci95'"),
        ("eval.json", broken_record(multi_goal="no"), "'multi_goal'"),
        ("hacking.json", {"problems": 3}, "'gap_mean'"),
    ],
)
def test_a_broken_file_is_named(tmp_path, name, content, says):
    folder = make_run(tmp_path / "run", records=[record()])
    if content is None:
        (folder / name).unlink()
    else:
        write(folder / name, content)
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        write_report([str(folder)], tmp_path / "report.html")
    assert str(folder / name) in str(caught.value)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("part", ["planner.json", "params.npz"])
def test_a_broken_planner_is_named(full, tmp_path, part):
    folder = tmp_path / "run"
    shutil.copytree(full[0], folder)
    write(folder / "planner" / part, "{}x")
    with pytest.raises(ValueError, match=re.escape(str(folder / "planner"))):
        write_report([str(folder)], tmp_path / "report.html")


def test_no_folder_and_a_missing_one_are_refused(tmp_path):
    with pytest.raises(ValueError, match="No run folder"):
        write_report([], tmp_path / "report.html")
    with pytest.raises(ValueError, match="absent is not a folder"):
        write_report([str(tmp_path / "absent")], tmp_path / "report.html")


def test_the_program_says_what_is_wrong(tmp_path):
    command = [sys.executable, "-m", "experiments.report", str(tmp_path / "absent")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "absent is not a folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_walls_are_drawn_where_the_ball_meets_them():
    layout = parse_layout(layouts.LARGE)
    with figures.style():
        figure, axes = figures.canvas(1, 1, 4, 3)
        drawing.draw_maze(axes[0, 0], layout)
        assert len(figures.encode(figure)) == 2
    top, bottom = axes[0, 0].get_ylim()[::-1]
    assert top < bottom  # row 0 above
    points = np.random.default_rng(0).uniform((0.3, 0.3), np.array(layout.walls.shape) - 1.7, size=(2000, 2))
    (walls,) = axes[0, 0].patches
    in_wall = walls.get_path().contains_points(points[:, ::-1])
    assert (in_wall == ~inside_maze(layout, points, slack=ball.RADIUS - 1e-9)).all()
