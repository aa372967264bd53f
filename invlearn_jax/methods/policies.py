"""What methods that learn a policy have in common: plans are the policy in closed loop with the forward model."""

import dataclasses

from invlearn_jax.methods import scoring
from invlearn_jax.methods.scoring import ScoringSettings
from invlearn_jax.models.policy import Policy
from invlearn_jax.planners.policy import PolicyInverter, PolicyPlanner
from invlearn_jax.refine.named import named_refiner
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.task import Task


@dataclasses.dataclass
class PolicySettings(ScoringSettings):
    """A policy's plans and its goal.

    Attributes:
        horizon: T, steps of a plan.
        execute_steps: of a plan; 0 for all.
        one_goal: whether the task has one goal, which the policy is then not given.
        same_goal: how far from that goal another one still counts as the same, in the goal's units.
    """

    horizon: int = bounded(1, low=1)
    execute_steps: int = bounded(0, low=0)
    one_goal: bool = False
    same_goal: float = bounded(1e-6, low=0.0)


def policy_planner(
    task: Task,
    settings: PolicySettings,
    policy: Policy,
    refine_steps: int,
    candidates: int | None,
    refiner: str,
    execute_steps: int | None,
) -> PolicyPlanner:
    """The planner of a policy; see ``methods.inverter.build``.

    Raises:
        ValueError: what ``scoring.model_and_objective`` or the planner refuses.
    """
    model, objective = scoring.model_and_objective(task, settings, settings.horizon)
    return PolicyPlanner(
        PolicyInverter(policy, settings.horizon, model, same_goal=settings.same_goal),
        model,
        objective,
        named_refiner(refiner, settings.refine_rate),
        refine_steps,
        1 if candidates is None else candidates,
        (settings.execute_steps or settings.horizon) if execute_steps is None else execute_steps,
    )
