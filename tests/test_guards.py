"""The guards against model hacking as settings of the method inverter: an ensemble, an adversarial model, a second model."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_fit import NO_CORRECTION, Cart, KilledError, same

import invlearn_jax as il
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.methods import inverter
from invlearn_jax.methods.inverter_training import against_plans
from invlearn_jax.models.ensemble import DisagreementModel
from invlearn_jax.settings import with_settings
from invlearn_jax.types import Result

KEY = jax.random.key(0)
SMALL = NO_CORRECTION | {"model.hidden": (8,), "net.hidden": (8,), "data.rows": 1000}
GUARDED = SMALL | {
    "model.members": 2,
    "objective.disagreement": 1.0,
    "watch.steps": 20,
    "watch.robots": 4,
    "watch.executed": 40,
    "data.held_out": 0.2,
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """An ensemble's planner with a second model: run folder, planner, parameters."""
    folder = tmp_path_factory.mktemp("guarded")
    return folder, *il.fit(Cart(), workdir=folder, settings=GUARDED)


@pytest.fixture(scope="module")
def plan(guarded):
    return jax.jit(guarded[1].plan)


def test_a_guarded_planner_comes_back_from_its_folder(guarded, plan):
    folder, _, params = guarded
    loaded, again = il.load_planner(folder / "planner", refine_steps=0)
    same(params, again)
    problem = Cart().draw_problem(KEY)
    out = plan(params, KEY, problem)
    same(out, jax.jit(loaded.plan)(again, KEY, problem))
    assert out.states.shape == (4, 2)
    assert out.info["disagreement"].shape == (4,)
    assert out.info["watcher_distance"] >= 0
    assert out.cost_terms["disagreement"] == pytest.approx(
        float(params.planner.objective.scale * out.info["disagreement"][1:].mean()), rel=1e-5
    )
    assert jnp.isfinite(params.threshold)


def test_a_killed_fit_of_a_guarded_planner_goes_on_to_the_same_parameters(guarded, tmp_path, monkeypatch):
    log = RunFolder.log

    def kill(self, name, step, values):
        log(self, name, step, values)
        if self.path.name == "watcher" and step == 10:
            raise KilledError

    monkeypatch.setattr(RunFolder, "log", kill)
    with pytest.raises(KilledError):
        il.fit(Cart(), workdir=tmp_path, settings=GUARDED)
    monkeypatch.setattr(RunFolder, "log", log)
    same(guarded[2], il.fit(Cart(), workdir=tmp_path, settings=GUARDED)[1])


def test_disagreement_is_charged_where_members_differ(guarded):
    params = guarded[2].planner
    planner = inverter.unwatched(
        Cart(), with_settings(inverter.Settings(), SMALL | {"model.members": 2, "objective.disagreement": 1.0})
    )
    assert isinstance(planner.model, DisagreementModel)
    problem, actions = Cart().draw_problem(KEY), jnp.ones((3, 1))
    one = jax.tree.map(lambda x: jnp.stack([x[0], x[0]]), params.model)
    costs = {
        name: planner.score(params._replace(model=model), problem, actions)
        for name, model in (("alike", one), ("apart", params.model))
    }
    assert costs["alike"].terms["disagreement"] < 1e-4 < costs["apart"].terms["disagreement"]
    # Of two members the standard deviation is half their distance, in units of the data's change over a chunk.
    first, second = planner.model.unroll_members(params.model, problem.state, actions)
    wanted = np.sqrt(((np.asarray(first - second) / 2 / params.model.delta[0, -1]) ** 2).mean(-1))
    np.testing.assert_allclose(costs["apart"].states[:, -1], wanted, atol=1e-5)
    # Beyond the data the members part more.
    far = planner.model.unroll(params.model, 50 * jnp.ones(2), actions)[-1, -1]
    assert far > 3 * costs["apart"].states[-1, -1]


def test_plans_through_places_without_data_are_flagged(guarded, plan):
    params = guarded[2]
    problems = jax.jit(jax.vmap(Cart().draw_problem))(jax.random.split(KEY, 200))
    out = jax.jit(jax.vmap(guarded[1].plan, in_axes=(None, None, 0)))(params, KEY, problems)
    flagged = np.asarray(out.info["watcher_distance"] > params.threshold)
    assert 0 < flagged.mean() < 0.7  # of models that hardly learned
    assert (np.asarray(out.result)[flagged] == Result.MODEL_DISAGREES).all()
    far = plan(params, KEY, il.Problem(jnp.array([3.0, 40.0]), jnp.zeros(1)))
    assert far.info["watcher_distance"] > params.threshold
    assert int(far.result) in (Result.MODEL_DISAGREES, Result.OUTSIDE_DATA)


def test_an_adversary_raises_the_plans_cost(tmp_path):
    settings = with_settings(inverter.Settings(), SMALL)
    planner = inverter.unwatched(Cart(), settings)
    params = planner.init(KEY)
    assert against_plans(planner, params, Cart().draw_problem, 0.0) is None
    prior = jax.jit(against_plans(planner, params, Cart().draw_problem, 0.5))
    slope = jax.jit(jax.grad(prior))(params.model, KEY).net
    moved = jax.tree.map(lambda x, d: x - 0.1 * d, params.model.net, slope)
    assert prior(params.model._replace(net=moved), KEY) < prior(params.model, KEY) < 0
    # What it has of a plan is bounded.
    wild = jax.tree.map(lambda x: 1e3 * jnp.ones_like(x), params.model.net)
    assert prior(params.model._replace(net=wild), KEY) >= -0.5 * 3 - 1e-5
    rounds = {"correction.rounds": 1, "correction.robots": 2, "correction.steps": 20, "correction.share": 0.0}
    rounds |= {"correction.model_steps": 2, "correction.inverter_steps": 2, "block": 2, "checkpoint_every": 2}
    few = {"model.steps": 2, "inverter.steps": 2, "correction.adversarial": 0.1}
    il.fit(Cart(), workdir=tmp_path, settings=SMALL | rounds | few)
    assert {row["name"] for row in RunFolder(tmp_path).metrics() if row["stage"] == "model_1"} >= {"prior"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective.disagreement": 1.0}, "one model has none to disagree with"),
        ({"correction.adversarial": 1.0, "model.members": 2}, "only one model is trained against the Inverter"),
        ({"watch.steps": 1, "watch.executed": 16}, "watch.executed is 16; the model learns from windows"),
        ({"watch.false_alarms": 1.0}, "watch.false_alarms is 1.0; give a finite number"),
    ],
)
def test_guards_that_cannot_be_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        il.fit(Cart(), workdir=tmp_path / "run", settings=settings)
    assert not (tmp_path / "run").exists()


def test_by_default_a_trust_region_and_correction_guard():
    settings = inverter.Settings()
    assert (settings.objective.unvisited, settings.correction.rounds) == (1.0, 2)
    assert (settings.model.members, settings.watch.steps, settings.correction.adversarial) == (1, 0, 0.0)
    assert dataclasses.asdict(settings)["objective"]["disagreement"] == 0.0
