"""A second model that watches a planner, and the program that compares what is done about model hacking."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import REACH_WITH_LITTLE_EFFORT, double_integrator, read_record, run_here
from scipy.stats import beta
from small_tasks import Ball

from benchmarks.hacking_measures import detection, kinds
from benchmarks.hacking_worlds import ROBOTS, SETTINGS, NarrowMaze
from invlearn_jax.inverters.network import NetworkInverter
from invlearn_jax.methods import inverter
from invlearn_jax.methods.fitting import method_settings
from invlearn_jax.planners import InversePlanner, PlannerParams
from invlearn_jax.planners.watched import WatchedParams, WatchedPlanner, calibrate, plans_needed
from invlearn_jax.settings import check_settings, with_settings
from invlearn_jax.types import Problem, Result

KEY = jax.random.key(0)
STATE = jnp.array([0.1, -0.2, 0.3, 0.0])


def watched(distance):
    """A planner through a double integrator, watched by one whose forces are ``distance`` times weaker."""
    model, inverter = double_integrator(2, 0.1), NetworkInverter(Ball(), (8,), 0)
    planner = InversePlanner(inverter, model, REACH_WITH_LITTLE_EFFORT, execute_steps=4)
    fresh = inverter.init(KEY)
    params = PlannerParams(fresh._replace(net=jax.tree.map(lambda x: x + 0.15, fresh.net)), model.init(KEY), ())
    a, b = model.init(KEY)
    watched = WatchedParams(params, (a, (1 - distance) * b), jnp.array(0.05))
    return WatchedPlanner(planner, model, lambda state: state[:2]), watched


@pytest.fixture(scope="module")
def plan():
    """The plan of such a planner, for any of its parameters."""
    return jax.jit(watched(0.0)[0].plan)


def test_a_watcher_that_agrees_says_nothing_and_one_that_does_not_is_heard(plan):
    problem = Problem(STATE, jnp.array([1.0, 1.0]))
    unwatched = jax.jit(watched(0.0)[0].planner.plan)
    for distance, result in ((0.0, Result.OK), (0.9, Result.MODEL_DISAGREES)):
        planner, params = watched(distance)
        out = plan(params, KEY, problem)
        plain = unwatched(params.planner, KEY, problem)
        np.testing.assert_allclose(out.actions, plain.actions, atol=1e-6)
        assert Result(int(out.result)) is result
        other = planner.watcher.unroll(params.watcher, STATE, out.actions)
        wanted = np.linalg.norm((out.states - other)[:, :2], axis=-1).max()
        np.testing.assert_allclose(out.info["watcher_distance"], wanted, atol=1e-5)
    assert "second model" in Result.MODEL_DISAGREES.describe()


def test_a_bad_problem_keeps_its_result_and_all_other_plans_are_watched(plan):
    problem, (_, params) = Problem(STATE, jnp.ones(2)), watched(0.9)

    def result(params, problem=problem):
        return Result(int(plan(params, KEY, problem).result))

    def other(**changes):
        inverter = params.planner.inverter._replace(**changes)
        return params._replace(planner=params.planner._replace(inverter=inverter))

    assert result(params, Problem(STATE.at[0].set(jnp.nan), jnp.ones(2))) is Result.NON_FINITE
    scales = params.planner.inverter.state
    assert result(other(state=scales._replace(low=scales.high))) is Result.OUTSIDE_DATA
    full = other(net=jax.tree.map(lambda x: x + 1e3, params.planner.inverter.net))
    assert result(full._replace(threshold=jnp.array(jnp.inf))) is Result.BOUND_SATURATED
    assert result(full) is Result.MODEL_DISAGREES
    _, agreeing = watched(0.0)
    assert result(agreeing._replace(watcher=jax.tree.map(lambda x: x * jnp.nan, agreeing.watcher))) is (
        Result.MODEL_DISAGREES
    )


@pytest.mark.parametrize("count", [59, 60, 92, 93, 250, 2000])
@pytest.mark.parametrize(("share", "confidence"), [(0.05, 0.95), (0.2, 0.5)])
def test_the_threshold_is_the_least_that_keeps_the_share_of_false_alarms(count, share, confidence):
    rank = float(calibrate(jax.random.permutation(KEY, jnp.arange(1.0, count + 1)), share, confidence))
    # The k-th smallest of N uniform draws has Beta's distribution; above it lies one minus it of all plans.
    kept = [beta(k, count + 1 - k).sf(1 - share) for k in (rank, rank - 1)]
    assert kept[0] >= confidence > kept[1]


def test_a_threshold_needs_enough_plans():
    apart = jax.random.uniform(KEY, (58,))
    for bad in ((apart, 0.0), (apart, 1.0), (apart, 0.05, 1.0)):
        with pytest.raises(ValueError, match="give shares between 0 and 1"):
            calibrate(*bad)
    for few in (apart, apart[:0]):
        with pytest.raises(ValueError, match=f"There are {len(few)} plans; .* needs 59"):
            calibrate(few)
    assert plans_needed(0.05, 0.95) == 59
    with pytest.raises(ValueError, match="threshold is nan: too many of the 60 disagreements"):
        calibrate(jnp.full(60, jnp.nan))


# ---- the program


def test_plans_are_hacked_good_or_neither():
    errors, gaps = np.array([0.1, 0.5, 0.5, 0.1]), np.array([0.0, 1.0, 0.0, 1.0])
    hacked, good = kinds((0.3, 0.1), gaps, errors)
    assert hacked.tolist() == [False, True, False, False]
    assert good.tolist() == [True, False, False, True]


def test_each_half_of_the_plans_has_its_use():
    count = 400
    apart = np.random.default_rng(0).permutation(np.linspace(0.1, 0.9, count))
    episode, order = np.arange(count) // 2, apart.argsort()
    tried = episode % 2 == 1

    def judged(hacked, neither):
        """Where those plans are hacked, and those neither hacked nor good."""
        is_hacked = np.isin(np.arange(count), hacked)
        good = ~is_hacked & ~np.isin(np.arange(count), neither)
        return detection(apart, is_hacked, good, episode, 0.05)

    none, many, few = order[:0], order[-100:], order[80:]
    found = judged(many, order[:40])
    assert found["hacked_plans"] == tried[many].sum()
    good = order[40:-100]
    assert found["good_plans"] == tried[good].sum()
    assert (found["threshold_from"], found["flagged_of_hacked"]) == ("good plans", 1.0)
    assert 0 <= found["false_alarms"] < 0.1
    assert found["threshold_m"] == pytest.approx(float(calibrate(jnp.asarray(apart[good[~tried[good]]]))))
    # Plans whose models agree are not noticed.
    assert judged(order[:100], none)["flagged_of_hacked"] == 0.0
    # Hardly any good plan: the threshold is that of held-out data.
    found = judged(few, none)
    assert (found["threshold_from"], found["threshold_m"]) == ("held-out data", 0.05)
    assert found["flagged_of_hacked"] == found["false_alarms"] == 1.0
    assert judged(none, none)["flagged_of_hacked"] is None


@pytest.mark.parametrize("robot", ROBOTS)
def test_every_setting_of_the_experiment_is_one_of_the_method(robot):
    task = ROBOTS[robot]()
    base = with_settings(
        method_settings(task, "inverter"), {"correction.rounds": 0, "cloning.weight": 0.0, "objective.unvisited": 0.0}
    )
    for name, setting in SETTINGS.items():
        changed = with_settings(base, (dict(task.trust) if setting.trust else {}) | setting.changes)
        check_settings(changed)
        inverter.unwatched(task, changed)
        assert (changed != base) == (bool(setting.changes) or setting.trust), name


def test_settings_are_compared_in_one_record(tmp_path, monkeypatch):
    monkeypatch.setattr(NarrowMaze, "episodes", 4)
    few = {f"--{name}_updates=6" for name in ("model", "inverter", "watcher", "tail")}
    small = ["--rows=20000", "--broad_rows=1000", "--plans=100", f"--workdir={tmp_path / 'runs'}", *sorted(few)]
    chosen = ["--robot=maze2d", "--settings=trust region", f"--output={tmp_path / 'table.json'}"]
    run_here("hacking_mitigations", *chosen, *small, _EXECUTED=(8, 40))
    (row,) = read_record(None, tmp_path / "table.json")["rows"]
    assert row["setting"] == "trust region"
    assert row["detector"]["threshold_m"] > 0
    assert row["error_median_m"] > 0
    assert 0 <= row["hacked_share"] <= 1
    assert (tmp_path / "table.png").stat().st_size > 10_000
    data = tmp_path / "runs" / "trust-region" / "data"
    assert {"watched.npz", "data_d4rl.npz"} <= {path.name for path in data.iterdir()}
    # The folder goes on with the same settings alone.
    with pytest.raises(ValueError, match="holds a run with other settings"):
        run_here("hacking_mitigations", *chosen, *small, "--model_updates=9", _EXECUTED=(8, 40))


def test_an_unknown_policy_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.npz: there is no policy here"):
        run_here("hacking_mitigations", "--robot=ant", "--policy=none.npz", f"--output={tmp_path / 'ant.json'}")
