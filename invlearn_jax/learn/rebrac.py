"""ReBRAC (arXiv 2305.09836): actor and critics with a penalty each on leaving the data, for a task's reward.

    critic   minimise  E (Q_j(s, a, g) - y)^2,    y = r(s', a, g) + gamma (min_j Q'_j(s', a~, g) - w_c |a~ - a'|^2),  j = 1, 2
             a~ = clip(pi'(s', g) + clip(sigma n, -c, c), -1, 1),  n normal
    actor    minimise  E w_a |pi(s, g) - a|^2 - min_j Q_j(s, pi(s, g), g) / mean |min_j Q_j|,  at every second update

(s, a, s', a') are consecutive rows, actions as shares of their box; r pays for arriving at s'. The goal g is the one that the
policy is for, or drawn for each row anew. Primes on pi and Q are slow copies. The task has no end.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from invlearn_jax.data.dataset import Dataset, WindowStore, sample_windows, window_store
from invlearn_jax.learn.loop import Metrics, TrainState, Update
from invlearn_jax.models.policy import MlpPolicy, PolicyParams
from invlearn_jax.networks import Network, mlp
from invlearn_jax.parametrisation import Box
from invlearn_jax.types import Key, Params, Problem

_TWINS = 2
_STEPS = 2  # of a window: the action, and the one that followed it


class RebracTraining(NamedTuple):
    """Settings of ``rebrac_update``.

    Attributes:
        batch: pairs of consecutive steps per update.
        discount: gamma, per step.
        slowness: the slow copies take this share of the new weights at each update of the actor.
        actor_penalty: w_a.
        critic_penalty: w_c.
        noise: sigma, on the slow actor's action.
        noise_limit: c.
        delay: updates of the critics to one of the actor and of the slow copies.
    """

    batch: int = 256
    discount: float = 0.99
    slowness: float = 0.005
    actor_penalty: float = 0.003
    critic_penalty: float = 0.001
    noise: float = 0.2
    noise_limit: float = 0.5
    delay: int = 2


class Critics(NamedTuple):
    """What ReBRAC learns beside the actor: two critics stacked on a leading axis, and the slow copies."""

    critic: Params
    slow_critic: Params
    slow_actor: Params


def critic_network(policy: MlpPolicy, hidden: Sequence[int]) -> Network:
    """Two critics ``[features, a] -> [2]``, with layer normalisation."""
    net = mlp(policy.features_size + policy.task.action_size, hidden, 1, activation=jax.nn.relu, normed=True)
    return Network(
        lambda key: jax.vmap(net.init)(jax.random.split(key, _TWINS)),
        lambda params, x: jax.vmap(net.apply, in_axes=(0, None))(params, x)[..., 0],
    )


def td_target(
    reward: Float[Array, " B"],
    discount: float,
    following: Float[Array, "2 B"],
    distance: Float[Array, " B"],
    penalty: float,
) -> Float[Array, " B"]:
    """``y = r + gamma (min_j Q'_j - w_c |a~ - a'|^2)``.

    Args:
        reward: r.
        discount: gamma.
        following: both slow critics' values at (s', a~).
        distance: ``|a~ - a'|^2``.
        penalty: w_c.

    Returns:
        What both critics are to learn.
    """
    return reward + discount * (following.min(0) - penalty * distance)


def rebrac_store(dataset: Dataset) -> WindowStore:
    """Puts a dataset, its actions as shares of their box, on the device, ready for ``rebrac_update``.

    Raises:
        ValueError: if no episode has three rows.
    """
    return window_store(dataset, _STEPS)


def rebrac_state(
    policy: MlpPolicy,
    critic: Network,
    optimizers: tuple[optax.GradientTransformation, optax.GradientTransformation],
    key: Key,
    scales: dict[str, Params],
) -> TrainState:
    """The state to train from; optimizers of actor and critics, ``scales`` of ``learn.policy_inputs``. The key is consumed."""
    actor_key, critic_key, key = jax.random.split(key, 3)
    params = policy.init(actor_key)._replace(**scales)
    twins = critic.init(critic_key)
    opt_state = optimizers[0].init(params.net), optimizers[1].init(twins)
    extra = Critics(twins, *jax.tree.map(jnp.copy, (twins, params.net)))
    return TrainState(jnp.zeros((), jnp.int32), key, params, opt_state, extra)


def check_training(settings: RebracTraining) -> None:
    """Refuses settings without a meaning.

    Raises:
        ValueError: for a discount outside (0, 1) or a delay below 1.
    """
    if not 0 < settings.discount < 1 or settings.delay < 1:
        raise ValueError(
            f"discount is {settings.discount}, delay is {settings.delay}; give a discount between 0 and 1, both excluded, "
            "and a delay of 1 or more."
        )


def rebrac_update(
    policy: MlpPolicy,
    critic: Network,
    optimizers: tuple[optax.GradientTransformation, optax.GradientTransformation],
    store: WindowStore,
    settings: RebracTraining,
) -> Update:
    """One update of the critics and, at every ``delay``-th, of the actor and the slow copies; see the module's equation.

    Args:
        policy: the actor, whose task says the reward.
        critic: from ``critic_network``.
        optimizers: the actor's and the critics'.
        store: from ``rebrac_store``.
        settings: see ``RebracTraining``.

    Returns:
        The update for ``train``.

    Raises:
        ValueError: what ``check_training`` refuses.
    """
    check_training(settings)
    task = policy.task
    decode = Box(task.action_low, task.action_high, 1).decode

    def act(params: PolicyParams, net: Params, problems: Problem) -> Array:
        return jax.vmap(policy.act, in_axes=(None, 0))(params._replace(net=net), problems)

    def inputs(params: PolicyParams, problems: Problem, actions: Array) -> Array:
        return jnp.concatenate([jax.vmap(policy.features, in_axes=(None, 0))(params, problems), actions], axis=-1)

    def drawn_goals(params: PolicyParams, key: Key, states: Array) -> Array:
        if policy.inputs.one_goal:
            return jnp.broadcast_to(params.goal, (settings.batch, task.goal_size))
        return jax.vmap(task.draw_goal_from)(jax.random.split(key, settings.batch), states)

    def target(
        params: PolicyParams, extra: Critics, key: Key, given: Array, following: Problem, action: Array
    ) -> Array:
        noise = jnp.clip(
            settings.noise * jax.random.normal(key, action.shape), -settings.noise_limit, settings.noise_limit
        )
        chosen = jnp.clip(act(params, extra.slow_actor, following) + noise, -1.0, 1.0)
        arrived = jax.vmap(task.reward)(following.state, decode(given), following.goal)
        distance = ((chosen - action) ** 2).sum(-1)
        values = critic.apply(extra.slow_critic, inputs(params, following, chosen))
        return td_target(arrived, settings.discount, values, distance, settings.critic_penalty)

    def improve_actor(
        params: PolicyParams, opt_state: optax.OptState, extra: Critics, problems: Problem, action: Array
    ) -> tuple[PolicyParams, optax.OptState, Critics]:
        def loss_of(net: Params) -> Array:
            chosen = act(params, net, problems)
            value = critic.apply(extra.critic, inputs(params, problems, chosen)).min(0)
            scale = jax.lax.stop_gradient(jnp.maximum(jnp.abs(value).mean(), 1e-6))
            return (settings.actor_penalty * ((chosen - action) ** 2).sum(-1) - value / scale).mean()

        step, opt_state = optimizers[0].update(jax.grad(loss_of)(params.net), opt_state, params.net)
        net = optax.apply_updates(params.net, step)
        slow = optax.incremental_update((extra.critic, net), (extra.slow_critic, extra.slow_actor), settings.slowness)
        return params._replace(net=net), opt_state, Critics(extra.critic, *slow)

    def update(state: TrainState) -> tuple[TrainState, Metrics]:
        key, draw_key, noise_key, goal_key = jax.random.split(state.key, 4)
        params, extra, (actor_state, critic_state) = state.params, state.extra, state.opt_state
        states, actions = sample_windows(store, draw_key, settings.batch, _STEPS)
        goals = drawn_goals(params, goal_key, states[:, 0])
        problems, later = Problem(states[:, 0], goals), Problem(states[:, 1], goals)
        wanted = target(params, extra, noise_key, actions[:, 0], later, actions[:, 1])
        x = inputs(params, problems, actions[:, 0])

        def loss_of(twins: Params) -> tuple[Array, Array]:
            values = critic.apply(twins, x)
            return ((values - wanted) ** 2).mean(1).sum(), values.mean()

        (loss, value), gradient = jax.value_and_grad(loss_of, has_aux=True)(extra.critic)
        step, critic_state = optimizers[1].update(gradient, critic_state, extra.critic)
        extra = extra._replace(critic=optax.apply_updates(extra.critic, step))
        params, actor_state, extra = jax.lax.cond(
            (state.step + 1) % settings.delay == 0,
            lambda p, o, e: improve_actor(p, o, e, problems, actions[:, 0]),
            lambda p, o, e: (p, o, e),
            *(params, actor_state, extra),
        )
        following = TrainState(state.step + 1, key, params, (actor_state, critic_state), extra)
        return following, {"critic_loss": loss, "value": value}

    return update
