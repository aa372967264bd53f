"""Reads a run's folder for the report. Missing pieces are left out, broken ones are errors that name the file."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from invlearn_jax.envs import registry
from invlearn_jax.io.planners import load_config, load_planner
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.types import Params, Planner

_NUMBERS = (
    "episodes",
    "seed",
    "horizon",
    "execute_steps",
    "refine_steps",
    "score_mean",
    "success_rate",
    "plan_ms_p50",
)
_INTERVALS = ("success_ci95",)
# Of maze2d alone.
_MAZE_NUMBERS = ("score_sem", "bound_score", "score_ratio_to_bound", "controller_score")
_MAZE_INTERVALS = ("score_ci95",)


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
        env: the environment's name.
        seed: of data, initial weights and training.
        manifest: how the run was made; empty where it was not recorded.
        curves: the training's metrics.
        model_errors: ``{data: {all, free, wall: RMSE in metres after each step}}``; empty where not measured.
        evaluations: records of closed-loop evaluation, the maze's own goal first, then by refinement steps.
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
    try:
        config, seed = saved["config"], saved["seed"]
        env = _environment(config, evaluations)
        registry.spec(env)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} describes no run in a maze ({_reason(error)}). Restore it, or run again.") from error
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


def _environment(config: dict[str, Any], evaluations: list[dict]) -> str:
    """Of the run's own planner, or where that stands on another (a stack, a policy), of what was evaluated or stands below."""
    below = config["stack"]["motor"] if "stack" in config else config.get("base")
    if below is None:
        return config["planner"]["env"]
    return evaluations[0]["env"] if evaluations else load_config(below)[0].env


def _reason(error: Exception) -> str:
    return f"no {error.args[0]!r}" if isinstance(error, KeyError) else str(error)


def _json(file: Path, kind: type) -> Any:
    """The file's content, or None where there is no file."""
    if not file.is_file():
        return None
    try:
        value = json.loads(file.read_text())
    except ValueError as error:
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
            points.setdefault((row["stage"], row["name"]), []).append((float(row["step"]), float(row["value"])))
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(
            f"{file} is broken ({_reason(error)}); its columns are stage, step, name, value. Restore or delete it."
        ) from error
    return [Curve(stage, name, *np.array(rows).T) for (stage, name), rows in points.items()]


def _model_errors(file: Path) -> dict[str, dict]:
    errors = _json(file, dict) or {}
    for name, rows in errors.items():
        lists = [rows.get(part) for part in ("all", "free", "wall")] if isinstance(rows, dict) else [None]
        if not all(isinstance(part, list) and all(_number(x) for x in part) for part in lists):
            raise ValueError(f"{file} is broken: {name!r} needs the lists all, free and wall. Restore or delete it.")
    return errors


def _evaluations(file: Path) -> list[dict]:
    records = _json(file, list) or []
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            raise ValueError(f"{file} is broken: entry {index} is no record. Restore it, or evaluate again.")
        ant = str(record.get("env")).startswith("antmaze")
        numbers, intervals = (_NUMBERS, _INTERVALS) if ant else (_NUMBERS + _MAZE_NUMBERS, _INTERVALS + _MAZE_INTERVALS)
        broken = [name for name in numbers if not _number(record.get(name))]
        broken += [name for name in intervals if not _numbers(record.get(name), 2)]
        broken += [name for name in ("env", "backend") if not isinstance(record.get(name), str)]
        broken += ["multi_goal"] * (not isinstance(record.get("multi_goal"), bool))
        if broken:
            raise ValueError(f"{file} is broken: entry {index} has no valid {broken[0]!r}. Evaluate again.")
        if ant:
            rate, interval = record["success_rate"], record["success_ci95"]
            # An antmaze pays 1 for the goal: its score is the share of the episodes that reach it.
            record["score_sem"] = 100 * (rate * (1 - rate) / record["episodes"]) ** 0.5
            record["score_ci95"] = [100 * x for x in interval]
    return sorted(records, key=lambda record: (record["multi_goal"], record["refine_steps"]))


def _hacking(file: Path) -> dict[str, Any] | None:
    summary = _json(file, dict)
    if summary is None:
        return None
    numbers = ("problems", "gap_mean", "gap_low", "gap_high", "wrong_side_rate", "wrong_side_low", "wrong_side_high")
    broken = [name for name in numbers if not _number(summary.get(name))]
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
    return summary


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(value: object, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(_number(x) for x in value)
