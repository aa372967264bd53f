"""IQ-Learn against its expert: returns after imitation, how well the recovered reward tells episodes apart, updates per second.

    python -m benchmarks.iq_learn --tasks=cartpole,hopper --demos=1 --seeds=0,1 --output=benchmarks/results/iq_learn.json
    python -m benchmarks.iq_learn --what=reward --planners=hopper-iq-learn --output=benchmarks/results/iq_learn_reward.json
    python -m benchmarks.iq_learn --what=speed --output=benchmarks/results/iq_learn_speed.json

Imitation: each task with its own settings (``Task.configure``), the final checkpoint, episodes of the task's protocol with the
policy's likeliest action. The quick preset makes a tenth of the updates. With ``--runs`` the runs are kept, and go on where they
were stopped. Speed: the same update here and in PyTorch, in one run, which needs torch beside the library.
"""

import ast
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from benchmarks import iq_learn_speed
from invlearn_jax.evaluate.metrics import mean_ci
from invlearn_jax.files import write_json
from invlearn_jax.imitation.curve import policy_episodes, task_returns
from invlearn_jax.imitation.demonstrations import returns, share_of_expert
from invlearn_jax.imitation.reward import agreement, recovered_rewards
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.compile_cache import ensure_compile_cache
from invlearn_jax.io.run_folder import RunFolder, manifest
from invlearn_jax.keys import from_seed, streams
from invlearn_jax.learn.stages import Run
from invlearn_jax.methods import iq_learn
from invlearn_jax.methods.fitting import begin, method_settings
from invlearn_jax.methods.saved import describe_planner, load_planner
from invlearn_jax.settings import check_settings, with_settings
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.tasks.task import Task

_WHAT = flags.DEFINE_enum("what", "imitation", ["imitation", "reward", "speed"], "What to measure.")
_TASKS = flags.DEFINE_list("tasks", ["cartpole"], "Tasks, by name or FILE.py:CLASS.")
_METHODS = flags.DEFINE_list("methods", ["iq-learn"], "Of iq-learn, iq-learn-offline and sqil.")
_DEMOS = flags.DEFINE_list("demos", ["1"], "Numbers of trajectories.")
_DATA = flags.DEFINE_list("data", [], "TASK=FILE of demonstrations, where not the task's own.")
_SEEDS = flags.DEFINE_list("seeds", ["0"], "Training seeds; each also chooses its trajectories.")
_PRESET = flags.DEFINE_enum("preset", "full", ["quick", "full"], "How long to train.")
_SET = flags.DEFINE_multi_string(
    "set", [], "A change of the settings by dotted name, as steps=10000; may be given again."
)
_EPISODES = flags.DEFINE_integer("episodes", 20, "Episodes of each final policy.", lower_bound=2)
_PLANNERS = flags.DEFINE_list("planners", [], "Planners of the method iq-learn whose reward to judge.")
_RUNS = flags.DEFINE_string("runs", "", "Where to keep the runs; by default they are not kept.")
_SEED = define_seed(20261210, "Seed of the evaluation's episodes.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the rows as JSON.", required=True)

_OFFLINE = {
    "online": False,
    "learner.iq.value_rows": "expert",
    "learner.iq.penalty_rows": "expert",
}
_CHANGES: dict[str, dict[str, Any]] = {
    "iq-learn": {},
    "iq-learn-offline": _OFFLINE,
    "sqil": {"learner.teaching": "constant"},
}
_QUICK = 10  # the quick preset's share of the updates is one in so many


def main(argv: list[str]) -> None:
    """Measures what was wanted; the file is written after every row."""
    ensure_compile_cache()
    record: dict[str, Any] = {"rows": [], "cores": len(os.sched_getaffinity(0)), **manifest(_SEED.value)}
    rows = {"imitation": _imitation, "reward": _rewards, "speed": iq_learn_speed.rows}[_WHAT.value]()
    for row in rows:
        record["rows"].append(row)
        write_json(_OUTPUT.value, record)
        print(", ".join(f"{name} {_short(value)}" for name, value in row.items()), flush=True)


def _short(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _imitation() -> Any:
    for name in _TASKS.value:
        for method in _METHODS.value:
            if method not in _CHANGES:
                raise ValueError(f"methods has {method!r}; allowed are {', '.join(_CHANGES)}.")
            for demos in _DEMOS.value:
                for seed in _SEEDS.value:
                    yield _imitated(make_task(name), method, int(demos), int(seed))


def settings_of(task: Task, method: str, demos: int, seed: int) -> iq_learn.Settings:
    """The task's settings of a method, as the flags change them."""
    data = dict(pair.split("=", 1) for pair in _DATA.value)
    own = method_settings(task, "iq-learn")
    changes: dict[str, Any] = {"demonstrations.trajectories": demos, "demonstrations.seed": seed}
    changes |= {"demonstrations.path": data[task.name]} if task.name in data else {}
    changes |= _CHANGES[method] if own.online or method != "iq-learn" else {}
    if _PRESET.value == "quick":
        changes |= {"steps": max(1, own.steps // _QUICK)}
    settings = with_settings(own, changes)
    settings = with_settings(
        settings, {name: _read(text) for name, text in (pair.split("=", 1) for pair in _SET.value)}
    )
    check_settings(settings)
    return settings


def _read(text: str) -> Any:
    """A number, a truth value or a tuple; else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _imitated(task: Task, method: str, demos: int, seed: int) -> dict[str, Any]:
    """One training and the evaluation of its final policy."""
    settings = settings_of(task, method, demos, seed)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(_RUNS.value or scratch) / f"{task.name}-{method}-{demos}-{seed}"
        with RunFolder(path) as folder:
            begin(folder, task, "iq-learn", settings, seed)
            since = time.perf_counter()
            learned = iq_learn.imitate(task, settings, Run(folder), from_seed(seed))
            seconds = time.perf_counter() - since
    key = streams(from_seed(_SEED.value), "episodes")[0]
    episodes = policy_episodes(task, iq_learn.actor(learned.policy, learned.params), key, _EPISODES.value)
    found, expert = mean_ci(task_returns(task, episodes)), float(np.mean(returns(learned.expert)))
    return {
        "task": task.name,
        "method": method,
        "demos": demos,
        "every": settings.demonstrations.every,
        "seed": seed,
        **found.fields("return"),
        "expert_return": expert,
        "share": share_of_expert(found.mean, expert),
        "episodes": _EPISODES.value,
        "env_steps": learned.steps if settings.online else 0,
        "updates": learned.steps,
        "updates_per_s": learned.steps / seconds,
        "wall_s": seconds,
        "curve": [[row["step"], row["return_mean"]] for row in learned.curve.rows],
    }


def _rewards() -> Any:
    for name in _PLANNERS.value:
        described = describe_planner(name)
        planner, params = load_planner(name)
        task, settings = described.task, described.settings
        if not isinstance(settings, iq_learn.Settings):
            raise ValueError(f"{name} is of the method {described.method}; give planners of iq-learn.")
        policy, own = planner.inverter.policy, params.inverter.policy  # type: ignore[attr-defined]
        episode_key, value_key = streams(from_seed(_SEED.value), "episodes", "values")
        episodes = policy_episodes(task, iq_learn.actor(policy, own), episode_key, max(3, _EPISODES.value))
        recovered = recovered_rewards(policy, own, settings.learner.iq.discount, value_key, episodes)
        yield {"task": task.name, "planner": Path(name).name, **agreement(recovered)}


if __name__ == "__main__":
    run_program(main)
