"""Planning within a deadline: the device is measured once, then each call takes the best plan that fits its time.

A setting is a number K of refinement steps and a number of candidates. Calibration runs every setting on the device at hand
and notes the 99th percentile of its time and its mean cost over sample problems. ``plan_within`` then takes, of the settings
with ``margin * p99 <= deadline``, the one of least mean cost. What is promised: on that device, as busy as it was at
calibration, less than 1 % of calls miss. On a busier one more will; calibrate again, or raise the margin.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from invlearn_jax.inputs import as_problem, check_whole, float_type
from invlearn_jax.types import Key, Params, Planner, PlanOutput, Problem


class Calibrated(NamedTuple):
    """A setting as it was measured.

    Attributes:
        refine_steps: K.
        candidates: proposals per problem.
        p50_ms: median time of a call, dispatch and wait included.
        p99_ms: its 99th percentile.
        cost: mean predicted cost over the sample problems.
    """

    refine_steps: int
    candidates: int
    p50_ms: float
    p99_ms: float
    cost: float


class DeadlinePlanner:
    """A family of planners, compiled and measured, that share their parameters."""

    def __init__(
        self,
        build: Callable[[int, int], Planner],
        params: Params,
        problems: Problem,
        settings: Sequence[tuple[int, int]],
        calls: int = 500,
        margin: float = 1.2,
    ) -> None:
        """Compiles and measures every setting.

        Args:
            build: ``(refine_steps, candidates) -> planner``.
            params: of all of them.
            problems: samples with a leading axis ``[B, ...]``, of the kind that will be asked.
            settings: pairs ``(refine_steps, candidates)``.
            calls: timed calls per setting; p99 needs some hundreds.
            margin: p99 times this must fit a deadline.

        Raises:
            ValueError: for no setting, fewer than 100 calls, a margin that is not finite or below 1, or no problem.
        """
        check_whole(calls=calls)
        if not settings or calls < 100 or not (math.isfinite(margin) and margin >= 1):
            raise ValueError(
                f"{len(settings)} settings, {calls} calls, margin {margin}: give at least 1 setting, 100 calls and a "
                "margin of 1."
            )
        problems = as_problem(problems, float_type(params))
        counts = sorted({(jnp.shape(x) or (0,))[0] for x in jax.tree.leaves(problems)})
        if len(counts) != 1 or counts[0] < 1:
            raise ValueError(
                f"The sample problems have leading axes of {counts}; give states [B, S] and goals [B, G] of at least 1 problem."
            )
        self._dtype, self._shapes = float_type(params), _shapes(jax.tree.map(lambda x: x[0], problems))
        self._params, self._margin, self._plans = params, margin, {}
        table = []
        for steps, candidates in settings:
            plan = jax.jit(build(steps, candidates).plan)
            times, costs = _measure(plan, params, problems, calls)
            p50, p99 = (float(np.percentile(times, q)) for q in (50, 99))
            table.append(Calibrated(steps, candidates, p50, p99, float(np.mean(costs))))
            self._plans[steps, candidates] = plan
        self.table = sorted(table, key=lambda row: row.p99_ms)

    def setting(self, deadline_ms: float) -> Calibrated:
        """The best setting for a deadline.

        Raises:
            ValueError: if even the fastest setting does not fit; says what the least deadline is.
        """
        fitting = [row for row in self.table if self._margin * row.p99_ms <= deadline_ms]
        if not fitting:
            least = self._margin * self.table[0].p99_ms
            raise ValueError(f"The deadline is {deadline_ms} ms; on this device give {least:.3g} ms or more.")
        return min(fitting, key=lambda row: row.cost)

    def plan_within(self, deadline_ms: float, key: Key, problem: Problem) -> PlanOutput:
        """Plans for one problem; see the module for what is promised. The key is consumed.

        Raises:
            ValueError: if the deadline is below the fastest setting's time, or for a problem that is not of the samples' sizes,
                for which the planner would have to be compiled.
        """
        row = self.setting(deadline_ms)
        problem = as_problem(problem, self._dtype)
        if _shapes(problem) != self._shapes:
            raise ValueError(f"The problem has the shapes {_shapes(problem)}; it was calibrated for {self._shapes}.")
        return jax.block_until_ready(self._plans[row.refine_steps, row.candidates](self._params, key, problem))


def _shapes(problem: Problem) -> str:
    return str(Problem(*jax.tree.map(lambda x: tuple(x.shape), tuple(problem))))


def _measure(plan: Callable, params: Params, problems: Problem, calls: int) -> tuple[list[float], list[float]]:
    count = jax.tree.leaves(problems)[0].shape[0]
    # Cut apart beforehand, so that only the plan is timed.
    singles = [jax.tree.map(lambda x, i=i: x[i], problems) for i in range(count)]
    keys = list(jax.random.split(jax.random.key(0), count))
    times, costs = [], []
    for call in range(-20, calls):  # the first are not counted
        begin = time.perf_counter()
        out = jax.block_until_ready(plan(params, keys[call % count], singles[call % count]))
        if call >= 0:
            times.append(1e3 * (time.perf_counter() - begin))
        if 0 <= call < count:
            costs.append(float(out.cost))
    return times, costs
