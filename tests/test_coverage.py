"""Distances from the data, for any number of dimensions: by table and by nearest rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from invlearn_jax.models.data_coverage import Coverage, NeighbourCoverage, TableCoverage, coverage_for

AMONG = {TableCoverage: 0.2, NeighbourCoverage: 1.5}


def fitted(kind, size, places=None):
    rng = np.random.default_rng(size)
    places = rng.uniform(-1, 1, (4000, size)) if places is None else places
    coverage = kind(size)
    return coverage, coverage.fit(places, AMONG[kind]), places


CASES = [
    (kind, size)
    for size in (1, 2, 3, 7)
    for kind in (TableCoverage, NeighbourCoverage)
    if size <= 3 or kind is NeighbourCoverage
]


@pytest.mark.parametrize(("kind", "size"), CASES)
def test_nothing_among_the_data_and_more_the_farther_away(kind, size):
    coverage, params, places = fitted(kind, size)
    distance = jax.jit(jax.vmap(coverage.distance, (None, 0)))
    assert (np.asarray(distance(params, places[:500])) == 0).mean() > 0.97
    ray = np.linspace(1.5, 40, 30)[:, None] * np.ones(size)
    found = np.asarray(distance(params, ray))
    assert found[0] > 0
    assert (np.diff(found) > 0).all()
    # Without bound.
    assert found[-1] > 10
    # The slope leads back, and is that of finite differences.
    place = jnp.linspace(2.0, 1.4, size)
    slope = np.asarray(jax.grad(coverage.distance, argnums=1)(params, place))
    assert slope.sum() > 0
    axis, step = int(np.argmax(np.abs(slope))), 1e-2
    ends = [float(coverage.distance(params, place.at[axis].add(s))) for s in (-step, step)]
    assert (ends[1] - ends[0]) / (2 * step) == pytest.approx(slope[axis], rel=0.05)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_dense_data_without_holes_end_at_their_box(size):
    """What counts as among the data may be wider than every gap in them, and far away is away all the same."""
    coverage = TableCoverage(size)
    params = coverage.fit(np.random.default_rng(0).uniform(-1, 1, (2000, size)), 1.5)
    assert coverage.distance(params, jnp.zeros(size)) == 0
    assert coverage.distance(params, jnp.full(size, 2.0)) == 0
    assert coverage.distance(params, jnp.full(size, 50.0)) == pytest.approx(50 - 1 - 1.5, abs=0.2)


@pytest.mark.parametrize("size", [1, 2])
def test_both_kinds_agree_on_what_is_near(size):
    rng = np.random.default_rng(0)
    places = rng.uniform(-1, 1, (4000, size))
    places = places[np.abs(places[:, 0]) > 0.5]  # a hole in the middle
    tried = rng.uniform(-3, 3, (400, size))
    far = np.maximum(np.abs(tried).max(1) - 1, 0.5 - np.abs(tried[:, 0])) > 0.3
    inside = (np.abs(tried).max(1) < 1) & (np.abs(tried[:, 0]) > 0.5)
    for kind in (TableCoverage, NeighbourCoverage):
        coverage, params, _ = fitted(kind, size, places)
        found = np.asarray(jax.vmap(coverage.distance, (None, 0))(params, tried))
        assert (found[far] > 0).all()
        assert (found[inside] == 0).mean() > 0.9


@pytest.mark.parametrize(("kind", "size"), [(TableCoverage, 2), (NeighbourCoverage, 7)])
def test_before_fitting_everything_is_covered(kind, size):
    coverage = kind(size)
    params = coverage.init(jax.random.key(0))
    for place in (jnp.zeros(size), jnp.full(size, 1e4)):
        assert coverage.distance(params, place) == 0
        assert np.isfinite(jax.grad(coverage.distance, argnums=1)(params, place)).all()
    assert all(np.isfinite(x).all() for x in params)


def test_a_coordinate_that_never_moved_has_no_scale():
    places = np.random.default_rng(0).normal(size=(3000, 5))
    places[:, 4] = 0.3
    coverage, params, _ = fitted(NeighbourCoverage, 5, places)
    place = jnp.asarray(places[0])
    assert coverage.distance(params, place.at[4].add(1e-4)) == 0
    assert coverage.distance(params, place.at[4].add(20.0)) > 1


def test_fewer_rows_than_are_held():
    coverage = NeighbourCoverage(4, count=64)
    params = coverage.fit(np.random.default_rng(0).normal(size=(10, 4)), 1.0)
    assert params.places.shape == (64, 4)
    assert np.isfinite(coverage.distance(params, jnp.zeros(4)))


def test_the_kind_follows_the_dimensions():
    assert [type(coverage_for(n)) for n in (1, 3, 4, 40)] == [TableCoverage] * 2 + [NeighbourCoverage] * 2
    assert isinstance(TableCoverage(2), Coverage)
    assert isinstance(NeighbourCoverage(5), Coverage)
