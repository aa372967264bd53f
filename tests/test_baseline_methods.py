"""The baselines as methods of any task: fitted, saved, loaded, changed at inference, on a base's model or on one of their own."""

import dataclasses
import functools
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_tasks

import invlearn_jax as il
from invlearn_jax.methods import fitting
from invlearn_jax.methods.fitting import check_fit, method_settings, refinable
from invlearn_jax.methods.registry import find_method
from invlearn_jax.methods.saved import load_planner, save_planner
from invlearn_jax.planners.diffusion import Tracker
from invlearn_jax.settings import with_settings
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.types import Problem, Result

KEY = jax.random.key(0)
MODEL = {
    "data.rows": 1500, "model.hidden": (8,), "model.steps": 4, "model.batch": 8, "model.horizon": 8, "block": 2,
    "checkpoint_every": 2,
}  # fmt: skip
POLICY = {"steps": 4, "batch": 8}
PLANS = {
    "tokens": 8, "stride": 2, "width": 8, "multipliers": (1,), "train_steps": 4, "denoise_steps": 2, "candidates": 2,
    "inverse_hidden": (8,), "training.steps": 4, "training.batch": 4, "inverse.steps": 4, "inverse.batch": 8,
}  # fmt: skip
TINY = {
    "bc": POLICY | {"horizon": 3, "hidden": (8,), "octaves": 1},
    "rebrac": POLICY | {"horizon": 2, "hidden": (8,)},
    "dt": POLICY | {"horizon": 3, "context": 2, "width": 8, "layers": 1, "warm_up": 1, "return_steps": 10},
    "diffuser": PLANS,
    "decision-diffuser": PLANS,
    "consistency": PLANS | {"denoise_steps": 1, "distilling.steps": 4, "distilling.batch": 4},
}
# A policy and a planner of plans learn their own model; the others take a base's.
OWN_MODEL = ("bc", "diffuser")
every_method = pytest.mark.parametrize("method", TINY)


def tiny(task, method, **changes):
    return with_settings(method_settings(task, method), MODEL | TINY[method] | changes)


def tiny_inverter():
    """Settings of a tiny planner of the cart."""
    return with_settings(method_settings(small_tasks.Cart(), "inverter"), {"model.hidden": (8,), "net.hidden": (8,)})


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The folder of a tiny planner of the cart, as drawn."""
    task, settings = small_tasks.Cart(), tiny_inverter()
    planner = find_method("inverter").build(task, settings)
    folder = tmp_path_factory.mktemp("base")
    save_planner(folder, task, "inverter", settings, planner.init(jax.random.key(3)))
    return folder


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, base):
    """Settings, run folder, planner and parameters of a method on the cart."""

    @functools.cache
    def fit(method):
        folder, task = tmp_path_factory.mktemp(method), small_tasks.Cart()
        settings = tiny(task, method, base="" if method in OWN_MODEL else str(base))
        return settings, folder, *il.fit(task, method, folder, settings=settings)

    return fit


def made(task, method, **changes):
    """A planner as drawn."""
    planner = find_method(method).build(task, tiny(task, method, **changes))
    return planner, planner.init(KEY)


# --- fitted on any task


@every_method
def test_a_baseline_is_learned_saved_and_loaded(fitted, method):
    _, folder, planner, params = fitted(method)
    loaded, again = load_planner(folder / "planner")
    assert type(loaded) is type(planner)
    problem = Problem(jnp.array([0.2, 0.1]), jnp.array([3.0]))
    out, same = (jax.jit(p.plan)(q, KEY, problem) for p, q in ((planner, params), (loaded, again)))
    np.testing.assert_array_equal(out.actions, same.actions)
    assert (out.actions >= -1).all() and (out.actions <= 3).all()
    assert jnp.isfinite(out.cost) and int(out.result) in (Result.OK, Result.BOUND_SATURATED)
    assert (folder / "model.json").is_file() == (method in OWN_MODEL)


@pytest.mark.parametrize("method", ["bc", "rebrac", "dt", "decision-diffuser"])
def test_refinement_moves_within_the_actions_box(fitted, method):
    folder = fitted(method)[1]
    problem = Problem(jnp.array([0.2, 0.1]), jnp.array([9.0]))
    planner, params = load_planner(folder / "planner", refine_steps=3, candidates=2)
    out = jax.jit(planner.plan)(params, KEY, problem)
    assert out.cost <= out.proposal_cost
    assert (out.actions >= -1).all() and (out.actions <= 3).all()


@pytest.mark.parametrize("method", ["dt", "diffuser"])
def test_a_baseline_is_evaluated_as_any_planner(fitted, method):
    folder = fitted(method)[1]
    record = il.evaluate(*load_planner(folder / "planner"), small_tasks.Cart(), episodes=2)
    assert np.isfinite(record["cost_mean"])


def test_a_killed_run_goes_on_to_the_same_parameters(fitted, tmp_path):
    """ReBRAC has the most to keep: critics, slow copies, two optimisers."""
    method = "rebrac"
    settings, folder, _, params = fitted(method)
    shutil.copytree(folder, tmp_path / "part")
    for step in (tmp_path / "part" / "checkpoints").glob(f"{method}/4"):
        shutil.rmtree(step)
    again = il.fit(small_tasks.Cart(), method, tmp_path / "part", settings=settings)[1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), again, params)


@every_method
def test_tasks_without_goals_have_baselines_too(method):
    task = small_tasks.Still()
    planner = find_method(method).build(task, tiny(task, method))
    problem = Problem(jnp.zeros(2), jnp.zeros(0))
    out = jax.eval_shape(planner.plan, jax.eval_shape(planner.init, KEY), KEY, problem)
    assert out.actions.shape == (planner.horizon, 1)


def test_plans_of_a_task_in_other_units_end_at_the_goal():
    """The state does not begin with the place, which stands in channels of its own."""
    planner, params = made(small_tasks.Cart(), "diffuser")
    low, high = jnp.array([-1, -1, -10, -1.0]), jnp.array([1, 1, 10, 3.0])
    own = params.inverter._replace(diffusion=params.inverter.diffusion._replace(low=low, high=high))
    problem = Problem(jnp.array([0.2, 0.1]), jnp.array([3.0]))
    plans = jax.jit(lambda p: planner.inverter.plans(p, KEY, problem, 2))(own)
    np.testing.assert_allclose(plans[:, 0, :3], np.tile([0.2, 0.1, 2.0], (2, 1)), atol=1e-5)
    np.testing.assert_allclose(plans[:, -1, 2], 3.0, atol=1e-5)


# --- on another planner's model


@pytest.mark.parametrize("method", ["rebrac", "decision-diffuser"])
def test_model_and_objective_are_the_bases(base, fitted, method):
    held = load_planner(base)[1]
    _, folder, _, params = fitted(method)
    assert not any(name.startswith((".model", ".objective")) for name in np.load(folder / "planner" / "params.npz"))
    for found in (params, load_planner(folder / "planner")[1]):
        jax.tree.map(np.testing.assert_array_equal, (found.model, found.objective), (held.model, held.objective))


def test_a_planner_moves_together_with_its_base(base, tmp_path, monkeypatch):
    held = load_planner(base)[1]
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    save_planner("base", small_tasks.Cart(), "inverter", tiny_inverter(), held)
    planner, params = made(small_tasks.Cart(), "bc", base="base")
    save_planner("own", small_tasks.Cart(), "bc", tiny(small_tasks.Cart(), "bc", base="base"), params)
    monkeypatch.chdir(tmp_path)
    shutil.move("here", "there")
    jax.tree.map(np.testing.assert_array_equal, load_planner("there/own")[1].model, held.model)


def test_what_is_no_base_is_refused(base, fitted):
    with pytest.raises(ValueError, match="Unknown planner .* Nearest known: maze2d-umaze-v1"):
        made(small_tasks.Cart(), "bc", base="maze2d-umase-v1")
    with pytest.raises(ValueError, match="state_size of the base .* is 2, of Ball 4"):
        made(small_tasks.Ball(), "bc", base=str(base))
    with pytest.raises(ValueError, match="give a planner of the method 'inverter'"):
        made(small_tasks.Cart(), "bc", base=str(fitted("bc")[1] / "planner"))


def test_a_teacher_is_distilled_or_refused(base, fitted, tmp_path):
    task, folder = small_tasks.Cart(), fitted("decision-diffuser")[1]
    settings = tiny(task, "consistency", teacher=str(folder / "planner"), base=str(base))
    _, params = il.fit(task, "consistency", tmp_path / "run", settings=settings)
    taught = fitted("decision-diffuser")[3].inverter
    jax.tree.map(np.testing.assert_array_equal, params.inverter.inverse_dynamics, taught.inverse_dynamics)
    assert not (tmp_path / "run" / "checkpoints" / "diffusion").exists()
    for changes, words in (
        ({"teacher": str(fitted("bc")[1] / "planner")}, "no diffusion planner; give one"),
        ({"stride": 1, "gap": 2}, "stride is 2 there, 1 here"),
    ):
        wrong = with_settings(settings, changes)
        with pytest.raises(ValueError, match=words):
            il.fit(task, "consistency", tmp_path / words[:4], settings=wrong)


# --- goals


def test_a_policy_for_one_goal_says_so_of_others():
    planner, params = made(small_tasks.Ball(), "rebrac", one_goal=True, same_goal=0.5)
    plan = jax.jit(planner.plan)
    for goal, result in ((0.25, Result.OK), (0.6, Result.OUTSIDE_DATA)):
        assert int(plan(params, KEY, Problem(jnp.zeros(4), jnp.array([goal, 0.0]))).result) == result


@pytest.mark.parametrize("method", ["rebrac", "dt"])
def test_a_policy_sees_its_goal_unless_it_has_one_alone(method):
    states, goals = jnp.zeros(4), jnp.array([[0.1, 0.2], [0.4, -0.3]])
    for one_goal in (False, True):
        planner, params = made(small_tasks.Ball(), method, one_goal=one_goal)
        plan = jax.jit(planner.plan)
        first, second = (plan(params, KEY, Problem(states, goal)).actions for goal in goals)
        assert bool(jnp.allclose(first, second, atol=1e-6)) == one_goal


# --- settings


@pytest.mark.parametrize("size", ["umaze", "medium", "large"])
@every_method
def test_mazes_have_settings_of_their_own(method, size, monkeypatch):
    name = f"maze2d-{size}-v1"
    settings = method_settings(make_task(name), method)
    # That the mazes themselves keep the contract is tested of every task.
    monkeypatch.setattr(fitting, "check_task", lambda task: None)
    check_fit(make_task(name), method, settings)
    assert settings.base == name
    if method == "consistency":
        assert settings.teacher == f"{name}-decision-diffuser"
    if method in ("rebrac", "dt"):
        assert settings.one_goal
        assert not method_settings(make_task(f"maze2d-{size}-multi-v1"), method).one_goal


def test_a_maze_of_ones_own_trains_its_model_itself():
    settings = method_settings(make_task("#####/#OOG#/#####"), "consistency")
    assert (settings.base, settings.teacher, settings.tail.kind) == ("", "", "graph")


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("dt", {"warm_up": 4}, "warm_up is 4 of 4 updates"),
        ("dt", {"width": 10, "heads": 4}, "width is 10, heads is 4"),
        ("diffuser", {"candidates": 0}, "candidates is 0"),
        ("diffuser", {"denoise_steps": 11}, "allowed are 1 to the 4"),
        ("diffuser", {"tokens": 7, "multipliers": (1, 2)}, "multiple of 2"),
        ("diffuser", {"follow": "pid"}, "Nearest known: pd"),
        ("diffuser", {"follow": "pd"}, "no places and their rates"),
        ("decision-diffuser", {"follow": "actions"}, "hold no actions"),
        ("decision-diffuser", {"horizon": 13}, "allow 1 to 12"),
        ("decision-diffuser", {"sampler": "ddqm"}, "ddpm"),
        ("rebrac", {"delay": 0}, "delay is 0"),
    ],
)
def test_bad_settings_are_refused(method, changes, message):
    task = small_tasks.Cart()
    with pytest.raises(ValueError, match=message):
        check_fit(task, method, tiny(task, method, **changes))


def test_a_followed_plan_is_not_refined():
    settings = tiny(small_tasks.Cart(), "diffuser")
    assert refinable(small_tasks.Cart(), "diffuser", settings, (0, 10)) == [0]
    assert refinable(small_tasks.Cart(), "bc", tiny(small_tasks.Cart(), "bc"), (0, 10)) == [0, 10]
    with pytest.raises(ValueError, match="is not refined"):
        find_method("diffuser").build(small_tasks.Cart(), settings, refine_steps=3)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of a planner whose parameters are zeros, by method and changes."""

    @functools.cache
    def save(method, **changes):
        folder, task = tmp_path_factory.mktemp(method), small_tasks.Ball()
        settings = tiny(task, method, **changes)
        # Zeros need no program to be compiled, and nothing is planned by them.
        shapes = jax.eval_shape(find_method(method).build(task, settings).init, KEY)
        save_planner(folder, task, method, settings, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes))
        return folder

    return save


def test_inference_options_change_a_loaded_planner(saved):
    assert load_planner(saved("dt"), target_return=2.0)[0].inverter.policy.target_return == 2.0
    folder = saved("decision-diffuser")
    assert isinstance(load_planner(folder, follow="pd", temperature=0.5)[0], Tracker)
    assert len(load_planner(folder, denoise_steps=3)[0].inverter.steps.levels) == 3
    for wrong, message in (
        ({"denoise_step": 2}, "denoise_steps"),
        ({"stride": 3}, "Unknown inference option"),
        ({"denoise_steps": "5"}, "give a whole number"),
        ({"temperature": np.nan}, "temperature is nan"),
    ):
        with pytest.raises(ValueError, match=message):
            load_planner(folder, **wrong)
    with pytest.raises(ValueError, match="Unknown inference option"):
        load_planner(saved("rebrac"), target_return=2.0)


@pytest.mark.parametrize(
    ("changes", "option", "effective"),
    [
        ({"ask_goal": False}, {"guidance": 1.5}, "temperature"),
        ({"follow": "pd"}, {"horizon": 4}, "guidance"),
        ({}, {"follow": "pd", "horizon": 4}, "guidance"),
        ({"denoise_steps": 1}, {"sampler": "ddpm"}, "denoise_steps"),
        ({}, {"sampler": "ddpm", "denoise_steps": 1}, "denoise_steps"),
        ({"train_steps": 1, "denoise_steps": 1}, {"denoise_steps": 1}, "temperature"),
    ],
)
def test_inference_options_without_effect_are_refused_by_name(saved, changes, option, effective):
    folder = saved("decision-diffuser", **changes)
    name = next(name for name in ("guidance", "horizon", "sampler", "denoise_steps") if name in option)
    with pytest.raises(
        ValueError, match=f"option {name} has no effect on .*; leave it out. With an effect: .*{effective}"
    ):
        load_planner(folder, **option)
    assert load_planner(folder, temperature=0.5)[0] is not None


# --- planners that the first edition saved

BASE = {
    "env": "maze2d-umaze-v1", "horizon": 32, "execute_steps": 8, "inverter_hidden": [8], "inverter_octaves": 5, "model_chunk": 8,
    "model_hidden": [8], "model_octaves": 7, "cost_to_go_hidden": [8], "cost_to_go_octaves": 5, "look_ahead": 0.06,
    "final_weight": 1.0, "along_weight": 0.3, "outside_weight": 1.0, "smooth_weight": 0.0001, "effort_weight": 0.0,
    "unvisited_weight": 30.0, "goal_radius": 0.45, "goal_width": 0.05, "refine_rate": 0.02,
}  # fmt: skip
OLD_POLICY = {
    "kind": "maze_policy", "base": BASE, "horizon": 4, "execute_steps": 2, "hidden": [8], "octaves": 2, "context": 3,
    "target_return": 5.0, "return_scale": 9.0, "width": 8, "layers": 1, "heads": 1, "dropout": 0.1, "refine_rate": 0.02,
}  # fmt: skip
OLD_PLANS = {
    "kind": "maze_diffusion", "base": BASE, "tokens": 8, "stride": 4, "width": 8, "multipliers": [1], "train_steps": 4,
    "with_actions": True, "pin_goal": True, "ask_goal": False, "sampler": "ddpm", "denoise_steps": 2, "guidance": 1.0,
    "temperature": 1.0, "follow": "pd", "gap": 4, "inverse_hidden": [8], "horizon": 8, "candidates": 1, "execute_steps": 100,
}  # fmt: skip
SAME_MODEL = {"model.hidden": (8,), "tail.hidden": (8,), "refine_rate": 0.02}
OF_POLICY = SAME_MODEL | {"horizon": 4, "hidden": (8,), "octaves": 2}
ONE_GOAL = {"one_goal": True, "same_goal": 0.5, "execute_steps": 2, "horizon": 4}
OF_TRANSFORMER = {"context": 3, "target_return": 5.0, "return_scale": 9.0, "width": 8, "layers": 1}
OLD_STATES = OLD_PLANS | {
    "with_actions": False, "pin_goal": False, "ask_goal": True, "follow": "inverse_dynamics", "execute_steps": 4
}  # fmt: skip


def of_plans(fields):
    return {name: value for name, value in fields.items() if name not in ("kind", "base")}


FIRST_EDITION = {
    "bc": (OLD_POLICY | {"method": "bc"}, OF_POLICY),
    "rebrac": (OLD_POLICY | {"method": "rebrac"}, OF_POLICY | ONE_GOAL),
    "dt": (OLD_POLICY | {"method": "dt"}, SAME_MODEL | ONE_GOAL | OF_TRANSFORMER),
    "diffuser": (OLD_PLANS, SAME_MODEL | of_plans(OLD_PLANS)),
    "decision-diffuser": (OLD_STATES, SAME_MODEL | of_plans(OLD_STATES)),
}


def old_names(arrays, method):
    """Arrays by the first edition's names: its objective was the cost-to-go with a map, its Inverter had one box for all."""
    old = {}
    for name, x in arrays.items():
        if name.startswith(".objective.tail."):
            old[name.replace(".tail.", ".")] = x
        elif name == ".objective.coverage.table":
            old[".objective.unvisited"] = x
        elif not name.startswith((".objective.", ".inverter.state", ".inverter.goal")):
            old[name] = x
    if method == "bc":
        old |= {
            f".inverter.{name}": value * np.ones(2, np.float32)
            for name, value in (("centre", 2), ("half", 3), ("scale", 4))
        }
    return old


@pytest.mark.parametrize(
    ("method", "shares"), [*((method, False) for method in FIRST_EDITION), ("bc", True), ("decision-diffuser", True)]
)
def test_a_first_edition_folder_acts_as_it_did(tmp_path, method, shares):
    fields, changes = FIRST_EDITION[method]
    task = make_task("maze2d-umaze-v1")
    settings = dataclasses.replace(with_settings(method_settings(task, method), changes), base="")
    planner = find_method(method).build(task, settings)
    params = planner.init(KEY)
    if method == "bc":
        ones, zeros = jnp.ones(2), jnp.zeros(2)
        state = params.inverter.state._replace(mean=jnp.append(2 * ones, zeros), std=jnp.append(3 * ones, 4 * ones))
        goal = params.inverter.goal._replace(mean=2 * ones, std=3 * ones)
        params = params._replace(inverter=params.inverter._replace(state=state, goal=goal))
    arrays = {jax.tree_util.keystr(path): np.asarray(x) for path, x in jax.tree_util.tree_flatten_with_path(params)[0]}
    old = old_names(arrays, method)
    if shares:
        held = {name: x for name, x in old.items() if not name.startswith(".inverter")}
        write(tmp_path / "base", {"kind": "maze"} | BASE, held | inverter_arrays())
        old = {name: x for name, x in old.items() if name.startswith(".inverter")}
        fields = fields | {"shares": "../base"}
    write(tmp_path / "old", fields, old)
    loaded, found = load_planner(tmp_path / "old")
    problem = Problem(jnp.array([1.0, 1.2, 0.5, 0.0]), jnp.array([3.0, 1.0]))
    out, wanted = (jax.jit(p.plan)(q, KEY, problem) for p, q in ((loaded, found), (planner, params)))
    np.testing.assert_array_equal(out.actions, wanted.actions)
    np.testing.assert_allclose(out.cost, wanted.cost, rtol=1e-6)
    assert loaded.execute_steps == fields["execute_steps"] or method == "bc"


def write(folder, fields, arrays):
    folder.mkdir()
    (folder / "planner.json").write_text(json.dumps(fields))
    np.savez(folder / "params.npz", **arrays)


def inverter_arrays():
    """What the Inverter of a first-edition base of this size held."""
    sizes = (46, 8, 64)
    net = {f".inverter.net['Dense_{i}']['kernel']": np.zeros(sizes[i : i + 2], np.float32) for i in (0, 1)}
    net |= {f".inverter.net['Dense_{i}']['bias']": np.zeros(sizes[i + 1], np.float32) for i in (0, 1)}
    return net | {f".inverter.{name}": np.ones(2, np.float32) for name in ("centre", "half", "scale")}
