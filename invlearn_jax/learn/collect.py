"""Online correction: a planner is executed on the true system, so that its model learns where its own plans lead.

Half of the robots plan anew in every step, as a controller would; the others follow each plan to its end, since of a plan's later
part, if it is never executed, a model can predict anything.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from invlearn_jax.data.dataset import Dataset
from invlearn_jax.keys import streams
from invlearn_jax.progress import progress
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.exploration import finite_rows
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key, Params, Planner, Problem


@dataclasses.dataclass
class CorrectionSettings:
    """Online correction: the planner is executed, its model learns from that, and the Inverter learns from the model anew.

    Attributes:
        rounds: how often; 0 learns from the data alone.
        robots: side by side.
        steps: of each robot per round.
        hold: steps after which a robot gets a new goal, on the mean.
        noise: greatest standard deviation of the noise on actions, as a share of their box; each robot has its own level.
        follow: steps for which every second robot follows its plan; 0 for the whole plan.
        starts: share of the Inverter's starts that are executed states, once there are any.
        share: of a batch that the executed rows of all rounds are, once there are any.
        adversarial: weight of minus the cost of the Inverter's plans in the model's training of a round, in units of the cost's
            scale: where the data leave a choice, plans turn out badly.
        model_steps: updates of the model per round.
        inverter_steps: updates of the Inverter per round.
    """

    rounds: int = bounded(2, low=0)
    robots: int = bounded(128, low=2)
    steps: int = bounded(250, low=2)
    hold: int = bounded(50, low=1)
    noise: float = bounded(0.2, low=0.0, high=1.0)
    follow: int = bounded(0, low=0)
    starts: float = bounded(0.5, low=0.0, high=0.95)
    share: float = bounded(0.5, low=0.0, high=1.0)
    adversarial: float = bounded(0.0, low=0.0)
    model_steps: int = bounded(1000, low=0)
    inverter_steps: int = bounded(1500, low=0)


def collect(
    task: Task, planner: Planner, params: Params, starts: np.ndarray, settings: CorrectionSettings, key: Key
) -> Dataset:
    """Executes the planner from given starts.

    Args:
        task: whose simulator and goals are used.
        planner: what plans.
        params: its parameters.
        starts: ``[N, S]`` states to begin from.
        settings: how many steps, how noisy.
        key: consumed.

    Returns:
        N episodes, each cut where it leaves the finite numbers.
    """
    goal_key, plan_key, noise_key = streams(key, "goals", "plans", "noise")
    rng = np.random.default_rng(np.asarray(jax.random.key_data(noise_key)).ravel().tolist())
    count, half = len(starts), (task.action_high - task.action_low) / 2
    level = rng.uniform(0.0, settings.noise, (count, 1)) * half
    follow = settings.follow or planner.horizon
    actor, draw = _Actor(planner, params, plan_key, follow), jax.jit(jax.vmap(task.draw_goal_from))
    states, observed, executed = np.asarray(starts, np.float64), [], []
    goals, simulator = None, task.simulator()
    goal_keys = jax.random.split(goal_key, settings.steps)
    for time in progress(range(settings.steps), "executing the planner", unit="step"):
        kind = jnp.result_type(float)
        drawn = np.asarray(draw(jax.random.split(goal_keys[time], count), jnp.asarray(states, kind)))
        renewed = rng.uniform(size=(count, 1)) < 1 / settings.hold
        goals = drawn if goals is None else np.where(renewed, drawn, goals)
        actions = actor(time, states, goals)
        actions = np.clip(actions + level * rng.normal(size=actions.shape), task.action_low, task.action_high)
        observed.append(states)
        executed.append(actions)
        states = simulator.step(states, actions)
    simulator.close()
    return finite_rows(np.stack(observed, 1), np.stack(executed, 1))


class _Actor:
    """Even rows act by a new plan in every step, odd rows follow each plan for ``follow`` steps."""

    def __init__(self, planner: Planner, params: Params, key: Key, follow: int) -> None:
        def plan(key: Key, state: jax.Array, goal: jax.Array) -> jax.Array:
            return planner.plan(params, key, Problem(state, goal)).actions

        self._plan = jax.jit(jax.vmap(plan))
        self._key, self._follow = key, follow
        self._kept: np.ndarray | None = None

    def __call__(self, time: int, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        """Actions ``[N, A]`` for states ``[N, S]`` and goals ``[N, G]``."""
        # One program serves both halves: all rows are planned for, of which the odd ones use what they kept.
        self._key, key = jax.random.split(self._key)
        kind = jnp.result_type(float)
        plans = np.asarray(
            self._plan(jax.random.split(key, len(states)), jnp.asarray(states, kind), jnp.asarray(goals, kind))
        )
        if time % self._follow == 0 or self._kept is None:
            self._kept = plans
        actions = plans[:, 0].copy()
        actions[1::2] = self._kept[1::2, time % self._follow]
        return np.where(np.isfinite(actions), actions, 0.0)
