"""An agent's policy under the library's contract for policies."""

from typing import Any

from jaxtyping import Array, Float

from invlearn_jax.imitation.agents import Agent
from invlearn_jax.models.policy import PolicyInputs, PolicyParams
from invlearn_jax.tasks.task import Task
from invlearn_jax.types import Key, Problem


class AgentPolicy:
    """What an agent does: its likeliest action.

    Its networks see the state alone, so that of a task with goals it is for one goal.
    """

    def __init__(self, task: Task, agent: Agent) -> None:
        """Puts task and agent together."""
        self.task, self.agent, self.inputs = task, agent, PolicyInputs(task, one_goal=task.goal_size > 0)

    def init(self, key: Key) -> PolicyParams:
        """Fresh parameters with identity scales. The key is consumed."""
        return self.inputs.fresh(self.agent.init(key))

    def seen(self, params: PolicyParams, state: Float[Array, " S"]) -> Float[Array, " F"]:
        """What the networks see of a state."""
        return (self.task.local_features(state) - params.mean) / params.std

    def begin(self, params: PolicyParams, problem: Problem) -> Problem:
        """The problem itself."""
        return Problem(problem.state, problem.goal)

    def act(self, params: PolicyParams, memory: Problem) -> Float[Array, " A"]:
        """The action in the state of ``memory``."""
        return self.agent.act(params.net, self.seen(params, memory.state))

    def observe(
        self, params: PolicyParams, memory: Any, action: Float[Array, " A"], following: Float[Array, " S"]
    ) -> Problem:
        """The state that followed, and the goal."""
        return memory._replace(state=following)
