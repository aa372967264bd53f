"""A run's folder: ``config.json, manifest.json, metrics.csv, eval.json, checkpoints/, figures/, status.json``."""

import csv
import dataclasses
import io
import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

from invlearn_jax.files import read_csv, read_json, write_json, write_text
from invlearn_jax.io.command import command_line
from invlearn_jax.io.lock import folder_lock

_PACKAGES = (
    "invlearn_jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "mujoco",
    "mujoco-mjx",
    "numpy",
    "scipy",
)
_COLUMNS = ("stage", "step", "name", "value")


def git_revision() -> str:
    """The revision of the library's checkout, with ``+changes`` where it has uncommitted ones; empty outside git."""
    folder = Path(__file__).parent
    try:
        show = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True)
        status = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return show.stdout.strip() + ("+changes" if status.stdout.strip() else "")


def device_name() -> str:
    """The device in words, e.g. ``cpu (2 cores, Intel Xeon)``."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        return device.device_kind
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"cpu ({os.cpu_count()} cores, {model})"


def manifest(seed: int | None) -> dict[str, Any]:
    """What it takes to reproduce a result: revision, versions, device, seed, command."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "command": command_line(),
        "git_revision": git_revision(),
        "versions": versions,
        "device": device_name(),
        "seed": seed,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


class RunFolder:
    """Writes a run's files. All but ``metrics.csv`` are written whole; the CSV grows by whole rows.

    Within ``with run:`` no other process can enter it; reading needs no lock.

    Attributes:
        path: the folder.
        progress: ``(stage, step, steps)`` as ``status`` was last told.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        """Makes the folder.

        Raises:
            ValueError: for an empty path, which would be the current folder.
            OSError: if it cannot be made.
        """
        if not os.fspath(path).strip():
            raise ValueError("The run's folder (--workdir) is empty. Give its path, e.g. runs/mine.")
        self.path, self._begin = Path(path), time.monotonic()
        self.progress, self._held = ("start", 0, 1), ExitStack()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                f"Could not make the run's folder {path} ({error}). Give a --workdir you may write to."
            ) from error

    def __enter__(self) -> "RunFolder":
        """Locks the folder.

        Raises:
            BlockingIOError: if another process has it locked; says which.
            OSError: if it cannot be locked.
        """
        self._held.enter_context(folder_lock(self.path))
        return self

    def __exit__(self, *error: object) -> None:
        """Frees the folder."""
        self._held.close()

    def begin(self, config: Any, seed: int) -> None:
        """Writes the configuration and the manifest, or checks them against those of the run to be continued.

        A folder whose run made no data and no checkpoint yet is begun anew.

        Raises:
            ValueError: if the folder holds a run of another configuration or seed, or a broken ``config.json``.
        """
        wanted = json.loads(json.dumps({"config": _plain(config), "seed": seed}))
        file = self.path / "config.json"
        started = any((self.path / name).exists() for name in ("data", "checkpoints"))
        if file.exists() and started:
            have = read_json(file)
            if have != wanted:
                differing = ", ".join(_differences(have, wanted))
                raise ValueError(
                    f"{self.path} holds a run with other settings ({differing}). Give another --workdir, or the same settings."
                )
            return
        # The configuration last: where it is, the manifest is too.
        write_json(self.path / "manifest.json", manifest(seed))
        write_json(file, wanted)

    def keep_metrics(self, stage: str, until: int) -> None:
        """Drops the rows of a stage past step ``until``, which a resumed run will write again."""
        try:
            rows = [row for row in self.metrics() if row["stage"] != stage or int(row["step"]) <= until]
        except ValueError as error:
            raise ValueError(
                f"{self.path / 'metrics.csv'} cannot be continued ({error}). Restore it from a copy, or delete it."
            ) from error
        self._write(rows)

    def metrics(self) -> list[dict[str, str]]:
        """The rows of ``metrics.csv``; a row cut short by a kill is left out.

        Raises:
            ValueError: if the file is no such table.
        """
        file = self.path / "metrics.csv"
        if not file.exists():
            return []
        return read_csv(file, _COLUMNS)

    def log(self, stage: str, step: int, values: dict[str, float]) -> None:
        """Appends the metrics of one block."""
        file = self.path / "metrics.csv"
        if not file.exists():
            self._write([])
        with file.open("a", newline="") as handle:
            csv.writer(handle).writerows([stage, step, name, repr(float(value))] for name, value in values.items())

    def status(self, stage: str, step: int, steps: int, state: str = "running", error: str = "") -> None:
        """Writes ``status.json``; ``seconds`` count since this process opened the folder."""
        self.progress = (stage, step, steps)
        write_json(
            self.path / "status.json",
            {
                "stage": stage,
                "step": step,
                "steps": steps,
                "state": state,
                "error": error,
                "updated": time.time(),
                "seconds": time.monotonic() - self._begin,
            },
        )

    def _write(self, rows: Sequence[dict[str, str]]) -> None:
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, _COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path / "metrics.csv", buffer.getvalue())


def _plain(config: Any) -> Any:
    """A dataclass, or a NamedTuple of such, as nested dicts."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return dataclasses.asdict(config)
    return {name: _plain(part) for name, part in config._asdict().items()} if hasattr(config, "_asdict") else config


def _differences(a: Any, b: Any, name: str = "") -> list[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        return [
            d
            for key in sorted(set(a) | set(b))
            for d in _differences(a.get(key), b.get(key), f"{name}.{key}".strip("."))
        ]
    return [] if a == b else [f"{name} is {a} there, {b} here"]
