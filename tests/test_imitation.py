"""IQ-Learn's objective, agents and updates: against formulas written out, and in a small world that is learned in seconds."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import invlearn_jax as il
from invlearn_jax.imitation.agents import ContinuousAgent, DiscreteAgent, agent_of
from invlearn_jax.imitation.divergences import DIVERGENCES, phi
from invlearn_jax.imitation.iq_learn import IqSettings, Values, check_iq, iq_loss
from invlearn_jax.imitation.learner import (
    LearnerSettings,
    check_learner,
    learned_agent,
    learner_state,
    learner_update,
    over_seeds,
)
from invlearn_jax.imitation.replay import Rows, drawn, empty_rows, written
from invlearn_jax.imitation.world import World
from invlearn_jax.learn.loop import train
from invlearn_jax.tasks.check import check_task

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
RIGHT = 10  # cells of the corridor


class Corridor(il.Task):
    """A walk over numbers: each step goes left or right, and the episode is over at the right end, or after 30 steps."""

    dt, state_size, action_size, choices, episode_length = 1.0, 1, 1, 2, 30

    def features(self, state):
        return state / RIGHT

    def draw_state(self, key):
        return jnp.floor(jax.random.uniform(key, (1,)) * RIGHT)

    def cost(self, state, action, goal):
        return {"time": jnp.ones(())}

    def over(self, state):
        return state[0] >= RIGHT

    def step(self, state, action):
        return jnp.maximum(state + 2 * jnp.round(action) - 1, 0)


def corridor_rows(noise=0.0):
    """Steps of an expert who goes right."""
    states = np.tile(np.arange(RIGHT, dtype=np.float32), 5)[:, None]
    over = (states[:, 0] + 1) >= RIGHT
    return Rows(
        *(jnp.asarray(x) for x in (states, np.ones_like(states), states + 1, over, np.zeros(len(states), np.float32)))
    )


# The objective.


@pytest.mark.parametrize(
    "name, weight",
    [
        ("hellinger", lambda r: 1 / (1 + r) ** 2),
        ("kl", lambda r: np.exp(-r)),
        ("js", lambda r: np.exp(-r) / (2 - np.exp(-r))),
        ("chi2", np.ones_like),
        ("w1", np.ones_like),
        ("tv", np.ones_like),
    ],
)
def test_the_slope_of_a_divergence_is_the_weight_of_an_experts_row(name, weight):
    at = np.linspace(-0.4, 3, 50).astype(np.float32)
    np.testing.assert_allclose(jax.vmap(jax.grad(phi(name)))(at), weight(at), rtol=1e-5)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_divergences_are_concave_and_finite_everywhere(name):
    at = jnp.linspace(-50, 50, 2001)
    slopes = np.asarray(jax.vmap(jax.grad(phi(name)))(at))
    assert np.isfinite(slopes).all() and (np.diff(slopes) <= 1e-6).all() and (slopes >= 0).all()


def values(count=8, experts=4):
    q, value, following = RNG.normal(size=(3, count)).astype(np.float32)
    return Values(q, value, following, np.arange(count) % 4 == 3, np.arange(count) >= experts, np.float32(0.0))


def test_the_online_objective_is_the_one_written_out():
    v, gamma, alpha = values(), 0.9, 0.3
    y = gamma * np.where(v.over, 0, v.following)
    r, mine = v.q - y, v.expert
    wanted = -r[mine].mean() + (v.value - y).mean() + (r**2).mean() / (4 * alpha)
    loss, parts = iq_loss(IqSettings(alpha=alpha, discount=gamma), Values(*map(jnp.asarray, v)))
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)
    np.testing.assert_allclose(parts["reward_gap"], r[mine].mean() - r[~mine].mean(), rtol=1e-4)


def test_the_offline_objective_is_equation_12_of_the_paper():
    """-E[Q - V] + E[(Q - gamma V')^2] / (4 alpha), of expert rows alone."""
    v = values(experts=0)
    y = 0.99 * np.where(v.over, 0, v.following)
    wanted = -(v.q - v.value).mean() + 0.5 * ((v.q - y) ** 2).mean()
    settings = IqSettings(value_rows="expert", penalty_rows="expert")
    np.testing.assert_allclose(iq_loss(settings, Values(*map(jnp.asarray, v)))[0], wanted, rtol=1e-5)


def test_a_clipped_value_is_what_the_penalty_allows():
    v = Values(*map(jnp.asarray, values()))._replace(following=jnp.full(8, 1e6), over=jnp.zeros(8, bool))
    settings = IqSettings(clipped=True, alpha=0.5, discount=0.9)
    near = v._replace(following=jnp.full(8, 4 * 0.5 / (1 - 0.9)))
    np.testing.assert_allclose(iq_loss(settings, v)[0], iq_loss(settings, near)[0], rtol=1e-6)


def test_after_an_end_the_absorbing_state_is_met_ever_after():
    """Each end counts as 1 / (1 - gamma) further rows, in which Q, V and V' are all b and the reward is (1 - gamma) b."""
    v, gamma, b = values(), 0.9, 3.0
    y = gamma * np.where(v.over, b, v.following)
    r, rest, ends, mine = v.q - y, (1 - gamma) * b, v.over / (1 - gamma), v.expert
    gained = (r + ends * rest)[mine].mean()
    wanted = -gained + (v.value - y + ends * rest).mean() + 0.5 * (r**2 + ends * rest**2).mean()
    settings = IqSettings(absorbing=True, discount=gamma)
    given = Values(*map(jnp.asarray, v))._replace(absorbing=jnp.asarray(b))
    np.testing.assert_allclose(iq_loss(settings, given)[0], wanted, rtol=1e-5)


@pytest.mark.parametrize(
    "settings, message",
    [
        (IqSettings(divergence="chi3"), "chi2"),
        (IqSettings(value_rows="everything"), "value_rows"),
        (IqSettings(penalty_rows="exprt"), "expert"),
        (IqSettings(alpha=0.0), "alpha"),
        (IqSettings(discount=1.0), "discount"),
    ],
)
def test_an_objective_without_a_meaning_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        check_iq(settings)


# Agents.


def test_the_discrete_value_is_the_soft_maximum_and_the_policy_its_softmax():
    agent = DiscreteAgent(3, 4, (8,), 0.5)
    params, x = agent.init(KEY), jax.random.normal(KEY, (6, 3))
    q = np.asarray(agent.all_q(params.critic, x))[0]
    np.testing.assert_allclose(
        agent.value(params, params.critic, KEY, x), 0.5 * np.log(np.exp(q / 0.5).sum(1)), rtol=1e-5
    )
    shares = 2 * np.arange(4) / 3 - 1
    for choice, share in enumerate(shares):
        np.testing.assert_allclose(agent.q(params.critic, x, jnp.full((6, 1), share))[0], q[:, choice], rtol=1e-6)
    drawn_shares = jax.vmap(lambda k: agent.sample(params, k, x[0]))(jax.random.split(KEY, 20_000))[:, 0]
    found = [(np.abs(drawn_shares - share) < 1e-6).mean() for share in shares]
    np.testing.assert_allclose(found, jax.nn.softmax(q[0] / 0.5), atol=0.02)
    np.testing.assert_allclose(agent.act(params, x[0]), shares[q[0].argmax()], rtol=1e-6)


def test_the_continuous_policys_density_is_that_of_its_actions():
    """Integrated over the box it is 1; the mean of Q - tau log pi over it is the value's mean."""
    agent = ContinuousAgent(2, 1, (8,), 0.3)
    params, x = agent.init(KEY), jnp.array([0.5, -0.2])
    action, density = jax.vmap(lambda k: agent.draw(params.actor, k, x))(jax.random.split(KEY, 100_000))
    edges = np.linspace(-0.4, 0.4, 9)
    share, _ = np.histogram(action[:, 0], edges)
    middle = np.array(
        [
            np.exp(density[(action[:, 0] > a) & (action[:, 0] < b)]).mean()
            for a, b in zip(edges, edges[1:], strict=False)
        ]
    )
    np.testing.assert_allclose(share / len(action), middle * np.diff(edges), rtol=0.1, atol=2e-3)


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"temperature is 0.0; .* 0\.001"):
        agent_of(Corridor(), 1, (8,), 0.0)


# The replay and the world.


def test_the_ring_keeps_the_newest_rows():
    rows = empty_rows(3, 1, 1)
    for number in range(5):
        state, still = jnp.full(1, float(number)), jnp.zeros(1)
        rows = written(rows, Rows(state, still, state + 1, jnp.array(False), jnp.array(0.0)), jnp.array(number))
    assert sorted(np.asarray(rows.states[:, 0])) == [2, 3, 4]
    few = drawn(rows, KEY, 100, 1)
    assert (np.asarray(few.states) == rows.states[0]).all()


def test_episodes_end_where_all_is_over_and_at_the_time_limit():
    """Going right from cell 7 ends after 3 steps; going left is cut after 30, which is no end for good."""
    world = World(Corridor())
    place = world.begin(KEY)._replace(state=jnp.array([7.0]))
    rows = []
    for step in range(3):
        place, row = world.step(place, jax.random.key(step), lambda key, state: jnp.ones(1))
        rows.append(row)
    assert [bool(row.over) for row in rows] == [False, False, True]
    assert place.steps == 0 and place.last_return == -3.0 and float(rows[-1].following[0]) == RIGHT
    place = place._replace(state=jnp.zeros(1))
    for step in range(30):
        place, row = world.step(place, jax.random.key(step), lambda key, state: -jnp.ones(1))
    assert place.steps == 0 and place.last_return == -30.0 and not row.over


# Learning.


def offline(steps=1500, **iq):
    settings = LearnerSettings(
        iq=IqSettings(value_rows="expert", penalty_rows="expert", discount=0.9, **iq), batch=32, slowness=0.0
    )
    agent, adam = DiscreteAgent(1, 2, (16,), 0.05), (optax.adam(3e-3),) * 2
    task = Corridor()
    update = learner_update(agent, task.features, adam, settings, corridor_rows())
    return task, agent, update, learner_state(agent, adam, settings, KEY), steps


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_offline_the_policy_becomes_the_experts(divergence):
    task, agent, update, state, steps = offline(divergence=divergence)
    params = train(update, state, steps, steps).params
    acts = jax.vmap(lambda s: agent.act(params, task.features(s)))(jnp.arange(RIGHT, dtype=float)[:, None])
    assert (np.asarray(acts) == 1).all()


@pytest.mark.parametrize("teaching", ["demonstrations", "constant", "reward"])
def test_online_the_policy_comes_to_go_right(teaching):
    """By demonstrations, by SQIL, and by the task's own reward of -1 per step."""
    task, iq = Corridor(), IqSettings(discount=0.9, absorbing=teaching == "demonstrations")
    settings = LearnerSettings(
        teaching, iq, batch=32, slowness=0.02 if teaching != "demonstrations" else 0.0, explore=50
    )
    agent, adam, world = DiscreteAgent(1, 2, (32,), 0.05), (optax.adam(3e-3),) * 2, World(task)
    demos = None if teaching == "reward" else corridor_rows()
    state = learner_state(agent, adam, settings, KEY, world, 500)
    params = train(learner_update(agent, task.features, adam, settings, demos, None, world), state, 3000, 1000).params
    acts = jax.vmap(lambda s: agent.act(params, task.features(s)))(jnp.arange(RIGHT, dtype=float)[:, None])
    assert (np.asarray(acts) == 1).all()


def test_seeds_side_by_side_are_seeds_one_by_one():
    task, iq = Corridor(), IqSettings(discount=0.9)
    settings = LearnerSettings(iq=iq, batch=8, explore=5)
    agent, adam, world = DiscreteAgent(1, 2, (8,), 0.05), (optax.adam(1e-3),) * 2, World(task)
    update = learner_update(agent, task.features, adam, settings, corridor_rows(), None, world)
    states = [learner_state(agent, adam, settings, jax.random.key(seed), world, 40) for seed in range(3)]
    alone = [train(update, state, 20, 10) for state in states]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *states)._replace(step=states[0].step)
    together = train(over_seeds(update), stacked, 20, 10)
    for number, one in enumerate(alone):
        for mine, theirs in zip(jax.tree.leaves(one.params), jax.tree.leaves(together.params), strict=True):
            np.testing.assert_allclose(mine, theirs[number], rtol=2e-4, atol=1e-6)


def test_the_corridor_is_a_task():
    check_task(Corridor())


@pytest.mark.parametrize(
    "settings, demos, message",
    [
        (LearnerSettings("rewards"), True, "reward"),
        (LearnerSettings("reward"), True, "needs none"),
        (LearnerSettings(), False, "give demonstrations"),
        (LearnerSettings("constant"), True, "learns online"),
        (LearnerSettings(), True, "Offline all rows are the expert's"),
        (LearnerSettings(iq=IqSettings(value_rows="starts", penalty_rows="expert")), True, "not known"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings, demos, message):
    with pytest.raises(ValueError, match=message):
        check_learner(settings, corridor_rows() if demos else None, None, None)


def test_the_policy_that_is_kept_is_of_averaged_weights():
    """A plain mean at first, which forgets the initial weights; then each update takes the given share."""
    settings = LearnerSettings(iq=IqSettings(value_rows="expert", penalty_rows="expert"), batch=8, averaging=0.4)
    agent, adam = DiscreteAgent(1, 2, (4,), 0.1), (optax.adam(1e-2),) * 2
    update = jax.jit(learner_update(agent, Corridor().features, adam, settings, corridor_rows()))
    state, seen = learner_state(agent, adam, settings, KEY), []
    for _ in range(4):
        state = update(state)[0]
        seen.append(jax.tree.leaves(state.params.critic)[1])
    wanted = seen[0]
    for share, weights in zip((1 / 2, 0.4, 0.4), seen[1:], strict=True):
        wanted = (1 - share) * wanted + share * weights
    np.testing.assert_allclose(jax.tree.leaves(learned_agent(state).critic)[1], wanted, rtol=1e-5)
    state = learner_state(agent, adam, dataclasses.replace(settings, averaging=0.0), KEY)
    assert learned_agent(state) is state.params
