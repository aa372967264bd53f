"""Policies as planners: one contract for the three, bad input, training that goes on after a kill."""

import functools
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import TINY, count_compilations

from experiments.configs import EXPERIMENTS
from experiments.configs.maze2d_policy import for_maze
from experiments.pipelines.maze2d_policy import check, describe, train_policy
from invlearn_jax.data import Dataset, write_ogbench
from invlearn_jax.io.planners import load_planner, save_planner
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.learn.decision_transformer import (
    transformer_optimizer,
)
from invlearn_jax.models import SequenceModel
from invlearn_jax.models.decision_transformer import DecisionTransformer
from invlearn_jax.models.padded import PaddedModel
from invlearn_jax.models.policy import MlpPolicy
from invlearn_jax.networks import decision_network
from invlearn_jax.planners.policy import PolicyInverter
from invlearn_jax.tasks.maze2d.generator import random_data
from invlearn_jax.tasks.maze2d.planner import build_planner
from invlearn_jax.tasks.maze2d.policy import MazePolicyConfig, build_policy_planner
from invlearn_jax.tasks.maze2d.stack import MazeStackConfig, build_stack
from invlearn_jax.types import Inverter, Problem, Result

KEY = jax.random.key(0)
CONFIGS = {
    "bc": MazePolicyConfig(TINY, "bc", hidden=(8,), octaves=2),
    "rebrac": MazePolicyConfig(TINY, "rebrac", hidden=(8,), octaves=0),
    "rebrac_of_6": MazePolicyConfig(TINY, "rebrac", 6, 3, hidden=(8,), octaves=2),
    "dt": MazePolicyConfig(
        TINY, "dt", 6, 3, context=4, target_return=5.0, return_scale=9.0, width=8, layers=2, heads=2
    ),
}
every_method = pytest.mark.parametrize("name", CONFIGS)


def problem(batch=()):
    rng = np.random.default_rng(1)
    state, goal = (jnp.asarray(rng.uniform(-0.3, 0.3, (*batch, size)), jnp.float32) for size in (4, 2))
    return Problem(state, goal)


@functools.cache
def compiled(name):
    """A planner of three candidates, its jitted plan, and its parameters with outputs that are not all near zero."""
    planner = build_policy_planner(CONFIGS[name], candidates=3)
    params = jax.jit(planner.init)(KEY)
    large = jax.tree.map(lambda x: x + 0.3 * jax.random.normal(jax.random.key(x.size), x.shape), params.inverter)
    net = large.net if name == "bc" else large.policy.net
    inverter = params.inverter
    inverter = (
        inverter._replace(net=net) if name == "bc" else inverter._replace(policy=inverter.policy._replace(net=net))
    )
    return planner, jax.jit(planner.plan), params._replace(inverter=inverter)


# --- the contract ---


@every_method
def test_a_policy_is_an_inverter(name):
    config, (planner, _, params) = CONFIGS[name], compiled(name)
    inverter, given = planner.inverter, problem()
    assert isinstance(inverter, Inverter)
    own, propose = jax.jit(inverter.init)(KEY), jax.jit(inverter.propose, static_argnums=3)
    if isinstance(inverter, PolicyInverter):
        assert params.inverter.model == ()
    for num in (1, 4):
        proposed = propose(own, KEY, given, num)
        assert proposed.shape == (num, config.horizon, 2)
        assert jnp.abs(proposed).max() <= 1
        other = propose(own, jax.random.key(9), given, num)
        np.testing.assert_allclose(proposed[0], other[0], atol=1e-6)
        assert (num == 1) == bool(jnp.allclose(proposed, other))
    assert (planner.horizon, planner.execute_steps) == (config.horizon, config.execute_steps)


@every_method
def test_plans_agree_with_and_without_jit_and_vmap_and_compile_once(name):
    planner, plan, params = compiled(name)
    batch, keys = problem((3,)), jax.random.split(jax.random.key(6), 3)
    together = jax.jit(jax.vmap(plan, in_axes=(None, 0, 0)))(params, keys, batch)
    singles = [(keys[i], Problem(batch.state[i], batch.goal[i])) for i in range(3)]
    plan(params, *singles[0])
    with count_compilations() as compilations:
        alone = [plan(params, *single) for single in singles]
    assert compilations == []
    for i, out in enumerate(alone):
        chex.assert_trees_all_close(jax.tree.map(lambda x, i=i: x[i], together), out, rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_close(planner.plan(params, *singles[0]), alone[0], rtol=1e-4, atol=1e-5)
    horizon = CONFIGS[name].horizon
    assert alone[0].states.shape == (horizon + 1, 4)
    assert bool(jnp.isfinite(alone[0].cost))
    assert int(alone[0].result) == Result.OK
    assert float(jnp.abs(together.actions).max()) > 0.05


@every_method
def test_saved_and_loaded(tmp_path, name):
    planner, plan, params = compiled(name)
    save_planner(tmp_path, CONFIGS[name], params)
    loaded, found = load_planner(tmp_path, candidates=3)
    chex.assert_trees_all_equal(found, params)
    out = jax.jit(loaded.plan)(found, KEY, problem())
    np.testing.assert_allclose(out.actions, plan(params, KEY, problem()).actions, rtol=1e-4, atol=1e-5)
    assert type(loaded) is type(planner)


def test_a_policy_for_one_goal_says_so_of_others():
    _, plan, params = compiled("rebrac")
    far = problem()._replace(goal=jnp.array([0.6, 0.0]))
    assert int(plan(params, KEY, far).result) == Result.OUTSIDE_DATA


def test_a_rollout_is_the_policys_closed_loop_with_the_model():
    planner, _, params = compiled("rebrac_of_6")
    policy, model, given = planner.inverter.policy, planner.model, problem()
    lent = params.inverter._replace(model=params.model)
    found = jax.jit(planner.inverter.propose, static_argnums=3)(lent, KEY, given, 1)[0]
    state = given.state
    for action in found:
        np.testing.assert_allclose(action, policy.act(params.inverter.policy, state), atol=1e-5)
        state = model.unroll(params.model, state, action[None])[1]


@pytest.mark.parametrize("steps", [1, 3, 4, 6])
def test_a_padded_model_holds_the_last_action(steps):
    model = SequenceModel(4, 2, 0.01, chunk=4, hidden=(8,))
    params, state = model.init(KEY), jnp.arange(4.0)
    actions = jax.random.uniform(KEY, (steps, 2))
    held = jnp.concatenate([actions, *([actions[-1:]] * (-steps % 4))])
    found = PaddedModel(model).unroll(params, state, actions)
    assert found.shape == (steps + 1, 4)
    np.testing.assert_allclose(found, model.unroll(params, state, held)[: steps + 1], rtol=1e-6)


# --- bad input ---


def test_bad_problems_and_settings_are_refused():
    planner, _, params = compiled("dt")
    with pytest.raises(ValueError, match=r"The state has shape \(3,\); this policy takes \(4,\)"):
        planner.plan(params, KEY, Problem(jnp.zeros(3), jnp.zeros(2)))
    with pytest.raises(ValueError, match=r"The goal has shape \(1, 2\); this policy takes \(2,\)"):
        planner.plan(params, KEY, Problem(jnp.zeros(4), jnp.zeros((1, 2))))
    with pytest.raises(ValueError, match=r"Unknown method 'rebrak'\. Nearest known: rebrac"):
        build_policy_planner(MazePolicyConfig(method="rebrak"))
    with pytest.raises(ValueError, match="horizon is 2 and the model is missing"):
        PolicyInverter(MlpPolicy(4, 2), 2)
    with pytest.raises(ValueError, match="horizon is 0 and the model is given"):
        PolicyInverter(MlpPolicy(4, 2), 0, planner.model)
    with pytest.raises(ValueError, match="context is 0"):
        decision_network(4, 2, 0)
    with pytest.raises(ValueError, match="width is 10, heads is 4"):
        decision_network(4, 2, 3, width=10, heads=4)
    with pytest.raises(ValueError, match="return_scale is 0.0"):
        DecisionTransformer(4, 2, 3, 1.0, 0.0, lambda position, goal: 0.0)
    with pytest.raises(ValueError, match="warm_up is 5 of 5 updates"):
        transformer_optimizer(1e-3, 5, 5, 0.0)


def test_bad_settings_of_an_experiment_are_refused(tmp_path):
    config = for_maze("umaze", "bc")
    config.base = "maze2d-umase-v1"
    with pytest.raises(ValueError, match="Nearest known: maze2d-umaze-v1"):
        check(config)
    stack = MazeStackConfig(TINY, hidden=(8,))
    save_planner(tmp_path, stack, build_stack(stack).init(KEY))
    config.base = str(tmp_path)
    with pytest.raises(ValueError, match="has no forward model of its own"):
        check(config)
    config = for_maze("umaze", "dt")
    config.policy.warm_up = config.policy.steps
    with pytest.raises(ValueError, match="warm_up is"):
        check(config)
    for field, value in (("discount", 1.0), ("delay", 0)):
        config = for_maze("umaze", "rebrac")
        setattr(config.policy, field, value)
        with pytest.raises(ValueError, match=f"{field} is {value}"):
            check(config)


@pytest.mark.parametrize("size", ["umaze", "medium", "large"])
@pytest.mark.parametrize("method", ["bc", "rebrac", "dt"])
def test_every_baseline_is_an_experiment(size, method):
    config = EXPERIMENTS[f"maze2d-{size}-{method}"].config()
    check(config)
    assert describe(config).env == f"maze2d-{size}-v1"
    assert config.data.random_rows == 0
    assert tuple(config.evaluation.refine_steps) == (0,)


# --- the pipeline ---


@pytest.mark.parametrize("method", ["bc", "rebrac", "dt"])
def test_training_goes_on_where_it_stopped(umaze, tmp_path, method):
    save_planner(tmp_path / "base", TINY, build_planner(TINY).init(KEY))
    rows = random_data(umaze, KEY, 300, streams=64)
    write_ogbench(tmp_path / "own.npz", Dataset(rows["observations"], rows["actions"], rows["timeouts"]))
    config = for_maze("umaze", method)
    config.base, config.data.path = str(tmp_path / "base"), str(tmp_path / "own.npz")
    config.block, config.checkpoint_every = 2, 2
    policy = config.policy
    policy.batch, policy.steps = 4, 4
    if method == "dt":
        policy.width, policy.layers, policy.context, policy.return_steps, policy.warm_up = 8, 1, 3, 20, 1
    else:
        policy.hidden = (8,)
    run = RunFolder(tmp_path / "whole")
    run.begin(config, 0)
    env, planner_of = train_policy(config, run, 0)
    planner, params = planner_of(0)
    assert env == "maze2d-umaze-v1"
    chex.assert_trees_all_equal(load_planner(tmp_path / "whole" / "planner")[1], params)
    assert bool(jnp.isfinite(planner.plan(params, KEY, problem()).cost))
    # The same run, its folder left as a kill after two updates leaves it.
    (tmp_path / "whole" / "checkpoints").rename(tmp_path / "kept")
    for step in (tmp_path / "kept").glob("*/4"):
        shutil.rmtree(step)
    (tmp_path / "part").mkdir()
    (tmp_path / "kept").rename(tmp_path / "part" / "checkpoints")
    _, planner_of = train_policy(config, RunFolder(tmp_path / "part"), 0)
    chex.assert_trees_all_close(planner_of(0)[1], params, rtol=1e-6)


@pytest.mark.parametrize("method", ["bc", "rebrac", "dt"])
def test_a_target_return_is_for_the_transformer_alone(tmp_path, method):
    config = CONFIGS[method]
    save_planner(tmp_path, config, jax.jit(build_policy_planner(config).init)(KEY))
    if method == "dt":
        assert load_planner(tmp_path, target_return=2.0)[0].inverter.policy.target_return == 2.0
    else:
        with pytest.raises(
            ValueError, match="option target_return has no effect .*; leave it out. With an effect: none"
        ):
            load_planner(tmp_path, target_return=2.0)
