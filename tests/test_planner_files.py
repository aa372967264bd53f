"""Planners on disk: read back equal, and broken files refused with a sentence that names them."""

import json

import chex
import jax
import numpy as np
import pytest

from invlearn_jax.io.planners import load_planner, save_planner
from invlearn_jax.tasks.maze2d.planner import MazePlannerConfig, build_planner


@pytest.fixture(scope="module")
def tiny_planner():
    config = MazePlannerConfig(
        horizon=8, execute_steps=4, model_chunk=4, inverter_hidden=(8,), model_hidden=(8,), cost_to_go_hidden=(8,)
    )
    return config, build_planner(config).init(jax.random.key(1))


def test_planner_round_trip(tmp_path, tiny_planner):
    config, params = tiny_planner
    save_planner(tmp_path / "mine", config, params)
    planner, loaded = load_planner(tmp_path / "mine")
    assert planner.execute_steps == 4
    chex.assert_trees_all_equal(loaded, params)


def test_planner_of_another_architecture(tmp_path, tiny_planner):
    config, params = tiny_planner
    save_planner(tmp_path / "mine", config, params)
    description = json.loads((tmp_path / "mine" / "planner.json").read_text())
    (tmp_path / "mine" / "planner.json").write_text(json.dumps({**description, "model_hidden": [9]}))
    with pytest.raises(ValueError, match="another architecture"):
        load_planner(tmp_path / "mine")


def test_unknown_planner(tmp_path):
    with pytest.raises(ValueError, match="Unknown planner"):
        load_planner("maze2d-larg-v1")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"refine_steps": -1}, "refine_steps is -1"),
        ({"candidates": 0}, "candidates is 0"),
        ({"refiner": "adamm"}, "Unknown refiner 'adamm'. Nearest known: adam"),
        ({"execute_steps": 9}, "execute_steps is 9; allowed are 1 to the horizon, 8"),
    ],
)
def test_bad_planner_settings(tmp_path, tiny_planner, settings, words):
    save_planner(tmp_path / "mine", *tiny_planner)
    with pytest.raises(ValueError, match=words):
        load_planner(tmp_path / "mine", **settings)


# --- broken files ---


@pytest.fixture
def saved(tmp_path, tiny_planner):
    save_planner(tmp_path / "mine", *tiny_planner)
    return tmp_path / "mine"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"inverter_hiden": [8]},
            "Unknown field of MazePlannerConfig 'inverter_hiden'. Nearest known: inverter_hidden",
        ),
        ({"inverter_hidden": ["wide"]}, r"inverter_hidden\[0\] is 'wide', no int"),
        ({"inverter_hidden": 8}, "inverter_hidden is 8, no tuple"),
        ({"inverter_hidden": [-3]}, r"inverter_hidden is \(-3,\); give"),
        ({"inverter_hidden": [0]}, r"inverter_hidden is \(0,\); give"),
        ({"horizon": True}, "horizon is True, no int"),
        ({"refine_rate": "x" * 1000}, "refine_rate is 'x{79}, no float"),
        ({"__class__": 1}, "Unknown field of MazePlannerConfig '__class__'"),
        ({"kind": None}, "kind or shares is no text"),
        ({"shares": 5}, "kind or shares is no text"),
        ({"shares": "maze2d-larg-v1"}, "Unknown planner.*Nearest known: maze2d-large-v1"),
    ],
)
def test_a_description_with_odd_fields(saved, fields, words):
    file = saved / "planner.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
    with pytest.raises(ValueError, match=words) as caught:
        load_planner(saved)
    assert "shares" in fields or str(file) in str(caught.value)


@pytest.mark.parametrize(("text", "shown"), [("1e999", "inf"), ("1" + "0" * 400, "10{79}")])
def test_a_field_beyond_all_floats(saved, text, shown):
    file = saved / "planner.json"
    file.write_text(file.read_text().replace('"refine_rate": 0.02', f'"refine_rate": {text}'))
    with pytest.raises(ValueError, match=rf"planner\.json does not describe.*refine_rate is {shown}, no finite number"):
        load_planner(saved)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.nan, r"params\.npz holds no planner's parameters: \.inverter.* has NaN or infinite"),
        (np.inf, r"params\.npz holds no planner's parameters: \.inverter.* has NaN or infinite"),
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


def test_a_description_that_no_kind_has_is_not_saved(tmp_path, tiny_planner):
    class Own(MazePlannerConfig):
        """A user's own."""

    with pytest.raises(ValueError, match="Own describes no planner.*known are MazePlannerConfig.*Give one of these"):
        save_planner(tmp_path / "mine", Own(), tiny_planner[1])
    assert not (tmp_path / "mine").exists()
