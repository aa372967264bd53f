"""Datasets in memory: windows, splits, joins, normalisers, checks."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_same, make_dataset

from invlearn_jax import data
from invlearn_jax.data.dataset import check_dataset


@hypothesis.given(st.lists(st.integers(1, 7), min_size=1, max_size=6), st.integers(1, 7))
def test_windows_are_exactly_those_within_one_episode(lengths, horizon):
    episode = np.repeat(np.arange(len(lengths)), lengths)
    row = np.arange(len(episode))
    dataset = make_dataset(lengths)._replace(states=np.stack([episode, row], 1).astype(np.float32))
    dataset.actions[:, 0] = row
    if max(lengths) <= horizon:
        with pytest.raises(
            ValueError, match=f"horizon is {horizon} steps, but the longest episode has {max(lengths) - 1}"
        ):
            data.window_store(dataset, horizon)
        return
    store = data.window_store(dataset, horizon)
    last = np.cumsum(lengths)[episode] - 1
    np.testing.assert_array_equal(store.starts, row[row + horizon <= last])
    window = data.sample_windows(store, jax.random.key(len(lengths)), 16, horizon)
    states, actions = np.asarray(window.states), np.asarray(window.actions)
    assert states.shape == (16, horizon + 1, 2) and actions.shape == (16, horizon, 2)
    assert (states[:, :, 0] == states[:, :1, 0]).all()
    assert (np.diff(states[:, :, 1]) == 1).all()
    np.testing.assert_array_equal(actions[:, :, 0], states[:, :-1, 1])


def test_split_holds_out_whole_episodes_at_the_end():
    dataset = make_dataset((3, 3, 3, 3))
    for held_out, rows in ((0.0, 3), (0.25, 3), (0.5, 6), (0.99, 9)):
        train, held = data.split(dataset, held_out)
        assert len(held.states) == rows and train.ends[-1] and held.ends[-1]
        assert_same(data.concatenate(train, held), dataset)
    train, held = data.split(dataset._replace(rewards=None))
    assert train.rewards is None and held.rewards is None
    train, held = data.split(make_dataset((5,)), 0.4)
    assert (len(train.states), len(held.states)) == (3, 2)
    assert train.ends.tolist() == [False, False, True] and held.ends[-1]
    with pytest.raises(ValueError, match="have 1 row; two or more are needed"):
        data.split(make_dataset((1,)))


def test_the_longest_episode():
    assert data.longest_episode(make_dataset((3, 7, 2))) == 7
    assert data.longest_episode(make_dataset((5,))) == 5


def test_concatenate():
    first, second = make_dataset((2, 3)), make_dataset((4,), seed=1)
    joined = data.concatenate(first, second)
    np.testing.assert_array_equal(joined.ends, np.isin(np.arange(9), [1, 4, 8]))
    np.testing.assert_array_equal(joined.rewards, np.concatenate([first.rewards, second.rewards]))
    assert data.concatenate(first, second._replace(rewards=None)).rewards is None
    with pytest.raises(ValueError, match=r"sizes differ: \[\(3, 2\), \(4, 2\)\]"):
        data.concatenate(first, second._replace(states=second.states[:, :3]))
    with pytest.raises(ValueError, match="No datasets were given"):
        data.concatenate()


def test_normalizer_is_fitted_on_the_training_split_only():
    dataset = make_dataset((20, 20))
    dataset.states[20:] += 100.0
    dataset.states[:20, 3] = 7.0
    train, _ = data.split(dataset, 0.5)
    normalizer = data.fit_normalizer(train)
    np.testing.assert_allclose(normalizer.mean, dataset.states[:20].mean(0), rtol=1e-5)
    normal = np.asarray(normalizer(jnp.asarray(train.states)))
    np.testing.assert_allclose(normal.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(normal.std(0), [1, 1, 1, 0], atol=1e-5)
    assert normalizer.std[3] == 1


def test_check_dataset_ends_the_last_episode_and_casts():
    dataset = make_dataset()
    loose = data.Dataset(dataset.states.astype(float), dataset.actions.astype(float), np.zeros(9, int), [1] * 9)
    checked = check_dataset(loose, "memory")
    assert_same(checked, dataset._replace(ends=np.arange(9) == 8, rewards=np.ones(9, np.float32)))
    assert not loose.ends.any()
