"""Environment steps and plans per second.

    python -m benchmarks.throughput --planner=maze2d-umaze-v1 --output=benchmarks/results/throughput.json [--preset=quick]

Physics: systems driven by random actions, each held for 25 steps, from states that two calls led to; one call is 100
steps of the whole batch, and the device is waited for. Actions are drawn outside the timed calls. Settings of the rows:

- ``plain``: MJX (jit, vmap, scan) on one XLA device with the compiler's defaults.
- ``tuned``: on a CPU one single-threaded XLA device per core, each with its share of the batch (``jax.shard_map``), and
  XLA's library fusions off: from a batch of about 512 on they hand MJX's tiny products and sums to a neural-network
  library, which costs more than the work itself. On accelerators the batch is shared among all devices.
- ``mujoco``: C MuJoCo, one thread per core.

The physics is the same in all of them. Plans are made by the whole planner on one device.
"""

import contextlib
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from benchmarks.harness import plan_case, print_head, print_row, random_problems, sweep
from invlearn_jax.evaluate.episodes import draw_problems
from invlearn_jax.files import write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed
from invlearn_jax.methods.saved import load_planner, load_task, planner_names
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.tasks.task import Task

SETTINGS = ("plain", "tuned", "mujoco")
_TUNED_CPU = {"xla_cpu_experimental_ynn_fusion_type": "", "xla_cpu_multi_thread_eigen": False}
_HOLD = 25
_BURN_IN_CALLS = 2


class Preset(NamedTuple):
    """How much to measure."""

    tasks: tuple[str, ...]
    batches: tuple[int, ...]
    plan_batches: tuple[int, ...]
    refine_steps: tuple[int, ...]
    calls: int


_MAZES = ("maze2d-umaze-v1", "maze2d-medium-v1", "maze2d-large-v1")
PRESETS = {
    "full": Preset(_MAZES, (64, 128, 256, 512, 1024, 2048, 4096), (256, 1024, 4096), (0, 2, 10), 5),
    "quick": Preset(_MAZES[-1:], (256, 4096), (256, 4096), (0,), 3),
}
_LARGEST_PLAN_BATCH = 65536
_COLUMNS = ("engine", "settings", "env", "batch", "devices", "compile_s", "steps_per_s", "best_per_s", "calls")
_PLAN_COLUMNS = ("stage", "output", "refine_steps", "batch", "compile_ms", "p50_ms", "calls", "per_s")

_PLANNER = flags.DEFINE_string(
    "planner",
    None,
    f"Whose plans to count: a shipped name ({', '.join(planner_names())}) or a folder; none by default.",
)
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the rows as JSON.", required=True)
_PRESET = flags.DEFINE_enum("preset", "full", sorted(PRESETS), "How much to measure.")
_TASKS = flags.DEFINE_list("tasks", None, "Tasks, by name or FILE.py:CLASS, instead of the preset's.")
_BATCHES = flags.DEFINE_multi_integer("batches", None, "Batches of systems instead of the preset's.", lower_bound=1)
_PLAN_BATCHES = flags.DEFINE_multi_integer("plan_batches", None, "Batches of plans instead of the preset's.")
_KINDS = flags.DEFINE_multi_enum("settings", SETTINGS, SETTINGS, "Which rows of physics.")
_STEPS = flags.DEFINE_integer("steps", 100, "Steps per timed call.", lower_bound=1)
_CALLS = flags.DEFINE_integer("calls", None, "Timed calls per row instead of the preset's.", lower_bound=1)
_DEVICES = flags.DEFINE_integer("devices", os.cpu_count(), "XLA devices that a CPU is split into.", lower_bound=1)
_ROW_SECONDS = flags.DEFINE_float("row_seconds", 60.0, "Longest time for a row of plans.", lower_bound=0.0)
_TRACE = flags.DEFINE_string("trace", None, "A folder for a jax.profiler trace of one call of every MJX row.")
_SEED = define_seed(0, "Seed of states and actions.")


def physics(task: Task, devices: Sequence[jax.Device]) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """``(states [B, S], actions [B, T, A]) -> states [B, S]`` after T steps, each device stepping its share of the batch."""

    def rollout(state: jax.Array, actions: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda state, action: (task.step(state, action), None), state, actions)[0]

    batched = jax.vmap(rollout)
    if len(devices) == 1:
        return batched
    share = PartitionSpec("batch")
    # Each device loops over its own solver steps; nothing is exchanged.
    return jax.shard_map(batched, mesh=_mesh(devices), in_specs=(share, share), out_specs=share, check_vma=False)


def compile_with(function: Callable, options: dict[str, Any], *args: Any) -> tuple[Callable, dict[str, Any], float]:
    """Compiles with those of the options that this release of XLA knows.

    Returns:
        The compiled function, the options it was compiled with, and the seconds that tracing and compiling took.
    """
    options = dict(options)
    while True:
        begin = time.perf_counter()
        try:
            compiled = jax.jit(function, compiler_options=options).lower(*args).compile()
        except jax.errors.JaxRuntimeError as error:
            unknown = [name for name in options if f"No such compile option: '{name}'" in str(error)]
            if not unknown:
                raise
            options.pop(unknown[0])
            continue
        return compiled, options, time.perf_counter() - begin


def mjx_row(task: Task, batch: int, settings: str, steps: int, calls: int, seed: int, trace: str | None) -> dict:
    """Steps per second of MJX; ``settings`` is ``plain`` or ``tuned``."""
    devices = _devices(settings, batch)
    options = _TUNED_CPU if settings == "tuned" and devices[0].platform == "cpu" else {}
    sharding = NamedSharding(_mesh(devices), PartitionSpec("batch"))
    state = jax.device_put(_starts(task, batch, seed), sharding)
    rng = np.random.default_rng(seed)

    def draw() -> jax.Array:
        return jax.block_until_ready(jax.device_put(_actions(task, rng, batch, steps), sharding))

    step, options, compile_s = compile_with(physics(task, devices), options, state, draw())
    seconds = []
    for _ in range(_BURN_IN_CALLS + calls):
        actions = draw()
        begin = time.perf_counter()
        state = jax.block_until_ready(step(state, actions))
        seconds.append(time.perf_counter() - begin)
    if not np.isfinite(np.asarray(state)).all():
        raise FloatingPointError(f"A state of {task.name} is not finite after {steps * len(seconds)} steps.")
    if trace:
        with jax.profiler.trace(trace):
            jax.block_until_ready(step(state, draw()))
    row = {"engine": "mjx", "settings": settings, "env": task.name, "batch": batch, "devices": len(devices)}
    return row | {"compiler_options": options, "compile_s": compile_s} | _rates(seconds, batch * steps)


def mujoco_row(task: Task, batch: int, steps: int, calls: int, seed: int) -> dict:
    """Steps per second of C MuJoCo, one thread per core."""
    simulator = task.simulator()
    state, rng = np.asarray(_starts(task, batch, seed), np.float64), np.random.default_rng(seed)
    seconds = []
    for _ in range(_BURN_IN_CALLS + calls):
        actions = _actions(task, rng, batch, steps)
        begin = time.perf_counter()
        for step in range(steps):
            state = simulator.step(state, actions[:, step])
        seconds.append(time.perf_counter() - begin)
    simulator.close()
    row = {"engine": "mujoco", "settings": "mujoco", "env": task.name, "batch": batch, "devices": os.cpu_count()}
    return row | {"compiler_options": {}, "compile_s": None} | _rates(seconds, batch * steps)


def plan_rows(batches: Sequence[int], refine_steps: Sequence[int], calls: int) -> list[dict[str, Any]]:
    """Plans per second of the planner of the flags."""
    task = load_task(_PLANNER.value)
    batches = sorted(batches)
    keys, problems = random_problems(task, from_seed(_SEED.value), batches[-1])
    rows: list[dict[str, Any]] = []
    print_head(_PLAN_COLUMNS)
    for steps in refine_steps:
        planner, params = load_planner(_PLANNER.value, refine_steps=steps, task=task)
        for output in ("actions", "full"):
            case = plan_case(planner, steps, output)
            rows += sweep(case, params, keys, problems, batches, calls, _ROW_SECONDS.value, _PLAN_COLUMNS)
    return rows


def main(argv: list[str]) -> None:
    """Measures what the flags ask for."""
    # Refused once the first array is made; who calls from a running program keeps its devices. Rows say how many.
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", _DEVICES.value)
    chosen = PRESETS[_PRESET.value]
    batches, calls = sorted(_BATCHES.value or chosen.batches), _CALLS.value or chosen.calls
    tasks = [make_task(name) for name in _TASKS.value or chosen.tasks]
    if _PLANNER.value:
        load_task(_PLANNER.value)  # refused before anything is measured
    print_head(_COLUMNS)
    rows = []
    for task in tasks:
        for settings in _KINDS.value:
            for batch in batches:
                if settings == "mujoco":
                    row = mujoco_row(task, batch, _STEPS.value, calls, _SEED.value)
                else:
                    row = mjx_row(task, batch, settings, _STEPS.value, calls, _SEED.value, _TRACE.value)
                rows.append(row | {"steps_per_call": _STEPS.value})
                print_row(row, _COLUMNS)
    plan_batches = _PLAN_BATCHES.value or chosen.plan_batches
    if not _PLAN_BATCHES.value and jax.default_backend() != "cpu":
        plan_batches = (*plan_batches, _LARGEST_PLAN_BATCH)
    plans = plan_rows(plan_batches, chosen.refine_steps, 4 * calls) if _PLANNER.value else []
    record = {"preset": _PRESET.value, "planner": _PLANNER.value, "physics": rows, "plans": plans}
    write_json(_OUTPUT.value, record | manifest(_SEED.value))


def _devices(settings: str, batch: int) -> list[jax.Device]:
    """One device, or for ``tuned`` as many as the batch can be shared among."""
    devices = jax.devices()
    return devices[: math.gcd(batch, len(devices))] if settings == "tuned" else devices[:1]


def _mesh(devices: Sequence[jax.Device]) -> Mesh:
    return Mesh(np.array(devices), ("batch",))


def _starts(task: Task, batch: int, seed: int) -> jax.Array:
    return jnp.asarray(draw_problems(task, from_seed(seed), batch).state, jnp.float32)


def _actions(task: Task, rng: np.random.Generator, batch: int, steps: int) -> np.ndarray:
    """``[batch, steps, A]`` random actions, each held long enough to carry the system far, into walls where there are any."""
    shape = (batch, -(-steps // _HOLD), task.action_size)
    drawn = rng.uniform(task.action_low, task.action_high, shape).astype(np.float32)
    return np.repeat(drawn, _HOLD, axis=1)[:, :steps]


def _rates(seconds: list[float], steps: int) -> dict[str, Any]:
    """Steps per second over the timed calls, those of the burn-in left out."""
    timed = seconds[_BURN_IN_CALLS:]
    return {"steps_per_s": steps / float(np.median(timed)), "best_per_s": steps / min(timed), "calls": len(timed)}


if __name__ == "__main__":
    run_program(main)
