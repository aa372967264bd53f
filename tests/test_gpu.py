"""What must hold on an accelerator; skipped where JAX has none."""

import jax
import numpy as np
import pytest

import invlearn_jax
from invlearn_jax.tasks.maze2d import specs as maze2d_specs
from invlearn_jax.tasks.maze2d.generator import random_free_positions


@pytest.mark.gpu
def test_the_accelerator_plans_what_the_cpu_does():
    if jax.default_backend() == "cpu":
        pytest.skip("JAX finds no accelerator here (jax.default_backend() is 'cpu').")
    planner, params = invlearn_jax.load_planner("maze2d-umaze-v1")
    rng, layout = np.random.default_rng(0), maze2d_specs.spec("maze2d-umaze-v1").layout
    position, goal = (random_free_positions(layout, rng, 64).astype(np.float32) for _ in range(2))
    state = np.concatenate([position, rng.uniform(-3, 3, (64, 2)).astype(np.float32)], axis=1)
    arguments = params, jax.random.split(jax.random.key(0), 64), invlearn_jax.Problem(state, goal)
    plan = jax.jit(jax.vmap(planner.plan, in_axes=(None, 0, 0)))
    first, second = (
        np.asarray(plan(*jax.device_put(arguments, device)).actions)
        for device in (jax.devices()[0], jax.devices("cpu")[0])
    )
    assert first.shape == (64, planner.horizon, 2)
    assert np.abs(second).max() > 0.5
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-2)
