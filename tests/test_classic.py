"""Classic worlds: physics against gymnasium's, and exact solutions of the grid against their own equations."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import invlearn_jax as il
from invlearn_jax.tasks.classic import exact
from invlearn_jax.tasks.classic.drawing import map_figure
from invlearn_jax.tasks.classic.gridworld import CORNERS, demonstrations, grid_tables, reward_map
from invlearn_jax.tasks.classic.lunarlander import starts
from invlearn_jax.tasks.returns import episode_returns
from invlearn_jax.tasks.task import Episodes

GYMNASIUM = {"cartpole": "CartPole-v1", "acrobot": "Acrobot-v1"}


def environment(name):
    gymnasium = pytest.importorskip("gymnasium")
    return gymnasium.make(GYMNASIUM[name]).unwrapped


def lander():
    gymnasium = pytest.importorskip("gymnasium")
    try:
        starts()
    except ImportError:
        pytest.skip("Box2D is not installed")
    return gymnasium


def episodes_of(states, actions):
    """Of one episode, its states repeated after the end."""
    return Episodes(np.zeros((1, 0)), np.asarray(states)[None], np.asarray(actions)[None], np.zeros(0), np.zeros(0))


# --- contract ---


@pytest.mark.parametrize("name", ["gridworld", "cartpole", "acrobot", "lunarlander"])
def test_a_classic_task_keeps_the_contract(name):
    if name == "lunarlander":
        lander()
    task = il.make_task(name)
    il.check_task(task)
    assert task.choices == int(task.action_high[0]) + 1


@pytest.mark.parametrize("name", ["gridworld", "cartpole", "acrobot", "lunarlander"])
def test_episodes_are_drawn(name):
    figure = pytest.importorskip("matplotlib.figure").Figure()
    if name == "lunarlander":
        lander()
    task = il.make_task(name)
    states = np.repeat(np.asarray(task.reset(jax.random.key(0)))[None], 4, axis=0)
    task.draw(figure.subplots(), episodes_of(states, np.zeros((3, 1))))
    assert figure.axes[0].lines


# --- physics ---


@pytest.mark.parametrize("name", sorted(GYMNASIUM))
def test_a_step_is_gymnasiums(name):
    env = environment(name)
    with jax.enable_x64(True):
        task = il.make_task(name)
        states = np.array(jax.vmap(task.draw_state)(jax.random.split(jax.random.key(0), 3000)))
        # Some at the limits of what comes, where acrobots' rates are clipped.
        states[:300] *= 2.2
        actions = np.random.default_rng(0).integers(0, task.choices, len(states))
        found = np.asarray(jax.jit(jax.vmap(task.step))(states, actions[:, None].astype(float)))
        ended = np.asarray(jax.vmap(task.over)(found))
        seen = np.asarray(jax.vmap(task.features)(found))
    env.reset(seed=0)
    for row, (state, action) in enumerate(zip(states, actions, strict=True)):
        env.state, env.steps_beyond_terminated = state.copy(), None
        observed, _, terminated, _, _ = env.step(int(action))
        np.testing.assert_allclose(found[row], env.state, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(seen[row], observed, rtol=1e-6, atol=1e-6)
        assert terminated == ended[row]
    assert 0 < ended.mean() < 1


@pytest.mark.parametrize("name", sorted(GYMNASIUM))
def test_an_episode_is_gymnasiums(name):
    """States over whole episodes of random actions, their returns and lengths."""
    env = environment(name)
    with jax.enable_x64(True):
        task = il.make_task(name)
        step = jax.jit(task.step)
        for seed in range(5):
            rng = np.random.default_rng(seed)
            env.reset(seed=seed)
            state, total, ended = np.array(env.state, np.float64), 0.0, False
            states, actions = [state], []
            while not ended and len(actions) < task.episode_length:
                action = int(rng.integers(task.choices))
                if name == "acrobot":  # pushed the way it turns, so that it gets there
                    action = 2 if state[3] > 0 else 0
                _, reward, ended, _, _ = env.step(action)
                state = np.asarray(step(state, np.array([float(action)])))
                np.testing.assert_allclose(state, env.state, rtol=0, atol=1e-6)
                states.append(state)
                actions.append([float(action)])
                total += reward
            assert ended
            # What comes after the end is not counted.
            rows = episodes_of([*states, state, state], [*actions, actions[0], actions[0]])
            returns, steps = episode_returns(task, rows)
            assert (returns[0], steps[0]) == (pytest.approx(total), len(actions))
            figures = task.metrics(rows)
            assert figures["return_mean"] == pytest.approx(total)
            assert figures["return_sem"] is None


@pytest.mark.parametrize(("name", "most"), [("cartpole", 0.05), ("acrobot", 0.1)])
def test_starts_are_gymnasiums(name, most):
    drawn = np.asarray(jax.vmap(il.make_task(name).reset)(jax.random.split(jax.random.key(0), 2000)))
    env = environment(name)
    # What gymnasium calls the state is what it draws.
    own = np.stack([(env.reset(seed=seed), env.state)[1] for seed in range(2000)])
    np.testing.assert_allclose(own.std(0), drawn.std(0), rtol=0.05)
    for values in (own, drawn):
        assert 0.98 * most < np.abs(values).max() <= most


def test_choices_are_rounded():
    task = il.make_task("acrobot")
    state = task.reset(jax.random.key(0))
    for near, whole in ((0.4, 0.0), (0.6, 1.0), (1.8, 2.0), (7.0, 2.0), (-3.0, 0.0)):
        np.testing.assert_array_equal(task.step(state, jnp.array([near])), task.step(state, jnp.array([whole])))


# --- the lander ---


def test_landers_are_gymnasiums():
    gymnasium = lander()
    task = il.make_task("lunarlander")
    # The same start twice, and others.
    seeds, rng = [3, 3, 8, 1000], np.random.default_rng(0)
    envs = [gymnasium.make("LunarLander-v3").unwrapped for _ in seeds]
    for env, seed in zip(envs, seeds, strict=True):
        env.reset(seed=seed)
    state, simulator, ended, last = starts()[seeds], task.simulator(), np.zeros(4, bool), np.zeros(4)
    returns = np.zeros(4)
    for _ in range(1000):
        actions = rng.integers(0, 4, 4)
        going = np.flatnonzero(~ended)
        state = simulator.step(state, actions[:, None].astype(np.float32))
        for one in going:
            seen, reward, ended[one], _, _ = envs[one].step(int(actions[one]))
            np.testing.assert_array_equal(state[one], np.float32([*seen, ended[one], reward]))
            last[one] = task.reward(jnp.asarray(state[one]), jnp.zeros(1), jnp.zeros(0))
            assert last[one] == pytest.approx(reward, rel=1e-6)
            returns[one] += reward
        if ended.all():
            break
    assert ended.all()
    assert (last == -100).all()  # random landers crash
    assert not task.success(jnp.asarray(state[0]), jnp.zeros(0))
    # All is over: it stays, and earns nothing.
    following = simulator.step(state, actions[:, None])
    np.testing.assert_array_equal(following[:, :9], state[:, :9])
    assert (following[:, 9] == 0).all()
    simulator.close()


def test_a_lander_cannot_be_set_to_a_state():
    lander()
    task = il.make_task("lunarlander")
    simulator = task.simulator()
    first = simulator.step(starts()[:1], np.ones((1, 1)))
    simulator.step(first, np.ones((1, 1)))
    with pytest.raises(ValueError, match="cannot be set to a state"):
        simulator.step(first, np.ones((1, 1)))  # it has gone on from there
    with pytest.raises(ValueError, match="recorded data"):
        task.check_states(np.ones((1, 10)))
    task.check_states(starts()[:3])
    simulator.close()


def test_without_box2d_the_extra_is_named(monkeypatch):
    from invlearn_jax.tasks.classic import lunarlander

    monkeypatch.setitem(sys.modules, "gymnasium.envs.box2d.lunar_lander", None)
    lunarlander.starts.cache_clear()
    with pytest.raises(ImportError, match=r"pip install 'invlearn_jax\[box2d\]'"):
        lunarlander.starts()


# --- the grid and its exact solutions ---


@pytest.fixture(scope="module")
def tables():
    return grid_tables(0.9)


@pytest.fixture(scope="module")
def soft(tables):
    return exact.soft_optimum(tables)


def random_policy(seed=0):
    weights = np.random.default_rng(seed).exponential(size=(25, 5))
    return weights / weights.sum(1, keepdims=True)


def test_the_tables_are_the_tasks_steps(tables):
    task = il.make_task("gridworld")
    places = jnp.stack(jnp.divmod(jnp.arange(25), 5), axis=1).astype(float)
    for action in range(5):
        following = jax.vmap(task.step, in_axes=(0, None))(places, jnp.array([float(action)]))
        cells = jax.vmap(task.cell)(following)
        np.testing.assert_array_equal(tables.transitions[:, action].argmax(1), cells)
        rewards = jax.vmap(task.reward, in_axes=(0, None, None))(following, jnp.zeros(1), jnp.zeros(0))
        np.testing.assert_array_equal(tables.rewards[:, action], rewards)
    np.testing.assert_array_equal(jax.vmap(task.features)(places), np.eye(25))
    assert reward_map().sum() == len(CORNERS)
    assert tables.transitions.sum(-1).min() == tables.transitions.sum(-1).max() == 1


def test_the_soft_optimum_is_one(tables, soft):
    values = 1.0 * np.log(np.exp(soft.q).sum(1))
    np.testing.assert_allclose(soft.values, values, atol=1e-10)
    np.testing.assert_allclose(soft.q, tables.rewards + 0.9 * tables.transitions @ values, atol=1e-10)
    # It is what its policy earns, entropy counted, and no policy near it earns more.
    np.testing.assert_allclose(exact.policy_values(tables, soft.policy, 1.0), soft.values, atol=1e-10)
    for seed in range(5):
        near = 0.99 * soft.policy + 0.01 * random_policy(seed)
        assert (exact.policy_values(tables, near, 1.0) < soft.values).all()
    # The published map's range, 4.7 to 8.6.
    earned = exact.policy_values(tables, soft.policy)
    assert (round(earned.min(), 1), round(earned.max(), 1)) == (4.2, 8.6)
    with pytest.raises(ValueError, match="temperature 0"):
        exact.soft_optimum(tables, 0.0)


def test_a_cold_optimum_goes_to_the_nearest_corner(tables):
    values = exact.soft_optimum(tables, 1e-3).values.reshape(5, 5)
    rows, columns = np.indices((5, 5))
    steps = np.min([np.abs(rows - r) + np.abs(columns - c) for r, c in CORNERS], axis=0)
    np.testing.assert_allclose(values, 10 * 0.9 ** np.maximum(steps - 1, 0), atol=0.03)


@pytest.mark.parametrize("discount", [0.9, 0.99])
def test_identities_of_any_policy(discount):
    tables = grid_tables(discount)
    rng = np.random.default_rng(0)
    for seed in range(3):
        policy, values = random_policy(seed), rng.normal(size=25)
        rho = exact.occupancy(tables, policy)
        assert rho.sum() == pytest.approx(1)
        left, right = exact.telescoped(tables, policy, values)
        assert left == pytest.approx(right, abs=1e-12)
        # What it earns from the starts is what it meets.
        earned = tables.start @ exact.policy_values(tables, policy)
        assert (rho * tables.rewards).sum() == pytest.approx((1 - discount) * earned)
        rewards = rng.normal(size=(25, 5))
        for temperature in (1.0, 0.1):
            q = exact.q_of_reward(tables, policy, rewards, temperature)
            np.testing.assert_allclose(exact.reward_of_q(tables, policy, q, temperature), rewards, atol=1e-10)


@pytest.mark.parametrize("mixture", [True, False])
def test_the_chi2_reward_is_a_maximum(tables, soft, mixture):
    expert, rho = exact.occupancy(tables, soft.policy), exact.occupancy(tables, random_policy())
    alpha = 0.5

    def gain(rewards):
        weight = (expert + rho) / 2 if mixture else expert
        return ((expert - rho) * rewards - weight * rewards**2 / (4 * alpha)).sum()

    best = exact.chi2_reward(expert, rho, alpha, mixture)
    for seed in range(5):
        assert gain(best + 1e-3 * np.random.default_rng(seed).normal(size=best.shape)) < gain(best)
    assert not mixture or np.abs(best).max() <= 4 * alpha
    # Where neither comes it is 0, where the expert does not it is unbounded.
    nowhere = exact.chi2_reward(np.array([[0.0, 1.0]]), np.array([[0.0, 1.0]]), alpha, mixture)
    np.testing.assert_array_equal(nowhere, [[0.0 if mixture else np.nan, 0.0]])


def test_the_optimum_of_iq_learn_is_stationary(tables, soft):
    expert = exact.occupancy(tables, soft.policy)
    found = exact.iq_optimum(tables, expert)
    rewards = exact.reward_of_q(tables, found.policy, found.q)
    own = exact.occupancy(tables, found.policy)
    np.testing.assert_allclose(rewards, exact.chi2_reward(expert, own, 0.5, mixture=False), atol=1e-4)
    # Nearer to the expert than the policy without reward; the larger alpha, the nearer.
    flat = exact.occupancy(tables, np.full((25, 5), 0.2))
    nearer = exact.occupancy(tables, exact.iq_optimum(tables, expert, alpha=5.0).policy)
    far, near, nearest = (np.abs(rho - expert).sum() for rho in (flat, own, nearer))
    assert nearest < 0.5 * near < 0.5 * far
    with pytest.raises(ValueError, match="occupancy is 0"):
        exact.iq_optimum(tables, np.eye(25, 5))


def test_demonstrations_are_the_soft_optimal_policys(tables, soft):
    rows = demonstrations(np.random.default_rng(0), episodes=400, steps=50)
    assert rows.states.shape == (20_000, 2)
    assert rows.ends.sum() == 400
    cells, actions = (5 * rows.states[:, 0] + rows.states[:, 1]).astype(int), rows.actions[:, 0].astype(int)
    counts = np.zeros((25, 5))
    np.add.at(counts, (cells, actions), 1)
    shares = counts / counts.sum(1, keepdims=True)
    # Within five standard errors.
    error = np.sqrt(soft.policy * (1 - soft.policy) / counts.sum(1, keepdims=True))
    assert (np.abs(shares - soft.policy) < 5 * error).all()
    within = ~rows.ends[:-1]
    following = tables.transitions[cells[:-1], actions[:-1]].argmax(1)
    np.testing.assert_array_equal(following[within], cells[1:][within])


def test_maps_are_drawn():
    pytest.importorskip("matplotlib")
    figure = map_figure({"true": reward_map(), "recovered": 0.5 * reward_map()})
    assert [axes.get_title() for axes in figure.axes] == ["true", "recovered"]
    assert len(figure.axes[0].texts) == 25
