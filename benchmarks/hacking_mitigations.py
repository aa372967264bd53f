"""Model hacking on narrow data, and what mends it, side by side; and a detector that notices it.

    python -m benchmarks.hacking_mitigations --robot=maze2d --output=benchmarks/results/hacking_mitigations_maze2d.json
    python -m benchmarks.hacking_mitigations --robot=ant --output=benchmarks/results/hacking_mitigations_ant.json

What was trained is kept in the working folder; the same command goes on from there. The committed records are of these commands,
the ant's with the policy of its other results (--policy=FILE), before each setting learned its cost-to-go from its own data.

Every remedy is a setting of the method ``inverter``. Each trains a forward model and an Inverter through it, with as many updates
in all (half of them in the rounds, where there are rounds; each member of an ensemble has as many, and a cloned start has some
of its own), and is judged in closed loop (success), and by executing whole plans open loop from states it got to:
the gap is realised less predicted cost, the error the largest distance between predicted and realised positions. A plan with
much of both is hacked: its predicted cost came from the model's error. A plan with little error is good. A second model of other
initial weights, which also learned from executed plans of the finished planner (the setting ``watch``), looks at the plans of
every second episode; its threshold is what, with 95 % confidence if plans were independent, no more than 5 % exceed of the other
episodes' good plans, or, where hardly any is good, of held-out windows of the setting's own data.
"""

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from benchmarks.hacking_measures import detection, error, gap, kinds
from benchmarks.hacking_worlds import ROBOTS, ROUNDS, SETTINGS, Narrow, Setting
from invlearn_jax.evaluate.episodes import draw_problems, run_mujoco, successes
from invlearn_jax.evaluate.metrics import wilson
from invlearn_jax.evaluate.model_gap import executed_plans
from invlearn_jax.files import replace_files, write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed, generator, streams
from invlearn_jax.methods import inverter
from invlearn_jax.methods.fitting import fit, method_settings
from invlearn_jax.names import unknown_name
from invlearn_jax.planners.watched import WatchedParams, WatchedPlanner
from invlearn_jax.report.figures import canvas, encode, style
from invlearn_jax.settings import with_settings
from invlearn_jax.tasks.antmaze.goal_policy import read_goal_policy
from invlearn_jax.tasks.task import Episodes
from invlearn_jax.types import Key, Problem

_ROBOT = flags.DEFINE_enum("robot", None, list(ROBOTS), "Which robot.", required=True)
_POLICY = flags.DEFINE_string("policy", "ant-v1", "The ant's goal-reaching policy, which makes its data.")
_SETTINGS = flags.DEFINE_list("settings", [], "Which settings to train; by default all.")
_ROWS = flags.DEFINE_integer("rows", 100_000, "Rows of narrow data.", lower_bound=1000)
_BROAD = flags.DEFINE_integer("broad_rows", 400_000, "Rows of broad data.", lower_bound=1000)
_MODEL = flags.DEFINE_integer("model_updates", 2000, "Updates of the forward model.", lower_bound=6)
_INVERTER = flags.DEFINE_integer("inverter_updates", 2000, "Updates of the Inverter.", lower_bound=6)
_TAIL = flags.DEFINE_integer("tail_updates", 3000, "Updates of the cost-to-go, where there is one.", lower_bound=1)
_WATCHER = flags.DEFINE_integer("watcher_updates", 6000, "Updates of the model that watches.", lower_bound=1)
_PLANS = flags.DEFINE_integer("plans", 1000, "Plans that are held against the simulator.", lower_bound=100)
_SEED = define_seed(20261128, "Seed of the judging; training uses others.")
_WORKDIR = flags.DEFINE_string("workdir", "", "Where data and trainings are kept; by default runs/hacking-ROBOT.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "Where to write the record as JSON; a picture goes beside it.", required=True
)

_DRAWN = 12  # episodes of a picture
_EXECUTED = 256, 200  # robots and their steps, in each round of correction and for the model that watches


def main(argv: list[str]) -> None:
    """Trains and judges the settings of the flags."""
    use_compile_cache()
    names = _SETTINGS.value or list(SETTINGS)
    for name in names:
        if name not in SETTINGS:
            raise unknown_name("setting", name, SETTINGS)
    if _ROBOT.value == "ant":
        read_goal_policy(_POLICY.value)
    workdir = Path(_WORKDIR.value or f"runs/hacking-{_ROBOT.value}")
    rows: list[dict] = []
    drawn: dict[str, Episodes] = {}
    for name in names:
        task = ROBOTS[_ROBOT.value]()
        settings = prepared(task, SETTINGS[name])
        planner, params = fit(task, "inverter", workdir / re.sub(r"\W+", "-", name), settings=settings)
        record, drawn[name] = judge(task, settings, planner, params, from_seed(_SEED.value))
        rows = sorted([*rows, record | {"setting": name}], key=lambda row: list(SETTINGS).index(row["setting"]))
        print(rows[-1], flush=True)
        write_json(_OUTPUT.value, {"robot": _ROBOT.value, "harm": task.harm, "rows": rows, **manifest(_SEED.value)})
    replace_files({Path(_OUTPUT.value).with_suffix(".png"): picture(task, rows, drawn)})


def prepared(task: Narrow, setting: Setting) -> inverter.Settings:
    """The method's settings, and the task's data, for one of the ``SETTINGS``."""
    if _ROBOT.value == "ant":
        task.settings.data.policy = _POLICY.value
    task.settings.corridor = setting.corridor
    task.broad(int(setting.broad * _BROAD.value))
    rounds = setting.changes.get("correction.rounds", 0)
    model, steps = (total // 2 if rounds else total for total in (_MODEL.value, _INVERTER.value))
    whole = method_settings(task, "inverter")
    plain = {
        "data.rows": _ROWS.value,
        "data.held_out": 0.05,
        "model.steps": model,
        "model.one_step": _MODEL.value if whole.model.one_step else 0,
        "model.learning_rate": 1e-3,
        "model.batch": 192,
        "inverter.steps": steps,
        "inverter.batch": 192,
        "objective.unvisited": 0.0,
        "cloning.steps": 0,
        "cloning.weight": 0.0,
        "correction.rounds": 0,
        "correction.robots": _EXECUTED[0],
        "correction.steps": _EXECUTED[1],
        "correction.starts": 0.0,
        "correction.model_steps": model // ROUNDS,
        "correction.inverter_steps": steps // ROUNDS,
        "tail.steps": _TAIL.value,
        "watch.steps": _WATCHER.value,
        "watch.robots": _EXECUTED[0],
        "watch.executed": _EXECUTED[1],
    }
    return with_settings(whole, plain | (dict(task.trust) if setting.trust else {}) | setting.changes)


def judge(
    task: Narrow, settings: inverter.Settings, planner: WatchedPlanner, params: WatchedParams, key: Key
) -> tuple[dict[str, Any], Episodes]:
    """The record of a finished planner, and some of its episodes. The key is consumed."""
    problem_key, run_key, choice_key, plan_key = streams(key, "problems", "episodes", "choice", "plans")
    problems = draw_problems(task, problem_key, task.episodes)
    rows = run_mujoco(planner.planner, params.planner, task, run_key, problems)
    reached = successes(task, rows).any(1)
    rng = generator(choice_key)
    episode, time = rng.integers(task.episodes, size=_PLANS.value), rng.integers(task.episode_length, size=_PLANS.value)
    usable = np.asarray(jax.jit(jax.vmap(task.usable))(jnp.asarray(rows.states[episode, time])))
    episode, time = episode[usable], time[usable]
    begin = Problem(jnp.asarray(rows.states[episode, time]), jnp.asarray(rows.goals[episode], jnp.float32))
    plans = executed_plans(planner.planner, params.planner, task, plan_key, begin)
    gaps, errors = gap(task, settings, params, plans), error(plans)
    hacked, good = kinds(task.harm, gaps, errors)
    apart = jax.jit(jax.vmap(planner.disagreement, in_axes=(None, 0, 0)))(params, plans.predicted, plans.actions)
    rate = wilson(int(reached.sum()), task.episodes)
    record = {
        "success_rate": rate.mean,
        "success_ci95": [rate.low, rate.high],
        "episodes": task.episodes,
        **task.figures(rows),
        "gap_mean": float(gaps.mean()),
        "gap_p99": float(np.percentile(gaps, 99)),
        "error_median_m": float(np.median(errors)),
        "error_p90_m": float(np.percentile(errors, 90)),
        "hacked_share": float(hacked.mean()),
        "detector": detection(np.asarray(apart), hacked, good, episode, float(params.threshold)),
    }
    return record, Episodes(*(x[:_DRAWN] for x in rows))


def picture(task: Narrow, rows: list[dict], drawn: dict[str, Episodes]) -> bytes:
    """Where each setting's plans went, as PNG: a panel each."""
    columns = min(3, len(rows))
    with style():
        figure, axes = canvas(-(-len(rows) // columns), columns, 4.2 * columns, 3.6 * -(-len(rows) // columns))
        for place in axes.flat[len(rows) :]:
            place.set_axis_off()
        for place, row in zip(axes.flat, rows, strict=False):
            task.draw(place, drawn[row["setting"]])
            place.set_title(f"{row['setting']}\n{100 * row['success_rate']:.0f} % arrive", fontsize="small")
        return encode(figure)[0]


if __name__ == "__main__":
    run_program(main)
