"""What the baselines learn from, against hand-written loops, and small real learning: cloning, ReBRAC, Decision Transformer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_tasks import Ball

import invlearn_jax as il
from invlearn_jax.data import Dataset
from invlearn_jax.inverters.network import NetworkInverter
from invlearn_jax.learn.behaviour_cloning import (
    cloning_loss,
    cloning_state,
    cloning_update,
    hindsight_store,
    sample_hindsight,
)
from invlearn_jax.learn.decision_transformer import (
    return_store,
    sample_returns,
    transformer_optimizer,
    transformer_state,
    transformer_update,
)
from invlearn_jax.learn.loop import train
from invlearn_jax.learn.policy_inputs import policy_scales
from invlearn_jax.learn.rebrac import (
    RebracTraining,
    critic_network,
    rebrac_state,
    rebrac_store,
    rebrac_update,
    td_target,
)
from invlearn_jax.methods.inverter_training import input_scales
from invlearn_jax.models.decision_transformer import DecisionTransformer
from invlearn_jax.models.policy import MlpPolicy
from invlearn_jax.networks import decision_network
from invlearn_jax.planners.policy import PolicyInverter, RolloutParams
from invlearn_jax.types import Problem

KEY = jax.random.key(0)


# --- behaviour cloning ---


def numbered(lengths):
    """Rows whose position is (row, episode), in episodes of these lengths."""
    rows = sum(lengths)
    episode = np.repeat(np.arange(len(lengths)), lengths)
    states = np.stack([np.arange(rows), episode, np.zeros(rows), np.zeros(rows)], 1)
    return Dataset(np.float32(states), np.float32(states[:, :2]), np.append(np.diff(episode) > 0, True))


def test_hindsight_goals_are_later_rows_of_the_same_episode():
    store = hindsight_store(numbered([1, 5, 2, 9]), 2)
    problems, actions = sample_hindsight(store, KEY, 4000, 2, lambda state: state[:2])
    row, goal = (np.asarray(x[:, 0], int) for x in (problems.state, problems.goal))
    np.testing.assert_array_equal(problems.state[:, 1], problems.goal[:, 1])
    np.testing.assert_array_equal(actions[:, :, 0], row[:, None] + np.arange(2))
    # Two actions and a row after them are known from these rows on, in the episodes of 5 and of 9 rows.
    assert set(row) == {1, 2, 3, *range(8, 15)}
    assert {tuple(x) for x in np.stack([row, goal], 1)} == {
        (a, b) for begin, end in ((1, 6), (8, 17)) for a in range(begin, end - 2) for b in range(a + 1, end)
    }
    with pytest.raises(ValueError, match="the longest episode has 8"):
        hindsight_store(numbered([9]), 9)


def test_cloning_learns_to_reach_any_goal():
    """A controller's wandering between goals is enough: the clone reaches goals drawn anew."""
    world, rng, length = Ball(), np.random.default_rng(0), 40
    step = jax.jit(jax.vmap(world.step))
    state, goal = (rng.uniform(-1, 1, (300, size)) for size in (4, 2))
    states, actions = [], []
    for _ in range(length):
        action = np.clip(2 * (goal - state[:, :2]) - 2 * state[:, 2:], -1, 1)
        states.append(state)
        actions.append(action)
        state = np.asarray(step(jnp.asarray(state), jnp.asarray(action)))
    flat = (np.float32(np.stack(x, 1)).reshape(-1, x[0].shape[-1]) for x in (states, actions))
    data = Dataset(*flat, np.tile(np.arange(length) == length - 1, 300))
    inverter, optimizer = NetworkInverter(world, hidden=(64, 64), octaves=0, horizon=1), optax.adam(3e-3)
    params = inverter.init(KEY)._replace(**input_scales(world, data, KEY))
    update = cloning_update(cloning_loss(inverter.logits, hindsight_store(data, 1), 128, 1, world.achieved), optimizer)
    params = train(update, cloning_state(optimizer, params, KEY), 1500).params

    def closed_loop(state, goal):
        def step(state, _):
            action = inverter.propose(params, KEY, Problem(state, goal), 1)
            return world.step(state, action[0, 0]), None

        return jax.lax.scan(step, state, length=60)[0]

    starts, goals = (jnp.asarray(rng.uniform(-0.7, 0.7, (50, size)), jnp.float32) for size in (4, 2))
    ends = jax.jit(jax.vmap(closed_loop))(starts, goals)
    assert float(jnp.linalg.norm(ends[:, :2] - goals, axis=1).mean()) < 0.15
    assert bool(jax.vmap(inverter.covers, in_axes=(None, 0))(params, Problem(starts, goals)).all())
    far = Problem(jnp.zeros(4), jnp.full(2, 9.0))
    assert not inverter.covers(params, far)


# --- ReBRAC ---


def test_the_critics_target_by_hand():
    """r + 0.9 (min(Q1, Q2) - 0.5 d): 1 + 0.9 (2 - 0.5 * 4) = 1 and 0 + 0.9 (-3 - 0) = -2.7."""
    found = td_target(jnp.array([1.0, 0.0]), 0.9, jnp.array([[2.0, 5.0], [4.0, -3.0]]), jnp.array([4.0, 0.0]), 0.5)
    np.testing.assert_allclose(found, [1.0, -2.7], rtol=1e-6)


class Paid(il.Task):
    """A place in the plane, with a reward of its own and the goal at the origin."""

    dt, state_size, action_size, goal_size = 0.1, 2, 2, 2

    def __init__(self, reward):
        self.reward = reward

    def draw_goal(self, key):
        return jnp.zeros(2)

    def draw_goal_from(self, key, state):
        return jax.random.uniform(key, (2,), minval=-1.0)


def constant_world(settings, updates, reward=lambda state, action, goal: jnp.ones(()), one_goal=True):
    """ReBRAC where position follows by ``x' = x + a / 10`` from anywhere, under actions of mean 0.4."""
    rng = np.random.default_rng(0)
    states, actions = rng.uniform(-1, 1, (3000, 3, 2)), np.clip(rng.normal(0.4, 0.5, (3000, 3, 2)), -1, 1)
    for step in (1, 2):
        states[:, step] = states[:, step - 1] + 0.1 * actions[:, step - 1]
    data = Dataset(*(np.float32(x).reshape(-1, 2) for x in (states, actions)), np.tile([False, False, True], 3000))
    policy = MlpPolicy(Paid(reward), hidden=(32, 32), one_goal=one_goal)
    critic, optimizers = critic_network(policy, (32, 32)), (optax.adam(3e-3),) * 2
    update = rebrac_update(policy, critic, optimizers, rebrac_store(data), settings)
    state = rebrac_state(policy, critic, optimizers, KEY, policy_scales(policy.inputs, data, KEY))
    state = train(update, state, updates)
    goals = jnp.asarray(np.float32(rng.uniform(-1, 1, (500, 2))))
    problems = Problem(jnp.asarray(data.states[:500]), goals)
    seen = jax.vmap(policy.features, in_axes=(None, 0))(state.params, problems)
    x = jnp.concatenate([seen, jnp.asarray(data.actions[:500])], axis=1)
    actions = jax.vmap(policy.act, in_axes=(None, 0))(state.params, problems)
    return critic.apply(state.extra.critic, x), actions, state, goals


def test_critics_learn_the_discounted_sum_and_its_penalty():
    """Reward 1 for ever is worth 1 / (1 - gamma) = 5; the penalty takes gamma w_c E|a~ - a'|^2 / (1 - gamma) off it."""
    settings = RebracTraining(64, discount=0.8, slowness=0.05, critic_penalty=0.0)
    values, _, state, _ = constant_world(settings, 800)
    np.testing.assert_allclose(values, 5.0, atol=0.25)
    lower, *_ = constant_world(settings._replace(critic_penalty=0.5), 800)
    assert float(values.mean() - lower.mean()) > 0.4
    # Slow copies lag behind, and the actor was updated at every second update.
    assert int(optax.tree.get(state.opt_state[0], "count")) == 400
    gaps = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), state.extra.critic, state.extra.slow_critic)
    assert max(jax.tree.leaves(gaps)) > 0


def test_the_actor_seeks_value_and_the_penalty_keeps_it_with_the_data():
    def reward(state, action, goal):
        return state[0] - state[1]

    free = RebracTraining(64, discount=0.5, slowness=0.05, actor_penalty=0.01)
    _, actions, *_ = constant_world(free, 1000, reward)
    assert float(actions[:, 0].mean()) > 0.7
    assert float(actions[:, 1].mean()) < -0.7
    _, actions, *_ = constant_world(free._replace(actor_penalty=100.0), 1000, reward)
    np.testing.assert_allclose(actions.mean(0), 0.38, atol=0.08)


def test_an_actor_that_is_given_the_goal_does_what_each_pays_for():
    """The goal's first coordinate says which way is paid for."""
    free = RebracTraining(64, discount=0.5, slowness=0.05, actor_penalty=0.01)
    _, actions, _, goals = constant_world(free, 1000, lambda state, action, goal: state[0] * jnp.sign(goal[0]), False)
    clear = np.abs(goals[:, 0]) > 0.3
    assert (np.sign(actions[clear, 0]) == np.sign(goals[clear, 0])).mean() > 0.9


# --- Decision Transformer ---


def test_later_tokens_do_not_change_earlier_actions():
    net = decision_network(3, 2, 5, width=16, layers=2, heads=2)
    params = net.init(KEY)
    rng = np.random.default_rng(0)
    given = [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((5,), (5, 3), (5, 2))]
    before = net.apply(params, *given, None)
    for step in range(5):
        later = [x.at[step:].add(1.0) for x in given]
        np.testing.assert_allclose(net.apply(params, *later, None)[:step], before[:step], atol=1e-6)
        assert not jnp.allclose(net.apply(params, *later, None)[step], before[step], atol=1e-4)
    # An action is not seen by its own state's token, but by all that follow.
    action = net.apply(params, given[0], given[1], given[2].at[2].add(1.0), None)
    np.testing.assert_allclose(action[:3], before[:3], atol=1e-6)
    assert jnp.abs(action[3:] - before[3:]).min() > 0
    # Dropout is a matter of training alone.
    assert not jnp.allclose(net.apply(params, *given, KEY), before, atol=1e-3)


def test_the_context_grows_and_forgets_its_oldest_step():
    world = Ball()
    world.reward = lambda state, action, goal: state[0] - goal[0]
    policy = DecisionTransformer(world, 3, 7.0, 10.0, width=8, layers=1)
    params = policy.init(KEY)
    rng = np.random.default_rng(0)
    states, actions = (np.float32(rng.normal(size=(6, size))) for size in (4, 2))
    memory, returns = policy.begin(params, Problem(jnp.asarray(states[0]), jnp.array([0.5, 0.0]))), [7.0]
    for step in range(6):
        begin = max(0, step - 2)
        count = step + 1 - begin
        assert int(memory.held) == count
        np.testing.assert_array_equal(memory.states[:count], states[begin : step + 1])
        np.testing.assert_array_equal(memory.actions[: count - 1], actions[begin:step])
        np.testing.assert_allclose(memory.returns[:count], returns[begin : step + 1], rtol=1e-5)
        assert not np.asarray(memory.actions[count - 1 :]).any()
        if step < 5:
            memory = policy.observe(params, memory, jnp.asarray(actions[step]), jnp.asarray(states[step + 1]))
            returns.append(returns[-1] - (states[step + 1, 0] - 0.5))


class Numbered(il.Task):
    """Rows whose reward is written in the state, beside its number; where the action counts too, and the goal."""

    dt, state_size, action_size, goal_size = 0.1, 2, 1, 1
    action_low, action_high = np.array([-2.0]), np.array([2.0])

    def reward(self, state, action, goal):
        return state[1] + action[0] + 100.0 * (state[0] == goal[0])

    def draw_goal(self, key):
        return jnp.array([-1.0])


@pytest.mark.parametrize("one_goal", [False, True])
def test_returns_to_go_against_a_loop(one_goal):
    """Two episodes of 12 and 9 rows; actions of 2 and 0, given as shares of their box. A goal in hindsight pays 100 once."""
    rng = np.random.default_rng(0)
    rewards, shares = np.float32(rng.integers(0, 2, 21)), np.float32(rng.integers(0, 2, 21))
    states = np.stack([np.arange(21), rewards], 1).astype(np.float32)
    data = Dataset(states, shares[:, None], np.isin(np.arange(21), [11, 20]))
    policy = DecisionTransformer(Numbered(), 4, 1.0, 1.0, width=8, layers=1, one_goal=one_goal)
    params = policy.init(KEY)._replace(**policy_scales(policy.inputs, data, KEY))
    store = return_store(data, return_steps=6, context=4)
    assert set(np.asarray(store.starts)) == {*range(6), 12, 13, 14}
    drawn = sample_returns(policy, params, store, KEY, 200, 6)
    rows, goals = np.asarray(drawn.states[:, 0, 0], int), np.asarray(drawn.goals[:, 0], int)
    assert set(rows) == set(np.asarray(store.starts))
    assert set(goals - rows) == set(range(1, 7)) if not one_goal else set(goals) == {-1}
    for row, goal, given in zip(rows, goals, np.asarray(drawn.returns), strict=True):
        for k in range(4):
            steps = range(row + k, row + 6)
            wanted = sum(rewards[i + 1] + 2 * shares[i] + 100 * (i + 1 == goal) for i in steps)
            np.testing.assert_allclose(given[k], wanted, rtol=1e-6)
    with pytest.raises(ValueError, match="return_steps is 12, but the longest episode has 11"):
        return_store(data, 12, 4)
    with pytest.raises(ValueError, match="context is 7 steps, return_steps is 6"):
        return_store(data, 6, 7)


def test_a_transformer_does_what_the_return_asks_for():
    """Rows move right or left for good; a target return of the right leads to the right."""
    rng = np.random.default_rng(0)
    way = rng.choice([-1.0, 1.0], 200)
    actions = np.repeat(way, 12)[:, None] * [[1.0, 0.0]]
    states = np.zeros((200, 12, 4))
    states[:, :, 0] = way[:, None] * 0.1 * np.arange(12) + rng.uniform(-3, 3, (200, 1))
    data = Dataset(np.float32(states.reshape(-1, 4)), np.float32(actions), np.tile(np.arange(12) == 11, 200))
    world = Ball()
    # Each step to the right pays 1.
    world.reward = lambda state, action, goal: jnp.where(action[0] > 0, 1.0, 0.0)
    policies = [DecisionTransformer(world, 3, target, 8.0, 16, 1, one_goal=True) for target in (8.0, 0.0)]
    policy, optimizer = policies[0], transformer_optimizer(3e-3, 300, 30, 1e-4)
    state = transformer_state(policy, optimizer, KEY, policy_scales(policy.inputs, data, KEY))
    params = train(transformer_update(policy, optimizer, return_store(data, 8, 3), 32, 8), state, 300).params
    for policy, sign in zip(policies, (1.0, -1.0), strict=True):
        plan = PolicyInverter(policy).propose(RolloutParams(params, ()), KEY, Problem(jnp.zeros(4), jnp.zeros(2)), 1)
        np.testing.assert_allclose(plan[0, 0], [sign, 0.0], atol=0.15)
