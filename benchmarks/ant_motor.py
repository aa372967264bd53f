"""Motor levels of the ant on an open floor, side by side: speed towards the goal, falls, and what refinement adds.

    python -m benchmarks.ant_motor --planners=runs/ant-walk-0/planner --names=default --policy=ant-v1 \
        --output=benchmarks/results/ant_motor.json

C MuJoCo; each ant heads 10 m its own way, straight on, and with a new direction every 4 s.
"""

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from invlearn_jax.files import write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed, indexed
from invlearn_jax.methods.saved import load_planner
from invlearn_jax.tasks.antmaze.environment import random_start
from invlearn_jax.tasks.antmaze.goal_policy import GoalPolicy, read_goal_policy
from invlearn_jax.tasks.antmaze.locomotion import Walk, walk_openly
from invlearn_jax.types import Params, Planner, Problem

_PLANNERS = flags.DEFINE_list("planners", None, "Motor levels (names or folders).", required=True)
_NAMES = flags.DEFINE_list("names", [], "What to call them; by default as they are given.")
_POLICY = flags.DEFINE_string("policy", "", "A goal-reaching policy to compare with.")
_STEPS = flags.DEFINE_multi_integer("refine_steps", [0], "Numbers K of refinement steps.")
_EXECUTE = flags.DEFINE_multi_integer("execute_steps", [1], "Steps between plans.")
_ANTS = flags.DEFINE_integer("ants", 200, "Ants per row.", lower_bound=1)
_LENGTH = flags.DEFINE_integer("steps", 300, "Steps of 0.1 s.", lower_bound=30)
_SEED = define_seed(20261124, "Seed of starts and directions.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the rows as JSON.", required=True)

_TURN = 40  # steps after which directions change


def main(argv: list[str]) -> None:
    """Lets them walk."""
    use_compile_cache()
    names = _NAMES.value or _PLANNERS.value
    if len(names) != len(_PLANNERS.value):
        raise ValueError(f"There are {len(_PLANNERS.value)} planners and {len(names)} names; give one for each.")
    rows = []
    for name, folder in zip(names, _PLANNERS.value, strict=True):
        for refine_steps in _STEPS.value:
            for execute in _EXECUTE.value:
                planner, params = load_planner(folder, refine_steps=refine_steps, execute_steps=execute)
                act = _walker(planner, params)
                rows += _rows(act, {"name": name, "refine_steps": refine_steps, "execute_steps": execute})
    if _POLICY.value:
        rows += _rows(_policy_walk(_POLICY.value), {"name": "data policy"})
    write_json(_OUTPUT.value, {"ants": _ANTS.value, "steps": _LENGTH.value, "rows": rows, **manifest(_SEED.value)})


def _rows(act: Walk, about: dict) -> list[dict]:
    keys = jax.random.split(from_seed(_SEED.value), _ANTS.value)
    starts, rows = np.asarray(jax.jit(jax.vmap(random_start))(keys)), []
    for hold in (None, _TURN):
        walk = walk_openly(act, starts, _SEED.value, _LENGTH.value, hold).summary()
        rows.append({**about, "turn_every": hold, **walk})
        print(rows[-1], flush=True)
    return rows


def _walker(planner: Planner, params: Params) -> Walk:
    """The planner as ``walk_openly`` takes it."""
    plan = jax.jit(jax.vmap(lambda s, g: planner.plan(params, jax.random.key(0), Problem(s, g)).actions))
    kept = {}

    def act(step: int, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        if step % planner.execute_steps == 0:
            kept["plan"] = np.asarray(plan(jnp.asarray(states, jnp.float32), jnp.asarray(goals, jnp.float32)))
        return kept["plan"][:, step % planner.execute_steps]

    return act


def _policy_walk(path: str) -> Walk:
    policy, act = read_goal_policy(path), jax.jit(GoalPolicy.act)

    def walk(step: int, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        key = indexed(jax.random.key(0), step)
        return np.asarray(act(policy, key, jnp.asarray(states, jnp.float32), jnp.asarray(goals, jnp.float32)))

    return walk


if __name__ == "__main__":
    run_program(main)
