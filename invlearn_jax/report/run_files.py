"""Reads a run's folder for the report. Missing pieces are left out, broken ones are errors that name the file."""

import contextlib
import csv
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.tasks.task import Task

# What a record of an evaluation may hold; all of it may be null or missing.
_NUMBERS = (
    "success_rate",
    "cost_mean",
    "cost_sem",
    "return_mean",
    "score_mean",
    "score_sem",
    "bound_score",
    "score_ratio_to_bound",
    "controller_score",
    "gap_mean",
    "steps_to_goal_median",
    "plan_ms_p50",
    "plan_ms_p99",
)
_COUNTS = ("episodes", "seed", "horizon", "execute_steps", "refine_steps")
_INTERVALS = ("score_ci95", "success_ci95")
_TEXTS = ("task", "backend", "device")
_LARGEST = 2**63  # of a count


class Curve(NamedTuple):
    """One logged metric: ``steps [n]`` and ``values [n]``."""

    stage: str
    name: str
    steps: np.ndarray
    values: np.ndarray


class RunFiles(NamedTuple):
    """What a run's folder holds.

    Attributes:
        path: the folder.
        config: task, method and their settings, nested dicts.
        task: the task's name.
        world: the task itself; None where it is not registered, nor was given.
        seed: of data, initial weights and training.
        manifest: how the run was made; empty where it was not recorded.
        curves: the training's metrics.
        model_errors: ``{data: {kind: RMSE after each step}}``; empty where not measured.
        evaluations: records of evaluation by refinement steps. Each has every key that the report knows, None where the file has
            none, and numbers that may not be finite.
        status: how far the run is; empty where unknown.
        planner: the folder of the trained planner, or None.
    """

    path: Path
    config: dict[str, Any]
    task: str
    world: Task | None
    seed: int
    manifest: dict[str, Any]
    curves: list[Curve]
    model_errors: dict[str, dict]
    evaluations: list[dict]
    status: dict[str, Any]
    planner: Path | None


def read_runs(folders: Iterable[str], task: Task | None = None) -> list[RunFiles]:
    """Reads run folders in the order given, each once.

    Args:
        folders: of runs.
        task: a task that is not registered, for the runs of it.

    Returns:
        What they hold.

    Raises:
        ValueError: if none is given, or one is missing or broken; names the file.
    """
    paths = list(dict.fromkeys(Path(folder).resolve() for folder in folders))
    if not paths:
        raise ValueError("No run folder was given. Give at least one: python -m experiments.report DIR...")
    return [read_run(path, task) for path in paths]


def read_run(folder: Path, task: Task | None = None) -> RunFiles:
    """Reads one run's folder; see ``read_runs``.

    Raises:
        ValueError: if the folder or its ``config.json`` is missing, or a file is broken; names the file.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder. Give the --workdir of a run.")
    file = folder / "config.json"
    if not file.is_file():
        raise ValueError(f"{file} is missing, so {folder} is no run's folder. Give the --workdir of a run.")
    saved = _json(file, dict)
    config = saved.get("config")
    evaluations = _evaluations(folder / "eval.json")
    seed = saved.get("seed")
    if not isinstance(config, dict) or not _count(seed):
        broken = "'seed' is no whole number" if isinstance(config, dict) else "'config' is no table of settings"
        raise ValueError(f"{file} is broken: its {broken}. Restore it, or run again.")
    told = [config.get("task"), *(record["task"] for record in evaluations)]
    name = next((name for name in told if isinstance(name, str) and name), folder.name)
    planner = folder / "planner"
    return RunFiles(
        folder,
        config,
        name,
        task if task is not None and task.name == name else _registered(name),
        seed,
        _json(folder / "manifest.json", dict) or {},
        _curves(folder),
        _model_errors(folder / "model.json"),
        evaluations,
        _json(folder / "status.json", dict) or {},
        planner if (planner / "planner.json").is_file() else None,
    )


def part(config: Any, name: str) -> dict[str, Any]:
    """A part of a configuration; empty where it has none of that name."""
    found = config.get(name) if isinstance(config, dict) else None
    return found if isinstance(found, dict) else {}


def _registered(name: str) -> Task | None:
    """The task of that name; a name that is a file's is none, so that nothing is imported because a folder says so."""
    if ".py:" in name:
        return None
    with contextlib.suppress(ValueError):
        return make_task(name)
    return None


def _reason(error: Exception) -> str:
    return f"no {error.args[0]!r}" if isinstance(error, KeyError) else str(error)


def _json(file: Path, kind: type) -> Any:
    """The file's content, or None where there is no file."""
    if not file.is_file():
        return None
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        json.dumps(value, ensure_ascii=False).encode()  # halves of characters cannot be written to a page
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not valid JSON ({error}). Restore it, or delete it and run again.") from error
    if not isinstance(value, kind):
        raise ValueError(f"{file} holds a {type(value).__name__}, not a {kind.__name__}. Restore it, or run again.")
    return value


def _curves(folder: Path) -> list[Curve]:
    file = folder / "metrics.csv"
    points: dict[tuple[str, str], list[tuple[float, float]]] = {}
    if not file.is_file():
        return []
    try:
        for row in RunFolder(folder).metrics():
            step = float(row["step"])
            if not 0 <= step < _LARGEST:
                raise ValueError(f"step {step}")
            points.setdefault((row["stage"], row["name"]), []).append((step, float(row["value"])))
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise ValueError(
            f"{file} is broken ({_reason(error)}); its columns are stage, step, name, value. Restore or delete it."
        ) from error
    return [Curve(stage, name, *np.array(rows).T) for (stage, name), rows in points.items()]


def _model_errors(file: Path) -> dict[str, dict]:
    errors = _json(file, dict) or {}
    for name, rows in errors.items():
        lists = {kind: v for kind, v in rows.items() if not _number(v)} if isinstance(rows, dict) else {"": None}
        if not all(isinstance(values, list) and all(map(_number, values)) for values in lists.values()):
            raise ValueError(f"{file} is broken: {name!r} needs lists of numbers. Restore or delete it.")
        errors[name] = {kind: [_float(x) for x in values or ()] for kind, values in lists.items()}
    return errors


def _evaluations(file: Path) -> list[dict]:
    records = [_record(file, index, record) for index, record in enumerate(_json(file, list) or [])]
    return sorted(records, key=lambda record: -1 if (k := record["refine_steps"]) is None else k)


def _record(file: Path, index: int, given: Any) -> dict[str, Any]:
    """One evaluation, its numbers as floats; see ``RunFiles``."""
    if not isinstance(given, dict):
        raise ValueError(f"{file} is broken: entry {index} is no record. Restore it, or evaluate again.")
    record: dict[str, Any] = {name: given.get(name) for name in (*_NUMBERS, *_COUNTS, *_INTERVALS, *_TEXTS)}
    checks = {
        **dict.fromkeys(_NUMBERS, _number),
        **dict.fromkeys(_COUNTS, _count),
        **dict.fromkeys(_INTERVALS, lambda value: _numbers(value, 2)),
        **dict.fromkeys(_TEXTS, lambda value: isinstance(value, str)),
    }
    for name, valid in checks.items():
        if record[name] is not None and not valid(record[name]):
            raise ValueError(f"{file} is broken: entry {index} has no valid {name!r}. Evaluate again.")
    record |= {name: _float(record[name]) for name in _NUMBERS if record[name] is not None}
    record |= {name: [_float(x) for x in record[name]] for name in _INTERVALS if record[name] is not None}
    return record | _score_error(record)


def _score_error(record: dict[str, Any]) -> dict[str, Any]:
    """Error and interval of a score that is the share of episodes at the goal, and comes without its own."""
    score, rate, episodes = record["score_mean"], record["success_rate"], record["episodes"]
    if record["score_sem"] is not None or None in (score, rate, episodes) or not episodes:
        return {}
    if not 0 <= rate <= 1 or abs(score - 100 * rate) > 1e-6:
        return {}
    interval = record["success_ci95"] and [100 * x for x in record["success_ci95"]]
    return {"score_sem": 100 * (rate * (1 - rate) / episodes) ** 0.5, "score_ci95": record["score_ci95"] or interval}


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _float(value: float | int) -> float:
    """As a float; a whole number beyond all floats is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST


def _numbers(value: object, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(_number(x) for x in value)
