"""Who may import whom, read from the source; and that importing the library does nothing else."""

import ast
import re
import subprocess
import sys

import pytest
from conftest import ROOT

import invlearn_jax

LIBRARY = "invlearn_jax"

# A part imports parts of lower levels only, but for the exceptions.
LEVELS = [
    {"types", "names", "files"},
    {"keys", "settings", "inputs", "progress", "frames"},
    {"parametrisation"},
    {"rollout", "objectives"},
    {"networks", "data"},
    {"tasks"},
    {"models", "refine"},
    {"inverters", "planners", "learn", "imitation", "representation"},
    {"io"},
    {"methods"},
    {"evaluate", "export"},
    {"report"},
]
LEVEL = {part: level for level, parts in enumerate(LEVELS) for part in parts}
SAME_LEVEL = {
    ("learn", "io"),
    ("planners", "inverters"),
    ("learn", "inverters"),
    ("imitation", "learn"),
}
# Worlds: the folders in ``tasks/``. They may import every part, and nothing outside imports them.
WORLDS = {path.name for path in (ROOT / LIBRARY / "tasks").iterdir() if (path / "__init__.py").exists()}

# A world of other libraries' environments, which worlds may inherit from; it holds none of theirs.
BASES = {"adapters"}

# These come in where the adapter that needs them is called, never when the library is imported.
LATE = {"absl", "brax", "gymnasium", "gymnasium_robotics", "h5py", "matplotlib", "minari", "mujoco_playground", "qutip"}
LATE |= {"qutip_qtrl", "tqdm"}
ONLY_IN = {"flax": "networks", "orbax": "io"}


def imports(tree, package):
    """``(module, depth)`` of every import; ``from p import n`` gives ``p.n``; depth 0 is outside any function."""
    found = []

    def visit(node, depth):
        if isinstance(node, ast.Import):
            found.extend((alias.name, depth) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            found.extend((".".join([*base, alias.name]), depth) for alias in node.names)
        # What only a type checker reads is no import at run time.
        checked = isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
        inner = depth + (checked or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, inner)

    visit(tree, 0)
    return found


def violations(source, path):
    """What a library file at ``path`` (e.g. ``("refine", "base.py")``) imports against the rules."""
    part = path[0].removesuffix(".py")
    world = path[1] if part == "tasks" and len(path) > 2 else None
    found = []
    for module, depth in imports(ast.parse(source), [LIBRARY, *path[:-1]]):
        top, *rest = module.split(".")
        if top in LATE and depth == 0:
            found.append(f"{module} at module top")
        if top in ONLY_IN and part != ONLY_IN[top]:
            found.append(f"{module} outside {ONLY_IN[top]}/")
        if top in {"experiments", "benchmarks", "tests"}:
            found.append(f"{module} from the library")
        # The top of the package gathers the public names: it may import all parts, no part may import it.
        if top != LIBRARY or part == "__init__":
            continue
        other = rest[0] if rest else "__init__"
        named = rest[1] if other == "tasks" and len(rest) > 1 and rest[1] in WORLDS else None
        if named not in (None, world, *([] if world is None else BASES)):
            found.append(f"{module}, a world, from outside it")
        if other == part or (world and other in LEVEL):
            continue
        if other not in LEVEL:
            found.append(f"{module}: {other!r} is no part with a level")
        elif LEVEL[other] >= LEVEL[part] and (part, other) not in SAME_LEVEL:
            found.append(f"{part} imports {module}")
    return found


FILES = sorted((ROOT / LIBRARY).rglob("*.py"))
PROGRAMS = sorted(path for folder in ("benchmarks", "experiments") for path in (ROOT / folder).rglob("*.py"))


WORDS_OF_WORLDS = {
    "maze",
    "maze2d",
    "mazes",
    "ant",
    "ants",
    "antmaze",
    "gate",
    "gates",
    "pulse",
    "pulses",
    "qubit",
    "qubits",
    "pendulum",
    "cartpole",
    "acrobot",
    "gridworld",
    "lunarlander",
    "quadrotor",
    "walker",
    "walker2d",
    "hopper",
    "halfcheetah",
    "cheetah",
    "humanoid",
}


def identifiers(tree):
    """Every name in a syntax tree."""
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name", "asname", "module"):
            if isinstance(value := getattr(node, field, None), str):
                yield value


def words_of_worlds(source):
    """The words of a file's identifiers, ``as_these`` or ``AsThese``, that belong to a world."""
    words = {
        word.lower()
        for name in identifiers(ast.parse(source))
        for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+", name)
    }
    return words & WORDS_OF_WORLDS


@pytest.mark.parametrize(
    "source", ["AntWalk()", "def f(maze): ...", "from a.gates import b", "x.pulse_planner", "import maze2d"]
)
def test_a_named_world_is_noticed(source):
    assert words_of_worlds(source)


def test_no_world_is_named_outside_tasks():
    outside = [path for path in FILES if path.relative_to(ROOT / LIBRARY).parts[0] != "tasks"]
    named = {str(path.relative_to(ROOT)): words_of_worlds(path.read_text()) for path in outside}
    assert {path: words for path, words in named.items() if words} == {}


def test_every_part_has_a_level():
    parts = {path.relative_to(ROOT / LIBRARY).parts[0].removesuffix(".py") for path in FILES} - {"__init__", "shared"}
    assert parts <= set(LEVEL), f"Give these a level: {sorted(parts - set(LEVEL))}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / LIBRARY)))
def test_library_file_keeps_the_import_rules(path):
    assert violations(path.read_text(), path.relative_to(ROOT / LIBRARY).parts) == []


@pytest.mark.parametrize(
    ("source", "path", "count"),
    [
        ("from invlearn_jax.models import EnsembleModel", ("refine", "base.py"), 1),
        ("from invlearn_jax import planners", ("refine", "base.py"), 1),
        ("from ..planners import planner", ("refine", "base.py"), 1),
        ("from . import base", ("refine", "__init__.py"), 0),
        ("from .base import refine", ("refine", "gradient.py"), 0),
        ("from invlearn_jax.rollout import score", ("types.py",), 1),
        ("from invlearn_jax.data import dataset", ("networks", "mlp.py"), 1),
        ("from invlearn_jax.learn import loop", ("planners", "planner.py"), 1),
        ("from invlearn_jax.data import dataset", ("learn", "loop.py"), 0),
        ("import invlearn_jax", ("learn", "loop.py"), 1),
        ("from invlearn_jax import Problem", ("learn", "loop.py"), 1),
        ("from invlearn_jax.types import Problem", ("__init__.py",), 0),
        ("import h5py", ("data", "d4rl.py"), 1),
        ("try:\n    import h5py\nexcept ImportError:\n    pass", ("data", "d4rl.py"), 1),
        ("class A:\n    import tqdm", ("learn", "loop.py"), 1),
        ("def read():\n    import h5py", ("data", "d4rl.py"), 0),
        ("if TYPE_CHECKING:\n    import gymnasium", ("tasks", "bridge.py"), 0),
        ("if TYPE_CHECKING:\n    from invlearn_jax.learn import loop", ("tasks", "bridge.py"), 1),
        ("def f():\n    import flax.linen", ("models", "sequence.py"), 1),
        ("import flax.linen as nn", ("networks", "mlp.py"), 0),
        ("import orbax.checkpoint as ocp", ("learn", "loop.py"), 1),
        ("import orbax.checkpoint as ocp", ("io", "checkpoint.py"), 0),
        ("from experiments import run", ("evaluate", "episodes.py"), 1),
        ("from invlearn_jax.tasks.gates import systems", ("methods", "fitting.py"), 1),
        ("from invlearn_jax.tasks.gates import systems", ("tasks", "registry.py"), 1),
        ("from invlearn_jax.tasks.gates import systems", ("tasks", "another", "task.py"), 1),
        ("from invlearn_jax.tasks.gates import systems", ("tasks", "gates", "weyl.py"), 0),
        ("from invlearn_jax.planners import planner", ("tasks", "gates", "weyl.py"), 0),
        ("from invlearn_jax.planners import planner", ("tasks", "registry.py"), 1),
        ("from invlearn_jax.tasks.adapters import costs", ("tasks", "gates", "weyl.py"), 0),
        ("from invlearn_jax.tasks.adapters import costs", ("learn", "loop.py"), 1),
    ],
)
def test_the_rules_themselves(source, path, count):
    assert len(violations(source, path)) == count


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: "/".join(path.parts[-2:]))
def test_nothing_imports_a_program_of_experiments(path):
    modules = [module for module, _ in imports(ast.parse(path.read_text()), [path.parent.name])]
    assert [module for module in modules if module.split(".")[0] == "experiments"] == []


def test_public_names():
    assert len(invlearn_jax.__all__) <= 30
    assert sorted(invlearn_jax.__all__) == sorted(set(invlearn_jax.__all__))
    assert all(getattr(invlearn_jax, name).__doc__ for name in invlearn_jax.__all__)


IMPORT_EVERYTHING = """
import os
os.environ["JAX_PLATFORMS"] = "none-such"  # whatever asks for a device fails
import importlib, pkgutil, sys
import jax
environment, config = dict(os.environ), dict(jax.config.values)
import invlearn_jax
for module in pkgutil.walk_packages(invlearn_jax.__path__, "invlearn_jax."):
    importlib.import_module(module.name)
assert dict(os.environ) == environment, "environment variables changed"
changed = {k: (v, jax.config.values[k]) for k, v in config.items() if jax.config.values[k] != v}
assert not changed, changed
late = {"matplotlib", "gymnasium", "h5py", "minari", "qutip", "tqdm"} & set(sys.modules)
# Half of a cold process's time to its first plan, for what planning does not need.
late |= {"mujoco.mjx", "orbax.checkpoint", "scipy.stats", "scipy.sparse", "scipy.spatial"} & set(sys.modules)
assert not late, late
"""


def test_importing_the_library_has_no_side_effects():
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
