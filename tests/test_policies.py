"""Policies as Inverters: their contract, their closed loop with a model, and what they refuse."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_tasks import Ball, Cart

from invlearn_jax.learn.decision_transformer import transformer_optimizer
from invlearn_jax.models.chunked import ChunkedModel
from invlearn_jax.models.decision_transformer import DecisionTransformer
from invlearn_jax.models.padded import PaddedModel
from invlearn_jax.models.policy import MlpPolicy
from invlearn_jax.networks import decision_network
from invlearn_jax.planners.policy import PolicyInverter, RolloutParams
from invlearn_jax.types import Inverter, Problem

KEY = jax.random.key(0)
POLICIES = {
    "mlp": lambda task: MlpPolicy(task, (8,), 2),
    "transformer": lambda task: DecisionTransformer(task, 4, 5.0, 9.0, width=8, layers=2, heads=2),
}
PROBLEM = Problem(jnp.array([0.2, -0.1]), jnp.array([3.0]))


@functools.cache
def made(name):
    """An Inverter of 6 steps on the cart, and parameters with outputs that are not all near zero."""
    task = Cart()
    inverter = PolicyInverter(POLICIES[name](task), 6, PaddedModel(ChunkedModel(task, 4, (8,))))
    params = jax.jit(inverter.init)(KEY)
    net = jax.tree.map(lambda x: x + 0.3 * jax.random.normal(jax.random.key(x.size), x.shape), params.policy.net)
    return inverter, params._replace(policy=params.policy._replace(net=net))


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_is_an_inverter(name):
    inverter, params = made(name)
    assert isinstance(inverter, Inverter)
    propose = jax.jit(inverter.propose, static_argnums=3)
    for num in (1, 4):
        proposed = propose(params, KEY, PROBLEM, num)
        assert proposed.shape == (num, 6, 1)
        assert (proposed >= -1).all() and (proposed <= 3).all()
        other = propose(params, jax.random.key(9), PROBLEM, num)
        np.testing.assert_allclose(proposed[0], other[0], atol=1e-6)
        assert (num == 1) == bool(jnp.allclose(proposed, other))


def test_a_rollout_is_the_policys_closed_loop_with_the_model():
    """Actions are shares of their box for the policy, -1 to 3 for the model."""
    inverter, params = made("mlp")
    model = PaddedModel(ChunkedModel(Cart(), 4, (8,)))
    state, act, step = PROBLEM.state, jax.jit(inverter.policy.act), jax.jit(model.unroll)
    for action in jax.jit(inverter.propose, static_argnums=3)(params, KEY, PROBLEM, 1)[0]:
        share = act(params.policy, Problem(state, PROBLEM.goal))
        np.testing.assert_allclose(action, 1 + 2 * share, atol=1e-5)
        state = step(params.model, state, action[None])[1]


@pytest.mark.parametrize("steps", [1, 3, 4, 6])
def test_a_padded_model_holds_the_last_action(steps):
    model = ChunkedModel(Ball(), 4, (8,))
    params, state = model.init(KEY), jnp.arange(4.0)
    actions = jax.random.uniform(KEY, (steps, 2))
    held = jnp.concatenate([actions, *([actions[-1:]] * (-steps % 4))])
    found = PaddedModel(model).unroll(params, state, actions)
    assert found.shape == (steps + 1, 4)
    np.testing.assert_allclose(found, model.unroll(params, state, held)[: steps + 1], rtol=1e-6)


def test_bad_problems_and_settings_are_refused():
    task = Ball()
    inverter = PolicyInverter(MlpPolicy(task, (8,)))
    params = RolloutParams(inverter.policy.init(KEY), ())
    with pytest.raises(ValueError, match=r"The state has shape \(3,\); this policy takes \(4,\)"):
        inverter.propose(params, KEY, Problem(jnp.zeros(3), jnp.zeros(2)), 1)
    with pytest.raises(ValueError, match=r"The goal has shape \(1, 2\); this policy takes \(2,\)"):
        inverter.propose(params, KEY, Problem(jnp.zeros(4), jnp.zeros((1, 2))), 1)
    with pytest.raises(ValueError, match="horizon is 2 and the model is missing"):
        PolicyInverter(MlpPolicy(task), 2)
    with pytest.raises(ValueError, match="horizon is 0 and the model is given"):
        PolicyInverter(MlpPolicy(task), 0, ChunkedModel(task))
    with pytest.raises(ValueError, match="context is 0"):
        decision_network(4, 2, 0)
    with pytest.raises(ValueError, match="width is 10, heads is 4"):
        decision_network(4, 2, 3, width=10, heads=4)
    with pytest.raises(ValueError, match="return_scale is 0.0"):
        DecisionTransformer(task, 3, 1.0, 0.0)
    with pytest.raises(ValueError, match="warm_up is 5 of 5 updates"):
        transformer_optimizer(1e-3, 5, 5, 0.0)
