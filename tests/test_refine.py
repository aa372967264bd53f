"""One contract for every refiner, and gradient refinement against the Riccati solution."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import count_compilations, double_integrator
from hypothesis import given
from hypothesis import strategies as st

from invlearn_jax.models import SimulatorModel
from invlearn_jax.objectives import weighted_sum
from invlearn_jax.planners import InversePlanner, Shooting
from invlearn_jax.refine import PlanCost, cem, dial, gradient, ilqr, mppi, predictive_sampling, refine
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.types import Problem

T, A, K = 6, 2, 3
LIMIT = 0.8
REFINERS = {
    "adam": gradient(optax.adam(0.05), LIMIT),
    "sgd": gradient(optax.sgd(0.05), LIMIT),
    "predictive_sampling": predictive_sampling(32, limit=LIMIT),
    "mppi": mppi(32, limit=LIMIT),
    "cem": cem(32, limit=LIMIT),
    # Annealed slowly: some tests take 200 steps.
    "dial": dial(32, limit=LIMIT, round_decay=0.99),
    "ilqr": ilqr(limit=LIMIT),
}
every_refiner = pytest.mark.parametrize("name", REFINERS)


def in_two_parts(cost):
    """A cost of the actions as a ``PlanCost``, whose states are the actions' sums so far."""

    def unroll(actions):
        return jnp.concatenate([jnp.zeros_like(actions[:1]), jnp.cumsum(actions, axis=0)])

    return PlanCost(unroll, lambda states, actions: cost((jnp.diff(states, axis=0) + actions) / 2))


def quadratic(root, centre, actions):
    """``|R (a - c)|^2``."""
    return ((root @ (actions - centre).reshape(-1)) ** 2).sum()


@functools.cache
def run_quadratic(name, steps):
    """A jitted refinement of a quadratic: ``(key, root, centre, candidates) -> Refined``."""

    def run(key, root, centre, candidates):
        return refine(REFINERS[name], key, in_two_parts(functools.partial(quadratic, root, centre)), candidates, steps)

    return jax.jit(run)


def random_quadratic(seed, scale=1.0, batch=()):
    rng = np.random.default_rng(seed)
    root = scale * rng.normal(size=(*batch, T * A, T * A)) / np.sqrt(T * A)
    centre = rng.uniform(-1.5, 1.5, (*batch, T, A))
    candidates = rng.uniform(-LIMIT, LIMIT, (*batch, K, T, A))
    return tuple(jnp.asarray(x, jnp.float32) for x in (root, centre, candidates))


@every_refiner
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-3, 30.0))
def test_never_worse_than_the_proposal(name, seed, scale):
    root, centre, candidates = random_quadratic(seed, scale)
    refined = run_quadratic(name, 5)(jax.random.key(seed), root, centre, candidates)
    costs = jnp.array([quadratic(root, centre, a) for a in candidates])
    np.testing.assert_allclose(refined.proposal_cost, costs.min(), rtol=1e-4)
    trace = np.asarray(refined.trace)
    assert trace.shape == (5,)
    assert trace[0] <= refined.proposal_cost
    assert (np.diff(trace) <= 0).all()
    assert trace[-1] == refined.cost
    np.testing.assert_allclose(refined.cost, quadratic(root, centre, refined.actions), rtol=1e-3, atol=1e-6 * scale**2)
    assert jnp.abs(refined.actions).max() <= LIMIT


@every_refiner
def test_refinement_changes_the_proposal_for_the_better(name):
    root, centre, candidates = random_quadratic(0)
    refined = run_quadratic(name, 5)(jax.random.key(0), root, centre, candidates)
    assert refined.cost < 0.95 * refined.proposal_cost


@every_refiner
@given(seed=st.integers(0, 2**32 - 1))
def test_zero_steps_are_the_identity(name, seed):
    root, centre, candidates = random_quadratic(seed)
    refined = run_quadratic(name, 0)(jax.random.key(seed), root, centre, candidates)
    best = np.argmin((((candidates - centre).reshape(K, -1) @ root.T) ** 2).sum(-1))
    assert np.array_equal(refined.actions, candidates[best])
    assert refined.cost == refined.proposal_cost
    assert refined.trace.shape == (0,)


@every_refiner
def test_bounds_are_respected_and_reached(name):
    """The optimum lies outside the box on every axis."""
    root, centre = jnp.eye(T * A), jnp.full((T, A), 3.0)
    refined = run_quadratic(name, 200)(jax.random.key(0), root, centre, jnp.zeros((K, T, A)))
    assert jnp.abs(refined.actions).max() <= LIMIT
    assert refined.actions.mean() > 0.9 * LIMIT


@every_refiner
def test_jit_equals_no_jit(name):
    root, centre, candidates = random_quadratic(1)
    jitted = run_quadratic(name, 3)(jax.random.key(1), root, centre, candidates)
    with jax.disable_jit():
        cost = in_two_parts(functools.partial(quadratic, root, centre))
        plain = refine(REFINERS[name], jax.random.key(1), cost, candidates, 3)
    for left, right in zip(jitted, plain, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-3, atol=5e-4)


@every_refiner
def test_vmap_equals_loop(name):
    problems = random_quadratic(2, batch=(4,))
    keys = jax.random.split(jax.random.key(2), 4)
    run = run_quadratic(name, 5)
    together = jax.jit(jax.vmap(run))(keys, *problems)
    for i in range(4):
        alone = run(keys[i], *(x[i] for x in problems))
        for left, right in zip(together, alone, strict=True):
            np.testing.assert_allclose(left[i], right, rtol=1e-4, atol=1e-5)


@every_refiner
def test_same_key_same_result_and_no_second_compilation(name):
    problem = random_quadratic(3)
    run = run_quadratic(name, 5)
    first = run(jax.random.key(3), *problem)
    with count_compilations() as compilations:
        second = run(jax.random.key(3), *problem)
    assert compilations == []
    assert all(np.array_equal(left, right) for left, right in zip(first, second, strict=True))


@pytest.mark.parametrize("name", ["predictive_sampling", "mppi", "cem", "dial"])
def test_another_key_draws_other_samples(name):
    problem = random_quadratic(3)
    first, second = (run_quadratic(name, 5)(jax.random.key(seed), *problem) for seed in (3, 4))
    assert not np.array_equal(first.actions, second.actions)


def test_noise_of_dial_is_annealed_over_steps_and_along_the_horizon():
    """The spread of the draws against the formula: three values of the noise over six actions."""
    refiner = dial(4096, sigma=0.1, knots=3, limit=100.0, round_decay=0.5, horizon_decay=0.8)

    def cost(actions):
        return jnp.zeros(())

    state, _ = refiner.init(cost, jnp.zeros((1, T, A)))
    for step in range(2):
        state, tried, _ = refiner.update(jax.random.key(step), cost, state._replace(mean=jnp.zeros((T, A))))
        wanted = 0.1 * 0.5**step * np.repeat(0.8 ** np.array([2, 1, 0]), 2)
        np.testing.assert_allclose(tried[1:].std(0), np.stack([wanted] * A, 1), rtol=0.05)


@functools.cache
def run_beside_nan(name):
    """Refinement of ``|a - 0.5|^2`` that is NaN where the first action exceeds a given value: ``(wall, candidates)``."""

    def run(wall, candidates):
        def cost(actions):
            return jnp.where(actions[0, 0] > wall, jnp.nan, ((actions - 0.5) ** 2).sum())

        return refine(REFINERS[name], jax.random.key(0), in_two_parts(cost), candidates, 20)

    return jax.jit(run)


@every_refiner
def test_candidates_whose_cost_is_nan_never_win(name):
    # The first candidate is NaN itself, the second of NaN cost although it lies at the minimum, the third is sound.
    candidates = jnp.stack([jnp.full((T, A), jnp.nan), jnp.full((T, A), 0.5), jnp.full((T, A), -0.5)])
    refined = run_beside_nan(name)(0.0, candidates)
    assert refined.proposal_cost == T * A
    assert jnp.isfinite(refined.actions).all()
    assert refined.actions[0, 0] <= 0
    # Up to the NaN it still improves.
    assert refined.cost < 0.9 * refined.proposal_cost


@every_refiner
def test_where_every_cost_is_nan_the_cost_is_infinite(name):
    refined = run_beside_nan(name)(-2.0, jnp.zeros((K, T, A)))
    assert jnp.isposinf(refined.cost)
    assert jnp.isposinf(refined.trace).all()


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("adam", 1e-4),
        ("sgd", 1e-4),
        ("predictive_sampling", 0.15),
        ("mppi", 0.05),
        ("cem", 0.01),
        ("dial", 0.05),
        ("ilqr", 1e-8),
    ],
)
def test_converges_on_a_parabola(name, share):
    centre = jnp.asarray(np.random.default_rng(4).uniform(-0.6, 0.6, (T, A)), jnp.float32)
    refined = run_quadratic(name, 200)(jax.random.key(4), jnp.eye(T * A), centre, jnp.zeros((K, T, A)))
    assert refined.cost < share * refined.proposal_cost


@pytest.mark.parametrize("name", ["predictive_sampling", "mppi", "cem"])
def test_noise_is_held_over_the_horizon(name):
    """With one knot the whole sequence moves together, so a constant optimum is found at once."""
    makers = {"predictive_sampling": predictive_sampling, "mppi": mppi, "cem": cem}
    refiner = makers[name](64, knots=1)
    refined = refine(refiner, jax.random.key(0), lambda a: ((a - 0.4) ** 2).mean(), jnp.zeros((1, 50, 1)), 8)
    assert refined.cost < 0.02 * refined.proposal_cost
    assert np.ptp(refined.actions) < 1e-6


def riccati(a, b, horizon, *, q, r, p):
    """``P`` with ``min_u sum_t x'Qx + u'Ru + x_T' p x_T = x_0' P x_0``, t = 0 .. T-1, by the backward recursion."""
    for _ in range(horizon):
        gain = np.linalg.solve(r + b.T @ p @ b, b.T @ p @ a)
        p = q + a.T @ p @ (a - b @ gain)
    return p


@pytest.mark.parametrize(
    ("refiner", "steps", "over"),
    [(gradient(optax.adam(0.05), limit=20.0), 1500, 1.01), (ilqr(1e-9, limit=20.0), 1, 1.0001)],
)
def test_refinement_reaches_the_riccati_optimum(refiner, steps, over):
    """LQR on a double integrator, through a ForwardModel and an Objective; iLQR is there in one step."""
    model, horizon, state = double_integrator(1), 20, np.array([1.0, -0.5])
    q, r, final = np.diag([1.0, 0.1]), np.array([[0.05]]), np.diag([10.0, 1.0])

    def regulate(params, states, actions, goal):
        stage = jnp.einsum("ts,sr,tr->", states[:-1], jnp.asarray(q, jnp.float32), states[:-1])
        control = jnp.asarray(r, jnp.float32)[0, 0] * (actions**2).sum()
        return stage + control + states[-1] @ jnp.asarray(final, jnp.float32) @ states[-1]

    planner = InversePlanner(Shooting(horizon, 1), model, weighted_sum(regulate=(1.0, regulate)), refiner, steps)
    problem, params = Problem(jnp.asarray(state, jnp.float32), jnp.zeros(1)), planner.init(jax.random.key(0))
    out = jax.jit(planner.plan)(params, jax.random.key(0), problem)
    a, b = np.asarray(model.a, np.float64), np.asarray(model.b, np.float64)
    optimum = state @ riccati(a, b, horizon, q=q, r=r, p=final) @ state
    assert out.proposal_cost > 1.2 * optimum
    assert 0.999 * optimum < out.cost < over * optimum


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: predictive_sampling(0), "was given 0 samples; give at least 1"),
        (lambda: mppi(-1), "was given -1 samples"),
        (lambda: cem(4, elites=8), "8 elites of 4 samples; allowed are 1 to 4"),
        (lambda: cem(4, elites=0), "0 elites of 4 samples"),
        (lambda: dial(4, round_decay=0.0), "round_decay 0.0 and horizon_decay 0.9; allowed are factors"),
        (lambda: ilqr(damping=0.0), "damping 0.0 and factor 5.0"),
        (lambda: refine(ilqr(), jax.random.key(0), lambda a: (a**2).sum(), jnp.zeros((1, T, A)), 1), "as a PlanCost"),
    ],
)
def test_bad_arguments_raise(bad, message):
    with pytest.raises(ValueError, match=message):
        bad()


@every_refiner
def test_bad_calls_raise(name):
    refiner, cost = REFINERS[name], lambda actions: (actions**2).sum()
    with pytest.raises(ValueError, match="refine steps is -1; give 0"):
        refine(refiner, jax.random.key(0), cost, jnp.zeros((1, T, A)), -1)
    with pytest.raises(ValueError, match="no candidates to refine"):
        refine(refiner, jax.random.key(0), cost, jnp.zeros((0, T, A)), 1)


# --- optimisers


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.adamw(0.05), optax.lbfgs(), optax.rmsprop(0.05, momentum=0.9), optax.polyak_sgd(0.1), optax.adabelief(0.05),
        optax.contrib.schedule_free_adamw(0.1, warmup_steps=2), optax.lion(0.02),
        optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(optax.linear_schedule(0.3, 0.0, 50))),
        optax.contrib.prodigy(1.0),
    ],
)  # fmt: skip
def test_optax_optimisers_refine(optimizer):
    cost = functools.partial(quadratic, jnp.eye(T * A), 0.3 * jnp.ones((T, A)))
    run = jax.jit(lambda: refine(gradient(optimizer), jax.random.key(0), cost, jnp.zeros((2, T, A)), 5))
    assert run().cost < run().proposal_cost


class Growing(NamedTuple):
    """A state whose type changes in the first step, as no scan can carry it."""

    count: jax.Array


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.lookahead(optax.adam(0.1), 5, 0.5),
        optax.GradientTransformation(
            lambda p: Growing(jnp.zeros((), int)), lambda g, s, p=None: (g, Growing(0.5 + s.count))
        ),
        optax.GradientTransformation(lambda p: (), lambda g, s, p=None: (g.sum(), s)),
    ],
    ids=["lookahead", "growing", "sum"],
)
def test_what_cannot_refine_is_refused_with_a_sentence(optimizer):
    with pytest.raises(
        ValueError, match="cannot refine actions .*Give an optax optimiser whose init and update take arrays"
    ):
        gradient(optimizer)


@pytest.mark.parametrize("name", REFINERS)
@pytest.mark.parametrize("bad", [jnp.nan, -jnp.inf])
def test_a_cost_that_is_not_finite_is_never_the_best(name, bad):
    """Where x is above 0.2 the objective breaks down; the best of what is left is returned."""

    def cost(actions):
        return jnp.where(actions[0, 0] > 0.2, bad, ((actions - 0.1) ** 2).sum())

    candidates = jnp.stack([jnp.full((T, A), 0.5), jnp.zeros((T, A))])
    out = jax.jit(lambda: refine(REFINERS[name], jax.random.key(0), in_two_parts(cost), candidates, 3))()
    assert jnp.isfinite(out.cost)
    assert out.actions[0, 0] <= 0.2
    assert out.cost <= out.proposal_cost
    np.testing.assert_allclose(out.proposal_cost, cost(candidates[1]), rtol=1e-5)


def test_a_refiner_without_its_gradient_is_refused_early():
    simulator, shooting = SimulatorModel(make_task("maze2d-umaze-v1")), Shooting(4, 2)

    def no_cost(params, states, actions, goal):
        return {"cost": jnp.zeros(())}

    with pytest.raises(ValueError, match=r"needs a reverse gradient .* SimulatorModel is 'forward'"):
        InversePlanner(shooting, simulator, no_cost, gradient(optax.sgd(0.1)), 1)
    # Nothing is refined, nothing is needed; and what needs less is given less.
    InversePlanner(shooting, simulator, no_cost, gradient(optax.sgd(0.1)), 0)
    for refiner in (ilqr(), cem(8)):
        InversePlanner(shooting, simulator, no_cost, refiner, 1)
