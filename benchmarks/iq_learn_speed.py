"""Updates per second of IQ-Learn here and in PyTorch, in turn in one run: small networks offline, large ones online."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import optax

from benchmarks import iq_learn_torch
from invlearn_jax.imitation.agents import agent_of
from invlearn_jax.imitation.iq_learn import IqSettings
from invlearn_jax.imitation.learner import LearnerSettings, learner_state, learner_update
from invlearn_jax.imitation.replay import Rows
from invlearn_jax.imitation.world import World
from invlearn_jax.keys import from_seed, streams
from invlearn_jax.learn.loop import TrainState
from invlearn_jax.progress import say
from invlearn_jax.tasks.task import Task, Terms

_DEMOS = 1000  # rows of demonstrations
_REPLAY = 10_000  # rows of the replay
_TURNS = 3  # of each implementation
_SECONDS = 5.0  # of each turn


class _Line(Task):
    """A linear system: next to no time to step, so that what is timed is the update."""

    dt, episode_length = 0.01, 1000

    def __init__(self, state_size: int, action_size: int, choices: int) -> None:
        self.state_size, self.action_size, self.choices = state_size, action_size, choices

    def draw_state(self, key: jax.Array) -> jax.Array:
        return jax.random.normal(key, (self.state_size,))

    def cost(self, state: jax.Array, action: jax.Array, goal: jax.Array) -> Terms:
        return {"size": (state**2).sum()}

    def step(self, state: jax.Array, action: jax.Array) -> jax.Array:
        return 0.9 * state + 0.1 * action.sum()


def _ours(which: str) -> Callable[[float], float]:
    """Measures updates per second for about so many seconds; compiled before."""
    small = which == "discrete"
    task = _Line(4, 1, 2) if small else _Line(11, 3, 0)
    iq = IqSettings(value_rows="expert", penalty_rows="expert") if small else IqSettings(value_rows="expert_states")
    settings = LearnerSettings(iq=iq, batch=32 if small else 256, slowness=0.0 if small else 0.005, explore=0)
    rates = (optax.adam(1e-4),) * 2 if small else (optax.adam(3e-4), optax.adam(3e-5))
    agent = agent_of(task, task.state_size, (64, 64) if small else (256, 256), 0.01)
    world = None if small else World(task)
    state_key, action_key, learner_key = streams(from_seed(0), "states", "actions", "learner")
    states = jax.random.normal(state_key, (_DEMOS, task.state_size))
    actions = jnp.sign(jax.random.normal(action_key, (_DEMOS, task.action_size)))
    demos = Rows(states, actions, jnp.roll(states, 1, 0), jnp.zeros(_DEMOS, bool), jnp.zeros(_DEMOS))
    update = learner_update(agent, task.features, rates, settings, demos, None, world)
    state = learner_state(agent, rates, settings, learner_key, world, _REPLAY)
    block = 1000 if small else 50

    @jax.jit
    def run(state: TrainState) -> TrainState:
        return jax.lax.scan(lambda s, _: (update(s)[0], None), state, length=block)[0]

    state = jax.block_until_ready(run(state))

    def rate(seconds: float) -> float:
        nonlocal state
        begin, count = time.perf_counter(), 0
        while (spent := time.perf_counter() - begin) < seconds:
            state, count = jax.block_until_ready(run(state)), count + block
        return count / spent

    return rate


def rows() -> Iterator[dict[str, Any]]:
    """One row for each implementation and size: the best of its turns.

    Raises:
        ImportError: without torch; says how to install it.
    """
    for which, nets, batch in (("discrete", "64-64", "32"), ("continuous", "256-256", "256 + 256")):
        ours = _ours(which)
        found: dict[str, list[float]] = {"invlearn_jax": [], "pytorch": []}
        for turn in range(_TURNS):
            found["invlearn_jax"].append(ours(_SECONDS))
            found["pytorch"].append(iq_learn_torch.updates_per_second(which, _SECONDS))
            say(f"{which}, turn {turn + 1} of {_TURNS}")
        for name, rates in found.items():
            ratio = max(rates) / max(found["pytorch"])
            yield {
                "implementation": name,
                "networks": nets,
                "batch": batch,
                "updates_per_s": max(rates),
                "ratio": ratio,
            }
