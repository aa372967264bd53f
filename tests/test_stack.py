"""A stack is a planner like any other: on disk, in training, evaluation and report."""

import io
import json
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.configs.maze2d_stack import for_maze
from experiments.configs.shared import InverterConfig
from experiments.pipelines.maze2d_stack import check, covered_places
from experiments.pipelines.stages import inverter_training
from invlearn_jax.io.planners import load_config, load_planner, save_planner
from invlearn_jax.learn.inverter import InverterTraining
from invlearn_jax.models import SimulatorModel
from invlearn_jax.planners import InversePlanner, LevelParams, MlpInverter, Shooting, Stack
from invlearn_jax.refine import cem, gradient, ilqr
from invlearn_jax.tasks.maze2d.planner import MazePlannerConfig, build_planner
from invlearn_jax.tasks.maze2d.stack import MazeStackConfig, build_stack
from invlearn_jax.types import Problem

KEY = jax.random.key(0)
MOTOR = MazePlannerConfig(
    horizon=8, execute_steps=4, model_chunk=4, inverter_hidden=(8,), model_hidden=(8,), cost_to_go_hidden=(8,)
)
STACK = MazeStackConfig(MOTOR, subgoals=3, reach=0.7, hidden=(8,), octaves=2, execute_steps=6)
HERE = Problem(jnp.array([0.1, -0.2, 0.3, 0.0]), jnp.array([0.4, 0.5]))


@pytest.fixture
def saved(tmp_path):
    """The folder of a stack, and its parameters."""
    params = build_stack(STACK).init(KEY)
    save_planner(tmp_path / "mine", STACK, params)
    return tmp_path / "mine", params


@pytest.fixture
def motor_folder(tmp_path):
    """The folder of a motor planner whose data covered umaze's lower half."""
    params = build_planner(MOTOR).init(KEY)
    visited = params.inverter.visited.at[:32].set(False)
    inverter = params.inverter._replace(centre=jnp.full(2, 2.0), half=jnp.full(2, 1.5), visited=visited)
    save_planner(tmp_path / "motor", MOTOR, params._replace(inverter=inverter))
    return tmp_path / "motor"


# --- on disk ---


def test_a_stack_on_disk_plans_as_before(saved):
    folder, params = saved
    config, _ = load_config(folder)
    assert config == STACK
    assert config.env == MOTOR.env
    stack, loaded = load_planner(folder)
    assert isinstance(stack, Stack)
    chex.assert_trees_all_equal(loaded, params)
    assert isinstance(loaded.model, LevelParams)
    before, after = jax.jit(build_stack(STACK).plan)(params, KEY, HERE), jax.jit(stack.plan)(loaded, KEY, HERE)
    chex.assert_trees_all_equal(after, before)


def test_settings_of_a_loaded_stack(saved):
    folder, _ = saved
    stack, params = load_planner(folder, refine_steps=2, candidates=3, refiner="mppi", execute_steps=24)
    assert (stack.horizon, stack.execute_steps, stack.refine_steps, stack.candidates) == (24, 24, 2, 3)
    plan = jax.jit(stack.plan)(params, KEY, HERE)
    assert plan.actions.shape == (24, 2)
    assert plan.cost <= plan.proposal_cost
    assert load_planner(folder)[0].execute_steps == 6


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"refine_steps": -1}, "refine_steps is -1"),
        ({"refiner": "mpi"}, "Unknown refiner 'mpi'. Nearest known: mppi"),
        ({"execute_steps": 25}, "execute_steps is 25; allowed are 1 to the horizon, 24"),
        ({"execute_steps": 0}, "execute_steps is 0; allowed are 1 to the horizon, 24"),
    ],
)
def test_bad_settings_of_a_stack(saved, settings, words):
    with pytest.raises(ValueError, match=words):
        load_planner(saved[0], **settings)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"subgoals": 0}, "subgoals is 0; give .* at least 1"), ({"reach": 0.0}, "reach is 0.0; give .* more than 0")],
)
def test_a_stack_that_goes_nowhere_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        build_stack(MazeStackConfig(MOTOR, **changes))


def test_a_description_without_a_kind_is_a_single_level(motor_folder):
    file = motor_folder / "planner.json"
    fields = json.loads(file.read_text())
    assert fields.pop("kind") == "maze"
    file.write_text(json.dumps(fields))
    assert load_config(motor_folder)[0] == MOTOR
    assert isinstance(load_planner(motor_folder)[0], InversePlanner)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "maze_stak"}, "Unknown kind of planner in .*planner.json 'maze_stak'. Nearest known: maze_stack"),
        ({"kind": "maze"}, "Unknown field of MazePlannerConfig 'motor'"),
        ({"kind": []}, "planner.json does not describe a planner"),
        ({"env": "maze2d-umaze-v1"}, "Unknown field of MazeStackConfig 'env'"),
        ({"motor": "maze2d-umaze-v1"}, "planner.json does not describe a planner"),
        ({"reach": "far"}, "reach is 'far', no float"),
        ({"motor": {"horizon": 8.5}}, "horizon is 8.5, no int"),
    ],
)
def test_a_description_that_is_none(saved, changes, words):
    file = saved[0] / "planner.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(ValueError, match=words):
        load_planner(saved[0])


def archive(write):
    """The bytes of a file of NumPy's that holds none of a planner's arrays."""
    buffer = io.BytesIO()
    write(buffer, np.zeros(3))
    return buffer.getvalue()


SPOILT = {
    "cut short": lambda content: content[:-200],
    "altered": lambda content: content[: len(content) // 3] + b"?" * 20 + content[len(content) // 3 + 20 :],
    "empty": lambda content: b"",
    "no archive": lambda content: b"PK nothing",
    "one array": lambda content: archive(np.save),
    "other arrays": lambda content: archive(np.savez),
}


@pytest.mark.parametrize("how", SPOILT)
def test_parameters_that_are_none(saved, how):
    file = saved[0] / "params.npz"
    file.write_bytes(SPOILT[how](file.read_bytes()))
    with pytest.raises(ValueError, match=re.escape(str(file))):
        load_planner(saved[0])


def test_missing_parameters(saved):
    (saved[0] / "params.npz").unlink()
    with pytest.raises(ValueError, match="params.npz holds no planner's parameters.*there is no such file"):
        load_planner(saved[0])


# --- what a refiner needs of a model ---


def no_cost(params, states, actions, goal):
    return {"cost": jnp.zeros(())}


def test_a_refiner_without_its_gradient_is_refused_early(umaze):
    simulator, shooting = SimulatorModel(umaze), Shooting(4, 2)
    with pytest.raises(
        ValueError, match=r"needs a reverse gradient .* SimulatorModel is 'forward'.*solver_iterations=1"
    ):
        InversePlanner(shooting, simulator, no_cost, gradient(optax.sgd(0.1)), 1)
    # Nothing is refined, nothing is needed; and what needs less is given less.
    InversePlanner(shooting, simulator, no_cost, gradient(optax.sgd(0.1)), 0)
    for refiner in (ilqr(), cem(8)):
        InversePlanner(shooting, simulator, no_cost, refiner, 1)


# --- training ---


def test_all_settings_of_training_arrive():
    settings = InverterConfig(1, 2, 0.1, [3, 4], 0.5, 0.6, 0.7, 0.8, 0.9)
    assert inverter_training(settings) == InverterTraining(2, (3, 4), 0.5, 0.6, 0.7, 0.8, 0.9)


def test_training_goes_where_the_motor_planners_data_were(motor_folder):
    motor, params = load_planner(motor_folder)
    places = np.asarray(covered_places(motor.inverter, params.inverter))
    assert places[:, 0].min() == pytest.approx(2.0, abs=0.11)
    assert places[:, 0].max() == pytest.approx(3.5, abs=0.11)
    assert len(np.unique(places, axis=0)) == len(places) == pytest.approx(15 * 30, abs=31)


def test_a_motor_planner_without_data_is_refused():
    inverter = MlpInverter(4, 2, 8, hidden=(8,))
    params = inverter.init(KEY)
    with pytest.raises(ValueError, match="cover no place"):
        covered_places(inverter, params._replace(visited=jnp.zeros_like(params.visited)))


def test_a_stack_over_a_stack_is_refused(saved):
    config = for_maze("umaze")
    config.stack.motor = str(saved[0])
    with pytest.raises(ValueError, match="a stack itself"):
        check(config)
