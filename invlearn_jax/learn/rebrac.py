"""ReBRAC (arXiv 2305.09836): actor and critics with a penalty each on leaving the data, for one goal's reward.

    critic   minimise  E (Q_j(s, a) - y)^2,    y = r(s') + gamma (min_j Q'_j(s', a~) - w_c |a~ - a'|^2),  j = 1, 2
             a~ = clip(pi'(s') + clip(sigma n, -c, c), -1, 1),  n normal
    actor    minimise  E w_a |pi(s) - a|^2 - min_j Q_j(s, pi(s)) / mean |min_j Q_j|,  at every second update

(s, a, s', a') are consecutive rows; r pays for arriving at s'. Primes on pi and Q are slow copies. The task has no end.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from invlearn_jax.data.dataset import Dataset, Normalizer, WindowStore, sample_windows, window_store
from invlearn_jax.learn.loop import Metrics, TrainState, Update
from invlearn_jax.models.policy import MlpPolicy, PolicyParams
from invlearn_jax.networks import Network, mlp
from invlearn_jax.types import Key, Params

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
    net = mlp(policy.features_size + policy.action_size, hidden, 1, activation=jax.nn.relu, normed=True)
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
    """Puts a dataset on the device, ready for ``rebrac_update``.

    Raises:
        ValueError: if no episode has three rows.
    """
    return window_store(dataset, _STEPS)


def rebrac_state(
    policy: MlpPolicy,
    critic: Network,
    optimizers: tuple[optax.GradientTransformation, optax.GradientTransformation],
    key: Key,
    normalizer: Normalizer,
    goal: Float[Array, " P"],
) -> TrainState:
    """The state to train from; ``optimizers`` are the actor's and the critics'. The key is consumed."""
    actor_key, critic_key, key = jax.random.split(key, 3)
    params = policy.init(actor_key)._replace(mean=normalizer.mean, std=normalizer.std, goal=goal)
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
    reward: Callable[[Array, Array], Array],
    settings: RebracTraining,
) -> Update:
    """One update of the critics and, at every ``delay``-th, of the actor and the slow copies; see the module's equation.

    Args:
        policy: the actor.
        critic: from ``critic_network``.
        optimizers: the actor's and the critics'.
        store: from ``rebrac_store``.
        reward: ``(position [..., P], goal [P]) -> [...]`` of arriving at a position.
        settings: see ``RebracTraining``.

    Returns:
        The update for ``train``.

    Raises:
        ValueError: what ``check_training`` refuses.
    """
    check_training(settings)

    def target(params: PolicyParams, extra: Critics, key: Key, following: Array, action: Array) -> Array:
        noise = jnp.clip(
            settings.noise * jax.random.normal(key, action.shape), -settings.noise_limit, settings.noise_limit
        )
        chosen = jnp.clip(policy.act(params._replace(net=extra.slow_actor), following) + noise, -1.0, 1.0)
        x = jnp.concatenate([policy.features(params, following), chosen], axis=-1)
        arrived = reward(following[..., : policy.position_size], params.goal)
        distance = ((chosen - action) ** 2).sum(-1)
        return td_target(
            arrived, settings.discount, critic.apply(extra.slow_critic, x), distance, settings.critic_penalty
        )

    def improve_actor(
        params: PolicyParams, opt_state: optax.OptState, extra: Critics, state: Array, action: Array
    ) -> tuple[PolicyParams, optax.OptState, Critics]:
        def loss_of(net: Params) -> Array:
            chosen = policy.act(params._replace(net=net), state)
            x = jnp.concatenate([policy.features(params, state), chosen], axis=-1)
            value = critic.apply(extra.critic, x).min(0)
            scale = jax.lax.stop_gradient(jnp.maximum(jnp.abs(value).mean(), 1e-6))
            return (settings.actor_penalty * ((chosen - action) ** 2).sum(-1) - value / scale).mean()

        step, opt_state = optimizers[0].update(jax.grad(loss_of)(params.net), opt_state, params.net)
        net = optax.apply_updates(params.net, step)
        slow = optax.incremental_update((extra.critic, net), (extra.slow_critic, extra.slow_actor), settings.slowness)
        return params._replace(net=net), opt_state, Critics(extra.critic, *slow)

    def update(state: TrainState) -> tuple[TrainState, Metrics]:
        key, draw_key, noise_key = jax.random.split(state.key, 3)
        params, extra, (actor_state, critic_state) = state.params, state.extra, state.opt_state
        states, actions = sample_windows(store, draw_key, settings.batch, _STEPS)
        wanted = target(params, extra, noise_key, states[:, 1], actions[:, 1])
        x = jnp.concatenate([policy.features(params, states[:, 0]), actions[:, 0]], axis=-1)

        def loss_of(twins: Params) -> tuple[Array, Array]:
            values = critic.apply(twins, x)
            return ((values - wanted) ** 2).mean(1).sum(), values.mean()

        (loss, value), gradient = jax.value_and_grad(loss_of, has_aux=True)(extra.critic)
        step, critic_state = optimizers[1].update(gradient, critic_state, extra.critic)
        extra = extra._replace(critic=optax.apply_updates(extra.critic, step))
        params, actor_state, extra = jax.lax.cond(
            (state.step + 1) % settings.delay == 0,
            lambda p, o, e: improve_actor(p, o, e, states[:, 0], actions[:, 0]),
            lambda p, o, e: (p, o, e),
            *(params, actor_state, extra),
        )
        following = TrainState(state.step + 1, key, params, (actor_state, critic_state), extra)
        return following, {"critic_loss": loss, "value": value}

    return update
