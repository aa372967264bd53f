"""What is done about model hacking: disagreement, adversarial models, a watching model, and the program that compares."""

import io
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import REACH_WITH_LITTLE_EFFORT, counting_rows, double_integrator, read_record, run_python
from scipy.stats import beta

from benchmarks.hacking_measures import detection
from benchmarks.hacking_settings import Trained
from benchmarks.hacking_worlds import Plans
from invlearn_jax.data import fit_normalizer, window_store
from invlearn_jax.learn.forward_model import Source, forward_model_state, forward_model_update
from invlearn_jax.learn.inverter import InverterTraining, inverter_state, inverter_update
from invlearn_jax.learn.loop import default_optimizer, train
from invlearn_jax.models.ensemble import DisagreementModel, EnsembleModel
from invlearn_jax.models.sequence import SequenceModel
from invlearn_jax.objectives import disagreement
from invlearn_jax.planners import InversePlanner, MlpInverter, PlannerParams
from invlearn_jax.planners.watched import WatchedParams, WatchedPlanner, calibrate, plans_needed
from invlearn_jax.tasks.antmaze import specs as antmaze_specs
from invlearn_jax.tasks.antmaze.drawing import ant_gif, limbs
from invlearn_jax.tasks.antmaze.environment import random_start
from invlearn_jax.types import Problem, Result

KEY = jax.random.key(0)
STATE, ACTIONS = jnp.array([0.1, -0.2, 0.3, 0.0]), 0.3 * jax.random.normal(jax.random.key(5), (8, 2))
MODEL = SequenceModel(4, 2, 0.01, 4, (16,))


def two_members(distance):
    """Parameters of two models whose last layers differ by ``distance``."""
    one = MODEL.init(KEY)
    other = jax.tree.map(lambda x: x + distance, one.net)
    return jax.tree.map(lambda a, b: jnp.stack([a, b]), one, one._replace(net=other))


# ---- disagreement


def test_disagreement_is_the_spread_in_units_of_the_scale():
    scale = jnp.array([1.0, 2.0, 0.5, 4.0])
    model, params = DisagreementModel(MODEL, 2, scale), two_members(0.05)
    states = model.unroll(params, STATE, ACTIONS)
    members = EnsembleModel(MODEL, 2).unroll_members(params, STATE, ACTIONS)
    np.testing.assert_allclose(states[:, :-1], members.mean(0), atol=1e-6)
    # Of two members the standard deviation is half their distance.
    wanted = np.sqrt((((members[0] - members[1]) / 2 / scale) ** 2).mean(-1))
    np.testing.assert_allclose(states[:, -1], wanted, atol=1e-5)
    np.testing.assert_allclose(disagreement((), states, ACTIONS, STATE[:2]), wanted[1:].mean(), atol=1e-5)
    assert wanted[-1] > 1e-2
    alike = model.unroll(two_members(0.0), STATE, ACTIONS)
    np.testing.assert_allclose(alike[:, -1], 0, atol=1e-5)
    gradient = jax.grad(lambda a: model.unroll(two_members(0.0), STATE, a)[:, -1].sum())(ACTIONS)
    assert jnp.isfinite(gradient).all()


def test_an_inverter_trains_through_a_model_that_says_more_than_the_state():
    inverter, model = MlpInverter(4, 2, 8, 2, (8,), 2), DisagreementModel(MODEL, 2, jnp.ones(4))

    def objective(params, states, actions, goal):
        terms = REACH_WITH_LITTLE_EFFORT(params, states[:, :-1], actions, goal)
        return terms | {"disagreement": disagreement(params, states, actions, goal)}

    def draw(key):
        return Problem(0.1 * jax.random.normal(key, (4,)), jnp.ones(2))

    optimizer, settings = default_optimizer(1e-3, 4), InverterTraining(8, (2, 4))
    update = inverter_update(inverter, model, objective, two_members(0.05), (), optimizer, draw, settings, jnp.ones(4))
    state, metrics = jax.jit(update)(inverter_state(optimizer, inverter.init(KEY), KEY, draw, 8))
    assert state.extra.state.shape == (8, 4)
    assert metrics["disagreement"] > 0


# ---- adversarial models


def test_an_adversarial_model_fits_the_data_and_makes_plans_look_worse():
    rows, optimizer = counting_rows([60] * 20), default_optimizer(1e-3, 200)
    sources = [Source(window_store(rows, 8), 1.0)]
    elsewhere = jnp.array([500.0, 3.0, -1.0, 2.0])

    def plan_cost(params, key):
        states = MODEL.unroll(params, elsewhere, ACTIONS)
        return ((states[-1] - elsewhere) ** 2).mean()

    def against_plans(params, key):
        return -1e-3 * plan_cost(params, key)

    begin = forward_model_state(MODEL, optimizer, KEY, rows, fit_normalizer(rows))
    plain = train(forward_model_update(MODEL, optimizer, sources, 16, 8), begin, 200, 200)
    against = train(forward_model_update(MODEL, optimizer, sources, 16, 8, against_plans), begin, 200, 200)
    measured = jax.jit(forward_model_update(MODEL, optimizer, sources, 256, 8, plan_cost))
    untrained, plainly, adversarially = (measured(state)[1] for state in (begin, plain, against))
    assert adversarially["prior"] > 1.5 * plainly["prior"]
    assert adversarially["model_loss"] < 0.5 * untrained["model_loss"]


# ---- the watcher


def watched(distance):
    """A planner through a double integrator, watched by one whose forces are ``distance`` times weaker."""
    model = double_integrator(2, 0.1)
    inverter = MlpInverter(4, 2, 8, 2, (8,), 2)
    planner = InversePlanner(inverter, model, REACH_WITH_LITTLE_EFFORT, execute_steps=4)
    fresh = inverter.init(KEY)
    params = PlannerParams(fresh._replace(net=jax.tree.map(lambda x: x + 0.3, fresh.net)), model.init(KEY), ())
    a, b = model.init(KEY)
    watched = WatchedParams(params, (a, (1 - distance) * b), jnp.array(0.05))
    return WatchedPlanner(planner, model, lambda state: state[:2]), watched


def test_a_watcher_that_agrees_says_nothing_and_one_that_does_not_is_heard():
    problem = Problem(STATE, jnp.array([1.0, 1.0]))
    for distance, result in ((0.0, Result.OK), (0.9, Result.MODEL_DISAGREES)):
        planner, params = watched(distance)
        out = jax.jit(planner.plan)(params, KEY, problem)
        plain = planner.planner.plan(params.planner, KEY, problem)
        np.testing.assert_allclose(out.actions, plain.actions, atol=1e-6)
        assert Result(int(out.result)) is result
        apart = planner.disagreement(params, out.states, out.actions)
        other = planner.watcher.unroll(params.watcher, STATE, out.actions)
        wanted = np.linalg.norm((out.states - other)[:, :2], axis=-1).max()
        np.testing.assert_allclose(apart, wanted, atol=1e-5)
    assert "second model" in Result.MODEL_DISAGREES.describe()


def test_a_bad_problem_keeps_its_result_and_all_other_plans_are_watched():
    problem = Problem(STATE, jnp.ones(2))
    planner, params = watched(0.9)
    assert (
        Result(int(planner.plan(params, KEY, Problem(STATE.at[0].set(jnp.nan), jnp.ones(2))).result))
        is Result.NON_FINITE
    )
    inverter = params.planner.inverter
    nowhere = params.planner._replace(inverter=inverter._replace(visited=jnp.zeros_like(inverter.visited)))
    assert Result(int(planner.plan(params._replace(planner=nowhere), KEY, problem).result)) is Result.OUTSIDE_DATA
    full = params.planner._replace(inverter=inverter._replace(net=jax.tree.map(lambda x: x + 1e3, inverter.net)))
    assert Result(int(planner.planner.plan(full, KEY, problem).result)) is Result.BOUND_SATURATED
    assert Result(int(planner.plan(params._replace(planner=full), KEY, problem).result)) is Result.MODEL_DISAGREES
    planner, params = watched(0.0)
    broken = params._replace(watcher=jax.tree.map(lambda x: x * jnp.nan, params.watcher))
    assert Result(int(planner.plan(broken, KEY, problem).result)) is Result.MODEL_DISAGREES


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


def test_plans_are_hacked_good_or_neither_and_each_half_has_its_use():
    planner, params = watched(0.9)
    count = 400
    states, goal = 0.3 * jax.random.normal(KEY, (count, 4)), jnp.array([5.0, 5.0])
    problems = Problem(states, jnp.tile(goal, (count, 1)))
    # Larger actions part the models further.
    actions = jax.random.permutation(KEY, jnp.linspace(0.1, 0.9, count)[:, None, None] * jnp.ones((count, 8, 2)))
    scored = jax.jit(jax.vmap(planner.planner.score, in_axes=(None, 0, 0)))(params.planner, problems, actions)
    out = SimpleNamespace(actions=actions, states=scored.states, cost=scored.cost)
    apart = np.asarray(jax.vmap(planner.disagreement, in_axes=(None, 0, 0))(params, out.states, out.actions))
    world = SimpleNamespace(
        model=planner.watcher, objective=REACH_WITH_LITTLE_EFFORT, objective_params=(), harm=(0.3, 0.1)
    )
    trained = Trained(planner.planner, params.planner, params.watcher, states, 0.01 * actions)
    episode = np.arange(count) // 2
    tried = episode % 2 == 1

    def judged(hacked, lucky):
        """What is said where those plans end far from the goal, and those at the goal against what was promised."""
        realised = np.array(out.states)
        realised[hacked, 1:, :2] -= 3.0
        realised[lucky, 1:, :2] = goal
        return detection(world, trained, Plans(problems, out, realised, episode))

    order = apart.argsort()
    none, many, few = order[:0], order[-100:], order[80:]
    found = judged(many, order[:40])
    assert found["hacked_plans"] == tried[many].sum()
    assert found["good_plans"] == tried[order[40:-100]].sum()
    assert (found["threshold_from"], found["flagged_of_hacked"]) == ("good plans", 1.0)
    assert 0 <= found["false_alarms"] < 0.1
    good = order[40:-100]
    assert found["threshold_m"] == pytest.approx(float(calibrate(jnp.asarray(apart[good[~tried[good]]]))))
    # Plans whose models agree are not noticed.
    assert judged(order[:100], none)["flagged_of_hacked"] == 0.0
    # Hardly any good plan: the threshold is that of data, whose small actions hardly part the models.
    found = judged(few, none)
    assert found["threshold_from"] == "held-out data"
    assert found["threshold_m"] < apart.min()
    assert found["flagged_of_hacked"] == found["false_alarms"] == 1.0
    assert judged(none, none)["flagged_of_hacked"] is None


# ---- pictures


def test_limbs_turn_with_the_ant():
    state = np.array(random_start(KEY), float)
    state[:2], state[3:7] = (3.0, -2.0), (1, 0, 0, 0)
    turned = state.copy()
    turned[3:7] = np.cos(0.5), 0, 0, np.sin(0.5)
    ends, after = limbs(np.stack([state, turned])) - [3.0, -2.0]
    assert ends.shape == (12, 2, 2)
    turn = np.array([[np.cos(1.0), -np.sin(1.0)], [np.sin(1.0), np.cos(1.0)]])
    np.testing.assert_allclose(after, ends @ turn.T, atol=1e-6)
    # Each leg reaches further out than the torso.
    assert np.abs(ends).max() > 0.4


def test_a_gif_has_a_frame_for_every_stride():
    from PIL import Image  # noqa: PLC0415

    layout = antmaze_specs.spec("antmaze-umaze-v2").layout
    states = np.repeat(np.asarray(random_start(KEY))[None, None], 2, axis=0).repeat(10, axis=1)
    states[1, :, 0] += np.arange(10)
    gif = ant_gif(layout, states, np.array([[0.0, 8.0], [1.0, 9.0]]), stride=4, dpi=30)
    assert Image.open(io.BytesIO(gif)).n_frames == 3


# ---- the program


def test_settings_are_compared_in_one_record(tmp_path):
    small = [
        "--rows=20000",
        "--broad_rows=8000",
        "--inverter_updates=6",
        "--watcher_updates=6",
        f"--workdir={tmp_path / 'runs'}",
    ]
    run = [
        "-m",
        "benchmarks.hacking_mitigations",
        "--robot=maze2d",
        "--settings=trust region + online correction",
        *small,
    ]
    done = run_python(*run, "--model_updates=6", f"--output={tmp_path / 'table.json'}")
    record = read_record(done, tmp_path / "table.json")
    (row,) = record["rows"]
    assert row["setting"] == "trust region + online correction"
    detector = row["detector"]
    assert 0 < detector["hacked_plans"] < 1000 - detector["good_plans"]
    assert detector["threshold_m"] > 0
    assert row["hacked_share"] > 0
    assert row["error_median_m"] > 0
    assert (tmp_path / "table.png").stat().st_size > 10_000
    assert (tmp_path / "runs" / "trust-region-online-correction" / "data" / "executed_3.npz").exists()
    assert (tmp_path / "runs" / "trust-region-online-correction" / "data" / "watched.npz").exists()
    # The folder goes on with the same settings alone.
    done = run_python(*run, "--model_updates=9", f"--output={tmp_path / 'other.json'}")
    assert done.returncode != 0
    assert "holds a run with other settings" in done.stderr
    ant = ["--robot=ant", "--policy=none.npz", f"--output={tmp_path / 'ant.json'}"]
    done = run_python("-m", "benchmarks.hacking_mitigations", *ant)
    assert done.returncode != 0
    assert "none.npz: there is no policy here" in done.stderr
