"""IQ-Learn (arXiv 2106.12142): policy and reward from demonstrations, by one soft Q-function; see ``imitation.iq_learn``.

    demonstrations  ->  Q and policy, offline or while acting  ->  forward model of what was seen, which the plans are scored by

The plans are the policy's, one step each. The reward that was recovered is ``imitation.reward``'s to read.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from invlearn_jax.data.dataset import Dataset, fit_normalizer
from invlearn_jax.imitation.agents import AgentParams, agent_of
from invlearn_jax.imitation.curve import Curve
from invlearn_jax.imitation.demonstrations import Demonstrations, read_demonstrations, returns, subsampled
from invlearn_jax.imitation.iq_learn import IqSettings
from invlearn_jax.imitation.learner import LearnerSettings, learned_agent, learner_state, learner_update
from invlearn_jax.imitation.policy import AgentPolicy
from invlearn_jax.imitation.replay import Rows
from invlearn_jax.imitation.world import World
from invlearn_jax.keys import streams
from invlearn_jax.learn.stages import Run
from invlearn_jax.methods import scoring
from invlearn_jax.methods.policies import PolicySettings, policy_planner
from invlearn_jax.methods.scoring import shared
from invlearn_jax.models.policy import PolicyInputs, PolicyParams
from invlearn_jax.parametrisation import Box
from invlearn_jax.planners.planner import PlannerParams
from invlearn_jax.planners.policy import PolicyPlanner, RolloutParams
from invlearn_jax.progress import say
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.task import Part, Task
from invlearn_jax.types import Key, Problem

__all__ = ["Settings", "build", "fit", "shared"]


@dataclasses.dataclass
class DemonstrationSettings:
    """Which demonstrations to learn from.

    Attributes:
        path: their file; empty for those that come with the task.
        trajectories: how many, drawn by ``seed``.
        every: only every so many-th step of a trajectory is kept, with the state that truly followed it.
        seed: of the choice.
    """

    path: str = ""
    trajectories: int = bounded(1, low=1)
    every: int = bounded(1, low=1)
    seed: int = bounded(0, low=0)


def _online() -> LearnerSettings:
    return LearnerSettings(iq=IqSettings(value_rows="expert_states"), clone=3.0)


@dataclasses.dataclass
class Settings(PolicySettings):
    """IQ-Learn, beside ``policies.PolicySettings``.

    Published for locomotion: one critic without normalisation, features as they are, the actor's rate 3e-5 and its last weights
    (arXiv 2106.12142 and its code), no cloning. These settings come near the expert's return in far fewer steps
    (docs/tried.md).

    Attributes:
        demonstrations: see ``DemonstrationSettings``.
        learner: see ``imitation.learner.LearnerSettings``.
        online: whether to act while learning; else the demonstrations are all there is.
        physics: what steps the world: see ``imitation.world.World``.
        hidden: widths of critic and actor.
        critics: how many; the value takes the least.
        normed: layer normalisation in the critics of continuous actions.
        temperature: tau, of the soft value and the policy.
        scale_features: whether features are normalised by the demonstrations' mean and deviation.
        critic_rate: Adam's learning rate of the critic.
        actor_rate: of the actor.
        steps: updates, and online steps of the world.
        capacity: rows of the replay at most.
        evaluate_every: updates between evaluations, a multiple of ``checkpoint_every``.
        evaluate_episodes: of each.
        enough: share of the demonstrations' mean return at which to stop, once three evaluations in a row are above; 0 trains to
            the end.
    """

    demonstrations: DemonstrationSettings = dataclasses.field(default_factory=DemonstrationSettings)
    online: bool = True
    physics: str = "auto"
    hidden: tuple[int, ...] = bounded((256, 256), low=1)
    critics: int = bounded(2, low=1)
    normed: bool = True
    temperature: float = bounded(0.01, above=0.0)
    scale_features: bool = True
    critic_rate: float = bounded(3e-4, above=0.0)
    actor_rate: float = bounded(1e-4, above=0.0)
    steps: int = bounded(100_000, low=1)
    capacity: int = bounded(1_000_000, low=1)
    evaluate_every: int = bounded(1000, low=1, multiple_of="checkpoint_every")
    evaluate_episodes: int = bounded(20, low=1)
    enough: float = bounded(0.0, low=0.0)
    checkpoint_every: int = bounded(1000, low=1, multiple_of="block")
    learner: LearnerSettings = dataclasses.field(default_factory=_online)


def build(
    task: Task,
    settings: Settings,
    refine_steps: int = 0,
    candidates: int | None = None,
    refiner: str = "adam",
    execute_steps: int | None = None,
) -> PolicyPlanner:
    """The planner for a task; see ``methods.inverter.build``.

    Raises:
        ValueError: what ``scoring.model_and_objective`` or the planner refuses.
    """
    return policy_planner(task, settings, _policy(task, settings), refine_steps, candidates, refiner, execute_steps)


def _policy(task: Task, settings: Settings) -> AgentPolicy:
    nets = settings.hidden, settings.temperature, settings.critics, settings.normed
    agent = agent_of(task, PolicyInputs(task, one_goal=True).state_features, *nets)
    return AgentPolicy(task, agent)


class Learned(NamedTuple):
    """What imitation came to.

    Attributes:
        policy: the policy, and through it the agent.
        params: of the policy.
        expert: the whole trajectories that were learned from; None where the task's own reward was.
        executed: what was executed while learning, in episodes; None offline.
        curve: returns over updates.
        steps: updates that were made.
    """

    policy: AgentPolicy
    params: PolicyParams
    expert: Demonstrations | None
    executed: Dataset | None
    curve: Curve
    steps: int


def actor(policy: AgentPolicy, params: PolicyParams) -> Callable[[Array], Array]:
    """The policy as one compiled function of states ``[N, S]``, to shares of the actions' box ``[N, A]``."""
    no_goal = jnp.zeros(policy.task.goal_size)
    act = jax.jit(jax.vmap(lambda params, state: policy.act(params, Problem(state, no_goal)), (None, 0)))
    return lambda states: act(params, states)


def fit(task: Task, settings: Settings, run: Run, key: Key) -> tuple[PolicyPlanner, PlannerParams]:
    """Learns a planner for a task. The key is consumed. See ``methods.inverter.fit``."""
    planner = build(task, settings)
    scoring_key, imitation_key = streams(key, "scoring", "imitation")
    learned = imitate(task, settings, run, imitation_key)
    found = {"demonstrations": learned.expert and _dataset(learned.expert), "executed": learned.executed}
    parts = {name: Part(rows) for name, rows in found.items() if rows is not None}
    model_params, objective_params = scoring.learn_scoring(task, settings, run, parts, scoring_key)
    return planner, PlannerParams(RolloutParams(learned.params, ()), model_params, objective_params)


def demonstrations(task: Task, settings: DemonstrationSettings) -> Demonstrations:
    """Whole trajectories of the expert, as many as are to be learned from.

    Raises:
        ValueError: where there are none, or what ``imitation.demonstrations`` refuses.
    """
    path = settings.path or task.demonstrations
    if not path:
        raise ValueError(
            f"No demonstrations come with {task.name}. Give their file as demonstrations.path; experiments.demonstrate makes one "
            "from a planner or a policy."
        )
    return read_demonstrations(path, task, settings.trajectories, seed=settings.seed)


def _scales(policy: AgentPolicy, scaled_by: Demonstrations | None, key: Key) -> PolicyParams:
    """The policy's parameters before training, with its features' scales and goal. The key is consumed."""
    init_key, goal_key = streams(key, "weights", "goal")
    params = policy.init(init_key)
    if policy.inputs.one_goal:
        params = params._replace(goal=policy.task.draw_goal(goal_key))
    if scaled_by is None:
        return params
    seen = np.asarray(jax.jit(jax.vmap(policy.task.local_features))(jnp.asarray(scaled_by.states)))
    mean, std = fit_normalizer(Dataset(seen, scaled_by.actions, np.ones(len(seen), bool)))
    return params._replace(mean=mean, std=std)


def imitate(task: Task, settings: Settings, run: Run, key: Key) -> Learned:
    """Learns Q and policy alone, without a model to score plans by. The key is consumed.

    Raises:
        ValueError: for demonstrations or settings that cannot be learned from.
        NonFiniteLossError: if the critic diverges; the last checkpoint is the last good one.
    """
    learner_key, curve_key, goal_key = streams(key, "learner", "curve", "goal")
    policy, learner, own = _policy(task, settings), settings.learner, settings.demonstrations
    whole = None if learner.teaching == "reward" else demonstrations(task, own)
    params = _scales(policy, whole if settings.scale_features else None, goal_key)
    rows = None if whole is None else as_rows(task, subsampled(whole, own.every))
    world = World(task, settings.physics) if settings.online else None
    optimizers = optax.adam(settings.critic_rate), optax.adam(settings.actor_rate)
    capacity = min(settings.capacity, settings.steps)
    state = learner_state(policy.agent, optimizers, learner, learner_key, world, capacity)

    def see(state: Array) -> Array:
        return policy.seen(params, state)

    def act(trained: AgentParams, states: Array) -> Array:
        return jax.vmap(lambda s: policy.agent.act(trained, see(s)))(states)

    starts = None if whole is None else jnp.asarray(whole.states[whole.starts])
    update = learner_update(policy.agent, see, optimizers, learner, rows, starts, world)
    wanted = _wanted(settings, whole)
    file, count, every = run.path / "curve.json", settings.evaluate_episodes, settings.evaluate_every
    curve = Curve(file, task, act, curve_key, count, every, wanted)
    training = settings.steps, settings.block, settings.checkpoint_every, "q"
    state = run.train("imitation", update, state, *training, curve)
    executed = None if world is None else _executed(task, state.extra.replay, min(int(state.step), capacity))
    return Learned(policy, params._replace(net=learned_agent(state)), whole, executed, curve, int(state.step))


def _wanted(settings: Settings, whole: Demonstrations | None) -> float | None:
    """The return at which training may stop."""
    if not settings.enough or whole is None:
        return None
    if whole.rewards is None:
        say(
            "The demonstrations hold no rewards, so the expert's return is not known: training goes on to its last update."
        )
        return None
    expert = float(np.mean(returns(whole)))
    return expert - (1 - settings.enough) * abs(expert)


def as_rows(task: Task, demos: Demonstrations) -> Rows:
    """Demonstrations on the device, actions as shares of their box."""
    shares = Box(task.action_low, task.action_high, 1).encode(jnp.asarray(demos.actions))
    rewards = np.zeros(len(demos.over), np.float32) if demos.rewards is None else demos.rewards
    return Rows(*(jnp.asarray(x) for x in (demos.states, shares, demos.following, demos.over, rewards)))


def _dataset(demos: Demonstrations) -> Dataset:
    ends = np.append(demos.starts[1:], True)
    return Dataset(demos.states, demos.actions, ends)


def _executed(task: Task, replay: Rows, count: int) -> Dataset:
    """The first rows of the replay in episodes: cut where the next row is not what followed."""
    rows = jax.tree.map(lambda x: np.asarray(x[:count]), replay)
    joined = (rows.following[:-1] == rows.states[1:]).all(1) & ~rows.over[:-1]
    actions = np.asarray(Box(task.action_low, task.action_high, 1).decode(jnp.asarray(rows.actions)))
    return Dataset(rows.states, actions, np.append(~joined, True))
