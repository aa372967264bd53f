"""The position graph and the cost-to-go that is learned from it, each against something known."""

import itertools
from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import scrambled
from jax.test_util import check_grads
from small_tasks import Ball

from invlearn_jax.learn.cost_to_go import Surroundings, cost_to_go_update, graph_cost_state
from invlearn_jax.learn.loop import default_optimizer, train
from invlearn_jax.models import PositionGraph, position_graph
from invlearn_jax.models.graph_cost import EmbeddedCost, GraphCost
from invlearn_jax.tasks.registry import make_task

# --- the position graph ---


def rooms():
    """Bins of two rooms (10 x 10) joined by a corridor (20 x 2): columns 0-9, 10-29, 30-39 of rows 0-9, 4-5, 0-9."""
    bins = [(i, j) for i in (*range(10), *range(30, 40)) for j in range(10)]
    return sorted(bins + [(i, j) for i in range(10, 30) for j in (4, 5)])


def walk(pairs, repeats=3):
    """Rows of two-row episodes at bin centres, each pair of bins ``repeats`` times: ``(positions, ends)``."""
    cells = np.array(list(pairs), float).reshape(-1, 2)
    positions = np.tile(0.1 * cells + 0.05, (repeats, 1))
    return positions, np.arange(len(positions)) % 2 == 1


def neighbours(bins):
    known = set(bins)
    offsets = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) > (0, 0)]
    return [(b, (b[0] + i, b[1] + j)) for b in bins for i, j in offsets if (b[0] + i, b[1] + j) in known]


def hops_from(source, bins):
    """Breadth-first hops over the eight neighbours."""
    hops, queue, known = {source: 0}, deque([source]), set(bins)
    while queue:
        here = queue.popleft()
        for i, j in itertools.product((-1, 0, 1), repeat=2):
            there = (here[0] + i, here[1] + j)
            if there in known and there not in hops:
                hops[there] = hops[here] + 1
                queue.append(there)
    return hops


def node_of(graph, cell):
    distance = np.abs(graph.nodes - (0.1 * np.array(cell) + 0.05)).max(1)
    assert distance.min() < 1e-5
    return int(distance.argmin())


def test_graph_times_are_shortest_ways_through_the_corridor():
    bins = rooms()
    graph = position_graph(*walk(neighbours(bins)), max_speed=5.0)
    assert len(graph.nodes) == len(bins)
    # From room to room round two corners: 27 moves of 0.1 m where the straight line has 21.
    start, stop = node_of(graph, (9, 0)), node_of(graph, (30, 9))
    assert graph.times[start, stop] == pytest.approx(27 * 0.1 / 5.0, rel=1e-5)
    for source in ((0, 0), (15, 4), (39, 9)):
        hops = hops_from(source, bins)
        times = graph.times[node_of(graph, source)]
        expected = [hops[tuple(np.rint(node / 0.1 - 0.5).astype(int))] * 0.1 / 5.0 for node in graph.nodes]
        np.testing.assert_allclose(times, expected, rtol=1e-5, atol=1e-6)
    assert np.array_equal(graph.times, graph.times.T)
    assert (np.diag(graph.times) == 0).all()


def test_graph_drops_what_is_not_joined_or_too_rare():
    bins = rooms()
    island = [(60, j) for j in range(5)]
    common = walk(neighbours(bins) + neighbours(island))
    # Twice from room to room through the wall, once to a bin that nothing else saw: flukes.
    rare = walk([((9, 0), (30, 0))], repeats=2), walk([((0, 0), (0, 20))], repeats=1)
    positions, ends = (np.concatenate(x) for x in zip(common, *rare, strict=True))
    graph = position_graph(positions, ends, max_speed=5.0)
    clean = position_graph(*walk(neighbours(bins)), max_speed=5.0)
    np.testing.assert_allclose(graph.nodes, clean.nodes, atol=1e-5)
    np.testing.assert_allclose(graph.times, clean.times, atol=1e-6)
    # Seen often enough, the way through the wall counts.
    shortcut = walk([((9, 0), (30, 0))], repeats=3)
    positions, ends = (np.concatenate(x) for x in zip(common, shortcut, strict=True))
    graph = position_graph(positions, ends, max_speed=5.0)
    assert graph.times[node_of(graph, (9, 0)), node_of(graph, (30, 0))] == pytest.approx(21 * 0.1 / 5.0, rel=1e-5)


def test_graph_does_not_join_episodes():
    """Each episode ends in one room and the next begins in the other; the corridor alone joins them."""
    bins = rooms()
    jumps = [((5, 5), (5, 4)), ((35, 5), (35, 4))]
    parts = walk(neighbours(bins)), walk(jumps, repeats=10)
    positions, ends = (np.concatenate(x) for x in zip(*parts, strict=True))
    graph = position_graph(positions, ends, max_speed=5.0)
    assert graph.times[node_of(graph, (5, 4)), node_of(graph, (35, 5))] == pytest.approx(30 * 0.1 / 5.0, rel=1e-5)


def test_graph_joins_bins_up_to_max_steps_apart():
    """One pass along a line, 0.3 m a step: every bin on the way is 1 to 4 steps from the next."""
    line = 0.05 + 0.3 * np.arange(12)
    positions = np.tile(np.stack([line, np.zeros(12)], 1), (3, 1))
    ends = np.arange(36) % 12 == 11
    graph = position_graph(positions, ends, max_speed=2.0, max_steps=4)
    np.testing.assert_allclose(graph.nodes[:, 0], line, atol=1e-5)
    np.testing.assert_allclose(graph.times[0], (line - line[0]) / 2.0, atol=1e-5)


def test_a_graph_in_pieces_is_refused():
    positions = np.random.default_rng(0).uniform(0, 10, (3000, 2))
    with pytest.raises(ValueError, match=r"falls apart: its largest part has \d+ of \d+ bins. Give more data"):
        position_graph(positions, np.arange(3000) % 100 == 99, max_speed=5.0, bin_size=0.5)


def test_lengths_in_a_graph_are_measured_in_the_norm_asked_for():
    steps = np.arange(40)[:, None] * np.array([[0.5, 0.5]]) % 2.0
    rows = np.repeat(steps, 3, axis=0)
    for norm, length in ((np.inf, 0.5), (2.0, 0.5 * np.sqrt(2))):
        graph = position_graph(rows, np.arange(120) == 119, 1.0, 0.5, max_steps=3, min_count=1, norm=norm)
        order = np.argsort(graph.nodes[:, 0])
        np.testing.assert_allclose(graph.times[order[0], order[1]], length, atol=1e-5)


# --- the cost-to-go ---


def test_cost_to_go_is_a_positive_time_between_looked_ahead_positions():
    model = GraphCost(make_task("maze2d-umaze-v1"), 0.06, (16,), 3)
    params = scrambled(jax.jit(model.init)(jax.random.key(0)))
    rng = np.random.default_rng(0)
    states, goals = (jnp.asarray(rng.normal(size=(50, n)), jnp.float32) for n in (4, 2))
    times = jax.jit(jax.vmap(model, in_axes=(None, 0, 0)))(params, states, goals)
    assert times.shape == (50,)
    assert (times > 0).all()
    ahead = states[:, :2] + 0.06 * states[:, 2:]
    between = jax.jit(jax.vmap(model.between, in_axes=(None, 0, 0)))
    np.testing.assert_allclose(times, between(params, ahead, goals), rtol=1e-5)


def test_cost_to_go_gradients_match_finite_differences():
    with jax.enable_x64(True):
        model = GraphCost(Ball(), 0.0, (16,), 3)
        params = jax.tree.map(lambda x: x.astype(jnp.float64), scrambled(jax.jit(model.init)(jax.random.key(0))))
        state, goal = jnp.array([0.3, -0.2, 1.0, 2.0]), jnp.array([-0.4, 0.6])
        between = jax.jit(lambda s, g: model(params, s, g))
        check_grads(between, (state, goal), order=1, modes=["rev"], atol=1e-6, rtol=1e-6, eps=1e-6)


def test_an_embeddings_times_are_symmetric_and_zero_at_the_goal():
    model = EmbeddedCost(Ball(), 0.0, (16,), 3, coordinates=5)
    params = scrambled(jax.jit(model.init)(jax.random.key(0)))
    places, goals = jnp.asarray(np.random.default_rng(0).normal(size=(2, 7, 2)), jnp.float32)
    times = jax.jit(model.crosswise)(params, places, goals)
    np.testing.assert_allclose(times, model.crosswise(params, goals, places).T, atol=1e-5)
    np.testing.assert_allclose(jnp.diag(model.crosswise(params, places, places)), 0, atol=1e-5)
    np.testing.assert_allclose(times[2, 3], model.between(params, places[2], goals[3]), rtol=1e-4)
    assert (times > 0).all()


def line_graph():
    """A straight line of bins, 2 s long."""
    line = np.linspace(0, 2, 21, dtype=np.float32)
    return PositionGraph(np.stack([line, 0 * line], 1), np.abs(line[:, None] - line))


@pytest.mark.parametrize("kind", [GraphCost, EmbeddedCost])
def test_cost_to_go_is_distilled_from_a_graph(kind):
    graph = line_graph()
    model, optimizer = kind(Ball(), 0.0, (32, 32), 2), default_optimizer(5e-3, 400)
    state = graph_cost_state(model, optimizer, jax.random.key(0), graph)
    trained = train(cost_to_go_update(model, optimizer, graph, batch=128, jitter=0.0), state, 400, block=400)
    between = jax.jit(jax.vmap(jax.vmap(model.between, in_axes=(None, None, 0)), in_axes=(None, 0, None)))
    error = np.abs(between(trained.params, jnp.asarray(graph.nodes), jnp.asarray(graph.nodes)) - graph.times)
    assert error.mean() < 0.05
    assert error.max() < 0.3


def test_places_beyond_the_data_have_the_time_of_the_nearest_and_the_way_to_it():
    around = Surroundings(line_graph(), 0.1, margin=0.4, max_speed=2.0)
    places = jnp.array([[0.5, 0.02], [0.52, 0.33], [1.98, -0.4], [-0.38, 0.0]])
    node, beyond = around(places)
    # In the largest norm several nodes are as near to a place beside the line.
    np.testing.assert_array_equal(node[jnp.array([0, 3])], [5, 0])
    np.testing.assert_allclose(beyond, [0.0, 0.115, 0.15, 0.14], atol=0.026)  # half bins, 0.05 m at 2 m/s
