"""The report's pictures: drawn by the task, from whatever the files hold, and readable."""

import base64
import re
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import run_here, save_small_planner, small_maze
from test_fit import NO_CORRECTION, Cart
from test_report import ERRORS, MATHS, SCRIPT, Links, hostile_run, make_run, page_of, record, write

from invlearn_jax.methods import inverter
from invlearn_jax.methods.saved import save_planner
from invlearn_jax.report import figures
from invlearn_jax.report.episodes import settled, show
from invlearn_jax.settings import with_settings
from invlearn_jax.tasks import layouts
from invlearn_jax.tasks.layouts import parse_layout
from invlearn_jax.tasks.maze2d import drawing
from invlearn_jax.tasks.maze2d import model as ball
from invlearn_jax.tasks.maze2d.environment import inside_maze
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.tasks.task import Episodes, Task

matplotlib_image = pytest.importorskip("matplotlib.image")

METRICS = """stage,step,name,value
model,10,model_loss,0.5
model,20,model_loss,0.01
tail,10,cost_to_go_loss,0.3
inverter,10,cost,1.5
inverter,20,cost,nan
inverter,20,logit_penalty,0.0
inverter,3
"""


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A folder with everything in it, and its page."""
    folder = make_run(tmp_path_factory.mktemp("runs") / "full", records=[record(), record(1)])
    write(folder / "metrics.csv", METRICS)
    write(folder / "model.json", {"d4rl": ERRORS, "random": ERRORS | {"achieved": []}})
    save_small_planner(folder / "planner", small_maze())
    return folder, page_of(folder)


def test_a_full_page_shows_all_and_refers_to_nothing_outside(full):
    folder, page = full
    names = {path.stem for path in (folder / "figures").glob("*.png")}
    assert names == {"scores", "episodes", "cost_to_go", "model_error", "training"}
    for name in names:
        image = matplotlib_image.imread(folder / "figures" / f"{name}.png")
        assert min(image.shape[:2]) > 300
        assert image[..., :3].std() > 0.02
    links = Links(page).found
    assert len(links) == len(names) + 2
    assert all(link.startswith("data:") for link in links)
    assert "half of real speed" in page


def test_the_animation_is_a_picture_without_scripts(full):
    folder, page = full
    svg = (folder / "figures" / "episodes.svg").read_bytes()
    assert base64.b64encode(svg).decode() in page
    tags = [element.tag.rpartition("}")[2] for element in ElementTree.fromstring(svg).iter()]
    assert tags.count("animate") == 12
    assert set(tags) == {"svg", "style", "rect", "circle", "path", "animate"}


@pytest.mark.parametrize("name", [SCRIPT, MATHS])
def test_hostile_names_are_drawn_as_they_stand(tmp_path, name):
    folder = hostile_run(tmp_path / "run", name)
    page = page_of(folder)
    assert {path.name for path in (folder / "figures").iterdir()} == {"scores.png", "model_error.png", "training.png"}
    pictures = re.findall(r"data:image/svg\+xml;base64,([^\"]*)", page)
    assert len(pictures) == 3
    for picture in pictures:
        ElementTree.fromstring(base64.b64decode(picture))
    assert "<script" not in page


@pytest.mark.parametrize("number", [np.nan, 10**4000, -1e308], ids=["nan", "int", "huge"])
def test_curves_with_holes_are_drawn(tmp_path, number):
    folder = make_run(tmp_path / "run", records=[record(), record(1) | {"score_mean": number}])
    write(folder / "metrics.csv", f"stage,step,name,value\nmodel,1,loss,0.5\nmodel,2,loss,{str(number)[:300]}\n")
    write(folder / "model.json", {"own": {"state": [0.0, number], "achieved": [number]}})
    page_of(folder)
    assert {path.stem for path in (folder / "figures").iterdir()} == {"scores", "model_error", "training"}


class Plane(Cart):
    """A cart with a goal of two numbers, drawn as any task is."""

    goal_size = 2

    def draw_goal(self, key):
        return jax.random.uniform(key, (2,), minval=-1.0)

    def cost(self, state, action, goal):
        return {"reach": jnp.sum((state - goal) ** 2)}


@pytest.mark.parametrize("task", [Plane(), Cart()], ids=["plane", "line"])
def test_a_users_task_is_drawn_where_the_user_gives_it(tmp_path, task):
    folder = make_run(tmp_path / "run", task=task.name)
    settings = with_settings(inverter.Settings(), NO_CORRECTION)
    params = jax.jit(inverter.build(task, settings).init)(jax.random.key(0))
    save_planner(folder / "planner", task, "inverter", settings, params)
    assert "<img" not in page_of(folder)
    assert "6 closed-loop episodes" in page_of(folder, task=task)
    assert [path.name for path in (folder / "figures").iterdir()] == ["episodes.png"]


def test_a_planners_episodes_are_drawn_by_a_program(full, tmp_path):
    planner, output = f"--planner={full[0] / 'planner'}", tmp_path / "new" / "episodes.png"
    run_here("experiments.figures", planner, "--episodes=1", f"--output={output}")
    assert matplotlib_image.imread(output)[..., :3].std() > 0.02
    for name, message in (("e.gif", "makes no .gif; give .png or .svg"), ("e.jpg", "a name that ends in")):
        with pytest.raises(ValueError, match=message):
            run_here("experiments.figures", planner, "--episodes=1", f"--output={tmp_path / name}")


class Line(Task):
    """The place itself is the goal."""

    dt, state_size, action_size, goal_size = 0.1, 1, 1, 1

    def success(self, state, goal):
        return jnp.abs(state[0] - goal[0]) < 0.5


class Short:
    """As much of a planner as episodes are settled by."""

    horizon, execute_steps = 4, 2

    def init(self, key):
        return ()

    def plan(self, params, key, problem):
        raise AssertionError("what happened is given")


def test_episodes_stand_still_a_moment_after_the_goal():
    ways = np.stack([np.arange(11.0), np.zeros(11)])[..., None].astype(np.float32)
    plans = np.zeros((2, 5, 5, 1), np.float32)
    rows = Episodes(np.full((2, 1), 3.0), ways, np.zeros((2, 10, 1)), plans, np.zeros((2, 5)))
    episodes, arrivals = settled(Line(), Short(), rows)
    # The longest first; of the other one 0.25 s are shown after step 3.
    assert arrivals == [None, pytest.approx(0.3)]
    assert episodes.states[1, :, 0].tolist() == [0, 1, 2, 3, 4, *[5] * 6]
    assert np.isfinite(episodes.plan_states[0]).all()
    # Every second plan begins where the one before ends: at 0, 4, 8.
    assert np.isfinite(episodes.plan_states[1]).all((1, 2)).tolist() == [True, False, False]


def test_ants_are_drawn_and_animated(tmp_path):
    task = make_task("antmaze-umaze-v2")
    states = np.zeros((2, 7, 29))
    states[..., 3], states[:, :, 0] = 1.0, np.linspace(0, 4, 7)
    episodes = Episodes(
        np.array([[0.0, 8.0], [8.0, 8.0]]), states, np.zeros((2, 6, 8)), np.zeros((2, 0, 1, 29)), np.zeros(2)
    )
    with figures.style():
        figure, axes = figures.canvas(1, 1, 3, 3)
        task.draw(axes[0, 0], episodes)
        assert len(figures.encode(figure)[0]) > 1000
    animation = task.animate(episodes)
    assert (animation.kind, animation.data[:3]) == ("gif", b"GIF")


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


def test_walls_are_drawn_where_the_ball_meets_them():
    layout = parse_layout(layouts.LARGE)
    with figures.style():
        _, axes = figures.canvas(1, 1, 4, 3)
        drawing.draw_maze(axes[0, 0], layout)
    top, bottom = axes[0, 0].get_ylim()[::-1]
    assert top < bottom  # row 0 above
    points = np.random.default_rng(0).uniform((0.3, 0.3), np.array(layout.walls.shape) - 1.7, size=(2000, 2))
    (walls,) = axes[0, 0].patches
    in_wall = walls.get_path().contains_points(points[:, ::-1])
    assert (in_wall == ~inside_maze(layout, points, slack=ball.RADIUS - 1e-9)).all()


def test_gates_have_no_episodes(tmp_path):
    assert show(tmp_path, make_task("gate-qubit")) is None
