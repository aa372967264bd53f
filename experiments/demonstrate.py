"""Makes demonstrations by an expert: a policy as plain arrays, a saved planner, or a task's own rule.

python -m experiments.demonstrate --task=hopper --policy=policy.npz --trajectories=10 --seed=0 --output=demos.npz
python -m experiments.demonstrate --planner=NAME --trajectories=10 --output=demos.npz
python -m experiments.demonstrate --task=cartpole --scripted --trajectories=10 --output=demos.npz
"""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jaxtyping import Array

from invlearn_jax.evaluate.episodes import draw_problems, run_mujoco
from invlearn_jax.imitation.curve import policy_episodes
from invlearn_jax.imitation.demonstrations import Demonstrations, from_episodes, picked, returns, write_demonstrations
from invlearn_jax.imitation.experts import check_returns, demonstrate, read_policy
from invlearn_jax.imitation.policy import AgentPolicy
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.keys import from_seed, indexed, streams
from invlearn_jax.methods.saved import load_planner, load_task
from invlearn_jax.models.policy import PolicyParams
from invlearn_jax.parametrisation import Box
from invlearn_jax.planners.policy import PolicyPlanner
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.tasks.task import Episodes, HasRule, Task
from invlearn_jax.types import Key, Planner

_TASK = flags.DEFINE_string("task", None, "The task, NAME or FILE.py:CLASS; by default the planner's own.")
_POLICY = flags.DEFINE_string("policy", None, "An npz file of a policy's arrays; see imitation/experts.py.")
_PLANNER = flags.DEFINE_string("planner", None, "Instead of a policy: a shipped planner's name, or a planner's folder.")
_SCRIPTED = flags.DEFINE_bool("scripted", False, "Instead of a policy: the task's own rule, where it has one.")
_TRAJECTORIES = flags.DEFINE_integer("trajectories", 10, "How many trajectories to keep.", lower_bound=1)
_LEAST = flags.DEFINE_float("least_return", None, "The least return of a trajectory that is kept; all are by default.")
_SAMPLED = flags.DEFINE_bool(
    "sampled",
    False,
    "Whether a planner of iq-learn or sac draws its actions from its policy instead of taking the likeliest.",
)
_SEED = define_seed(0, "Seed of starts, and of planning.")
_OUTPUT = flags.DEFINE_string("output", None, "The npz file to write.", required=True)


def main(argv: list[str]) -> None:
    """Makes the demonstrations of the flags."""
    use_compile_cache()
    if sum((_POLICY.value is not None, _PLANNER.value is not None, _SCRIPTED.value)) != 1:
        raise ValueError("Give either --policy=FILE.npz or --planner=NAME|PATH, or --scripted.")
    if _PLANNER.value:
        demos = _planned(
            _without_goals(make_task(_TASK.value) if _TASK.value else load_task(_PLANNER.value)), _PLANNER.value
        )
    else:
        if not _TASK.value:
            raise ValueError("Neither a policy's file nor a rule names its task; give --task=NAME.")
        task = _without_goals(make_task(_TASK.value))
        policy = read_policy(_POLICY.value) if _POLICY.value else None
        demos = (
            _scripted(task)
            if policy is None
            else demonstrate(policy, task, _TRAJECTORIES.value, _SEED.value, _LEAST.value)
        )
    write_demonstrations(_OUTPUT.value, demos)
    found = returns(demos)
    print(
        f"{len(found)} trajectories, {len(demos.states)} steps, {int(demos.over.sum())} over before the time limit; returns "
        f"{', '.join(f'{value:.1f}' for value in found)}; mean {found.mean():.1f}"
    )


def _planned(task: Task, name: str) -> Demonstrations:
    """Episodes of the planner, side by side; twice as many as are wanted where not all may be good enough."""
    planner, params = load_planner(name, task=task)
    problem_key, plan_key = streams(from_seed(_SEED.value), "problems", "plans")
    count = _tries()
    if _SAMPLED.value:
        episodes = policy_episodes(task, _sampler(planner, params, plan_key), problem_key, count)
    else:
        episodes = run_mujoco(planner, params, task, plan_key, draw_problems(task, problem_key, count))
    return _good(task, episodes)


def _scripted(task: Task) -> Demonstrations:
    """Episodes of a task's own rule.

    Raises:
        ValueError: for a task that has none.
    """
    if not isinstance(task, HasRule):
        raise ValueError(f"{task.name} has no rule of its own; leave --scripted out, and give --policy or --planner.")
    encode = Box(task.action_low, task.action_high, 1).encode

    def act(states: Array) -> Array:
        return encode(jnp.asarray(task.rule(np.asarray(states)), states.dtype))

    return _good(task, policy_episodes(task, act, streams(from_seed(_SEED.value), "problems")[0], _tries()))


def _tries() -> int:
    return _TRAJECTORIES.value if _LEAST.value is None else 2 * _TRAJECTORIES.value


def _good(task: Task, episodes: Episodes) -> Demonstrations:
    """As many as are wanted of the episodes with the least return."""
    demos = from_episodes(task, episodes)
    found, wanted, least = returns(demos), _TRAJECTORIES.value, _LEAST.value
    good = np.flatnonzero(found >= (-np.inf if least is None else least))
    check_returns(len(good), wanted, found.tolist(), least)
    return picked(demos, good[:wanted])


def _sampler(planner: Planner, params: Any, key: Key) -> Callable[[Array], Array]:
    """Draws actions ``[N, A]``, as shares of their box, in states ``[N, S]``. The key is consumed.

    Raises:
        ValueError: for a planner without a policy to draw from.
    """
    policy = planner.inverter.policy if isinstance(planner, PolicyPlanner) else None  # type: ignore[attr-defined]
    if not isinstance(policy, AgentPolicy):
        raise ValueError(
            f"{_PLANNER.value} has no policy to draw from; give a planner of iq-learn or sac, or leave --sampled out."
        )
    own: PolicyParams = params.inverter.policy
    draw = jax.jit(jax.vmap(lambda key, state: policy.agent.sample(own.net, key, policy.seen(own, state))))
    calls = itertools.count()
    return lambda states: draw(jax.random.split(indexed(key, next(calls)), len(states)), states)


def _without_goals(task: Task) -> Task:
    if task.goal_size:
        raise ValueError(f"{task.name} has goals, which demonstrations do not hold. Give a task without goals.")
    return task


if __name__ == "__main__":
    run_program(main)
