"""Gauss-Newton and L-BFGS as refiners: linear and curved residuals, lengths, candidates, bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invlearn_jax.refine import ResidualCost, gauss_newton, gradient, refine


def linear(seed, rows=3, double=False):
    """A residual ``A a - b`` with its cost, and what NumPy says is the nearest solution to a point."""
    rng = np.random.default_rng(seed)
    matrix, wanted, start = rng.normal(size=(rows, 10)), rng.normal(size=rows), 0.1 * rng.normal(size=(5, 2))
    nearest = start + (np.linalg.pinv(matrix) @ (wanted - matrix @ start.ravel())).reshape(5, 2)

    def residual(actions):
        return jnp.asarray(matrix, actions.dtype) @ actions.ravel() - jnp.asarray(wanted, actions.dtype)

    return ResidualCost(lambda a: (residual(a) ** 2).sum(), residual), start, nearest


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_gauss_newton_solves_a_linear_problem_in_one_step(rows):
    cost, start, nearest = linear(0, rows)
    with jax.enable_x64(True):
        out = refine(gauss_newton(longest=100.0), jax.random.key(0), cost, jnp.asarray(start)[None], 1)
        assert float(out.cost) < 1e-24
        np.testing.assert_allclose(out.actions, nearest, atol=1e-11)


def test_gauss_newton_keeps_to_its_length_and_its_damping():
    cost, start, nearest = linear(1)
    way = nearest - start
    candidates = jnp.asarray(start, jnp.float32)[None]
    short = gauss_newton(longest=0.1 * np.linalg.norm(way)).update(jax.random.key(0), cost, candidates)[0][0]
    np.testing.assert_allclose(short - start, 0.1 * way, rtol=1e-3, atol=1e-5)
    damped = gauss_newton(damping=1.0, longest=100.0).update(jax.random.key(0), cost, candidates)[0][0]
    assert 0.1 * np.linalg.norm(way) < np.linalg.norm(damped - start) < 0.95 * np.linalg.norm(way)


def test_gauss_newton_squares_the_error_of_a_smooth_residual():
    cost, start, nearest = linear(2)

    def residual(actions):
        straight = cost.residual(actions)
        return straight + 0.3 * jnp.sin(straight) * straight

    curved = ResidualCost(lambda a: (residual(a) ** 2).sum(), residual)
    with jax.enable_x64(True):
        begin = jnp.asarray(nearest + 0.3 * start)[None]
        out = refine(gauss_newton(longest=100.0), jax.random.key(0), curved, begin, 3)
        errors = np.sqrt([float(out.proposal_cost), *map(float, out.trace)])
    assert errors[0] > 1e-3
    for before, after in zip(errors[:3], errors[1:], strict=False):
        assert after < max(2 * before**2, 1e-14)


@functools.cache
def run_rough():
    """Gauss-Newton on a residual for which it is a poor guide: ``(matrix, candidates) -> Refined``."""

    def run(matrix, candidates):
        residual = lambda a: jnp.sin(3 * matrix @ a.ravel()) + 0.3  # noqa: E731
        return refine(
            gauss_newton(), jax.random.key(0), ResidualCost(lambda a: (residual(a) ** 2).sum(), residual), candidates, 5
        )

    return jax.jit(run)


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-3, 30.0))
def test_gauss_newton_is_never_worse_than_the_proposal(seed, scale):
    rng = np.random.default_rng(seed)
    matrix, candidates = scale * rng.normal(size=(4, 10)), rng.normal(size=(3, 5, 2))
    out = run_rough()(*(jnp.asarray(x, jnp.float32) for x in (matrix, candidates)))
    costs = ((np.sin(3 * np.float32(matrix) @ np.float32(candidates).reshape(3, 10).T) + 0.3) ** 2).sum(0)
    np.testing.assert_allclose(out.proposal_cost, costs.min(), rtol=1e-2, atol=1e-3)
    assert out.trace[0] <= out.proposal_cost
    assert (np.diff(out.trace) <= 0).all()
    assert out.cost == out.trace[-1]


def test_a_candidate_without_a_finite_step_stays_and_a_good_one_wins():
    cost, start, _ = linear(3)
    candidates = jnp.asarray(np.stack([np.full((5, 2), np.nan), start]), jnp.float32)
    out = refine(gauss_newton(longest=100.0), jax.random.key(0), cost, candidates, 2)
    assert jnp.isfinite(out.actions).all()
    assert out.cost < 1e-9
    flat = ResidualCost(lambda a: 1.0 + 0 * a.sum(), lambda a: 0 * a.ravel()[:2] + 1.0)
    out = refine(gauss_newton(), jax.random.key(0), flat, candidates[1:], 2)
    np.testing.assert_array_equal(out.actions, candidates[1])


def test_gauss_newton_refuses_what_it_cannot_use():
    with pytest.raises(ValueError, match="needs the cost with its residual, as a ResidualCost"):
        refine(gauss_newton(), jax.random.key(0), lambda a: (a**2).sum(), jnp.zeros((1, 5, 2)), 1)
    for settings in ({"damping": -1.0}, {"longest": 0.0}, {"damping": np.nan}, {"longest": np.nan}):
        with pytest.raises(ValueError, match="give 0 or more, and more than 0"):
            gauss_newton(**settings)


def test_lbfgs_minimises_a_quadratic_without_bounds():
    rng = np.random.default_rng(6)
    root, centre = jnp.asarray(rng.normal(size=(6, 6)), jnp.float32), jnp.asarray(rng.normal(0, 3, (3, 2)), jnp.float32)

    def cost(actions):
        return ((root @ (actions - centre).ravel()) ** 2).sum() + 0.1 * ((actions - centre) ** 2).sum()

    refiner = gradient(optax.lbfgs(), limit=float("inf"))
    out = jax.jit(lambda c: refine(refiner, jax.random.key(0), cost, c, 25))(jnp.zeros((2, 3, 2)))
    assert out.cost < 1e-6 * out.proposal_cost
    np.testing.assert_allclose(out.actions, centre, atol=1e-2)
    assert jnp.abs(out.actions).max() > 1
