"""Learning a diffusion model over plans, and distilling its sampler into one step.

    minimise  E_{x_0, t, eps} | x_0 - net(paint(sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps), t) |^2

over what is not known beforehand (Diffuser, arXiv 2205.09991; classifier-free guidance by leaving the condition out now and
then, arXiv 2207.12598). What is used is the exponential moving average of the weights.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from invlearn_jax.data.plans import PlanStore, sample_plans
from invlearn_jax.learn.loop import Metrics, TrainState, Update, apply_gradients
from invlearn_jax.models.diffusion import DiffusionParams, Known, PlanDiffusion, Steps, cosine_schedule
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key, Params, Problem


class Asked(NamedTuple):
    """Plans to learn from, with what is known of them and the condition they meet, all with a leading axis B.

    Attributes:
        plans: ``[B, H, C]`` in their own units.
        known: masks and values.
        condition: ``[B, D]``.
    """

    plans: Float[Array, "B H C"]
    known: Known
    condition: Float[Array, "B D"]


# Draws a batch to learn from; the key is consumed.
DrawPlans = Callable[[Key], Asked]


@runtime_checkable
class TokenLayout(Protocol):
    """What is needed of a ``planners.diffusion.PlanLayout``."""

    @property
    def task(self) -> Task:
        """What is planned for."""

    @property
    def stride(self) -> int:
        """Steps between tokens."""

    @property
    def places(self) -> slice:
        """The channels that are the place in goal space."""

    @property
    def moving(self) -> slice:
        """The channels that are zero at rest."""


@runtime_checkable
class PlanInverter(Protocol):
    """What is needed of a ``planners.diffusion.DiffusionInverter``."""

    diffusion: PlanDiffusion

    @property
    def layout(self) -> TokenLayout:
        """Of the plans' tokens."""

    def known(self, problem: Problem) -> Known:
        """What is known of a plan for a problem."""

    def condition(self, params: DiffusionParams, goal: Array) -> Array:
        """The goal ``[G]`` as the model takes it, ``[D]``."""


def plan_sampler(inverter: PlanInverter, params: DiffusionParams, store: PlanStore, batch: int) -> DrawPlans:
    """Draws from a store what a ``planners.diffusion.DiffusionInverter`` is to plan: towards the place where the data ended.

    Args:
        inverter: says what is known of a plan, and its condition.
        params: for the limits of the channels.
        store: made for the inverter's span.
        batch: B.

    Returns:
        ``draw(key) -> Asked``; the key is consumed.
    """
    layout, tokens = inverter.layout, inverter.diffusion.horizon

    def draw(key: Key) -> Asked:
        plans = sample_plans(store, key, batch, tokens, layout.stride, layout.moving)
        goals = plans[:, -1, layout.places]
        mask = inverter.known(Problem(plans[0, 0, : layout.task.state_size], goals[0])).mask
        condition = jax.vmap(inverter.condition, in_axes=(None, 0))(params, goals)
        return Asked(plans, Known(plans, jnp.broadcast_to(mask, plans.shape)), condition)

    return draw


class DiffusionTraining(NamedTuple):
    """Settings of ``diffusion_update``.

    Attributes:
        dropout: probability that the condition is left out.
        decay: of the moving average, per update; less in the first updates: ``min(decay, (1 + n) / (10 + n))``.
    """

    dropout: float = 0.25
    decay: float = 0.999


def diffusion_state(
    model: PlanDiffusion, optimizer: optax.GradientTransformation, key: Key, channels: np.ndarray
) -> TrainState:
    """The state to train from, limits set from the rows ``channels [N, C]``; ``extra`` is the average. Consumes the key."""
    init_key, key = jax.random.split(key)
    low, high = channels.min(0), channels.max(0)
    # A constant channel would divide by zero.
    high = np.where(high - low < 1e-6, low + 1.0, high)
    params = model.init(init_key)._replace(low=jnp.asarray(low, jnp.float32), high=jnp.asarray(high, jnp.float32))
    return TrainState(jnp.zeros((), jnp.int32), key, params, optimizer.init(params.net), params.net)


def averaged(state: TrainState) -> DiffusionParams:
    """The parameters to use: the moving average."""
    return state.params._replace(net=state.extra)


def diffusion_update(
    model: PlanDiffusion, optimizer: optax.GradientTransformation, draw: DrawPlans, settings: DiffusionTraining
) -> Update:
    """One gradient step of the module's objective.

    Args:
        model: the model.
        optimizer: for ``params.net``.
        draw: draws a batch.
        settings: see ``DiffusionTraining``.

    Returns:
        The update for ``train``.
    """
    alpha_bar = jnp.asarray(cosine_schedule(model.train_steps), jnp.float32)

    def update(state: TrainState) -> tuple[TrainState, Metrics]:
        key, draw_key, level_key, noise_key, drop_key = jax.random.split(state.key, 5)
        asked = draw(draw_key)
        plans, values = (model.normalize(state.params, x) for x in (asked.plans, asked.known.values))
        size = plans.shape[0]
        level = jax.random.randint(level_key, (size,), 1, model.train_steps + 1)
        noisy = _noisy(alpha_bar[level], plans, jax.random.normal(noise_key, plans.shape))
        noisy = jnp.where(asked.known.mask, values, noisy)
        given = 1.0 - jax.random.bernoulli(drop_key, settings.dropout, (size,))

        def loss_of(net: Params) -> Array:
            found = model.predict(net, noisy, level.astype(jnp.float32), asked.condition, given)
            return (jnp.where(asked.known.mask, 0.0, found - plans) ** 2).mean()

        loss, gradient = jax.value_and_grad(loss_of)(state.params.net)
        return _averaging(state, optimizer, gradient, key, settings.decay), {"diffusion_loss": loss}

    return update


def consistency_state(optimizer: optax.GradientTransformation, key: Key, teacher: DiffusionParams) -> TrainState:
    """The state to distil from: the student begins as its teacher. The key is kept for training."""
    return TrainState(jnp.zeros((), jnp.int32), key, teacher, optimizer.init(teacher.net), teacher.net)


def consistency_update(
    model: PlanDiffusion,
    teacher: DiffusionParams,
    optimizer: optax.GradientTransformation,
    draw: DrawPlans,
    steps: Steps,
    guidance: float,
    settings: DiffusionTraining,
) -> Update:
    """One step of consistency distillation (arXiv 2303.01469): neighbours on the teacher's path are to end at one plan.

        minimise  E | student(x_t, t) - average(x_s, s) |,    x_s = a x_t + b teacher(x_t, t),

    with the plan itself in place of the average at s = 0, and the pseudo-Huber distance of arXiv 2310.14189.

    Args:
        model: of teacher and student.
        teacher: its parameters.
        optimizer: for the student's.
        draw: draws a batch.
        steps: of the teacher's deterministic sampler, first order.
        guidance: of the teacher, for the condition that the student is given.
        settings: ``dropout`` as the teacher's; ``decay`` of the average.

    Returns:
        The update for ``train``.

    Raises:
        ValueError: for a sampler that draws noise or looks back, along which there is no path.
    """
    if steps.table[:, 2:].any():
        raise ValueError(
            "Consistency distillation follows a deterministic first-order sampler; give the steps of 'ddim'."
        )
    alpha_bar = jnp.asarray(cosine_schedule(model.train_steps), jnp.float32)
    levels = jnp.asarray(np.append(steps.levels, 0))
    table = jnp.asarray(steps.table)

    def update(state: TrainState) -> tuple[TrainState, Metrics]:
        key, draw_key, level_key, noise_key, drop_key = jax.random.split(state.key, 5)
        asked = draw(draw_key)
        plans, values = (model.normalize(state.params, x) for x in (asked.plans, asked.known.values))
        size, mask = plans.shape[0], asked.known.mask
        visit = jax.random.randint(level_key, (size,), 0, len(steps.levels))
        now, then = levels[visit], levels[visit + 1]
        noisy = _noisy(alpha_bar[now], plans, jax.random.normal(noise_key, plans.shape))
        noisy = jnp.where(mask, values, noisy)
        given = 1.0 - jax.random.bernoulli(drop_key, settings.dropout, (size,))

        def at(net: Params, x: Array, level: Array, given: Array) -> Array:
            return model.predict(net, x, level.astype(jnp.float32), asked.condition, given)

        # Where the condition is left out, both predictions are the same and the weight does not matter.
        free = at(teacher.net, noisy, now, 0 * given)
        taught = jnp.clip(free + guidance * (at(teacher.net, noisy, now, given) - free), -1.0, 1.0)
        kept, towards = table[visit, 0], table[visit, 1]
        nearer = jnp.where(mask, values, kept[:, None, None] * noisy + towards[:, None, None] * taught)
        target = jnp.where((then == 0)[:, None, None], taught, at(state.extra, nearer, then, given))

        def loss_of(net: Params) -> Array:
            off = jnp.where(mask, 0.0, at(net, noisy, now, given) - jax.lax.stop_gradient(target))
            scale = 0.00054 * jnp.sqrt(off[0].size)
            return (jnp.sqrt((off**2).sum((1, 2)) + scale**2) - scale).mean()

        loss, gradient = jax.value_and_grad(loss_of)(state.params.net)
        return _averaging(state, optimizer, gradient, key, settings.decay), {"consistency_loss": loss}

    return update


def _noisy(alpha_bar: Float[Array, " B"], plans: Float[Array, "B H C"], noise: Array) -> Array:
    kept = alpha_bar[:, None, None]
    return jnp.sqrt(kept) * plans + jnp.sqrt(1 - kept) * noise


def _averaging(
    state: TrainState, optimizer: optax.GradientTransformation, gradient: Params, key: Key, decay: float
) -> TrainState:
    following = apply_gradients(state, optimizer, gradient, state.params.net, key, state.extra)
    count = following.step.astype(jnp.float32)
    kept = jnp.minimum(decay, (1 + count) / (10 + count))
    average = optax.incremental_update(following.params, state.extra, 1 - kept)
    return following._replace(params=state.params._replace(net=following.params), extra=average)
