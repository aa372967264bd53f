"""The planners that come with the library do what the README says."""

import functools
import json
import re

import jax
import numpy as np
import pytest
from conftest import ROOT

import invlearn_jax
from benchmarks import tables
from invlearn_jax.evaluate.episodes import draw_problems, run_mjx, run_mujoco
from invlearn_jax.methods.saved import load_task
from invlearn_jax.tasks.antmaze.rows import uprightness
from invlearn_jax.tasks.d4rl import normalized_score, returns_of, success
from invlearn_jax.tasks.published import best_published

NAMES = ["maze2d-large-v1", "maze2d-medium-v1", "maze2d-umaze-v1"]
BASELINES = ["bc", "consistency", "decision-diffuser", "diffuser", "dt", "rebrac"]
PULSES = ["pulse-qubit", "pulse-qubit-robust", "pulse-transmon", "pulse-two-qubit"]

ANTS = [
    f"antmaze-{variant}-v2"
    for variant in ("large-diverse", "large-play", "medium-diverse", "medium-play", "umaze", "umaze-diverse")
]


@functools.cache
def shipped(name):
    """A shipped planner and its parameters."""
    return invlearn_jax.load_planner(name)


def test_names():
    baselines = [f"{name}-{kind}" for name in NAMES for kind in BASELINES]
    assert invlearn_jax.planner_names() == sorted([*NAMES, *baselines, *PULSES, *ANTS, "ant-motor"])


@pytest.mark.parametrize("kind", BASELINES)
def test_baselines_stand_on_their_mazes_planner(kind):
    for name in NAMES:
        params, base = (shipped(each)[1] for each in (f"{name}-{kind}", name))
        assert load_task(f"{name}-{kind}").name == name
        for mine, theirs in zip(jax.tree.leaves(params.objective), jax.tree.leaves(base.objective), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def episodes(task, planner, params, seed, count, steps=None):
    """Closed-loop episodes of the task's own protocol."""
    problems = draw_problems(task, jax.random.key(seed), count)
    return run_mujoco(planner, params, task, jax.random.key(seed + 1), problems, steps)


def scores(task, rows):
    return normalized_score(task.spec, returns_of(task.spec, rows.states, rows.goals))


@pytest.mark.parametrize(("kind", "least"), [("diffuser", 105), ("consistency", 120), ("rebrac", 110), ("bc", 40)])
def test_baselines_reach_what_is_published_for_them(kind, least):
    planner, params = invlearn_jax.load_planner(
        f"maze2d-umaze-v1-{kind}",
        candidates=1,
        **({"sampler": "ddim", "denoise_steps": 10} if kind == "diffuser" else {}),
    )
    task = invlearn_jax.make_task("maze2d-umaze-v1")
    assert scores(task, episodes(task, planner, params, 21, 40)).mean() > least


@pytest.mark.parametrize("name", NAMES)
def test_one_forward_pass_beats_the_best_published_score(name):
    planner, params = shipped(name)
    task = load_task(name)
    rows = episodes(task, planner, params, 11, 40)
    found = scores(task, rows)
    assert success(rows.states, rows.goals).all()
    # 40 episodes leave a standard error of a few points, by the luck of the starts.
    assert found.mean() + 2 * found.std() / np.sqrt(40) > best_published(name, False).score + 10


def test_both_engines_give_the_same_episodes():
    """Within half a second; later, float32 and float64 part at the first corner that is grazed."""
    planner, params = shipped("maze2d-umaze-v1")
    task = invlearn_jax.make_task("maze2d-umaze-multi-v1")
    problems = draw_problems(task, jax.random.key(13), 16)
    first, second = (
        run(planner, params, task, jax.random.key(14), problems, steps=48) for run in (run_mujoco, run_mjx)
    )
    assert first.states.shape == second.states.shape == (16, 49, 4)
    distance = np.linalg.norm((first.states - second.states)[..., :2], axis=-1)
    assert np.median(distance[:, -1]) < 0.01
    assert np.median(distance.max(1)) < 0.02


def test_all_ants_walk_alike():
    motor = shipped("ant-motor")[1]
    for name in ANTS:
        planner, params = shipped(name)
        assert load_task(name).name == name
        for mine, theirs in zip(jax.tree.leaves(params.lower), jax.tree.leaves(motor), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert isinstance(planner, invlearn_jax.Planner)


@pytest.mark.parametrize("name", ["antmaze-umaze-v2", "antmaze-large-diverse-v2"])
def test_ants_reach_the_goal_without_a_fall(name):
    planner, params = shipped(name)
    task = load_task(name)
    rows = episodes(task, planner, params, 23, 16, steps=180 if "umaze" in name else 380)
    assert returns_of(task.spec, rows.states, rows.goals).mean() >= 0.9
    assert (uprightness(rows.states) > 0).mean() > 0.99


def test_refinement_lowers_the_planners_own_cost():
    planner, params = invlearn_jax.load_planner("maze2d-umaze-v1", refine_steps=5)
    problems = draw_problems(invlearn_jax.make_task("maze2d-umaze-multi-v1"), jax.random.key(15), 32)
    plan = jax.jit(jax.vmap(planner.plan, in_axes=(None, 0, 0)))(
        params, jax.random.split(jax.random.key(0), 32), problems
    )
    assert (plan.cost <= plan.proposal_cost + 1e-6).all()
    assert (plan.cost < plan.proposal_cost).mean() > 0.5


def test_the_readme_example_runs_and_prints_a_number(capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        exec(block, {"invlearn_jax": invlearn_jax})
    assert re.search(r"\d\.\d+ s", capsys.readouterr().out)


def test_published_numbers_have_their_files():
    for path in (ROOT / "benchmarks" / "results").rglob("*.json"):
        record = json.loads(path.read_text())
        for row in record if isinstance(record, list) else [record]:
            assert {"command", "git_revision", "versions", "device", "seed"} <= set(row), path


def test_the_readmes_table_is_made_from_the_files():
    assert tables.markdown() in (ROOT / "README.md").read_text()
    assert tables.antmaze() in (ROOT / "README.md").read_text()
    for robot in ("maze2d", "ant"):
        assert tables.hacking(robot) in (ROOT / "docs" / "hacking.md").read_text()
