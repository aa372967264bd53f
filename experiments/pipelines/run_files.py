"""Reads a run's folder for the report. Missing pieces are left out, broken ones are errors that name the file."""

import contextlib
import csv
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from invlearn_jax.io.planners import load_config, load_planner
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.types import Params, Planner

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
    "steps_to_goal_median",
    "plan_ms_p50",
    "plan_ms_p99",
)
_COUNTS = ("episodes", "seed", "horizon", "execute_steps", "refine_steps")
_INTERVALS = ("score_ci95", "success_ci95")
_TEXTS = ("task", "env", "backend", "device")
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
        config: the experiment's configuration, nested dicts.
        env: the task's name.
        seed: of data, initial weights and training.
        manifest: how the run was made; empty where it was not recorded.
        curves: the training's metrics.
        model_errors: ``{data: {kind: RMSE after each step}}``; empty where not measured.
        evaluations: records of closed-loop evaluation, the task's own goal first, then by refinement steps. Each has every
            key that the report knows, None where the file has none, and numbers that may not be finite.
        hacking: summary of model hacking, or None.
        status: how far the run is; empty where unknown.
        planner: the folder of the trained planner, or None.
    """

    path: Path
    config: dict[str, Any]
    env: str
    seed: int
    manifest: dict[str, Any]
    curves: list[Curve]
    model_errors: dict[str, dict]
    evaluations: list[dict]
    hacking: dict[str, Any] | None
    status: dict[str, Any]
    planner: Path | None


def read_runs(folders: Iterable[str]) -> list[RunFiles]:
    """Reads run folders in the order given, each once.

    Raises:
        ValueError: if none is given, or one is missing or broken; names the file.
    """
    paths = list(dict.fromkeys(Path(folder).resolve() for folder in folders))
    if not paths:
        raise ValueError("No run folder was given. Give at least one: python -m experiments.report DIR...")
    return [read_run(path) for path in paths]


def read_run(folder: Path) -> RunFiles:
    """Reads one run's folder.

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
    if isinstance(config, dict) and isinstance(config.get("planner"), dict) and "system" in config["planner"]:
        raise ValueError(
            f"{file} is of a run of pulses, which has no episodes to report on. For its tables and pictures: "
            f"python -m benchmarks.pulses --planners={folder.parent} --output=pulses.json, and benchmarks.pulses_page."
        )
    if isinstance(config, dict) and ("correction" in config or isinstance(config.get("motor"), dict)):
        raise ValueError(
            f"{file} is of a motor level, which walks on an open floor and has no episodes to report on. Its figures are in "
            f"{folder / 'eval.json'}; to compare motor levels: python -m benchmarks.ant_motor --planners={folder / 'planner'}."
        )
    evaluations = _evaluations(folder / "eval.json")
    seed = saved.get("seed")
    if not isinstance(config, dict) or not _count(seed):
        broken = "'seed' is no whole number" if isinstance(config, dict) else "'config' is no table of settings"
        raise ValueError(f"{file} is broken: its {broken}. Restore it, or run again.")
    env = _task(config, evaluations, folder)
    planner = folder / "planner"
    return RunFiles(
        folder,
        config,
        env,
        seed,
        _json(folder / "manifest.json", dict) or {},
        _curves(folder),
        _model_errors(folder / "model.json"),
        evaluations,
        _hacking(folder / "hacking.json"),
        _json(folder / "status.json", dict) or {},
        planner if (planner / "planner.json").is_file() else None,
    )


def saved_planner(folder: Path, refine_steps: int = 0) -> tuple[Planner, Params]:
    """The planner of a run, with a number of refinement steps.

    Raises:
        ValueError: if its files are broken; names the folder.
    """
    try:
        return load_planner(folder, refine_steps)
    except ValueError as error:
        raise ValueError(f"The planner in {folder} cannot be loaded ({error}). Save it again.") from error


def part(config: Any, name: str) -> dict[str, Any]:
    """A part of a configuration; empty where it has none of that name."""
    found = config.get(name) if isinstance(config, dict) else None
    return found if isinstance(found, dict) else {}


def _task(config: dict[str, Any], evaluations: list[dict], folder: Path) -> str:
    """By the run's own planner or, where that stands on another (a stack, a policy), by what was evaluated or stands below.

    A run that names no task has the name of its folder.
    """
    below = part(config, "stack").get("motor") or config.get("base")
    names = [None if below else part(config, "planner").get("env"), config.get("task")]
    names += [record["task"] or record["env"] for record in evaluations]
    if isinstance(below, str) and not any(names):
        with contextlib.suppress(ValueError, OSError):
            names.append(load_config(below)[0].env)
    return next((name for name in names if isinstance(name, str) and name), folder.name)


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
    file, points = folder / "metrics.csv", {}
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
        errors[name] = {kind: [_float(x) for x in values] for kind, values in lists.items()}
    return errors


def _evaluations(file: Path) -> list[dict]:
    records = [_record(file, index, record) for index, record in enumerate(_json(file, list) or [])]
    return sorted(
        records, key=lambda record: (record["multi_goal"], -1 if (k := record["refine_steps"]) is None else k)
    )


def _record(file: Path, index: int, given: Any) -> dict[str, Any]:
    """One evaluation, its numbers as floats; see ``RunFiles``."""
    if not isinstance(given, dict):
        raise ValueError(f"{file} is broken: entry {index} is no record. Restore it, or evaluate again.")
    record = {name: given.get(name) for name in (*_NUMBERS, *_COUNTS, *_INTERVALS, *_TEXTS)}
    record["multi_goal"] = False if given.get("multi_goal") is None else given["multi_goal"]
    checks = {
        **dict.fromkeys(_NUMBERS, _number),
        **dict.fromkeys(_COUNTS, _count),
        **dict.fromkeys(_INTERVALS, lambda value: _numbers(value, 2)),
        **dict.fromkeys(_TEXTS, lambda value: isinstance(value, str)),
        "multi_goal": lambda value: isinstance(value, bool),
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


def _hacking(file: Path) -> dict[str, Any] | None:
    summary = _json(file, dict)
    if summary is None:
        return None
    numbers = ("problems", "gap_mean", "gap_low", "gap_high", "wrong_side_rate", "wrong_side_low", "wrong_side_high")
    broken = [name for name in numbers if not _number(summary.get(name))]
    broken += [] if _count(summary.get("problems")) else ["problems"]
    worst = summary.get("worst")
    whole = isinstance(worst, list) and all(
        isinstance(row, dict)
        and _number(row.get("gap"))
        and all(_numbers(row.get(end), size) for end, size in (("start", 4), ("predicted_end", 2), ("realised_end", 2)))
        for row in worst
    )
    broken += [] if whole else ["worst"]
    if broken:
        raise ValueError(f"{file} is broken: it has no valid {broken[0]!r}. Restore or delete it.")
    ends = ("start", "predicted_end", "realised_end")
    worst = [{"gap": _float(row["gap"])} | {end: [_float(x) for x in row[end]] for end in ends} for row in worst]
    return summary | {name: _float(summary[name]) for name in numbers[1:]} | {"worst": worst}


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _float(value: float) -> float:
    """As a float; a whole number beyond all floats is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST


def _numbers(value: object, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(_number(x) for x in value)
