"""Gates as a task: the state is the unitary so far, ``[d, d]``, the goal the gate, an action the amplitudes of one slice."""

import copy
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from invlearn_jax.evaluate.metrics import mean_ci
from invlearn_jax.keys import streams
from invlearn_jax.planners.planner import InversePlanner
from invlearn_jax.settings import with_settings
from invlearn_jax.tasks.gates.build import build_objective, build_system
from invlearn_jax.tasks.gates.fidelity import infidelity
from invlearn_jax.tasks.gates.gates import haar_gates, training_gates
from invlearn_jax.tasks.gates.objective import GateObjective
from invlearn_jax.tasks.gates.settings import TASKS
from invlearn_jax.tasks.gates.systems import PulseSystem
from invlearn_jax.tasks.task import Task, Terms
from invlearn_jax.types import Key, Params, Problem, Result

# What is an attribute of other tasks follows from the settings here, which may be set at any time.
# mypy: disable-error-code="override"


class GateTask(Task):
    """To make any gate by a pulse. Time is in us, actions are in rad/us; plans are executed whole."""

    gradient = "reverse"

    def __init__(self, name: str = "gate-qubit") -> None:
        """One of ``settings.TASKS``."""
        self.name, self.settings = name, copy.deepcopy(TASKS[name].settings)

    @property
    def system(self) -> PulseSystem:
        """What is driven."""
        return build_system(self.settings)

    @property
    def objective(self) -> GateObjective:
        """The infidelity, or where errors are to be borne its mean over them."""
        return GateObjective(self.system, build_objective(self.settings))

    @property
    def dt(self) -> float:
        """Of a slice, us."""
        return self.system.dt

    @property
    def horizon(self) -> int:
        """N, slices."""
        return self.system.slices

    @property
    def episode_length(self) -> int:
        """A pulse is one episode."""
        return self.system.slices

    @property
    def execute_steps(self) -> int:
        """A pulse is played whole."""
        return self.system.slices

    @property
    def state_size(self) -> int:
        """d, rows of the unitary."""
        return self.system.gate_dimension

    @property
    def goal_size(self) -> int:
        """d, rows of the gate."""
        return self.system.gate_dimension

    @property
    def action_size(self) -> int:
        """C, controls."""
        return len(self.system.controls)

    @property
    def action_low(self) -> np.ndarray:
        """``[C]`` rad/us."""
        return -self.action_high

    @property
    def action_high(self) -> np.ndarray:
        """``[C]`` rad/us."""
        return np.full(self.action_size, self.system.limit, np.float32)

    def trajectory_cost(
        self, states: Complex[Array, "N1 D D"], actions: Float[Array, "N C"], goal: Complex[Array, "d d"]
    ) -> Terms:
        """The objective's terms."""
        return self.objective((), states, actions, goal)

    def success(self, state: Complex[Array, "D D"], goal: Complex[Array, "d d"]) -> Array:
        """Whether the infidelity is at most 1e-4."""
        return infidelity(self.system, state, goal) <= 1e-4

    def draw_state(self, key: Key) -> Complex[Array, "d d"]:
        """Pulses begin at 1. The key is not used."""
        return jnp.eye(self.state_size, dtype=jnp.result_type(float, jnp.complex64))

    def draw_goal(self, key: Key) -> Complex[Array, "d d"]:
        """A gate as in training: of one qubit from the Haar measure or even in its angles. The key is consumed."""
        return training_gates(key, 2)[0] if self.goal_size == 2 else haar_gates(key, 1, self.goal_size)[0]

    def draw_problem(self, key: Key) -> Problem:
        """A gate from the Haar measure. The key is consumed."""
        return Problem(self.draw_state(key), haar_gates(key, 1, self.goal_size)[0])

    def methods(self) -> dict[str, Any]:
        """The world's own way to learn an Inverter: no data, no learned model, one answer for all gates by symmetry."""
        from invlearn_jax.tasks.gates import method  # noqa: PLC0415  (which is of this task)

        return {"inverter": method}

    def configure(self, method: str, settings: Any) -> Any:
        """The settings that the named task was tuned with."""
        return with_settings(settings, TASKS[self.name].method if method == "inverter" else {})

    def judge(self, planner: InversePlanner, params: Params, key: Key, problems: int) -> dict[str, Any]:
        """1 - F on drawn gates, also after 0 to K steps of refinement: see ``task.JudgesPlans``. The key is consumed."""
        problem_key, plan_key = streams(key, "problems", "planning")
        drawn = jax.vmap(self.draw_problem)(jax.random.split(problem_key, problems))
        keys = jax.random.split(plan_key, problems)

        def one(key: Key, problem: Problem) -> tuple[Array, Array, Array]:
            plan = planner.plan(params, key, problem)
            trace = jnp.concatenate([plan.proposal_cost[None], plan.refine_trace])
            return trace, self.success(plan.states[-1], problem.goal), plan.result

        size = min(250, problems)
        found = jax.jit(lambda keys, drawn: jax.lax.map(lambda x: one(*x), (keys, drawn), batch_size=size))(keys, drawn)
        trace, success, results = map(np.asarray, found)
        interval = mean_ci(trace[:, -1])
        quantiles = np.quantile(trace, (0.5, 0.999, 1.0), axis=0).tolist()
        by_step = dict(zip(("median", "p999", "max"), quantiles, strict=True))
        return {
            "success_rate": float(success.mean()),
            "cost_mean": interval.mean,
            "cost_sem": interval.sem,
            **{f"infidelity_{name}": values[-1] for name, values in by_step.items()},
            "infidelity_by_step": by_step,
            "results": {result.name.lower(): int((results == result).sum()) for result in Result},
        }
