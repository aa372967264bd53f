"""Updates of a soft Q-function: IQ-Learn's, and, with the same agents and the same loop, those of soft actor-critic and SQIL.

    one update     a step of the world by the policy (online)  ->  a batch, half demonstrations  ->  critic, actor, slow copy

All of it is one function of a ``TrainState``, so a run is a scan, several seeds are a ``vmap`` (``over_seeds``), and a killed run
goes on bit for bit: the world's state and the replay are part of what is kept.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from invlearn_jax.imitation.agents import Agent, AgentParams
from invlearn_jax.imitation.iq_learn import IqSettings, Values, backed_up, check_iq, iq_loss
from invlearn_jax.imitation.replay import Rows, drawn, empty_rows, written
from invlearn_jax.imitation.world import World
from invlearn_jax.learn.loop import Metrics, TrainState, Update
from invlearn_jax.names import unknown_name
from invlearn_jax.settings import bounded
from invlearn_jax.types import Key, Params

TEACHINGS = ("demonstrations", "constant", "reward")


@dataclasses.dataclass
class LearnerSettings:
    """Settings of ``learner_update``.

    Attributes:
        teaching: what Q learns from: ``demonstrations`` (IQ-Learn), ``constant`` (SQIL, arXiv 1905.11108: reward 1 on
            demonstrations, 0 elsewhere) or the task's own ``reward`` (soft actor-critic, soft Q-learning).
        iq: IQ-Learn's objective; its discount is that of all three.
        batch: rows of demonstrations and, online, as many of the replay; of a task's own reward all rows are the replay's.
        slowness: the slow critic takes this share of the critic's weights at each update; 0 uses the critic itself for V(s'),
            with its gradient.
        explore: steps of the world before the first update.
        clone: weight of behaviour cloning in the actor's loss, in units of the mean ``|Q|`` (as in TD3+BC, arXiv 2106.06860):
            ``E_expert |a - pi(s)|^2`` keeps the actor near the demonstrations while Q is still wrong elsewhere.
        averaging: the policy that is evaluated and kept is that of averaged weights, which take this share of the new ones at
            each update; 0 takes the last.
    """

    teaching: str = "demonstrations"
    iq: IqSettings = dataclasses.field(default_factory=IqSettings)
    batch: int = bounded(256, low=1)
    slowness: float = bounded(0.005, low=0.0, high=1.0)
    explore: int = bounded(1280, low=0)
    clone: float = bounded(0.0, low=0.0)
    averaging: float = bounded(0.001, low=0.0, high=1.0)


class Progress(NamedTuple):
    """What the learner carries beside parameters.

    Attributes:
        slow: the slow critic; of no entries where there is none.
        averaged: the agent's averaged parameters; of no entries where there are none.
        place: where the world stands, a ``world.Place``; nothing offline.
        replay: what was executed, ``replay.Rows``; nothing offline.
    """

    slow: Params
    averaged: Params
    place: Params
    replay: Params


def learner_state(
    agent: Agent,
    optimizers: tuple[optax.GradientTransformation, optax.GradientTransformation],
    settings: LearnerSettings,
    key: Key,
    world: World | None = None,
    capacity: int = 0,
) -> TrainState:
    """The state to train from. The key is consumed.

    Args:
        agent: what learns.
        optimizers: of critic and actor.
        settings: see ``LearnerSettings``.
        key: consumed.
        world: to act in; None learns offline.
        capacity: rows of the replay.
    """
    weights_key, world_key, key = jax.random.split(key, 3)
    params = agent.init(weights_key)
    slow = jax.tree.map(jnp.copy, params.critic) if settings.slowness else ()
    place: Params = ()
    replay: Params = ()
    if world is not None:
        place = world.begin(world_key)
        replay = empty_rows(capacity, world.task.state_size, world.task.action_size)
    averaged = jax.tree.map(jnp.copy, params) if settings.averaging else ()
    critic = params.critic, params.absorbing
    opt_state = optimizers[0].init(critic), optimizers[1].init(params.actor)
    return TrainState(jnp.zeros((), jnp.int32), key, params, opt_state, Progress(slow, averaged, place, replay))


def learned_agent(state: TrainState) -> AgentParams:
    """What was learned: the averaged parameters, where there are such."""
    return state.extra.averaged or state.params


def over_seeds(update: Update) -> Update:
    """One update of several seeds side by side, whose states are stacked but for ``step``, which they share."""
    axes = TrainState(None, 0, 0, 0, 0)  # type: ignore[arg-type]  # axes in the place of arrays

    def mapped(state: TrainState) -> tuple[TrainState, Metrics]:
        return jax.vmap(update, in_axes=(axes,), out_axes=(axes, 0))(state)

    return mapped


def learner_update(
    agent: Agent,
    features: Callable[[Array], Array],
    optimizers: tuple[optax.GradientTransformation, optax.GradientTransformation],
    settings: LearnerSettings,
    demonstrations: Rows | None,
    starts: Float[Array, "M S"] | None = None,
    world: World | None = None,
) -> Update:
    """One step of the world and one update of critic, actor and slow critic; see the module's equation.

    Args:
        agent: what learns.
        features: what its networks see of a state, ``[S] -> [F]``.
        optimizers: of critic and actor.
        settings: see ``LearnerSettings``.
        demonstrations: the expert's rows; None with the task's own reward.
        starts: where the expert's trajectories begin, for ``value_rows`` ``starts``.
        world: to act in; None learns offline, from the demonstrations alone.

    Returns:
        The update for ``learn.loop.train``.

    Raises:
        ValueError: for settings that do not fit together.
    """
    check_learner(settings, demonstrations, starts, world)
    see = jax.vmap(features)

    def batch_of(key: Key, replay: Any, count: Int[Array, ""]) -> tuple[Rows, Array]:
        """Rows, and which are the expert's."""
        mine_key, theirs_key = jax.random.split(key)
        if demonstrations is None:
            rows = drawn(replay, mine_key, settings.batch, count)
            return rows, jnp.zeros(settings.batch, bool)
        rows = drawn(demonstrations, theirs_key, settings.batch)
        if world is None:
            return rows, jnp.ones(settings.batch, bool)
        mine = drawn(replay, mine_key, settings.batch, count)
        return jax.tree.map(lambda *x: jnp.concatenate(x), mine, rows), jnp.arange(2 * settings.batch) >= settings.batch

    def learn(params: AgentParams, opt_state: Any, slow: Params, key: Key, rows: Rows, expert: Array) -> tuple:
        critic_key, start_key, actor_key = jax.random.split(key, 3)
        x, following = see(rows.states), see(rows.following)
        first = x
        if settings.iq.value_rows == "expert_states":
            first = x[-settings.batch :]  # the demonstrations come last
        elif settings.iq.value_rows == "starts" and starts is not None:
            first = see(starts[jax.random.randint(start_key, (settings.batch,), 0, len(starts))])
        loss_of = _critic_loss(agent, settings, params, slow, critic_key, rows, expert, (x, following, first))
        (loss, parts), gradient = jax.value_and_grad(loss_of, has_aux=True)((params.critic, params.absorbing))
        step, critic_state = optimizers[0].update(gradient, opt_state[0], (params.critic, params.absorbing))
        critic, absorbing = optax.apply_updates((params.critic, params.absorbing), step)
        pull = jax.grad(_actor_loss(agent, settings, critic, actor_key, rows.actions, expert, x))(params.actor)
        step, actor_state = optimizers[1].update(pull, opt_state[1], params.actor)
        actor = optax.apply_updates(params.actor, step)
        slow = optax.incremental_update(critic, slow, settings.slowness) if settings.slowness else slow
        return AgentParams(critic, actor, absorbing), (critic_state, actor_state), slow, parts | {"loss": loss}

    def update(state: TrainState) -> tuple[TrainState, Metrics]:
        key, world_key, batch_key, learn_key = jax.random.split(state.key, 4)
        params, (slow, averaged, place, replay) = state.params, state.extra
        if world is not None:
            place, row = world.step(place, world_key, lambda k, s: agent.sample(params, k, features(s)))
            replay = written(replay, row, state.step)
        rows, expert = batch_of(batch_key, replay, state.step + 1)

        def improved(_: None) -> tuple:
            return learn(params, state.opt_state, slow, learn_key, rows, expert)

        if world is None:
            params, opt_state, slow, metrics = improved(None)
        else:
            shapes = jax.eval_shape(improved, None)
            still = params, state.opt_state, slow, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes[3])
            params, opt_state, slow, metrics = jax.lax.cond(
                state.step >= settings.explore, improved, lambda _: still, None
            )
            metrics = metrics | {"return": place.last_return}
        if settings.averaging:
            averaged = optax.incremental_update(params, averaged, _share(settings.averaging, state.step))
        return TrainState(state.step + 1, key, params, opt_state, Progress(slow, averaged, place, replay)), metrics

    return update


def _share(averaging: float, step: Array) -> Array:
    """The share that averaged weights take of new ones: at first that of a plain mean, so that the initial ones are forgotten."""
    return jnp.maximum(averaging, 1 / (step + 1.0))


def _actor_loss(
    agent: Agent, settings: LearnerSettings, critic: Params, key: Key, actions: Array, expert: Array, x: Array
) -> Callable[[Params], Array]:
    """The loss of the actor on a batch, with the cloning of the demonstrations."""

    def loss_of(actor: Params) -> Array:
        loss = agent.actor_loss(actor, critic, key, x)
        if not settings.clone:
            return loss
        chosen = jax.vmap(lambda x: agent.act(AgentParams(critic, actor, jnp.zeros(())), x))(x)
        apart = jnp.where(expert, ((chosen - actions) ** 2).sum(-1), 0.0).sum() / jnp.maximum(expert.sum(), 1)
        return loss + settings.clone * jax.lax.stop_gradient(jnp.abs(agent.q(critic, x, actions)).mean()) * apart

    return loss_of


def _critic_loss(
    agent: Agent,
    settings: LearnerSettings,
    params: AgentParams,
    slow: Params,
    key: Key,
    rows: Rows,
    expert: Array,
    seen: tuple[Array, Array, Array],
) -> Callable[[tuple[Params, Array]], tuple[Array, dict[str, Array]]]:
    """The loss of (critic, absorbing value): the mean over the critics. ``seen``: features of s, of s' and of starts."""
    next_key, value_key, between_key = jax.random.split(key, 3)
    x, following_x, first = seen
    needs_value = settings.teaching == "demonstrations"

    def loss_of(learned: tuple[Params, Array]) -> tuple[Array, dict[str, Array]]:
        critic, absorbing = learned
        following = agent.value(params, slow if settings.slowness else critic, next_key, following_x)
        value = agent.value(params, critic, value_key, first) if needs_value else jnp.zeros_like(following)
        # What is learned is the reward of resting there: in units of values it would take 1 / (1 - gamma) times as long.
        absorbing = absorbing / (1 - settings.iq.discount) if settings.iq.absorbing else jnp.zeros(())

        def one(q: Array) -> tuple[Array, dict[str, Array]]:
            values = Values(q, value, following, rows.over, expert, absorbing)
            if needs_value:
                return iq_loss(settings.iq, values)
            given = expert.astype(q.dtype) if settings.teaching == "constant" else rows.rewards
            wanted = jax.lax.stop_gradient(given + backed_up(settings.iq, values))
            return 0.5 * ((q - wanted) ** 2).mean(), {}

        losses, parts = jax.vmap(one)(agent.q(critic, x, rows.actions))
        found = {name: part.mean() for name, part in parts.items()}
        found |= {"q": value.mean() if needs_value else following.mean()}
        loss = losses.mean()
        if needs_value and settings.iq.divergence == "w1":
            loss = loss + settings.iq.gradient_penalty * _steepness(agent, critic, between_key, x, rows.actions)
        return loss, found

    return loss_of


def _steepness(agent: Agent, critic: Params, key: Key, x: Array, actions: Array) -> Array:
    """``E (|dQ/d(s, a)| - 1)^2`` between pairs of rows, each of a demonstration and of another row where there are such."""
    other = jnp.roll(jnp.arange(len(x)), len(x) // 2)
    share = jax.random.uniform(key, (len(x), 1))
    between = [share * given + (1 - share) * given[other] for given in (x, actions)]

    def q(features: Array, action: Array) -> Array:
        return agent.q(critic, features[None], action[None]).mean()

    slopes = jax.vmap(jax.grad(q, argnums=(0, 1)))(*between)
    # The root is kept from zero, where its gradient is infinite.
    size = jnp.sqrt(sum((slope**2).sum(-1) for slope in slopes) + 1e-12)
    return ((size - 1) ** 2).mean()


def check_learner(
    settings: LearnerSettings, demonstrations: Rows | None, starts: Array | None, world: World | None
) -> None:
    """Refuses settings that do not fit together.

    Raises:
        ValueError: says which, and what to give.
    """
    check_iq(settings.iq)
    if settings.teaching not in TEACHINGS:
        raise unknown_name("teaching", settings.teaching, TEACHINGS)
    if (demonstrations is None) != (settings.teaching == "reward"):
        raise ValueError(
            f"teaching is {settings.teaching!r} and demonstrations are {'not ' if demonstrations is None else ''}given; give "
            "demonstrations, or teaching='reward', which needs none."
        )
    if world is None and settings.teaching != "demonstrations":
        raise ValueError(f"teaching is {settings.teaching!r}, which learns online; give a world to act in.")
    if world is None and "all" in (settings.iq.value_rows, settings.iq.penalty_rows):
        raise ValueError(
            "Offline all rows are the expert's: give value_rows and penalty_rows of the expert, or learn online."
        )
    if settings.iq.value_rows == "starts" and starts is None:
        raise ValueError(
            "value_rows is 'starts', but where trajectories begin is not known; give starts, or other rows."
        )
