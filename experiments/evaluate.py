"""Evaluates a planner on its own task, or on another.

python -m experiments.evaluate --planner=maze2d-large-v1 --episodes=500 --seed=1 --output=result.json
"""

import contextlib
import json
from typing import Any

from absl import flags

from invlearn_jax.evaluate.episodes import BACKENDS, evaluate, summary
from invlearn_jax.files import write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.methods.saved import load_planner, load_task, planner_names
from invlearn_jax.refine.named import REFINERS
from invlearn_jax.tasks.registry import make_task

_PLANNER = flags.DEFINE_string(
    "planner", None, f"A shipped name ({', '.join(planner_names())}) or a planner's folder.", required=True
)
_TASK = flags.DEFINE_string("task", None, "The task, NAME or FILE.py:CLASS; by default the planner's own.")
_EPISODES = flags.DEFINE_integer("episodes", 100, "How many episodes.")
_SEED = define_seed(0, "Seed of starts, goals and planning.")
_BACKEND = flags.DEFINE_enum("backend", "mujoco", BACKENDS, "What steps the physics: C MuJoCo, or MJX.")
_REFINE = flags.DEFINE_integer("refine_steps", 0, "K; 0 is one forward pass.")
_REFINER = flags.DEFINE_enum("refiner", None, REFINERS, "How to refine; the method's own way by default.")
_CANDIDATES = flags.DEFINE_integer("candidates", None, "Proposals per plan; the planner's own by default.")
_EXECUTE = flags.DEFINE_integer("execute_steps", None, "Steps between plans; the planner's own by default.")
_OPTIONS = flags.DEFINE_list(
    "options", [], "The method's own inference options, as name=value: --options=sampler=ddim,denoise_steps=5."
)
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the record as JSON.")


def main(argv: list[str]) -> None:
    """Evaluates the planner of the flags."""
    use_compile_cache()
    options = dict(_option(text) for text in _OPTIONS.value)
    task = make_task(_TASK.value) if _TASK.value else load_task(_PLANNER.value)
    planner, params = load_planner(
        _PLANNER.value, _REFINE.value, _CANDIDATES.value, _REFINER.value, _EXECUTE.value, task, **options
    )
    record = evaluate(planner, params, task, _EPISODES.value, _SEED.value, _BACKEND.value)
    record |= {"planner": _PLANNER.value, "refiner": _REFINER.value, "options": options}
    if _OUTPUT.value:
        write_json(_OUTPUT.value, record)
    print(summary(record))


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
