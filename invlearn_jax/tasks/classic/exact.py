"""Exact solutions of decision problems in tables, in float64: soft optima, occupancies, and what IQ-Learn finds.

Letters: S states, A actions; gamma the discount, tau the temperature of entropy. Equations of sections 3 to 5 of Garg et al.,
"IQ-Learn: Inverse soft-Q Learning for Imitation", NeurIPS 2021.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Tables(NamedTuple):
    """A decision problem.

    Attributes:
        transitions: ``[S, A, S]`` the probability of the next state.
        rewards: ``[S, A]``.
        start: ``[S]`` the probability of each start.
        discount: gamma.
    """

    transitions: Float[np.ndarray, "S A S"]
    rewards: Float[np.ndarray, "S A"]
    start: Float[np.ndarray, " S"]
    discount: float


class SoftOptimum(NamedTuple):
    """``q [S, A]``, ``values [S]`` and the ``policy [S, A]`` that maximise reward plus tau times entropy."""

    q: Float[np.ndarray, "S A"]
    values: Float[np.ndarray, " S"]
    policy: Float[np.ndarray, "S A"]


def soft_maximum(q: Float[np.ndarray, "S A"], temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """``V = tau log sum_a exp(Q / tau)`` ``[S]``, and the policy ``exp((Q - V) / tau)`` ``[S, A]``."""
    best = q.max(1)
    values = best + temperature * np.log(np.exp((q - best[:, None]) / temperature).sum(1))
    return values, np.exp((q - values[:, None]) / temperature)


def soft_optimum(tables: Tables, temperature: float = 1.0, accuracy: float = 1e-12) -> SoftOptimum:
    """Soft value iteration, ``Q <- r + gamma P V(Q)``, until Q is within the given accuracy of the fixed point.

    Raises:
        ValueError: for a discount that is not in [0, 1), or a temperature that is not positive.
    """
    if not 0 <= tables.discount < 1 or temperature <= 0:
        raise ValueError(
            f"discount is {tables.discount} and temperature {temperature}; give a discount in [0, 1) and a temperature above 0."
        )
    q = np.zeros_like(tables.rewards)
    while True:
        following = tables.rewards + tables.discount * tables.transitions @ soft_maximum(q, temperature)[0]
        change, q = np.abs(following - q).max(), following
        # A contraction: what is left is at most gamma / (1 - gamma) of the last change.
        if change * tables.discount <= accuracy * (1 - tables.discount):
            return SoftOptimum(q, *soft_maximum(q, temperature))


def policy_values(
    tables: Tables, policy: Float[np.ndarray, "S A"], temperature: float = 0.0
) -> Float[np.ndarray, " S"]:
    """``V^pi = E_pi[r - tau log pi + gamma V^pi(s')]``, by a linear solve; 0 leaves the entropy out."""
    pay = (policy * (tables.rewards - temperature * _log(policy))).sum(1)
    return np.linalg.solve(np.eye(len(pay)) - tables.discount * _moves(tables, policy), pay)


def occupancy(tables: Tables, policy: Float[np.ndarray, "S A"]) -> Float[np.ndarray, "S A"]:
    """``rho(s, a) = (1 - gamma) pi(a|s) sum_t gamma^t P(s_t = s)``; sums to 1."""
    moves = _moves(tables, policy)
    states = np.linalg.solve(np.eye(len(moves)) - tables.discount * moves.T, (1 - tables.discount) * tables.start)
    return states[:, None] * policy


def q_of_reward(
    tables: Tables, policy: Float[np.ndarray, "S A"], rewards: Float[np.ndarray, "S A"], temperature: float = 1.0
) -> Float[np.ndarray, "S A"]:
    """The Q of a fixed policy for a reward, by a linear solve: ``Q = r + gamma P V^pi``. Inverse of ``reward_of_q``."""
    values = policy_values(tables._replace(rewards=rewards), policy, temperature)
    return rewards + tables.discount * tables.transitions @ values


def reward_of_q(
    tables: Tables, policy: Float[np.ndarray, "S A"], q: Float[np.ndarray, "S A"], temperature: float = 1.0
) -> Float[np.ndarray, "S A"]:
    """The reward of which Q is a fixed policy's: ``r = Q - gamma P V^pi``, ``V^pi = E_pi[Q - tau log pi]``."""
    values = (policy * (q - temperature * _log(policy))).sum(1)
    return q - tables.discount * tables.transitions @ values


def telescoped(
    tables: Tables, policy: Float[np.ndarray, "S A"], values: Float[np.ndarray, " S"]
) -> tuple[float, float]:
    """Both sides of ``E_rho[V(s) - gamma V(s')] = (1 - gamma) E_start[V]``, which agree for every policy and every V."""
    inside = values[:, None] - tables.discount * tables.transitions @ values
    left = (occupancy(tables, policy) * inside).sum()
    return float(left), float((1 - tables.discount) * tables.start @ values)


def chi2_reward(
    expert: Float[np.ndarray, "S A"], policy: Float[np.ndarray, "S A"], alpha: float, mixture: bool
) -> Float[np.ndarray, "S A"]:
    """The reward that tells two occupancies apart best, for the chi-square regulariser.

        r = argmax E_rhoE[r] - E_rho[r] - psi(r)
        psi = 1/(4 alpha) (E_rhoE[r^2] + E_rho[r^2]) / 2 (mixture):    r = 4 alpha (rhoE - rho) / (rhoE + rho)
        psi = 1/(4 alpha) E_rhoE[r^2]:                                r = 2 alpha (1 - rho / rhoE)

    Args:
        expert: rhoE, its occupancy.
        policy: rho.
        alpha: the larger, the larger are rewards.
        mixture: whether the regulariser is a mean over both halves, expert and policy. The reward is then within +-4 alpha.

    Returns:
        The reward; 0 where neither occupancy comes (mixture), NaN where the expert does not, and the reward is undefined.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        if mixture:
            return np.nan_to_num(4 * alpha * (expert - policy) / (expert + policy))
        return np.where(expert > 0, 2 * alpha * (1 - policy / expert), np.nan)


def iq_optimum(
    tables: Tables, expert: Float[np.ndarray, "S A"], alpha: float = 0.5, temperature: float = 1.0
) -> SoftOptimum:
    """The Q that IQ-Learn with chi-square on the expert's states and actions finds; the problem's own rewards are not used.

        max_Q E_rhoE[r - r^2 / (4 alpha)] - (1 - gamma) E_start[V],    r = Q - gamma P V,  V = tau log sum_a exp(Q / tau)

    Concave in Q. There ``r = chi2_reward(rhoE, rho, alpha, mixture=False)`` with rho of the softmax policy.

    Args:
        tables: transitions, start and discount.
        expert: ``[S, A]`` its occupancy, positive everywhere: else no optimum need exist.
        alpha: of chi-square.
        temperature: tau.

    Raises:
        ValueError: for an occupancy that is somewhere 0.
    """
    from scipy.optimize import minimize  # noqa: PLC0415  (slow to import)

    if (expert <= 0).any():
        raise ValueError(
            "The expert's occupancy is 0 for some state and action, where Q has no optimum. Give a positive one."
        )

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        q = flat.reshape(expert.shape)
        values, policy = soft_maximum(q, temperature)
        rewards = q - tables.discount * tables.transitions @ values
        gain = (expert * (rewards - rewards**2 / (4 * alpha))).sum() - (1 - tables.discount) * tables.start @ values
        weight = expert * (1 - rewards / (2 * alpha))
        arriving = tables.discount * np.einsum("sa,sat->t", weight, tables.transitions)
        slope = weight - policy * (arriving + (1 - tables.discount) * tables.start)[:, None]
        return -gain, -slope.ravel()

    exact = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 0.0, "gtol": 1e-10, "maxcor": 50}
    found = minimize(loss, np.zeros(expert.size), jac=True, method="L-BFGS-B", options=exact)
    q = found.x.reshape(expert.shape)
    return SoftOptimum(q, *soft_maximum(q, temperature))


def walk(
    tables: Tables, policy: Float[np.ndarray, "S A"], rng: np.random.Generator, episodes: int, steps: int
) -> tuple[Int[np.ndarray, "N L"], Int[np.ndarray, "N L"]]:
    """States and actions of episodes of a policy, as numbers, from starts of ``start``."""
    states, actions = np.zeros((episodes, steps), int), np.zeros((episodes, steps), int)
    state = rng.choice(len(tables.start), episodes, p=tables.start)
    for step in range(steps):
        states[:, step] = state
        actions[:, step] = _drawn(policy[state], rng)
        state = _drawn(tables.transitions[state, actions[:, step]], rng)
    return states, actions


def _drawn(probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """``[N]`` numbers drawn by the rows of ``[N, K]``."""
    cumulative = probabilities.cumsum(1)
    return (rng.random(len(probabilities))[:, None] * cumulative[:, -1:] >= cumulative).sum(1)


def _moves(tables: Tables, policy: np.ndarray) -> np.ndarray:
    """``[S, S]`` the probability of the next state under a policy."""
    return np.einsum("sa,sat->st", policy, tables.transitions)


def _log(policy: np.ndarray) -> np.ndarray:
    """Its logarithm, 0 where it is 0, which ``p log p`` wants."""
    return np.log(np.where(policy > 0, policy, 1.0))
