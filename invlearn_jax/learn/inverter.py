"""Training an Inverter end to end through a frozen forward model, on imagined on-policy starts.

    minimise  E_{s, g} [ J(unroll(s, pi(s, g)), g) / scale ] + w mean(max(|logits| - limit, 0)^2)

The starts are a persistent batch: after each update the problems advance some steps along their own plans through the
forward model; a share is reset and a share is given new goals. So the Inverter learns where it will be, not where the data
were.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from invlearn_jax.keys import streams
from invlearn_jax.learn.loop import Metrics, TrainState, Update, apply_gradients
from invlearn_jax.parametrisation import Parametrisation
from invlearn_jax.rollout import Score, score
from invlearn_jax.types import ForwardModel, Key, Objective, Params, Problem

_OTHERS = 64  # positions, of which the nearest is a near goal
DrawProblem = Callable[[Key], Problem]


@runtime_checkable
class TrainableInverter(Protocol):
    """What can be trained: an Inverter whose latents are the tanh of one network's output."""

    horizon: int

    @property
    def parametrisation(self) -> Parametrisation:
        """What turns latents into actions."""

    def logits(self, params: Params, problem: Problem) -> Array:
        """The network's output ``[L, C]``, of which the tanh is taken."""


class InverterTraining(NamedTuple):
    """Settings of ``inverter_update``.

    Attributes:
        batch: imagined problems side by side.
        advance: steps by which the batch may advance after an update; one is drawn each time.
        reset_share: probability that a problem starts afresh.
        goal_share: probability that a problem gets a new goal.
        state_noise: standard deviation of the noise on an advanced state, as a share of ``state_scale``.
        logit_limit: logits beyond this size are penalised.
        logit_weight: by this weight.
    """

    batch: int = 512
    advance: tuple[int, ...] = (4, 8, 16)
    reset_share: float = 0.15
    goal_share: float = 0.12
    state_noise: float = 0.01
    logit_limit: float = 3.0
    logit_weight: float = 1e-3


def inverter_state(
    optimizer: optax.GradientTransformation, params: Params, key: Key, draw: DrawProblem, batch: int
) -> TrainState:
    """The state to train from: ``params`` with a net to train, and a batch of fresh problems. The key is consumed."""
    draw_key, key = jax.random.split(key)
    problems = jax.vmap(draw)(jax.random.split(draw_key, batch))
    return TrainState(jnp.zeros((), jnp.int32), key, params, optimizer.init(params.net), problems)


def advance_problems(
    key: Key, problems: Problem, states: Array, draw: DrawProblem, settings: InverterTraining, state_scale: Array
) -> Problem:
    """Moves the imagined batch on along its plans. The key is consumed.

    Args:
        key: consumed.
        problems: the batch the plans were made for.
        states: ``[B, T+1, S]`` what the plans lead to.
        draw: a fresh problem.
        settings: shares and steps.
        state_scale: ``[S]`` size of the state's entries.

    Returns:
        The next batch.
    """
    steps_key, noise_key, fresh_key, reset_key, goal_key = jax.random.split(key, 5)
    batch = states.shape[0]
    step = jax.random.choice(steps_key, jnp.array(settings.advance), (batch,))
    moved = jnp.take_along_axis(states, step[:, None, None], axis=1)[:, 0]
    moved = moved + settings.state_noise * state_scale * jax.random.normal(noise_key, moved.shape)
    fresh = jax.vmap(draw)(jax.random.split(fresh_key, batch))
    # A plan that left the finite numbers starts afresh too.
    reset = jax.random.bernoulli(reset_key, settings.reset_share, (batch,)) | ~jnp.isfinite(moved).all(-1)
    regoal = reset | jax.random.bernoulli(goal_key, settings.goal_share, (batch,))
    goal = jax.tree.map(lambda new, old: jnp.where(regoal[:, None], new, old), fresh.goal, problems.goal)
    return Problem(jnp.where(reset[:, None], fresh.state, moved), goal)


def check_advance(advance: Sequence[int], horizon: int) -> None:
    """Refuses steps that no plan of ``horizon`` steps reaches.

    Raises:
        ValueError: if a step is not within 1 .. horizon, or there is none.
    """
    if not advance or not 1 <= min(advance) <= max(advance) <= horizon:
        raise ValueError(f"advance is {tuple(advance)}; each step must be 1 to the horizon, {horizon}.")


def inverter_loss(
    inverter: TrainableInverter,
    model: ForwardModel,
    objective: Objective,
    model_params: Params,
    settings: InverterTraining,
    prior: Callable[[Params, Key], Array] | None = None,
    cost_scale: Array | float = 1.0,
) -> Callable[[Params, Params, Params, Problem, Key, Array | None], tuple[Array, tuple[Score, Metrics]]]:
    """The module's objective over a batch of problems.

    Args:
        inverter: what is trained.
        model: frozen.
        objective: the cost.
        model_params: of the model.
        settings: see ``InverterTraining``.
        prior: see ``inverter_update``.
        cost_scale: see there.

    Returns:
        ``(net, params, objective_params, problems, key, weights) -> (loss, (scored plans, metrics))``; the key is consumed, and
        weights, if any, are of the problems' costs in their mean.

    Raises:
        ValueError: if the batch would advance further than a plan reaches.
    """
    check_advance(settings.advance, inverter.horizon)

    def loss_of(
        net: Params, params: Params, objective_params: Params, problems: Problem, key: Key, weights: Array | None
    ) -> tuple[Array, tuple[Score, Metrics]]:
        logits = jax.vmap(inverter.logits, in_axes=(None, 0))(params._replace(net=net), problems)
        scored = jax.vmap(lambda p, a: score(model, objective, model_params, objective_params, p, a))(
            problems, jax.vmap(inverter.parametrisation.decode)(jnp.tanh(logits))
        )
        penalty = (jnp.maximum(jnp.abs(logits) - settings.logit_limit, 0.0) ** 2).mean()
        kept = prior(params._replace(net=net), key) if prior else jnp.zeros(())
        metrics = {"cost": scored.cost.mean(), "logit_penalty": penalty}
        metrics |= {name: value.mean() for name, value in scored.terms.items()}
        metrics |= {"prior": kept} if prior else {}
        cost = scored.cost.mean() if weights is None else (weights * scored.cost).mean()
        return cost / cost_scale + settings.logit_weight * penalty + kept, (scored, metrics)

    return loss_of


def inverter_update(
    inverter: TrainableInverter,
    model: ForwardModel,
    objective: Objective,
    model_params: Params,
    objective_params: Params,
    optimizer: optax.GradientTransformation,
    draw: DrawProblem,
    settings: InverterTraining,
    state_scale: Array,
    prior: Callable[[Params, Key], Array] | None = None,
    cost_scale: Array | float = 1.0,
) -> Update:
    """One gradient step of the module's objective, then one advance of the imagined batch.

    Args:
        inverter: what is trained.
        model: frozen.
        objective: the cost.
        model_params: of the model.
        objective_params: of the objective.
        optimizer: for ``params.net``.
        draw: draws a fresh problem.
        settings: see ``InverterTraining``.
        state_scale: ``[S]``.
        prior: ``(params, key) -> loss`` to add, which keeps the Inverter near what the data did, say; the key is consumed.
        cost_scale: costs are divided by it, so that learning does not depend on their units.

    Returns:
        The update for ``train``.

    Raises:
        ValueError: if the batch would advance further than a plan reaches.
    """
    loss_of = inverter_loss(inverter, model, objective, model_params, settings, prior, cost_scale)

    def update(state: TrainState) -> tuple[TrainState, Metrics]:
        key, advance_key, prior_key = jax.random.split(state.key, 3)
        (_, (scored, metrics)), gradient = jax.value_and_grad(loss_of, has_aux=True)(
            state.params.net, state.params, objective_params, state.extra, prior_key, None
        )
        # A model may say more of a state than the state is (its uncertainty, say).
        states = scored.states[..., : state.extra.state.shape[-1]]
        problems = advance_problems(advance_key, state.extra, states, draw, settings, state_scale)
        following = apply_gradients(state, optimizer, gradient, state.params.net, key, problems)
        metrics |= {"gradient_norm": optax.tree.norm(gradient)}
        return following._replace(params=state.params._replace(net=following.params)), metrics

    return update


def problem_sampler(positions: Array, speed_scale: Array, near_share: float = 0.0) -> DrawProblem:
    """Draws problems for training: start and goal among ``positions`` (with a little noise), velocity of random size.

    Args:
        positions: ``[M, P]`` places the data reached, metres.
        speed_scale: ``[P]`` the data's standard deviation of velocity, m/s.
        near_share: of the problems, whose goal is the nearest to the start of 64 positions. In a large world few problems
            would come to their goals before they start afresh, and to arrive and to stay would not be learned.

    Returns:
        ``draw(key) -> Problem``; the key is consumed. Speeds are normal with a scale of U(0, 1.5) times the data's, cut at
        2.1 times it.
    """

    def draw(key: Key) -> Problem:
        start_key, goal_key, noise_key, size_key, speed_key = jax.random.split(key, 5)
        start, goal = (positions[jax.random.randint(k, (), 0, positions.shape[0])] for k in (start_key, goal_key))
        if near_share:
            near_key, others_key = streams(key, "whether near", "others")
            others = positions[jax.random.randint(others_key, (_OTHERS,), 0, positions.shape[0])]
            nearest = others[((others - start) ** 2).sum(-1).argmin()]
            goal = jnp.where(jax.random.bernoulli(near_key, near_share), nearest, goal)
        noise = 0.03 * jax.random.normal(noise_key, (2, *start.shape))
        speed = 1.5 * jax.random.uniform(size_key) * jax.random.normal(speed_key, start.shape)
        return Problem(jnp.concatenate([start + noise[0], speed_scale * jnp.clip(speed, -2.1, 2.1)]), goal + noise[1])

    return draw
