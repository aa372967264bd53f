"""IQ-Learn's objective against exact solutions of a grid: where its gradient vanishes, and which reward that is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from invlearn_jax.imitation.iq_learn import IqSettings, Values, iq_loss
from invlearn_jax.tasks.classic import exact
from invlearn_jax.tasks.classic.gridworld import grid_tables

TABLES = grid_tables()
GAMMA, ALPHA = TABLES.discount, 0.5
EXPERT = exact.soft_optimum(TABLES).policy
RHO_E = exact.occupancy(TABLES, EXPERT)
NEXT = TABLES.transitions.argmax(-1)  # [S, A]: moves are certain


def single_rows(settings, q, values, expert):
    """``(loss, penalty) [S, A]`` of batches of one row each, for tables ``q [S, A]`` and ``values [S]``."""

    def one(q, value, following):
        given = Values(*(jnp.asarray(x)[None] for x in (q, value, following, False, expert)), jnp.zeros(()))
        loss, parts = iq_loss(settings, given)
        return loss, parts["penalty"]

    starts = jnp.broadcast_to(TABLES.start @ values, q.shape)
    return jax.vmap(jax.vmap(one))(q, starts, values[NEXT])


def test_offline_its_optimum_is_the_exact_one():
    """At the optimum of the concave problem the gradient of the objective is 0, and away from it it is not."""
    settings = IqSettings(alpha=ALPHA, discount=GAMMA, value_rows="starts", penalty_rows="expert")

    def loss(q):
        return (RHO_E * single_rows(settings, q, jax.nn.logsumexp(q, axis=1), True)[0]).sum()

    slope = jax.jit(jax.grad(loss))
    best = exact.iq_optimum(TABLES, RHO_E, ALPHA)
    np.testing.assert_allclose(slope(jnp.asarray(best.q, jnp.float32)), 0, atol=1e-5)
    assert np.abs(slope(jnp.asarray(best.q + np.eye(25, 5), jnp.float32))).max() > 1e-3


def test_the_exact_optimum_recovers_the_chi2_reward_of_its_own_occupancy():
    best = exact.iq_optimum(TABLES, RHO_E, ALPHA)
    rewards = best.q - GAMMA * best.values[NEXT]
    mine = exact.chi2_reward(RHO_E, exact.occupancy(TABLES, best.policy), ALPHA, mixture=False)
    np.testing.assert_allclose(rewards, mine, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_against_a_fixed_policy_the_optimal_reward_is_bounded_and_known(seed):
    """r = 4 alpha (rho_E - rho) / (rho_E + rho), with the penalty over both halves and V of the policy that is kept."""
    policy = np.random.default_rng(seed).dirichlet(np.ones(5), 25)
    rho = exact.occupancy(TABLES, policy)
    reward = exact.chi2_reward(RHO_E, rho, ALPHA, mixture=True)
    assert np.abs(reward).max() <= 4 * ALPHA
    settings = IqSettings(alpha=ALPHA, discount=GAMMA, value_rows="starts", penalty_rows="all")

    def loss(q):
        values = (policy * (q - np.log(policy))).sum(1)
        theirs, mine = (single_rows(settings, q, values, expert) for expert in (True, False))
        halves = 0.5 * ((rho * mine[1]).sum() - (RHO_E * theirs[1]).sum())
        return (RHO_E * theirs[0]).sum() + halves

    q = exact.q_of_reward(TABLES, policy, reward)
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(jnp.asarray(q, jnp.float32)), 0, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_rewards_and_q_of_a_policy_are_one_to_one_and_occupancies_telescope(seed):
    rng = np.random.default_rng(seed)
    policy, q = rng.dirichlet(np.ones(5), 25), rng.normal(size=(25, 5))
    np.testing.assert_allclose(exact.q_of_reward(TABLES, policy, exact.reward_of_q(TABLES, policy, q)), q, atol=1e-10)
    left, right = exact.telescoped(TABLES, policy, rng.normal(size=25))
    assert left == pytest.approx(right, abs=1e-12)
