"""Gates as tasks: trained by ``fit`` with the world's own method, judged on drawn gates, on disk in both editions' formats."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from invlearn_jax.evaluate.episodes import evaluate
from invlearn_jax.methods.fitting import fit, method_settings
from invlearn_jax.methods.saved import load_planner, load_task, save_planner
from invlearn_jax.settings import with_settings
from invlearn_jax.tasks.gates import method
from invlearn_jax.tasks.gates.build import build_system
from invlearn_jax.tasks.gates.fidelity import infidelity
from invlearn_jax.tasks.gates.gates import haar_gates
from invlearn_jax.tasks.gates.propagators import propagate
from invlearn_jax.tasks.gates.pulse_inverter import TwoQubitInverter, TwoQubitParams
from invlearn_jax.tasks.gates.settings import TASKS, GateSettings
from invlearn_jax.tasks.gates.systems import MHZ
from invlearn_jax.tasks.gates.waveform import pulse_slices
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.types import Problem, Result

TRAINING = {"training.steps": 20, "training.batch": 16, "block": 10, "checkpoint_every": 20}
# A task of each kind in few slices, with small networks.
TINY = {
    "gate-qubit": {"slices": (11,)},
    "gate-qubit-robust": {"slices": (15,)},
    "gate-transmon": {"slices": (12,), "knots": (6,)},
    "gate-two-qubit": {"limit": 60.0, "slices": (8, 12, 8), "knots": (4, 5, 4)},
}
every_task = pytest.mark.parametrize("name", TINY)


def tiny(name="gate-qubit"):
    """A task, its method's settings and the planner."""
    task = make_task(name)
    task.settings = with_settings(task.settings, TINY[name])
    settings = with_settings(method_settings(task, "inverter"), {"hidden": (8,)} | TRAINING)
    if name == "gate-two-qubit":
        settings.interaction_hidden = (8,)
    return task, settings, method.build(task, settings)


def write_first_edition(folder, task, settings, params, **changes):
    """What the first edition wrote: one flat description, and the arrays by their places."""
    own = {name: getattr(settings, name) for name in ("hidden", "interaction_hidden", "share")}
    folder.mkdir(exist_ok=True)
    fields = {"kind": "pulse"} | dataclasses.asdict(task.settings) | own | changes
    (folder / "planner.json").write_text(json.dumps(fields))
    arrays = {jax.tree_util.keystr(path): x for path, x in jax.tree_util.tree_flatten_with_path(params)[0]}
    np.savez(folder / "params.npz", **arrays)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    task, settings, _ = tiny()
    return task, folder, *fit(task, "inverter", folder, settings=settings)


def test_fit_trains_and_its_planner_comes_back(fitted):
    task, folder, _, params = fitted
    first = tiny()[2].init(jax.random.key(0))
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (params, first)), strict=True))
    loaded, read = load_planner(folder / "planner", refine_steps=8)
    jax.tree.map(np.testing.assert_array_equal, read, params)
    # The judge refines too, see below.
    assert (loaded.horizon, loaded.refine_steps) == (task.horizon, 8)


def test_evaluation_judges_plans(fitted):
    task, folder, *_ = fitted
    record = evaluate(*load_planner(folder / "planner", refine_steps=8), task, episodes=20, seed=3)
    assert 0 < record["infidelity_median"] <= record["infidelity_p999"] <= record["infidelity_max"] < 1e-9
    assert record["results"]["ok"] == record["episodes"] == 20
    assert record["plan_ms_p50"] > 0
    assert record["success_rate"] == 1.0
    by_step = record["infidelity_by_step"]
    assert set(by_step) == {"median", "p999", "max"}
    for name, values in by_step.items():
        assert len(values) == 9
        # After 20 updates nothing is learned; refinement does the rest, and never the worse.
        assert values[0] > 1e-3 and (np.diff(values) <= 0).all()
        assert values[-1] == record[f"infidelity_{name}"]
    assert by_step["median"][0] <= by_step["p999"][0] <= by_step["max"][0]


def test_a_matrix_that_is_not_unitary_is_an_invalid_problem(fitted):
    _, _, planner, params = fitted
    plan = jax.jit(planner.plan)(params, jax.random.key(0), Problem(np.eye(2), 1.1 * np.eye(2)))
    assert Result(int(plan.result)) == Result.INVALID_PROBLEM
    assert not np.asarray(plan.actions).any()


@every_task
def test_both_editions_folders_are_the_same_planner(tmp_path, name):
    task, settings, planner = tiny(name)
    params = planner.init(jax.random.key(5))
    save_planner(tmp_path / "new", task, "inverter", settings, params)
    write_first_edition(tmp_path / "old", task, settings, params)
    for folder in (tmp_path / "new", tmp_path / "old"):
        loaded, read = load_planner(folder, refine_steps=3)
        jax.tree.map(np.testing.assert_array_equal, read, params)
        jax.tree.map(np.testing.assert_array_equal, loaded.inverter.system, planner.inverter.system)
        if name == "gate-two-qubit":
            assert loaded.inverter._zeta == planner.inverter._zeta > 0
        assert loaded.refine_steps == 3
        of_folder = load_task(folder)
        assert (of_folder.name, of_folder.settings) == (name, task.settings)
        for mine, theirs in zip(loaded.objective.cost.errors, planner.objective.cost.errors, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"system": "qutrit"}, "does not describe a planner .*system is 'qutrit', none of qubit"),
        ({"width": 3}, "does not describe a planner .*Unknown field of Settings 'width'"),
        ({"limit": -1.0}, "limit is -1.0; give a finite number, more than 0"),
        ({"slices": [0]}, r"slices is \(0,\); give one or more whole numbers"),
        ({"hidden": [0]}, r"hidden is \(0,\); give one or more whole numbers"),
        ({"hidden": [9]}, "is of another architecture"),
    ],
)
def test_broken_folders_of_the_first_edition_are_refused(tmp_path, changes, words):
    task, settings, planner = tiny()
    write_first_edition(tmp_path, task, settings, planner.init(jax.random.key(5)), **changes)
    with pytest.raises(ValueError, match=words):
        load_planner(tmp_path)


def test_what_a_planner_of_pulses_can_be_told(tmp_path):
    task, settings, planner = tiny()
    save_planner(tmp_path, task, "inverter", settings, planner.init(jax.random.key(5)))
    for refiner in ("gauss_newton", "lbfgs", "adam"):
        assert load_planner(tmp_path, 3, refiner=refiner)[0].refine_steps == 3
    assert load_planner(tmp_path, candidates=1, execute_steps=11)[0].execute_steps == 11
    for given, words in (
        ({"refiner": "lbgfs"}, "Unknown refiner of pulses 'lbgfs'. Nearest known: lbfgs"),
        ({"execute_steps": 5}, "execute_steps is 5; a pulse is played whole, 11 slices. Leave it out"),
        ({"candidates": 2}, "candidates is 2; the Inverter of pulses has one answer to a gate. Leave it out"),
        ({"refine_steps": -1}, "refine_steps is -1"),
        ({"temperature": 0.5}, "Unknown inference option"),
    ):
        with pytest.raises(ValueError, match=words):
            load_planner(tmp_path, **given)


def test_errors_to_bear_are_refined_by_descent_on_their_mean():
    residuals, descent = tiny()[2], tiny("gate-qubit-robust")[2]
    errors = descent.objective.cost.errors
    assert len(errors.scale) == 15
    assert np.abs(errors.detuning).max() == pytest.approx(5 * MHZ)
    assert residuals.refiner.uses_residuals and not descent.refiner.uses_residuals


@pytest.mark.parametrize("name", TASKS)
def test_shipped_planners_make_gates(name):
    folder = name.replace("gate", "pulse")
    planner, params = load_planner(folder)
    task = load_task(folder)
    system = task.system
    assert (task.name, task.settings) == (name, make_task(name).settings)
    assert len(planner.objective.cost.errors.scale) == (15 if name == "gate-qubit-robust" else 1)

    def made(gate):
        return infidelity(
            system, propagate(system, pulse_slices(system, planner.inverter.latent(params.inverter, gate))), gate
        )

    drawn = haar_gates(jax.random.key(2), 50, task.goal_size)
    assert np.median(jax.jit(jax.vmap(made))(drawn)) < 1e-3


@pytest.mark.parametrize("name", TASKS)
def test_each_task_builds_its_planner(name):
    task = make_task(name)
    planner = method.build(task, method_settings(task, "inverter"), refine_steps=1)
    assert planner.horizon == task.horizon == planner.execute_steps
    problem = jax.eval_shape(task.draw_problem, jax.random.key(0))
    out = jax.eval_shape(planner.plan, jax.eval_shape(planner.init, jax.random.key(0)), jax.random.key(0), problem)
    assert out.actions.shape == (task.horizon, task.action_size)
    assert set(out.cost_terms) == {"infidelity"}


def test_each_system_is_built_as_described():
    built = build_system(GateSettings(slices=(11,), drift=2.0))
    assert (built.gate_time, built.limit, built.sections) == (0.1, 20 * MHZ, ((11, 8),))
    np.testing.assert_allclose(built.drift, 2 * MHZ / 2 * np.diag([1, -1]))
    transmon = build_system(GateSettings("transmon", 0.06, 40.0, -250.0, (60,), (12,)))
    np.testing.assert_allclose(np.diag(transmon.drift), [0, 0, -250 * MHZ], atol=1e-9)
    _, _, planner = tiny("gate-two-qubit")
    assert planner.inverter.system.sections == ((8, 4), (12, 5), (8, 4))
    assert isinstance(planner.inverter, TwoQubitInverter)
    np.testing.assert_allclose(planner.inverter.system.drift, 5 * MHZ / 2 * np.diag([1, -1, -1, 1]))
    assert isinstance(planner.init(jax.random.key(0)).inverter, TwoQubitParams)
    with pytest.raises(ValueError, match="Unknown system 'transom'. Nearest known: transmon"):
        build_system(GateSettings("transom"))
    with pytest.raises(ValueError, match=r"slices are \(11, 11\), knots are \(8,\); pulses of qubit have 1 sections"):
        build_system(GateSettings(slices=(11, 11)))
    with pytest.raises(ValueError, match="below the speed limit"):
        build_system(GateSettings(gate_time=0.03))
