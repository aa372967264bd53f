"""Evaluates a planner.

python -m experiments.evaluate --planner=maze2d-large-v1 --episodes=500 --seed=1 --output=result.json
"""

import contextlib
import json
from typing import Any

from absl import flags

from experiments.configs.shared import EvaluationConfig
from experiments.pipelines import ant_motor, antmaze_evaluation, evaluation
from experiments.pipelines.evaluation import BACKENDS
from invlearn_jax.evaluate.episodes import evaluate, summary
from invlearn_jax.files import read_json, write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.io.planners import load_config, load_planner, planner_names
from invlearn_jax.methods import saved
from invlearn_jax.methods.saved import find_planner, load_task
from invlearn_jax.planners import InversePlanner, PlannerParams
from invlearn_jax.planners.subgoals import SubgoalPlanner
from invlearn_jax.tasks.antmaze.maze import AntmazeTask
from invlearn_jax.tasks.antmaze.motor import AntMotorConfig
from invlearn_jax.tasks.maze2d.planner import REFINERS
from invlearn_jax.tasks.registry import make_task

_PLANNER = flags.DEFINE_string(
    "planner", None, f"A shipped name ({', '.join(planner_names())}) or a folder.", required=True
)
_ENV = flags.DEFINE_string("env", None, "The environment; by default the one the planner is for.")
_TASK = flags.DEFINE_string("task", None, "Of a planner of fit, the task, NAME or FILE.py:CLASS; by default its own.")
_EPISODES = flags.DEFINE_integer("episodes", 100, "How many episodes.")
_SEED = define_seed(0, "Seed of starts, goals and planning.")
_BACKEND = flags.DEFINE_enum("backend", "mujoco", sorted(BACKENDS), "Which engine steps the physics.")
_REFINE = flags.DEFINE_integer("refine_steps", 0, "K; 0 is one forward pass.")
_REFINER = flags.DEFINE_enum("refiner", "adam", REFINERS, "How to refine.")
_CANDIDATES = flags.DEFINE_integer("candidates", None, "Proposals per plan; the planner's own by default.")
_EXECUTE = flags.DEFINE_integer("execute_steps", None, "Steps between plans; the planner's own by default.")
_OPTIONS = flags.DEFINE_list(
    "options", [], "The planner's own inference options, as name=value: --options=sampler=ddim,denoise_steps=5."
)
_MULTI = flags.DEFINE_bool("multi_goal", False, "A random goal in every episode.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the record as JSON.")


def main(argv: list[str]) -> None:
    """Evaluates the planner of the flags."""
    use_compile_cache()
    if "task" in read_json(find_planner(_PLANNER.value) / "planner.json"):
        _evaluate_task()
        return
    config = load_config(_PLANNER.value)[0]
    env = _ENV.value or config.env
    ant = isinstance(make_task(env), AntmazeTask)
    options = dict(_option(text) for text in _OPTIONS.value)
    planner, params = load_planner(
        _PLANNER.value, _REFINE.value, _CANDIDATES.value, _REFINER.value, _EXECUTE.value, **options
    )
    named = {"planner": _PLANNER.value, "refiner": _REFINER.value, "options": options}
    if isinstance(config, AntMotorConfig):
        _walk(planner, params, env, named)
        return
    if ant != isinstance(planner, SubgoalPlanner):
        raise ValueError(
            f"{_PLANNER.value} is no planner for {env}. Give --env a maze of its robot, or another planner."
        )
    judge, told = (
        (antmaze_evaluation.evaluate_ant, antmaze_evaluation.summary)
        if ant
        else (evaluation.evaluate_planner, evaluation.summary)
    )
    record, _ = judge(planner, params, env, _EPISODES.value, _SEED.value, _BACKEND.value, _MULTI.value)
    record |= named
    if _OUTPUT.value:
        write_json(_OUTPUT.value, record)
    print(told(record) + evaluation.result_shares(record["results"]))


def _evaluate_task() -> None:
    """Evaluates a planner of ``fit`` on its own task, or on that of ``--task``."""
    task = make_task(_TASK.value) if _TASK.value else load_task(_PLANNER.value)
    options = dict(_option(text) for text in _OPTIONS.value)
    planner, params = saved.load_planner(
        _PLANNER.value, _REFINE.value, _CANDIDATES.value, _REFINER.value, _EXECUTE.value, task, **options
    )
    record = evaluate(planner, params, task, _EPISODES.value, _SEED.value, _BACKEND.value)
    record |= {"planner": _PLANNER.value, "refiner": _REFINER.value, "options": options}
    if _OUTPUT.value:
        write_json(_OUTPUT.value, record)
    print(summary(record))


def _walk(planner: InversePlanner, params: PlannerParams, env: str, named: dict[str, Any]) -> None:
    """Evaluates the ant's motor level, which knows no maze: walking on an open floor, straight on and with turns."""
    if _ENV.present or _MULTI.value or _BACKEND.value != "mujoco":
        raise ValueError(
            f"{_PLANNER.value} is evaluated on an open floor with C MuJoCo, towards goals of its own; leave --env, --backend and "
            "--multi_goal out."
        )
    evaluation.check_request(_BACKEND.value, _EPISODES.value)
    settings = EvaluationConfig(_EPISODES.value, _SEED.value, (_REFINE.value,))
    records = []
    for record, line in ant_motor.evaluate(settings, env, lambda refine_steps: (planner, params)):
        records.append(record | {"backend": _BACKEND.value, "episodes": _EPISODES.value} | named)
        print(line, flush=True)
    straight, turning = records
    if _OUTPUT.value:
        write_json(_OUTPUT.value, straight | {"with_turns": turning})


def _option(text: str) -> tuple[str, Any]:
    """``name=value`` taken apart, the value a number where it reads as one."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--options was given {text!r}; give name=value.")
    with contextlib.suppress(json.JSONDecodeError):
        value = json.loads(value)
    return name, value


if __name__ == "__main__":
    run_program(main)
