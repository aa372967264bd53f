"""Diffusion over plans: samplers against their equations, what is learned, what is followed, what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import counting_rows
from small_tasks import Ball, Cart

from invlearn_jax.data.dataset import Dataset
from invlearn_jax.data.plans import plan_store
from invlearn_jax.learn.diffusion import (
    Asked,
    DiffusionTraining,
    averaged,
    consistency_state,
    consistency_update,
    diffusion_state,
    diffusion_update,
    plan_sampler,
)
from invlearn_jax.learn.loop import default_optimizer, train
from invlearn_jax.methods import diffuser
from invlearn_jax.methods.plan_diffusion import PlanSettings, build_inverter, build_planner
from invlearn_jax.models.diffusion import (
    DiffusionParams,
    Known,
    PlanDiffusion,
    cosine_schedule,
    sampler_steps,
)
from invlearn_jax.networks import Denoiser, temporal_unet
from invlearn_jax.planners.diffusion import PlanLayout
from invlearn_jax.settings import with_settings
from invlearn_jax.types import Problem

TINY = {"tokens": 8, "stride": 4, "width": 8, "multipliers": (1,), "train_steps": 10, "inverse_hidden": (16,)}
SMALL = with_settings(PlanSettings(), TINY | {"denoise_steps": 3, "horizon": 8, "candidates": 2, "execute_steps": 4})
DIFFUSER = with_settings(diffuser.Settings(), TINY | {"denoise_steps": 3, "follow": "pd", "execute_steps": 100})
PROBLEM = Problem(jnp.array([1.0, 2.0, 0.5, -0.5]), jnp.array([3.0, 1.0]))
NOTHING_KNOWN = Known(jnp.zeros((1, 1)), jnp.zeros((1, 1), bool))
OPEN = DiffusionParams((), -jnp.full(1, 50.0), jnp.full(1, 50.0))  # limits that never cut


def gaussian(mean, std, levels):
    """The best prediction of ``x_0 ~ N(mean, std^2)``, in the units of ``OPEN``'s limits, as a diffusion model."""
    alpha_bar = jnp.asarray(cosine_schedule(levels), jnp.float32)

    def best(params, x, level, condition):
        kept = alpha_bar[level.astype(int)][:, None, None]
        gain = std**2 * jnp.sqrt(kept) / (kept * std**2 + 1 - kept)
        return mean + gain * (x - jnp.sqrt(kept) * mean)

    return PlanDiffusion(Denoiser(lambda key: (), best), 1, 1, 0, levels)


def drawn(model, sampler, steps, num, **changes):
    table = sampler_steps(sampler, model.train_steps, steps)
    return (
        np.asarray(model.sample(OPEN, jax.random.key(0), NOTHING_KNOWN, jnp.zeros(0), num, table, **changes)).ravel()
        / 50
    )


def test_the_schedule_falls_from_one_to_nearly_nothing():
    alpha_bar = cosine_schedule(100)
    assert alpha_bar[0] == 1 and (np.diff(alpha_bar) < 0).all() and 0 < alpha_bar[-1] < 1e-3


def test_ddpm_over_all_levels_is_the_posterior():
    """``x_{t-1} ~ N(sqrt(abar') beta / (1 - abar) x0 + sqrt(alpha) (1 - abar') / (1 - abar) x_t, posterior variance)``."""
    levels, table = sampler_steps("ddpm", 50, 50)
    alpha_bar = cosine_schedule(50)
    for t, (kept, towards, before, noise) in zip(levels, table, strict=True):
        now, then = alpha_bar[t], alpha_bar[t - 1]
        alpha = now / then
        wanted = (
            np.sqrt(alpha) * (1 - then) / (1 - now),
            np.sqrt(then) * (1 - alpha) / (1 - now),
            0.0,
            np.sqrt((1 - then) / (1 - now) * (1 - alpha)),
        )
        np.testing.assert_allclose((kept, towards, before, noise), wanted, atol=1e-6)


@pytest.mark.parametrize("sampler", ["ddim", "dpm_solver++"])
def test_deterministic_samplers_follow_the_flow(sampler):
    """For a Gaussian the flow is known: a standard normal's quantile goes to the same quantile."""
    model = gaussian(0.1, 0.2, 1000)
    noise = jax.random.normal(jax.random.split(jax.random.key(0))[0], (64, 1, 1)).ravel()
    found = drawn(model, sampler, 200, 64)
    np.testing.assert_allclose(found, 0.1 + 0.2 * np.asarray(noise), atol=0.01)


def test_the_second_order_solver_is_closer_with_few_steps():
    model = gaussian(0.0, 0.3, 1000)
    reference = drawn(model, "ddim", 1000, 256)
    first, second = (np.abs(drawn(model, name, 12, 256) - reference).mean() for name in ("ddim", "dpm_solver++"))
    assert second < 0.6 * first


def test_ancestral_sampling_draws_the_distribution():
    found = drawn(gaussian(-0.2, 0.1, 200), "ddpm", 200, 4000)
    assert abs(found.mean() + 0.2) < 0.01
    assert abs(found.std() - 0.1) < 0.01


def test_a_low_temperature_narrows_what_is_drawn():
    model = gaussian(0.0, 0.1, 100)
    warm, cold = (drawn(model, "ddpm", 100, 2000, temperature=t).std() for t in (1.0, 0.5))
    assert cold < 0.7 * warm


def test_one_step_is_the_prediction_from_noise():
    model = gaussian(0.25, 0.0, 100)
    np.testing.assert_allclose(drawn(model, "ddim", 1, 8), 0.25, atol=1e-6)


def test_guidance_moves_along_the_difference():
    network = Denoiser(lambda key: (), lambda p, x, level, c: 0 * x + 0.1 + 0.2 * c[:, None, :1])
    model = PlanDiffusion(network, 1, 1, 1, 10)
    x = jnp.zeros((1, 1, 1))
    for weight, wanted in ((0.0, 0.1), (1.0, 0.3), (2.5, 0.6), (100.0, 1.0)):
        found = model.guided((), x, jnp.array(3), jnp.ones((1, 1)), weight)
        np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("steps", [0, 101])
def test_steps_beyond_those_of_training_are_refused(steps):
    with pytest.raises(ValueError, match=f"denoise_steps is {steps}; allowed are 1 to the 100"):
        sampler_steps("ddim", 100, steps)


def test_an_unknown_sampler_names_the_nearest():
    with pytest.raises(ValueError, match="ddim"):
        sampler_steps("dim", 100, 5)


@pytest.mark.parametrize(("horizon", "allowed"), [(30, "multiple of 4, such as 32"), (2, "such as 4")])
def test_a_horizon_that_cannot_be_halved_is_refused(horizon, allowed):
    with pytest.raises(ValueError, match=allowed):
        temporal_unet(horizon, 4)


def test_a_width_without_groups_is_refused():
    with pytest.raises(ValueError, match="multiple of 8"):
        temporal_unet(32, 4, width=20)


def test_the_network_has_diffusers_size():
    """3.68 million weights for umaze's six channels: base width 32, multiplied by 1, 4 and 8."""
    params = jax.eval_shape(temporal_unet(128, 6).init, jax.random.key(0))
    assert 3.5e6 < sum(x.size for x in jax.tree.leaves(params)) < 4.2e6


def test_a_batch_is_its_samples_one_by_one():
    network = temporal_unet(8, 3, 2, 8, (1, 2))
    params = jax.jit(network.init)(jax.random.key(0))
    x, level, condition = jax.random.normal(jax.random.key(1), (5, 8, 3)), jnp.arange(5.0), jnp.ones((5, 2))
    apply = jax.jit(network.apply)
    batch = apply(params, x, level, condition)
    alone = [apply(params, x[i : i + 1], level[i : i + 1], condition[i : i + 1])[0] for i in range(5)]
    np.testing.assert_allclose(batch, alone, atol=1e-5)


@pytest.mark.parametrize("name", ["condition", "level"])
def test_the_network_sees(name):
    network = temporal_unet(8, 3, 2, 8, (1, 2))
    params = jax.jit(network.init)(jax.random.key(0))
    apply = jax.jit(network.apply)
    given = {"x": jnp.ones((1, 8, 3)), "level": jnp.ones(1), "condition": jnp.ones((1, 2))}
    changed = given | {name: 5 + given[name]}
    assert (np.abs(apply(params, *given.values()) - apply(params, *changed.values())) > 1e-6).any()


# --- the path between tokens


def test_a_cubic_is_met_exactly():
    """Positions and velocities of a cubic in time, every fourth step of it."""
    dt, t = 0.01, np.arange(0, 29) * 0.01
    x, v = 2 * t**3 - t**2 + 3 * t, 6 * t**2 - 2 * t + 3
    full = np.stack([x, -x, v, -v], axis=1).astype(np.float32)
    ball = Ball()
    ball.dt = dt
    found = PlanLayout(ball, 4).states(jnp.asarray(full[::4]))
    np.testing.assert_allclose(found, full, atol=1e-4)


def test_other_tasks_have_straight_paths_and_places_of_their_own():
    layout = PlanLayout(Cart(), 2, with_actions=True)
    assert (layout.channels, layout.places) == (4, slice(2, 3))
    states, actions = np.float32([[0.1, 0.2], [0.3, -0.4]]), np.float32([[3.0], [-1.0]])
    rows = layout.rows(Dataset(states, actions, np.array([False, True])))
    np.testing.assert_allclose(rows, [[0.1, 0.2, 1.0, 3.0], [0.3, -0.4, 3.0, -1.0]], rtol=1e-6)
    np.testing.assert_allclose(layout.states(jnp.asarray(rows)), [[0.1, 0.2], [0.2, -0.1], [0.3, -0.4]], atol=1e-6)
    np.testing.assert_allclose(layout.actions(jnp.asarray(rows)), [[3.0], [1.0]], atol=1e-6)


def test_own_actions_are_linear_between_tokens():
    tokens = jnp.zeros((3, 6)).at[:, 4].set(jnp.array([0.0, 1.0, -1.0]))
    found = PlanLayout(Ball(), 2, True).actions(tokens)
    np.testing.assert_allclose(found[:, 0], [0.0, 0.5, 1.0, 0.0], atol=1e-6)


# --- Inverter and Tracker


@pytest.fixture(scope="module", params=[SMALL, DIFFUSER], ids=["decision_diffuser", "diffuser"])
def planner(request):
    built = build_planner(Ball(), request.param)
    return built, built.init(jax.random.key(0))


def test_plans_begin_at_the_state_and_end_at_the_goal():
    inverter = build_inverter(Ball(), DIFFUSER)
    plans = jax.jit(inverter.plans, static_argnums=3)(inverter.init(jax.random.key(0)), jax.random.key(1), PROBLEM, 3)
    assert plans.shape == (3, 8, 6)
    np.testing.assert_allclose(plans[:, 0, :4], np.tile(PROBLEM.state, (3, 1)), atol=1e-5)
    np.testing.assert_allclose(plans[:, -1, :4], np.tile([3.0, 1.0, 0.0, 0.0], (3, 1)), atol=1e-5)
    assert (np.abs(plans[0, 1] - plans[1, 1]) > 1e-4).any()


def test_proposals_meet_the_contract():
    inverter = build_inverter(Ball(), SMALL)
    params = inverter.init(jax.random.key(0))
    found = jax.jit(inverter.propose, static_argnums=3)(params, jax.random.key(1), PROBLEM, 5)
    assert found.shape == (5, SMALL.horizon, 2)
    assert (np.abs(found) <= 1).all()


def test_problems_of_another_size_are_refused(planner):
    planner, params = planner
    for wrong in (PROBLEM._replace(state=jnp.zeros(3)), PROBLEM._replace(goal=jnp.zeros(1))):
        with pytest.raises(ValueError, match="this planner takes"):
            planner.plan(params, jax.random.key(0), wrong)


def test_the_controller_pulls_towards_the_next_state_of_the_plan():
    planner = build_planner(Ball(), DIFFUSER)
    plan = jax.jit(planner.plan)(planner.init(jax.random.key(0)), jax.random.key(1), PROBLEM)
    state = plan.states[6] - jnp.array([0.1, 0.0, 0.0, 0.2])
    np.testing.assert_allclose(planner.act(None, plan, 5, state), np.clip(np.array([0.1, 0.2]), -1, 1), atol=1e-5)
    # Beyond the plan's end: its last position, at rest.
    end = plan.states[-1].at[2:].set(jnp.array([0.3, -0.1]))
    np.testing.assert_allclose(planner.act(None, plan, 500, end), [-0.3, 0.1], atol=1e-5)


def test_own_actions_end_with_the_plan():
    planner = build_planner(Ball(), with_settings(DIFFUSER, {"follow": "actions"}))
    plan = jax.jit(planner.plan)(planner.init(jax.random.key(0)), jax.random.key(1), PROBLEM)
    np.testing.assert_array_equal(planner.act(None, plan, 3, PROBLEM.state), plan.actions[3])
    np.testing.assert_array_equal(planner.act(None, plan, planner.horizon, PROBLEM.state), 0)


# --- learning


def arcs(key, batch):
    """Half circles of either sense, 8 tokens; the condition is the sense."""
    side_key, radius_key = jax.random.split(key)
    side = jax.random.choice(side_key, jnp.array([-1.0, 1.0]), (batch, 1))
    radius = 0.8 + 0.1 * jax.random.uniform(radius_key, (batch, 1))
    angle = jnp.linspace(0, jnp.pi, 8)
    plans = jnp.stack([radius * jnp.cos(angle), side * radius * jnp.sin(angle)], axis=-1)
    mask = jnp.zeros(plans.shape, bool).at[:, 0].set(True)
    return Asked(plans, Known(plans, mask), side)


def test_plans_are_learned_guided_and_distilled():
    model = PlanDiffusion(temporal_unet(8, 2, 2, 8, (1,)), 8, 2, 1, 50)
    optimizer = default_optimizer(4e-3, 400)
    rows = np.array([[-1.0, -1.0], [1.0, 1.0]])

    def draw(key):
        return arcs(key, 32)

    settings = DiffusionTraining(decay=0.99)
    state = diffusion_state(model, optimizer, jax.random.key(0), rows)
    params = averaged(train(diffusion_update(model, optimizer, draw, settings), state, 400, 400))
    known = Known(jnp.zeros((8, 2)).at[0].set(jnp.array([0.85, 0.0])), jnp.zeros((8, 2), bool).at[0].set(True))

    @functools.partial(jax.jit, static_argnums=(2, 3))
    def sample(params, side, steps, guidance):
        table = sampler_steps("ddim", 50, steps)
        return model.sample(params, jax.random.key(1), known, side[None], 64, table, guidance)

    def heights(params, side, steps, guidance):
        plans = sample(params, jnp.asarray(side), steps, guidance)
        np.testing.assert_allclose(plans[:, 0], np.tile([0.85, 0.0], (64, 1)), atol=1e-5)
        return np.asarray(plans[:, 4, 1])

    for side in (-1.0, 1.0):
        found = heights(params, side, 5, 1.0)
        assert (np.sign(found) == side).mean() > 0.95
        np.testing.assert_allclose(np.abs(found).mean(), 0.83, atol=0.06)
    # Left out, the condition leaves both senses.
    assert 0.2 < (heights(params, 1.0, 5, 0.0) > 0).mean() < 0.8
    before = np.abs(np.abs(heights(params, 1.0, 1, 0.0)) - 0.83).mean()
    optimizer = default_optimizer(4e-3, 200)
    update = consistency_update(model, params, optimizer, draw, sampler_steps("ddim", 50, 5), 1.0, settings)
    student = averaged(train(update, consistency_state(optimizer, jax.random.key(2), params), 200, 200))
    after = np.abs(np.abs(heights(student, 1.0, 1, 0.0)) - 0.83).mean()
    # In one step the teacher answers with the mean of both senses, its student with one of them.
    assert before > 0.4
    assert after < 0.5 * before


def test_a_path_that_is_none_is_not_distilled():
    model = PlanDiffusion(temporal_unet(8, 2, 2, 8, (1, 2)), 8, 2, 1, 50)
    params = model.init(jax.random.key(0))
    for sampler in ("ddpm", "dpm_solver++"):
        with pytest.raises(ValueError, match="'ddim'"):
            consistency_update(
                model, params, default_optimizer(1e-3, 10), lambda k: arcs(k, 4), sampler_steps(sampler, 50, 10), 1.0,
                DiffusionTraining(),
            )  # fmt: skip


def test_what_is_drawn_is_what_will_be_planned():
    inverter = build_inverter(Ball(), SMALL)
    params = inverter.init(jax.random.key(0)).diffusion._replace(low=jnp.full(4, -50.0), high=jnp.full(4, 50.0))
    data = counting_rows([60, 50])
    store = plan_store(data, inverter.layout.rows(data), inverter.span, True)
    asked = jax.jit(plan_sampler(inverter, params, store, 16))(jax.random.key(0))
    np.testing.assert_allclose(asked.condition * 50, asked.plans[:, -1, :2], atol=1e-4)
    assert asked.known.mask[:, 0].all() and not asked.known.mask[:, 1:].any()
