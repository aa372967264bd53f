"""Settings that hold for every test, and the environments that are costly to compile."""

import gc
import os
from pathlib import Path

import hypothesis
import jax
import pytest

# Most of a cold run is the compiling of small programs that run once: the older code generator takes about half the time.
# JAX reads this when it compiles for the first time; programs that tests start inherit it.
os.environ["XLA_FLAGS"] = " ".join(
    [os.environ.get("XLA_FLAGS", ""), "--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1"]
).strip()

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    parser.addoption("--no-jaxtyping", action="store_true", help="do not check invlearn_jax's shape annotations")


def keep_compiled_programs():
    jax.config.update("jax_compilation_cache_dir", str(ROOT / ".jax_cache" / "tests"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def pytest_configure(config):
    # Tracing makes many objects that live on; looking through them as often as by default takes some per cent of a run.
    gc.set_threshold(50_000, 20, 20)
    # Random streams, and with them every stored figure, must not depend on JAX's default.
    jax.config.update("jax_threefry_partitionable", True)
    # jax_numpy_rank_promotion stays at its default: MJX itself promotes ranks.
    # MJX takes seconds to compile; a second run finds its programs here.
    keep_compiled_programs()
    # For the same reason.
    jax.config.update("jax_disable_most_optimizations", True)
    # Another process may be writing the entry this one reads; it is then compiled anew.
    config.addinivalue_line("filterwarnings", "ignore:Error (reading|writing) persistent compilation cache")
    hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=25)
    hypothesis.settings.load_profile("repeatable")
    if not config.getoption("--no-jaxtyping"):
        from jaxtyping import install_import_hook  # noqa: PLC0415

        install_import_hook("invlearn_jax", "beartype.beartype")


@pytest.fixture(autouse=True)
def own_compile_cache():
    """Programs run in process choose their users' cache, which keeps only what took long: a test starts with the tests' own."""
    keep_compiled_programs()


@pytest.fixture(scope="session")
def umaze_task():
    from invlearn_jax.tasks.registry import make_task  # noqa: PLC0415

    return make_task("maze2d-umaze-v1")


@pytest.fixture(scope="session")
def umaze(umaze_task):
    return umaze_task.environment


@pytest.fixture(scope="session")
def large():
    from invlearn_jax.tasks.registry import make_task  # noqa: PLC0415

    return make_task("maze2d-large-v1").environment


@pytest.fixture(scope="session")
def umaze_batch(umaze):
    from helpers import BatchedStep  # noqa: PLC0415

    return BatchedStep(umaze)


@pytest.fixture(scope="session")
def large_batch(large):
    from helpers import BatchedStep  # noqa: PLC0415

    return BatchedStep(large)


@pytest.fixture(scope="session")
def planner_folder(tmp_path_factory):
    """A small planner of a maze as drawn, on disk."""
    from helpers import save_small_planner, small_maze  # noqa: PLC0415

    return save_small_planner(tmp_path_factory.mktemp("planner"), small_maze())


@pytest.fixture(scope="session")
def umaze_step(umaze):
    """One jitted, unbatched step."""
    return jax.jit(umaze.step)


@pytest.fixture(scope="session")
def umaze_simulator(umaze):
    from invlearn_jax.tasks.maze2d.simulator import MujocoMaze2d  # noqa: PLC0415

    simulator = MujocoMaze2d(umaze.spec, threads=1)
    yield simulator
    simulator.close()


@pytest.fixture(autouse=True)
def _optimised_where_much_is_computed(request):
    """Learning tests run their programs long enough to have them optimised."""
    slow = "slow" in request.keywords
    jax.config.update("jax_disable_most_optimizations", not slow)
    yield
    jax.config.update("jax_disable_most_optimizations", True)
