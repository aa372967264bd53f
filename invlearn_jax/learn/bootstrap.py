"""Learning a value together with the Inverter whose plans it is the cost of, for any cost.

    V(s, g)  ~  y(s) = J(s, pi(s, g)),    J(s, a) = cost of the plan + exp(-T dt / tau) V'(s_T, g)

y is the cost that the Inverter pi minimises, so that V is the cost of an endless sequence of its plans. V' is a slow copy of V.
The Inverter's gradient runs back through the whole plan, and so brings the slope of y by the state too; V learns both:

    V     minimise  E [ (e^2 + w |sigma grad e|^2) / (delta + |sigma grad y|^2) ],    e = (V - y) / unit

    pi    minimise  E [ J / sqrt(delta + |sigma grad V'|^2) ]

sigma is the usual size of the state's entries, and costs are in units of the value's. A plan's choice depends on slopes of V
alone. Both learn relative to the slope: small costs around a state of rest decide whether the system comes there, and would be
lost beside the large ones far away. What is least for each problem stays so under any weights.

Around an unstable rest that pi does not hold yet, V is all but flat: from an error |z| it takes ln(1/|z|) / lambda seconds to
fall, so that V ~ V_fallen |z|^(1 / (lambda tau)). tau may therefore grow from a short time, in which holding on pays at once,
to its final one, which sees the whole way there (``growing_discount``).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from invlearn_jax.learn.inverter import (
    DrawProblem,
    InverterTraining,
    TrainableInverter,
    advance_problems,
    inverter_loss,
)
from invlearn_jax.learn.loop import Metrics, TrainState, Update, apply_gradients
from invlearn_jax.models.value import Value, ValueParams
from invlearn_jax.objectives import ObjectiveParams, TaskObjective
from invlearn_jax.types import ForwardModel, Key, Params, Problem


class BootstrapTraining(NamedTuple):
    """Settings of the value's part of ``bootstrap_update``.

    Attributes:
        copy_rate: the slow copy takes this share of the new weights at each update.
        slope_weight: w.
        slope_floor: delta; slopes below its root count alike.
        discount: of a plan's end by the number of updates done; None for the value's own throughout.
    """

    copy_rate: float = 0.02
    slope_weight: float = 1.0
    slope_floor: float = 0.1
    discount: optax.Schedule | None = None


class Learned(NamedTuple):
    """What is learned: the Inverter's parameters, the value's, and the slow copy, which plans are scored with."""

    inverter: Params
    value: ValueParams
    slow: ValueParams


class Nets(NamedTuple):
    """What gradients move: both networks' weights."""

    inverter: Params
    value: Params


def bootstrap_optimizer(
    inverter: optax.GradientTransformation, value: optax.GradientTransformation
) -> optax.GradientTransformation:
    """An optimiser of ``Nets`` from one for each network."""
    return optax.partition({"inverter": inverter, "value": value}, Nets("inverter", "value"))


def bootstrap_state(
    optimizer: optax.GradientTransformation,
    inverter: Params,
    value: ValueParams,
    key: Key,
    draw: DrawProblem,
    batch: int,
) -> TrainState:
    """The state to train from: both networks and a batch of fresh problems. The key is consumed."""
    draw_key, key = jax.random.split(key)
    problems = jax.vmap(draw)(jax.random.split(draw_key, batch))
    learned = Learned(inverter, value, jax.tree.map(jnp.copy, value))
    opt_state = optimizer.init(Nets(inverter.net, value.net))
    return TrainState(jnp.zeros((), jnp.int32), key, learned, opt_state, problems)


def growing_discount(seconds: float, first: float, last: float, updates: int) -> optax.Schedule:
    """``exp(-seconds / tau_k)``,  ``tau_k = first (last / first)^min(1, k / updates)``, of plans of so many seconds."""

    def discount(step: Array) -> Array:
        return jnp.exp(-seconds / (first * (last / first) ** jnp.minimum(1.0, step / updates)))

    return discount


def problem_weights(
    value: Value, params: ValueParams, problems: Problem, state_scale: Float[Array, " S"], slope_floor: float
) -> Float[Array, " B"]:
    """``1 / sqrt(delta + |sigma grad V|^2)``, in units of its mean over the B problems; see the module's equation."""
    slopes = jax.vmap(jax.grad(value.value, argnums=1), in_axes=(None, 0, 0))(params, problems.state, problems.goal)
    weights = 1 / jnp.sqrt(slope_floor + ((state_scale * slopes / params.unit) ** 2).sum(-1))
    return weights / weights.mean()


def value_loss(
    value: Value,
    params: ValueParams,
    problems: Problem,
    costs: Float[Array, " B"],
    slopes: Float[Array, "B S"],
    state_scale: Float[Array, " S"],
    settings: BootstrapTraining,
) -> Float[Array, ""]:
    """How far a value is from costs and their slopes; see the module's equation.

    Args:
        value: the network.
        params: its parameters.
        problems: B of them.
        costs: y.
        slopes: grad y, by the states.
        state_scale: sigma.
        settings: see ``BootstrapTraining``.

    Returns:
        The loss.
    """
    found, gradients = jax.vmap(jax.value_and_grad(value.value, argnums=1), in_axes=(None, 0, 0))(
        params, problems.state, problems.goal
    )
    wanted = state_scale * slopes / params.unit
    error = (found - costs) / params.unit
    slope_error = ((state_scale * gradients / params.unit - wanted) ** 2).sum(-1)
    weight = 1 / (settings.slope_floor + (wanted**2).sum(-1))
    return (weight * (error**2 + settings.slope_weight * slope_error)).mean()


def bootstrap_update(
    inverter: TrainableInverter,
    model: ForwardModel,
    objective: TaskObjective,
    model_params: Params,
    objective_params: ObjectiveParams,
    optimizer: optax.GradientTransformation,
    draw: DrawProblem,
    training: InverterTraining,
    settings: BootstrapTraining,
    state_scale: Float[Array, " S"],
    prior: Callable[[Params, Key], Array] | None = None,
    cost_scale: Array | float = 1.0,
) -> Update:
    """One step of the Inverter and one of the value on the same plans, then one advance of the imagined batch.

    Args:
        inverter: what is trained.
        model: frozen.
        objective: the cost, with a ``Value`` beyond the horizon.
        model_params: of the model.
        objective_params: of the objective; the value's are those of the training's state.
        optimizer: see ``bootstrap_optimizer``.
        draw: draws a fresh problem.
        training: of the Inverter; see ``InverterTraining``.
        settings: of the value.
        state_scale: ``[S]``.
        prior: see ``learn.inverter.inverter_update``.
        cost_scale: see there.

    Returns:
        The update for ``train``.

    Raises:
        ValueError: if the batch would advance further than a plan reaches.
    """
    value: Value = objective.tail
    loss_of = inverter_loss(inverter, model, objective, model_params, training, prior, cost_scale)

    def update(state: TrainState) -> tuple[TrainState, Metrics]:
        key, advance_key, prior_key = jax.random.split(state.key, 3)
        learned, problems = state.params, state.extra
        slow = learned.slow
        if settings.discount is not None:
            slow = slow._replace(discount=settings.discount(state.step))

        weights = problem_weights(value, slow, problems, state_scale, settings.slope_floor)

        def joint(net: Params, starts: Array) -> tuple[Array, tuple]:
            scored_with = objective_params._replace(tail=slow)
            return loss_of(net, learned.inverter, scored_with, problems._replace(state=starts), prior_key, weights)

        (_, (scored, metrics)), (gradient, slopes) = jax.value_and_grad(joint, argnums=(0, 1), has_aux=True)(
            learned.inverter.net, problems.state
        )
        # The loss is a mean over the batch, of costs in units of their scale.
        slopes = slopes * len(slopes) * cost_scale / weights[:, None]

        def fit(net: Params) -> Array:
            own = learned.value._replace(net=net)
            return value_loss(value, own, problems, scored.cost, slopes, state_scale, settings)

        loss, value_gradient = jax.value_and_grad(fit)(learned.value.net)
        states = scored.states[..., : problems.state.shape[-1]]
        moved = advance_problems(advance_key, problems, states, draw, training, state_scale)
        nets = Nets(learned.inverter.net, learned.value.net)
        following = apply_gradients(state, optimizer, Nets(gradient, value_gradient), nets, key, moved)
        nets = following.params
        copied = optax.incremental_update(nets.value, learned.slow.net, settings.copy_rate)
        params = Learned(
            learned.inverter._replace(net=nets.inverter),
            learned.value._replace(net=nets.value),
            learned.slow._replace(net=copied),
        )
        metrics |= {"gradient_norm": optax.tree.norm(gradient), "value_loss": loss}
        return following._replace(params=params), metrics

    return update
