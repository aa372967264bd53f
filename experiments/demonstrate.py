"""Makes demonstrations by an expert: a policy as plain arrays, or a saved planner.

python -m experiments.demonstrate --task=hopper --policy=policy.npz --trajectories=10 --seed=0 --output=demos.npz
python -m experiments.demonstrate --planner=NAME --trajectories=10 --output=demos.npz
"""

import numpy as np
from absl import flags

from invlearn_jax.evaluate.episodes import draw_problems, run_mujoco
from invlearn_jax.imitation.demonstrations import Demonstrations, from_episodes, picked, returns, write_demonstrations
from invlearn_jax.imitation.experts import check_returns, demonstrate, read_policy
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.keys import from_seed, streams
from invlearn_jax.methods.saved import load_planner, load_task
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.tasks.task import Task

_TASK = flags.DEFINE_string("task", None, "The task, NAME or FILE.py:CLASS; by default the planner's own.")
_POLICY = flags.DEFINE_string("policy", None, "An npz file of a policy's arrays; see imitation/experts.py.")
_PLANNER = flags.DEFINE_string("planner", None, "Instead of a policy: a shipped planner's name, or a planner's folder.")
_TRAJECTORIES = flags.DEFINE_integer("trajectories", 10, "How many trajectories to keep.", lower_bound=1)
_LEAST = flags.DEFINE_float("least_return", None, "The least return of a trajectory that is kept; all are by default.")
_SEED = define_seed(0, "Seed of starts, and of planning.")
_OUTPUT = flags.DEFINE_string("output", None, "The npz file to write.", required=True)


def main(argv: list[str]) -> None:
    """Makes the demonstrations of the flags."""
    use_compile_cache()
    if (_POLICY.value is None) == (_PLANNER.value is None):
        raise ValueError("Give either --policy=FILE.npz or --planner=NAME|PATH.")
    if _POLICY.value:
        if not _TASK.value:
            raise ValueError("A policy's file does not name its task; give --task=NAME.")
        demos = demonstrate(
            read_policy(_POLICY.value),
            _without_goals(make_task(_TASK.value)),
            _TRAJECTORIES.value,
            _SEED.value,
            _LEAST.value,
        )
    else:
        demos = _planned(_without_goals(make_task(_TASK.value) if _TASK.value else load_task(_PLANNER.value)))
    write_demonstrations(_OUTPUT.value, demos)
    found = returns(demos)
    print(
        f"{len(found)} trajectories, {len(demos.states)} steps, {int(demos.over.sum())} over before the time limit; returns "
        f"{', '.join(f'{value:.1f}' for value in found)}; mean {found.mean():.1f}"
    )


def _planned(task: Task) -> Demonstrations:
    """Episodes of the planner, side by side; twice as many as are wanted where not all may be good enough."""
    planner, params = load_planner(_PLANNER.value, task=task)
    problem_key, plan_key = streams(from_seed(_SEED.value), "problems", "plans")
    wanted, least = _TRAJECTORIES.value, _LEAST.value
    problems = draw_problems(task, problem_key, wanted if least is None else 2 * wanted)
    demos = from_episodes(task, run_mujoco(planner, params, task, plan_key, problems))
    found = returns(demos)
    good = np.flatnonzero(found >= (-np.inf if least is None else least))
    check_returns(len(good), wanted, found.tolist(), least)
    return picked(demos, good[:wanted])


def _without_goals(task: Task) -> Task:
    if task.goal_size:
        raise ValueError(f"{task.name} has goals, which demonstrations do not hold. Give a task without goals.")
    return task


if __name__ == "__main__":
    run_program(main)
