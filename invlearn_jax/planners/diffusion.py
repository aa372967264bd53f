"""Plans drawn from a diffusion model: as an Inverter, and followed as published.

The model draws H tokens, ``stride`` steps apart, whose channels are the state, its place in goal space where the state does not
begin with it, and, in Diffuser, the action. Between tokens the path is linear, or of a task of second order the cubic through
places and their rates. Actions come

- from inverse dynamics ``a_t = f(plan_t, plan_{t+gap})`` (Decision Diffuser, arXiv 2211.15657; Diffusion Veteran, 2503.00535),
- or from the plan's own channels,
- or, while the plan is followed, from a controller that sees the state (Diffuser's maze2d, arXiv 2205.09991).
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from invlearn_jax.data.dataset import Dataset
from invlearn_jax.inputs import Numbers, as_array, as_problem, check_whole, float_type, usable
from invlearn_jax.models.diffusion import DiffusionParams, Known, PlanDiffusion, Steps
from invlearn_jax.models.inverse_dynamics import InverseDynamics, InverseDynamicsParams
from invlearn_jax.parametrisation import Box
from invlearn_jax.planners.planner import PlannerParams
from invlearn_jax.refine import finite_or_worst
from invlearn_jax.rollout import total
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key, LearnedObjective, Params, PlanOutput, Problem, Result, finding, gravest

# Times the half-width of what the data held: of places among walls, and of what no wall bounds.
_BEYOND, _FAST = 1.1, 2.0


class DiffusionInverterParams(NamedTuple):
    """Parameters of a diffusion Inverter."""

    diffusion: DiffusionParams
    inverse_dynamics: InverseDynamicsParams


class PlanLayout(NamedTuple):
    """What the tokens of a plan hold: ``[state, place, action]``.

    The place in goal space is left out where the task is of second order, since the state then begins with it.

    Attributes:
        task: what is planned for.
        stride: steps between tokens.
        with_actions: whether plans hold actions.
    """

    task: Task
    stride: int
    with_actions: bool = False

    @property
    def places(self) -> slice:
        """The channels that are the place in goal space."""
        begin = 0 if self.task.second_order else self.task.state_size
        return slice(begin, begin + self.task.goal_size)

    @property
    def channels(self) -> int:
        """C."""
        return max(self.task.state_size, self.places.stop) + self.task.action_size * self.with_actions

    @property
    def moving(self) -> slice:
        """The channels that are zero at rest, of a task of second order."""
        return slice(self.task.state_size // 2, self.channels)

    def token(self, state: Float[Array, " S"]) -> Float[Array, " C"]:
        """The channels of a state, its action aside (zeros)."""
        known = state if self.task.second_order else jnp.concatenate([state, self.task.achieved(state)])
        return jnp.pad(known, (0, self.channels - known.shape[0]))

    def rows(self, dataset: Dataset) -> Float[np.ndarray, "N C"]:
        """The channels of every row of a dataset."""
        tokens = np.array(jax.jit(jax.vmap(self.token))(jnp.asarray(dataset.states)))
        if self.with_actions:
            tokens[:, -self.task.action_size :] = dataset.actions
        return tokens

    def states(self, tokens: Float[Array, "H C"]) -> Float[Array, "L S"]:
        """The states of every step, ``L = (H - 1) stride + 1``: linear between tokens, or cubic Hermite and its slope."""
        size = self.task.state_size
        if not self.task.second_order:
            return jnp.concatenate([self._between(tokens[:, :size]), tokens[-1:, :size]])
        position, velocity = tokens[:, : size // 2], tokens[:, size // 2 : size]
        u = (jnp.arange(self.stride) / self.stride)[:, None, None]
        width = self.stride * self.task.dt
        p, q, v, w = position[:-1], position[1:], velocity[:-1] * width, velocity[1:] * width
        x = p + u * v + u**2 * (3 * (q - p) - 2 * v - w) + u**3 * (2 * (p - q) + v + w)
        slope = v + 2 * u * (3 * (q - p) - 2 * v - w) + 3 * u**2 * (2 * (p - q) + v + w)
        path = jnp.concatenate([x, slope / width], axis=-1).swapaxes(0, 1).reshape(-1, size)
        return jnp.concatenate([path, tokens[-1:, :size]])

    def actions(self, tokens: Float[Array, "H C"]) -> Float[Array, "M A"]:
        """The plan's own actions at each of its ``M = (H - 1) stride`` steps: linear between tokens, within their box."""
        own = self._between(tokens[:, -self.task.action_size :])
        return jnp.clip(own, self.task.action_low, self.task.action_high).astype(own.dtype)

    def _between(self, x: Float[Array, "H D"]) -> Float[Array, "M D"]:
        u = (jnp.arange(self.stride) / self.stride)[:, None, None]
        return ((1 - u) * x[:-1] + u * x[1:]).swapaxes(0, 1).reshape(-1, x.shape[-1])


class DiffusionInverter:
    """Draws plans, and turns their beginnings into actions."""

    def __init__(
        self,
        diffusion: PlanDiffusion,
        layout: PlanLayout,
        inverse_dynamics: InverseDynamics,
        horizon: int,
        steps: Steps,
        pin_goal: bool,
        guidance: float = 1.0,
        temperature: float = 1.0,
    ) -> None:
        """Puts the parts together.

        Args:
            diffusion: the model of plans; one with a condition is asked for the goal.
            layout: of its tokens.
            inverse_dynamics: makes the actions.
            horizon: T, how many.
            steps: of the sampler.
            pin_goal: whether the last token is known to be at the goal, and of a task of second order to rest there.
            guidance: weight of the condition.
            temperature: of the noise.

        Raises:
            ValueError: if T is not 1 .. the plan's span less the inverse dynamics' gap.
        """
        self.diffusion, self.layout, self.inverse_dynamics = diffusion, layout, inverse_dynamics
        span = (diffusion.horizon - 1) * layout.stride
        if not 1 <= horizon <= span - inverse_dynamics.gap:
            raise ValueError(
                f"horizon is {horizon} steps; {diffusion.horizon} tokens, {layout.stride} steps apart, and inverse dynamics "
                f"over {inverse_dynamics.gap} steps allow 1 to {span - inverse_dynamics.gap}."
            )
        self.horizon, self.span, self.steps, self.pin_goal = horizon, span, steps, pin_goal
        self.parametrisation = Box(layout.task.action_low, layout.task.action_high, horizon)
        self.guidance, self._temperature = guidance, temperature

    def init(self, key: Key) -> DiffusionInverterParams:
        """Fresh parameters. The key is consumed."""
        first, second = jax.random.split(key)
        return DiffusionInverterParams(self.diffusion.init(first), self.inverse_dynamics.init(second))

    @property
    def rests(self) -> bool:
        """Whether plans that are learned may outlast their episode and rest at its end."""
        return self.layout.task.second_order and not self.pin_goal

    def known(self, problem: Problem) -> Known:
        """The state, and with ``pin_goal`` the goal, where they belong in a plan."""
        layout, shape = self.layout, (self.diffusion.horizon, self.diffusion.channels)
        begin = max(layout.task.state_size, layout.places.stop)
        values = jnp.zeros(shape, problem.state.dtype).at[0].set(layout.token(problem.state))
        mask = jnp.zeros(shape, bool).at[0, :begin].set(True)
        if self.pin_goal:
            values = values.at[-1, layout.places].set(problem.goal)
            mask = mask.at[-1, slice(begin) if layout.task.second_order else layout.places].set(True)
        return Known(values, mask)

    def condition(self, params: DiffusionParams, goal: Float[Array, " G"]) -> Float[Array, " D"]:
        """The goal as the model takes it; empty for a model without a condition."""
        low, high = params.low[self.layout.places], params.high[self.layout.places]
        return (2 * (goal - low) / (high - low) - 1)[: self.diffusion.condition_size]

    def plans(self, params: DiffusionInverterParams, key: Key, problem: Problem, num: int) -> Float[Array, "K H C"]:
        """Draws ``num`` plans for one problem. The key is consumed.

        Raises:
            ValueError: for a state or goal of the wrong size.
        """
        self._check(problem)
        return self.diffusion.sample(
            params.diffusion,
            key,
            self.known(problem),
            self.condition(params.diffusion, problem.goal),
            num,
            self.steps,
            self.guidance,
            self._temperature,
        )

    def covers(self, params: DiffusionInverterParams, problem: Problem) -> Bool[Array, ""]:
        """Whether state and goal lie within what the training data held.

        Places among walls may lie outside by a tenth of the half-width, all else by a whole half-width.

        Raises:
            ValueError: for a state or goal of the wrong size.
        """
        self._check(problem)
        own, inside = params.diffusion, []
        for x, at in ((problem.state, slice(problem.state.shape[0])), (problem.goal, self.layout.places)):
            low, high = own.low[at], own.high[at]
            beyond = jnp.where(jnp.arange(x.shape[0]) < self.layout.task.fourier_size, _BEYOND, _FAST)
            inside.append((jnp.abs(x - (low + high) / 2) <= beyond * (high - low) / 2).all())
        return inside[0] & inside[1]

    def _check(self, problem: Problem) -> None:
        task = self.layout.task
        for name, given, wanted in (("state", problem.state, task.state_size), ("goal", problem.goal, task.goal_size)):
            if jnp.shape(given) != (wanted,):
                raise ValueError(
                    f"The {name} has shape {jnp.shape(given)}; this planner takes ({wanted},). Give one problem, and use "
                    "jax.vmap for a batch."
                )

    def latents(self, params: DiffusionInverterParams, key: Key, problem: Problem, num: int) -> Float[Array, "K T A"]:
        """Draws plans and the actions that inverse dynamics finds along each, as shares of their box. The key is consumed."""
        problem = as_problem(problem, float_type(params))
        states = jax.vmap(self.layout.states)(self.plans(params, key, problem, num))
        here, there = states[:, : self.horizon], states[:, self.inverse_dynamics.gap :][:, : self.horizon]
        find = jax.vmap(jax.vmap(self.inverse_dynamics, in_axes=(None, 0, 0)), in_axes=(None, 0, 0))
        return jnp.clip(find(params.inverse_dynamics, here, there), -1.0, 1.0)

    def propose(self, params: DiffusionInverterParams, key: Key, problem: Problem, num: int) -> Float[Array, "K T A"]:
        """The same in the task's units. The key is consumed."""
        return self.parametrisation.decode(self.latents(params, key, problem, num))


class Tracker:
    """Draws a plan and follows it: by a controller on the state at hand, or by executing the plan's own actions.

        pd:       a_t = clip(x_plan[t+1] - x_t + v_plan[t+1] - v_t, -1, 1) as a share of its box, for tasks of second order
        actions:  a_t = a_plan[t]

    After the plan's end its last place, at rest, is held, or the action is zero.
    """

    refine_steps = 0

    def __init__(
        self,
        inverter: DiffusionInverter,
        objective: LearnedObjective,
        controller: Literal["pd", "actions"],
        execute_steps: int,
        candidates: int = 1,
    ) -> None:
        """Describes how plans are followed.

        Args:
            inverter: draws them.
            objective: the cost by which the best of several is taken.
            controller: see the class.
            execute_steps: steps until the next plan; more than a plan spans are allowed.
            candidates: plans drawn.

        Raises:
            ValueError: for a plan without actions that are to be executed, a controller on a task that is not of second order, no
                candidate, or no step to execute.
        """
        task = inverter.layout.task
        if controller == "actions" and not inverter.layout.with_actions:
            raise ValueError("These plans hold no actions; follow them by 'pd' or 'inverse_dynamics'.")
        if controller == "pd" and not task.second_order:
            raise ValueError(
                f"The states of {task.name} are no places and their rates (Task.second_order); follow its plans by 'actions' or "
                "'inverse_dynamics'."
            )
        check_whole(candidates=candidates, execute_steps=execute_steps)
        if candidates < 1 or execute_steps < 1:
            raise ValueError(f"candidates is {candidates}, execute_steps is {execute_steps}; give at least 1 of each.")
        self.inverter, self.objective, self.controller = inverter, objective, controller
        self.execute_steps, self.candidates, self.horizon = execute_steps, candidates, inverter.span
        self._box = Box(task.action_low, task.action_high, self.horizon)

    def init(self, key: Key) -> PlannerParams:
        """Fresh parameters; there is no forward model. The key is consumed."""
        first, second = jax.random.split(key)
        return PlannerParams(self.inverter.init(first), (), self.objective.init(second))

    def plan(self, params: PlannerParams, key: Key, problem: Problem) -> PlanOutput:
        """Draws plans and returns the best, as the model has it; ``act`` follows it. The key is consumed.

        A problem that cannot be computed with gets zeros and the result ``NON_FINITE``, one outside the data ``OUTSIDE_DATA``.
        """
        safe, given = usable(as_problem(problem, float_type(params)))
        tokens = self.inverter.plans(params.inverter, key, safe, self.candidates)
        states = jax.vmap(self.inverter.layout.states)(tokens)
        if self.controller == "actions":
            actions = jax.vmap(self.inverter.layout.actions)(tokens)
        else:
            actions = jax.vmap(jax.vmap(self._towards))(states[:, :-1], states[:, 1:])
        terms = jax.vmap(lambda s, a: self.objective(params.objective, s, a, safe.goal))(states, actions)
        costs = total(terms)
        # One plan alone needs no cost to be chosen: the compiler drops it where it is not used.
        best = 0 if self.candidates == 1 else jnp.argmin(finite_or_worst(costs))
        states, actions, terms, cost = jax.tree.map(lambda x: x[best], (states, actions, terms, costs))
        finite = given & jnp.isfinite(states).all() & jnp.isfinite(actions).all()
        result = gravest(
            finding(Result.NON_FINITE, ~(finite & jnp.isfinite(cost))),
            finding(Result.OUTSIDE_DATA, ~self.inverter.covers(params.inverter, safe)),
        )
        actions = jnp.where(finite, actions, 0.0)
        return PlanOutput(actions, states, cost, terms, cost, jnp.zeros((0,)), result)

    def act(self, params: Params, plan: PlanOutput, step: Int[Array, ""] | int, state: Numbers) -> Float[Array, " A"]:
        """The action at the plan's ``step``-th step, in ``state``; takes nothing from the parameters.

        Zero in a state that cannot be computed with, and for a plan that could not be made.
        """
        safe, given = usable(Problem(as_array("state", state, plan.states.dtype), ()))
        return jnp.where(given & (plan.result != Result.NON_FINITE), self._follow(plan, step, safe.state), 0.0)

    def _follow(self, plan: PlanOutput, step: Int[Array, ""] | int, state: Float[Array, " S"]) -> Float[Array, " A"]:
        if self.controller == "actions":
            return plan.actions[jnp.minimum(step, self.horizon - 1)] * (step < self.horizon)
        rest = plan.states[-1].at[self.inverter.layout.moving].set(0.0)
        ahead = plan.states[jnp.minimum(step + 1, self.horizon)]
        return self._towards(state, jnp.where(step < self.horizon, ahead, rest))

    def _towards(self, state: Float[Array, " S"], wanted: Float[Array, " S"]) -> Float[Array, " A"]:
        return self._box.decode(jnp.clip((wanted - state).reshape(2, -1).sum(0), -1.0, 1.0))
