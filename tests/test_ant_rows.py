"""Rows to learn an ant's two levels from, and how it walks."""

import jax
import numpy as np
import pytest
from invlearn_jax.tasks.antmaze.level_rows import evenly, level_rows

from invlearn_jax.data import Dataset
from invlearn_jax.models.position_graph import position_graph
from invlearn_jax.tasks.antmaze.environment import random_start
from invlearn_jax.tasks.antmaze.locomotion import Locomotion, walk_openly
from invlearn_jax.tasks.antmaze.rows import executed_rows, upright_rows
from invlearn_jax.tasks.antmaze.simulator import MujocoAntmaze

# ---- rows


def lying(rows):
    states = np.zeros((len(rows), 29), np.float32)
    states[:, 3], states[:, 4] = np.where(rows, 0, 1), np.where(rows, 1, 0)
    states[:, 0] = np.arange(len(rows))
    return states


def test_episodes_are_cut_where_the_robot_lies():
    down = np.array([0, 0, 1, 1, 0, 0, 0, 1], bool)
    ends = np.array([0, 0, 0, 0, 0, 1, 0, 1], bool)
    rows = upright_rows(Dataset(lying(down), np.zeros((8, 8), np.float32), ends, np.arange(8.0)))
    np.testing.assert_array_equal(rows.states[:, 0], [0, 1, 4, 5, 6])
    np.testing.assert_array_equal(rows.ends, [False, True, False, True, True])
    np.testing.assert_array_equal(rows.rewards, [0, 1, 4, 5, 6])
    with pytest.raises(ValueError, match="No row is upright"):
        upright_rows(Dataset(lying(np.ones(3, bool)), np.zeros((3, 8), np.float32), np.ones(3, bool)))


def slide(states, actions):
    """Ants that slide by their first two actions, and lie down beyond x = 2."""
    states = np.array(states, float)
    states[:, :2] += actions[:, :2]
    states[states[:, 0] > 2, 3:5] = 0.0, 1.0
    return states


def towards(states, goals):
    actions = np.zeros((len(states), 8))
    actions[:, :2] = np.clip(goals - states[:, :2], -0.1, 0.1)
    return actions


def test_level_rows_are_where_a_held_subgoal_leads():
    starts = lying(np.zeros(50, bool))
    starts[:, 0] = 0.0
    rows = level_rows(towards, slide, starts, seed=0, rounds=6, hold=5, reach=1.0)
    before, after, subgoal = rows.states[::2], rows.states[1::2], rows.actions[::2]
    assert len(before) > 500
    np.testing.assert_array_equal(rows.ends, np.arange(len(rows.ends)) % 2 == 1)
    # Five steps of at most 0.1 m on each axis, and no further than the sub-goal.
    np.testing.assert_allclose(after, before + np.clip(subgoal, -0.5, 0.5), atol=1e-5)
    assert np.abs(subgoal).max() <= 1
    assert after[:, 0].max() <= 2
    again = level_rows(towards, slide, starts, seed=0, rounds=6, hold=5, reach=1.0)
    np.testing.assert_array_equal(again.states, rows.states)


def test_rows_spread_evenly_over_the_places_of_the_data():
    rng = np.random.default_rng(1)
    positions = np.concatenate([rng.uniform(0, 1, (5000, 2)), rng.uniform(3, 4, (50, 2))])
    chosen = positions[evenly(positions, 1.0, 4000, rng)]
    assert abs((chosen > 2).all(1).mean() - 0.5) < 0.05


def test_executed_rows_follow_each_other():
    starts = lying(np.zeros(20, bool))
    starts[:, 0] = -100.0
    rows = executed_rows(towards, slide, starts, seed=0, steps=30, noise=0.5)
    assert rows.states.shape == (600, 29)
    np.testing.assert_array_equal(np.flatnonzero(rows.ends), np.arange(29, 600, 30))
    inside = ~rows.ends[:-1]
    moved = (rows.states[1:] - rows.states[:-1])[inside, :2]
    np.testing.assert_allclose(moved, rows.actions[:-1][inside, :2], atol=1e-5)
    noise = np.array([np.std(part[:, 4:]) for part in rows.actions.reshape(20, 30, 8)])
    assert noise.min() < 0.1
    assert 0.3 < noise.max() < 0.6


# ---- locomotion


def test_locomotion_counts_falls_and_rises():
    upright = np.ones((40, 2))
    upright[10:, 0] = -1
    upright[5:8, 1] = -1
    summary = Locomotion(np.full((40, 2), 0.1), upright).summary()
    assert summary["flips_per_1000_steps"] == pytest.approx(1000 * 2 / 78)
    assert summary["recovered_share"] == 0.5
    assert summary["flipped_at_end"] == 0.5
    assert summary["metres_per_step"] == pytest.approx(0.1)
    assert Locomotion(np.zeros((30, 2)), np.ones((30, 2))).summary()["recovered_share"] is None


def test_ants_walk_the_way_they_are_sent():
    starts, seen = np.asarray(jax.vmap(random_start)(jax.random.split(jax.random.key(0), 3))), []

    def act(step, states, goals):
        seen.append((states, goals))
        return np.zeros((len(states), 8))

    walk = walk_openly(act, starts, seed=0, steps=22, hold=3, threads=1)
    simulator = MujocoAntmaze(None, threads=1)
    for t, (states, goals) in enumerate(seen):
        ahead = (goals - states[:, :2]) / 10
        np.testing.assert_allclose(np.linalg.norm(ahead, axis=1), 1)
        after = simulator.step(states, np.zeros((3, 8)))
        np.testing.assert_allclose(walk.progress[t], ((after - states)[:, :2] * ahead).sum(1), atol=1e-9)
    simulator.close()
    with pytest.raises(ValueError, match="steps is 20"):
        walk_openly(act, starts, seed=0, steps=20)
    directions = [(goals - states[:, :2]) / 10 for states, goals in seen]
    np.testing.assert_allclose(directions[0], directions[2])
    assert np.abs(directions[3] - directions[2]).max() > 0.1


def test_lengths_in_a_graph_are_measured_in_the_norm_asked_for():
    steps = np.arange(40)[:, None] * np.array([[0.5, 0.5]]) % 2.0
    rows = np.repeat(steps, 3, axis=0)
    for norm, length in ((np.inf, 0.5), (2.0, 0.5 * np.sqrt(2))):
        graph = position_graph(rows, np.arange(120) == 119, 1.0, 0.5, max_steps=3, min_count=1, norm=norm)
        order = np.argsort(graph.nodes[:, 0])
        np.testing.assert_allclose(graph.times[order[0], order[1]], length, atol=1e-5)
