"""Whole plans out of offline data."""

import jax
import numpy as np
import pytest
from helpers import counting_rows

from invlearn_jax.data.plans import joined_episodes, plan_store, sample_plans


def test_whole_plans_stay_in_their_episode():
    data = counting_rows([10, 30, 25])
    channels = np.concatenate([data.states, data.actions], axis=1)
    plans = np.asarray(sample_plans(plan_store(data, channels, 21, False), jax.random.key(0), 200, 8, 3, slice(2, 6)))
    assert plans.shape == (200, 8, 6)
    np.testing.assert_array_equal(np.diff(plans[..., 0], axis=1), 3)
    np.testing.assert_array_equal(plans[..., 0], plans[..., 4])
    starts = set(plans[:, 0, 0].astype(int))
    assert starts == {*range(10, 19), *range(40, 44)}


def test_plans_that_rest_hold_their_last_position():
    data = counting_rows([10, 30])
    plans = np.asarray(sample_plans(plan_store(data, data.states, 21, True), jax.random.key(0), 400, 8, 3, slice(2, 4)))
    last = np.where(plans[:, 0, 0] < 10, 9, 39)
    wanted = np.minimum(plans[:, :1, 0] + 3 * np.arange(8), last[:, None])
    np.testing.assert_array_equal(plans[..., 0], wanted)
    beyond = plans[:, :1, 0] + 3 * np.arange(8) > last[:, None]
    np.testing.assert_array_equal(plans[..., 2], np.where(beyond, 0, 1))
    assert beyond.any() and not beyond.all()


def test_a_span_longer_than_any_episode_is_refused():
    data = counting_rows([10, 30])
    with pytest.raises(ValueError, match="spans 40 steps, but the longest episode has 29"):
        plan_store(data, data.states, 40, False)


def test_cuts_where_the_motion_goes_on_are_undone():
    data = counting_rows([5, 5, 5])
    data.states[10:, 0] += 100
    joined = joined_episodes(data, 2.0, 2)
    assert np.flatnonzero(joined.ends).tolist() == [9, 14]
