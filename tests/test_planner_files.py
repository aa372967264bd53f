"""Planners on disk: read back equal, and broken files refused with a sentence that names them."""

import json

import chex
import jax
import numpy as np
import pytest
from helpers import small_maze, small_planner

from invlearn_jax.methods.saved import describe_planner, load_planner, save_planner
from invlearn_jax.tasks.maze2d.first_edition import convert


@pytest.fixture(scope="module")
def small():
    planner, settings = small_planner(small_maze())
    return settings, jax.jit(planner.init)(jax.random.key(1))


@pytest.fixture
def saved(tmp_path, small):
    save_planner(tmp_path / "mine", small_maze(), "inverter", *small)
    return tmp_path / "mine"


def changed(folder, **fields):
    """The folder with fields of its description changed."""
    file = folder / "planner.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
    return folder


def test_a_planner_is_read_back_equal(saved, small):
    planner, loaded = load_planner(saved)
    assert (planner.horizon, planner.execute_steps) == (8, 4)
    chex.assert_trees_all_equal(loaded, small[1])
    task, method, settings = describe_planner(saved)
    assert (task.name, task.horizon, method, settings) == ("maze2d-umaze-v1", 8, "inverter", small[0])


def test_a_planner_of_another_architecture(saved):
    description = json.loads((saved / "planner.json").read_text())
    changed(saved, settings=description["settings"] | {"net": {"hidden": [9]}})
    with pytest.raises(ValueError, match="another architecture"):
        load_planner(saved)


@pytest.mark.parametrize("name", ["maze2d-larg-v1", "", "."])
def test_an_unknown_planner_names_the_nearest(name):
    with pytest.raises(ValueError, match="Unknown planner.*maze2d-large-v1"):
        load_planner(name)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"refine_steps": -1}, "refine_steps is -1"),
        ({"candidates": 0}, "candidates is 0"),
        ({"refiner": "adamm"}, "Unknown refiner 'adamm'. Nearest known: adam"),
        ({"execute_steps": 9}, "execute_steps is 9; allowed are 1 to the horizon, 8"),
        ({"temperature": 1.0}, "Unknown inference option of .* 'temperature'"),
    ],
)
def test_bad_inference_options(saved, options, words):
    with pytest.raises(ValueError, match=words):
        load_planner(saved, **options)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"settings": {"nett": {}}}, "Unknown field of Settings 'nett'. Nearest known: net"),
        ({"settings": {"net": {"hiden": [8]}}}, "Unknown field of NetSettings 'hiden'. Nearest known: hidden"),
        ({"settings": {"net": 8}}, "net is 8, no object"),
        ({"settings": {"net": {"hidden": [0]}}}, r"net.hidden is \(0,\); give"),
        ({"task_settings": {"horizon": 0}}, "horizon is 0; give"),
        ({"task_settings": {"horizont": 8}}, "Unknown field of Settings 'horizont'"),
        ({"task": 5}, "its task or method is missing"),
        ({"method": None}, "its task or method is missing"),
        ({"task": "maze2d-umase-v1"}, "Unknown task .*'maze2d-umase-v1'"),
        ({"method": "inverterr"}, "Unknown method 'inverterr'"),
    ],
)
def test_a_description_with_odd_fields(saved, fields, words):
    with pytest.raises(ValueError, match=words):
        load_planner(changed(saved, **fields))


def test_a_field_beyond_all_floats(saved):
    file = saved / "planner.json"
    file.write_text(file.read_text().replace('"refine_rate": 0.02', '"refine_rate": 1e999'))
    with pytest.raises(ValueError, match="refine_rate is inf; give a finite number"):
        load_planner(saved)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.nan, r"params\.npz: \.inverter.* has NaN or infinite"),
        (np.inf, r"params\.npz: \.inverter.* has NaN or infinite"),
        (1j, "no plain array of numbers but of complex"),
        ("text", "no plain array of numbers but of str"),
    ],
)
def test_weights_that_are_no_numbers(saved, value, words):
    with np.load(saved / "params.npz") as file:
        arrays = dict(file)
    name = next(name for name in arrays if name.startswith(".inverter") and arrays[name].ndim == 2)
    arrays[name] = np.full(arrays[name].shape, value)
    np.savez(saved / "params.npz", **arrays)
    with pytest.raises(ValueError, match=words):
        load_planner(saved)


# --- the first edition's ---

FIRST = {
    "kind": "maze", "env": "maze2d-umaze-v1", "horizon": 8, "execute_steps": 4, "goal_radius": 0.3, "goal_width": 0.1,
    "inverter_hidden": [4], "inverter_octaves": 1, "model_chunk": 4, "model_hidden": [4], "model_octaves": 1,
    "cost_to_go_hidden": [4], "cost_to_go_octaves": 1, "look_ahead": 0.05, "final_weight": 1.0, "along_weight": 0.2,
    "smooth_weight": 0.0, "effort_weight": 0.0, "unvisited_weight": 10.0, "refine_rate": 0.1,
}  # fmt: skip


def test_a_first_edition_planner_keeps_its_horizon_and_goal_disc():
    size = {"centre": 2, "half": 2, "scale": 2}
    arrays = {f".inverter.{name}": np.ones(n, np.float32) for name, n in size.items()}
    arrays |= {f".objective.{name}": np.ones(2, np.float32) for name in ("centre", "half")}
    arrays[".objective.unvisited"] = np.zeros((64, 64), np.float32)
    task, method, settings, _ = convert(FIRST, arrays)
    assert (task.horizon, task.execute_steps, method) == (8, 4, "inverter")
    assert (task.settings.goal_radius, task.settings.goal_width) == (0.3, 0.1)
    assert (settings["objective"]["unvisited"], settings["tail"]["look_ahead"]) == (10.0, 0.05)


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"kind": "mase"}, "Unknown kind of planner 'mase'"), ({"env": "ant-walk"}, "names the task ant-walk")],
)
def test_a_broken_first_edition_description(saved, fields, words):
    (saved / "planner.json").write_text(json.dumps(FIRST | fields))
    arrays = {f".inverter.{name}": np.ones(2) for name in ("centre", "half", "scale")}
    np.savez(saved / "params.npz", **arrays)
    with pytest.raises(ValueError, match=words):
        load_planner(saved)
