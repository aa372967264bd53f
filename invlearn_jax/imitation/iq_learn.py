"""The objective of IQ-Learn (arXiv 2106.12142): one soft Q-function from which policy and reward are both read.

    minimise  - E_expert[ phi(r) ]  +  E[ V(s) - gamma V(s') ]  +  penalties,        r(s, a, s') = Q(s, a) - gamma V(s')

The second term is (1 - gamma) E_p0[V(s0)] by the telescoping of occupancies, for the rows of any policy. Which rows, and over
which the chi2 penalty is taken, tells the offline form (the expert's) from the online one (all).

Two mends of LS-IQ (arXiv 2303.00599) are options. The chi2 penalty over both halves bounds the optimal reward by
|r| <= 4 alpha, so values beyond 4 alpha / (1 - gamma) are errors: following values are clipped there. And an episode that ends
goes to an absorbing state, whose value b is learned as that of any other state instead of being set to 0, which would tell the
agent that to fall is worth as much as the mean reward.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from invlearn_jax.imitation.divergences import phi
from invlearn_jax.names import unknown_name
from invlearn_jax.settings import bounded, check_settings

VALUE_ROWS = ("expert", "all", "expert_states", "starts")
PENALTY_ROWS = ("expert", "all", "none")

_TOTAL_VARIATION = 0.5  # the bound on |r| that makes its supremum the total variation


@dataclasses.dataclass
class IqSettings:
    """What of the objective can be chosen.

    Attributes:
        divergence: one of ``divergences.DIVERGENCES``.
        alpha: of the chi2 penalty ``r^2 / (4 alpha)``.
        penalty_rows: over which rows that penalty is taken, with any divergence but ``tv``: ``expert`` (offline), ``all``
            (online, where over the expert's alone it diverges), or ``none``.
        value_rows: over which rows ``V(s) - gamma V(s')`` is taken: ``expert`` (offline), ``all`` (online); or
            ``(1 - gamma) V`` in its stead, over ``starts`` of episodes, or over all ``expert_states`` as if each were one.
        gradient_penalty: weight of ``(|dQ/dx| - 1)^2`` between expert and other rows; used with ``w1``.
        discount: gamma, per step.
        clipped: whether following values are clipped to what the chi2 penalty allows.
        absorbing: whether the value of the state after an episode's end is learned instead of 0.
    """

    divergence: str = "chi2"
    alpha: float = bounded(0.5, above=0.0)
    penalty_rows: str = "all"
    value_rows: str = "all"
    gradient_penalty: float = bounded(10.0, low=0.0)
    discount: float = bounded(0.99, above=0.0, below=1.0)
    clipped: bool = False
    absorbing: bool = False


class Values(NamedTuple):
    """What a batch's rows are worth under the current Q; B rows.

    Attributes:
        q: ``[B]`` Q(s, a).
        value: ``[B]`` V(s); of ``value_rows`` ``starts`` and ``expert_states`` V of those states, however many.
        following: ``[B]`` V(s').
        over: ``[B]`` whether s' is after an episode's end for good.
        expert: ``[B]`` whether the row is a demonstration's.
        absorbing: b, the value of the absorbing state; 0 where it is not learned.
    """

    q: Float[Array, " B"]
    value: Float[Array, " V"]
    following: Float[Array, " B"]
    over: Bool[Array, " B"]
    expert: Bool[Array, " B"]
    absorbing: Float[Array, ""]


def check_iq(settings: IqSettings) -> None:
    """Refuses settings without a meaning.

    Raises:
        ValueError: for an unknown divergence or rows, or a number out of range.
    """
    check_settings(settings)
    phi(settings.divergence)
    for name, allowed in (("value_rows", VALUE_ROWS), ("penalty_rows", PENALTY_ROWS)):
        if getattr(settings, name) not in allowed:
            raise unknown_name(name, getattr(settings, name), allowed)


def backed_up(settings: IqSettings, values: Values) -> Float[Array, " B"]:
    """``[B]`` what a row's next state is worth now: ``gamma V(s')``, or ``gamma b`` after an episode's end."""
    following = values.following
    if settings.clipped:
        most = 4 * settings.alpha / (1 - settings.discount)
        following = jnp.clip(following, -most, most)
    return settings.discount * jnp.where(values.over, values.absorbing, following)


def recovered_reward(settings: IqSettings, values: Values) -> Float[Array, " B"]:
    """``[B]`` the reward ``r = Q(s, a) - gamma V(s')`` that makes Q optimal."""
    return values.q - backed_up(settings, values)


def iq_loss(settings: IqSettings, values: Values) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The objective of a batch, without the gradient penalty; see the module's equation.

    Args:
        settings: see ``IqSettings``.
        values: of the batch.

    Returns:
        The loss, and its parts by name: ``expert_reward`` (mean recovered reward of the demonstrations), ``reward_gap`` (that
        less the mean of the other rows, 0 without such), ``value_term``, ``penalty``.
    """
    reward, expert = recovered_reward(settings, values), values.expert
    shown = phi(settings.divergence)(reward)
    # After an episode's end the absorbing state is met again and again: 1 / (1 - gamma) discounted times.
    ends = jnp.where(values.over, 1 / (1 - settings.discount), 0.0) if settings.absorbing else jnp.zeros_like(reward)
    resting = (1 - settings.discount) * values.absorbing
    gained = _mean(shown, expert) + _mean(ends, expert) * phi(settings.divergence)(resting)
    value_term = _value_term(settings, values, ends * resting)
    penalty = _penalty(settings, reward, ends * resting**2, ends * _excess(resting), expert)
    mine = _mean(reward, expert)
    others = jnp.where((~expert).any(), mine - _mean(reward, ~expert), 0.0)
    parts = {"expert_reward": mine, "reward_gap": others, "value_term": value_term, "penalty": penalty}
    return value_term + penalty - gained, parts


def _value_term(settings: IqSettings, values: Values, resting: Array) -> Array:
    if settings.value_rows in ("starts", "expert_states"):
        return (1 - settings.discount) * values.value.mean()
    steps = values.value - backed_up(settings, values) + resting
    return _mean(steps, values.expert) if settings.value_rows == "expert" else steps.mean()


def _penalty(settings: IqSettings, reward: Array, resting: Array, resting_excess: Array, expert: Array) -> Array:
    """The chi2 penalty, or that of leaving the total variation's bound; what the absorbing state adds included."""
    if settings.divergence == "tv":
        return 10 * (_excess(reward) + resting_excess).mean()
    if settings.penalty_rows == "none":
        return jnp.zeros(())
    squares = (reward**2 + resting) / (4 * settings.alpha)
    return _mean(squares, expert) if settings.penalty_rows == "expert" else squares.mean()


def _excess(reward: Array) -> Array:
    return jax.nn.relu(jnp.abs(reward) - _TOTAL_VARIATION) ** 2


def _mean(x: Array, mask: Array) -> Array:
    """The mean over the rows of a mask; 0 over none."""
    return jnp.where(mask, x, 0.0).sum() / jnp.maximum(mask.sum(), 1)
