"""What several test files share: counting compilations, programs, batched physics, a linear world with a known solution."""

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from conftest import ROOT

from invlearn_jax.data import Dataset
from invlearn_jax.methods import inverter
from invlearn_jax.methods.fitting import method_settings
from invlearn_jax.methods.saved import save_planner
from invlearn_jax.objectives import effort, reach, weighted_sum
from invlearn_jax.planners import InversePlanner
from invlearn_jax.rollout import unroll_steps
from invlearn_jax.settings import with_settings
from invlearn_jax.tasks.maze2d.environment import Maze2d
from invlearn_jax.tasks.maze2d.task import Maze2dTask
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.tasks.task import Task

# Raised once for each program that is lowered, whether or not the persistent cache then has it compiled already.
_LOWERING = "/jax/core/compile/jaxpr_to_mlir_module_duration"

# A small Inverter's networks, by the method's settings.
SMALL = {"model.hidden": (16,), "model.chunk": 4, "tail.hidden": (16,), "net.hidden": (16,), "inverter.advance": ()}


def small_maze(name: str = "maze2d-umaze-v1") -> Maze2dTask:
    """A maze with plans of 8 steps, 4 of them executed."""
    task = make_task(name)
    task.settings.horizon, task.settings.execute_steps = 8, 4
    return task


def small_planner(task: Task, **inference: Any) -> tuple[InversePlanner, Any]:
    """An untrained planner of the method ``inverter`` with small networks, and the settings it is built by."""
    settings = with_settings(method_settings(task, "inverter"), SMALL)
    return inverter.build(task, settings, **inference), settings


def save_small_planner(folder: Path, task: Task) -> Path:
    """A planner as drawn, on disk."""
    planner, settings = small_planner(task)
    save_planner(folder, task, "inverter", settings, jax.jit(planner.init)(jax.random.key(0)))
    return folder


@contextlib.contextmanager
def _no_flags() -> Iterator[None]:
    """Without the flags of programs that tests have imported, and without those that are defined within."""
    # Where annotations are checked, flags that the library defines for a program seem to be of jaxtyping.
    programs = ("experiments.", "benchmarks.", "jaxtyping.")
    owners = {name: flags.FLAGS.find_module_defining_flag(name) for name in flags.FLAGS}
    taken = {name: flags.FLAGS[name] for name, owner in owners.items() if str(owner).startswith(programs)}
    for name in taken:
        delattr(flags.FLAGS, name)
    before = set(flags.FLAGS)
    try:
        yield
    finally:
        for name in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, name)
        for name, flag in taken.items():
            flags.FLAGS[name] = flag
            flags.FLAGS.register_flag_by_module(owners[name], flag)


def run_here(program: str, *arguments: object, **attributes: Any) -> str:
    """Runs a program of flags in this process.

    Its flags are taken back, so that others can define them.

    Args:
        program: a module with ``main(argv)``; of one name in ``benchmarks``.
        *arguments: its command line.
        **attributes: of the module, to be set before.

    Returns:
        What it printed.
    """
    name = program if "." in program else f"benchmarks.{program}"
    sys.modules.pop(name, None)
    printed = io.StringIO()
    with _no_flags():
        try:
            module = importlib.import_module(name)
            for attribute, value in attributes.items():
                setattr(module, attribute, value)
            flags.FLAGS([program, *map(str, arguments)])
            with contextlib.redirect_stdout(printed):
                module.main([])
        finally:
            flags.FLAGS.unparse_flags()
            sys.modules.pop(name, None)
    return printed.getvalue()


def run_environment() -> dict[str, str]:
    """The environment of a program that a test starts."""
    # MJX takes seconds to compile; a second run finds its programs where the tests keep theirs.
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache" / "tests"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
        # As in this process: most of a cold run is compiling.
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    return os.environ | cache


def run_python(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    """Runs Python in the repository's root with these arguments and additions to the environment."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=run_environment() | environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def read_record(done: subprocess.CompletedProcess | None, path: Path) -> dict:
    """The record that a program wrote, after checking that it ended well and says where the record comes from."""
    assert done is None or done.returncode == 0, done.stderr
    record = json.loads(path.read_text())
    assert {"command", "git_revision", "versions", "device", "seed", "date"} <= set(record)
    return record


@contextlib.contextmanager
def count_compilations() -> Iterator[list[float]]:
    """Gathers one entry for each program that JAX lowers inside the block."""
    seen: list[float] = []

    def listen(event: str, duration: float, **_: object) -> None:
        if event == _LOWERING:
            seen.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


class BatchedStep:
    """One MJX step of any number of balls, in padded batches of one width, so that it compiles once."""

    def __init__(self, env: Maze2d, width: int = 256):
        """Nothing is compiled before the first call."""
        self.env, self.width = env, width

        def step(obs: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array]:
            state = env.step(env.reset_to(obs, env.goal), action)
            return state.obs, state.reward

        self._step = jax.jit(jax.vmap(step))

    def __call__(self, obs: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Observations ``[N, 4]`` and rewards ``[N]`` after one step."""
        obs, actions = np.asarray(obs, np.float32), np.asarray(actions, np.float32)
        count = len(obs)
        padding = -count % self.width
        obs, actions = (np.concatenate([x, np.repeat(x[:1], padding, axis=0)]) for x in (obs, actions))
        parts = [
            self._step(obs[i : i + self.width], actions[i : i + self.width]) for i in range(0, len(obs), self.width)
        ]
        states, rewards = (
            np.concatenate([np.asarray(x) for x in column])[:count] for column in zip(*parts, strict=True)
        )
        return states, rewards


def held_actions(rng: np.random.Generator, count: int, steps: int, hold: int = 25) -> np.ndarray:
    """``[steps, count, 2]`` random actions, each held long enough to carry a ball into the walls."""
    drawn = np.clip(rng.normal(size=(-(-steps // hold), count, 2)), -1, 1)
    return np.repeat(drawn, hold, axis=0)[:steps]


class LinearModel:
    """``x' = A x + B u`` as a ForwardModel; its parameters are ``(A, B)``."""

    gradient = "reverse"

    def __init__(self, a: np.ndarray, b: np.ndarray, dt: float):
        """Keeps the matrices that ``init`` hands out."""
        self.a, self.b, self.dt = jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32), dt

    def init(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The matrices; the key is not used."""
        return self.a, self.b

    def unroll(self, params: tuple, state: jax.Array, actions: jax.Array) -> jax.Array:
        """``[T+1, S]``."""
        return unroll_steps(lambda p, x, u: p[0] @ x + p[1] @ u, params, state, actions)


def double_integrator(axes: int, dt: float = 0.1) -> LinearModel:
    """Unit masses on ``axes`` axes: states are positions, then velocities."""
    eye, zero = np.eye(axes), np.zeros((axes, axes))
    a = np.block([[eye, dt * eye], [zero, eye]])
    return LinearModel(a, np.concatenate([0.5 * dt**2 * eye, dt * eye]), dt)


REACH_WITH_LITTLE_EFFORT = weighted_sum(reach=(1.0, reach(2)), effort=(1e-3, effort))


def counting_rows(lengths: list[int]) -> Dataset:
    """Episodes of these lengths whose x counts up through all of them; velocity 1, actions the row's number."""
    rows = np.arange(sum(lengths), dtype=np.float32)
    states = np.stack([rows, 0 * rows, np.ones_like(rows), np.ones_like(rows)], axis=1)
    ends = np.zeros(len(rows), bool)
    ends[np.cumsum(lengths) - 1] = True
    return Dataset(states, np.stack([rows, rows], axis=1), ends)


def apart(found: np.ndarray, wanted: np.ndarray) -> float:
    """The greatest difference of matrices ``[*b, D, D]`` but for a phase of each."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    overlap = np.einsum("...ij,...ij->...", wanted.conj(), found)
    phase = overlap / np.abs(overlap)
    return np.abs(found - wanted * phase[..., None, None]).max()


def haar(seed: int, num: int, dimension: int) -> np.ndarray:
    """Unitaries of NumPy, in double precision."""
    rng = np.random.default_rng(seed)
    parts = rng.normal(size=(2, num, dimension, dimension))
    q, r = np.linalg.qr(parts[0] + 1j * parts[1])
    diagonal = np.diagonal(r, axis1=1, axis2=2)
    return q * (diagonal / np.abs(diagonal))[:, None, :]


def make_dataset(lengths=(4, 5), rewards=True, seed=0):
    """Rows of random numbers in episodes of these lengths."""
    rng = np.random.default_rng(seed)
    rows = sum(lengths)
    return Dataset(
        rng.normal(size=(rows, 4)).astype(np.float32),
        rng.uniform(-1, 1, (rows, 2)).astype(np.float32),
        np.isin(np.arange(rows), np.cumsum(lengths) - 1),
        rng.uniform(size=rows).astype(np.float32) if rewards else None,
    )


def assert_same(first, second):
    """The same arrays, of the same types."""
    for a, b in zip(first, second, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


def d4rl_arrays(rows=9, ends=(3, 8)):
    """D4RL's keys; the observation after the first end repeats, as D4RL's does."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(rows, 4)).astype(np.float32)
    observations = truth.copy()
    observations[ends[0] + 1] = observations[ends[0]]
    return {
        "observations": observations,
        "actions": rng.uniform(-1, 1, (rows, 2)).astype(np.float32),
        "rewards": rng.uniform(size=rows).astype(np.float32),
        "terminals": np.zeros(rows, bool),
        "timeouts": np.isin(np.arange(rows), ends),
        "infos/goal": rng.normal(size=(rows, 2)).astype(np.float32),
        "infos/qpos": truth[:, :2],
        "infos/qvel": truth[:, 2:],
    }


def scrambled(params, seed=0):
    """Parameters with nothing at zero or one: fresh ones predict almost no change."""
    leaves, structure = jax.tree.flatten(params)
    rng = np.random.default_rng(seed)
    return structure.unflatten([x + jnp.asarray(rng.uniform(-0.2, 0.2, x.shape), x.dtype) for x in leaves])
