"""Scoring action sequences: the one place where a model is unrolled under an objective."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.inputs import Numbers, as_floats
from invlearn_jax.types import ForwardModel, Objective, Params, Problem


class Score(NamedTuple):
    """What a sequence comes to.

    Attributes:
        cost: the sum of the terms.
        terms: the weighted terms by name.
        states: ``[T+1, S]`` predicted.
    """

    cost: Float[Array, ""]
    terms: dict[str, Float[Array, ""]]
    states: Float[Array, "T1 S"]


def total(terms: Mapping[str, Array]) -> Array:
    """The sum of named costs; without any 0."""
    return jnp.asarray(sum(terms.values()))


def score(
    model: ForwardModel,
    objective: Objective,
    model_params: Params,
    objective_params: Params,
    problem: Problem,
    actions: Float[Array, "T A"],
) -> Score:
    """Unrolls ``actions`` from the problem's state and sums the objective's terms."""
    states = model.unroll(model_params, problem.state, actions)
    terms = objective(objective_params, states, actions, problem.goal)
    return Score(total(terms), terms, states)


def unroll_steps(
    step: Callable[[Params, Array, Array], Array],
    params: Params,
    state: Numbers,
    actions: Numbers,
) -> Float[Array, "T1 S"]:
    """Unrolls a one-step function ``step(params, state, action) -> state`` into ``[T+1, S]``, in its parameters' type."""
    state, actions = as_floats(params, state, actions)

    def body(state: Array, action: Array) -> tuple[Array, Array]:
        following = step(params, state, action)
        return following, following

    states = jax.lax.scan(body, state, actions)[1]
    return jnp.concatenate([state[None], states])
