"""What a cold process takes to be of use: the import, the first plan, and that with the compile cache.

python -m benchmarks.cold_start --planner=maze2d-large-v1 --repeats=10 --output=benchmarks/results/cold_start.json

Every process is fresh, the three kinds in turn. ``wall`` is what a user waits, ``cpu`` what all its threads work, the
interpreter's own start included in both.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import numpy as np
from absl import flags

from benchmarks.harness import print_head, print_row
from invlearn_jax.files import write_json
from invlearn_jax.io.command import run_program
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.progress import progress

_PLANNER = flags.DEFINE_string("planner", "maze2d-large-v1", "A shipped name or a folder.")
_REPEATS = flags.DEFINE_integer("repeats", 10, "Processes of each kind.", lower_bound=2)
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the rows as JSON.", required=True)

_IMPORT = "import invlearn_jax"
_PLAN = """
import sys
import jax
import invlearn_jax
from invlearn_jax.methods.saved import load_task
task = load_task(sys.argv[1])
planner, params = invlearn_jax.load_planner(sys.argv[1], task=task)
problem = jax.jit(task.draw_problem)(jax.random.key(0))
jax.block_until_ready(jax.jit(planner.plan)(params, jax.random.key(1), problem).actions)
"""


def main(argv: list[str]) -> None:
    """Runs the processes, prints and writes."""
    with tempfile.TemporaryDirectory() as kept:
        _measure(_PLAN, kept)  # fills the cache, and the operating system's of files
        taken = [measured for _ in progress(range(_REPEATS.value), "cold starts") for measured in _round(kept)]
    columns = ("kind", "wall_s_p50", "wall_s_max", "cpu_s_p50")
    print_head(columns)
    rows = []
    for kind in dict.fromkeys(name for name, _, _ in taken):
        wall, cpu = np.array([own for name, *own in taken if name == kind]).T
        rows.append(
            {
                "kind": kind,
                "wall_s_p50": float(np.median(wall)),
                "wall_s_max": float(wall.max()),
                "cpu_s_p50": float(np.median(cpu)),
                "processes": len(wall),
            }
        )
        print_row(rows[-1], columns)
    write_json(_OUTPUT.value, {"rows": rows, "planner": _PLANNER.value, **manifest(0)})


def _round(kept: str) -> Iterator[tuple[str, float, float]]:
    """One process of each kind: its name, wall-clock seconds and CPU seconds."""
    yield "import", *_measure(_IMPORT, kept)
    with tempfile.TemporaryDirectory() as empty:
        yield "first plan, empty cache", *_measure(_PLAN, empty)
    yield "first plan, kept cache", *_measure(_PLAN, kept)


def _measure(program: str, cache: str) -> tuple[float, float]:
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1"}
    subprocess.run([sys.executable, "-c", program, _PLANNER.value], check=True, env=environment)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    run_program(main)
