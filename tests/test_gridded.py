"""Networks with learned features of places."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_tasks import Ball, Cart

from invlearn_jax.inverters.network import NetworkInverter
from invlearn_jax.models.chunked import ChunkedModel
from invlearn_jax.networks import gridded_mlp, mlp
from invlearn_jax.networks.gridded import interpolated
from invlearn_jax.types import Problem


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_table_is_linear_between_its_points_and_ends_at_its_edge(size):
    axes = np.meshgrid(*[np.linspace(-1, 1, 5)] * size, indexing="ij")
    table = jnp.asarray(np.stack([sum(a * (k + 1) for k, a in enumerate(axes)), axes[0]], axis=-1))
    places = np.random.default_rng(0).uniform(-1.5, 1.5, (40, size))
    found = jax.jit(jax.vmap(interpolated, in_axes=(None, 0)))(table, jnp.asarray(places))
    inside = np.clip(places, -1, 1)
    np.testing.assert_allclose(found[:, 0], inside @ np.arange(1, size + 1), atol=1e-5)
    np.testing.assert_allclose(found[:, 1], inside[:, 0], atol=1e-5)
    np.testing.assert_allclose(interpolated(table, jnp.ones(size)), table[(-1,) * size], atol=1e-6)


def test_without_grids_it_is_a_plain_network_of_the_same_parameters():
    plain, gridded = mlp(3, (4,), 2), gridded_mlp(3, (4,), 2, (), 1, 2)
    params, x = gridded.init(jax.random.key(0)), jnp.arange(3.0)
    assert jax.tree.structure(params) == jax.tree.structure(plain.init(jax.random.key(0)))
    np.testing.assert_array_equal(gridded.apply(params, x, jnp.zeros((1, 2))), plain.apply(params, x))


def test_each_place_has_grids_of_its_own():
    net = gridded_mlp(3, (8,), 2, (4, 7), 2, 2, final_scale=1.0)
    params, x, places = net.init(jax.random.key(0)), jnp.ones(3), jnp.array([[0.3, -0.2], [0.1, 0.6]])
    assert [g.shape for g in params["grids"]] == [(2, 4, 4, 8), (2, 7, 7, 8)]
    assert not np.allclose(net.apply(params, x, places), net.apply(params, x, places[::-1]))


@pytest.mark.parametrize(("cells", "dimensions"), [((1,), 2), ((4,), 0)])
def test_grids_that_cannot_be_are_refused(cells, dimensions):
    with pytest.raises(ValueError, match="give at least 2 each, or"):
        gridded_mlp(3, (4,), 2, cells, 1, dimensions)


def test_model_and_inverter_take_grids_of_positions():
    task = Ball()
    model, inverter = ChunkedModel(task, 4, (8,), 2, (5,)), NetworkInverter(task, (8,), 2, cells=(5,))
    model_params, params = jax.jit(model.init)(jax.random.key(0)), jax.jit(inverter.init)(jax.random.key(1))
    problem = Problem(jnp.array([0.1, 0.2, 0.0, 0.0]), jnp.array([0.5, -0.5]))
    actions = jax.jit(lambda p: inverter.propose(p, jax.random.key(2), problem, 1)[0])(params)
    states = jax.jit(model.unroll)(model_params, problem.state, actions)
    assert states.shape == (task.horizon + 1, 4)
    assert jnp.isfinite(states).all()


def test_grids_for_a_task_without_positions_are_refused():
    with pytest.raises(ValueError, match="places of 0 dimensions"):
        ChunkedModel(Cart(), 4, (8,), 2, (5,))
