"""Planners without a compile at the first call: compiled ahead of time, or exported to one portable file.

The file holds the planner's StableHLO with its parameters baked in and a symbolic batch, so that it runs in a process that
has JAX and this module alone: no planner, no parameters, no networks.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from invlearn_jax.files import replace_files
from invlearn_jax.inputs import Numbers, as_array, check_whole, float_type
from invlearn_jax.keys import check_seed, indexed
from invlearn_jax.names import unknown_name
from invlearn_jax.types import Key, Params, Planner, Problem

_MAGIC = b"invlearn_jax exported planner 1\n"
PLATFORMS = ("cpu", "cuda", "tpu")
_KNOWN_PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def compile_planner(
    planner: Planner, params: Params, batch: int | None = None, problem: Problem | None = None
) -> Callable[[Numbers, PyTree, Key], Array]:
    """Compiles a planner now, for one shape of problem, so that no later call does.

    Args:
        planner: what plans.
        params: its parameters.
        batch: B for batched calls; None for one problem a call.
        problem: an example of one problem, for a planner whose Inverter does not state ``state_size`` and
            ``goal_size``.

    Returns:
        ``(state [S], goal, key) -> actions [T, A]``, or with a batch ``(states [B, S], goals, key) -> actions [B, T, A]``.
        The key is consumed. It raises a ``ValueError`` for other shapes.

    Raises:
        ValueError: for a batch below 1, or a planner whose problem's sizes are not known.
    """
    check_whole(batch=batch)
    if batch is not None and batch < 1:
        raise ValueError(f"batch is {batch}; give at least 1, or None for one problem a call.")
    one = _problem_shapes(planner, params, problem)

    def plan(params: Params, state: Array, goal: PyTree, key: Key) -> Array:
        if batch is None:
            return planner.plan(params, key, Problem(state, goal)).actions
        return _batch_actions(planner, params, jax.random.split(key, batch), Problem(state, goal))

    shapes = one if batch is None else _with_batch(one, batch)
    compiled = jax.jit(plan).lower(params, *shapes, jax.random.key(0)).compile()

    def call(state: Numbers, goal: PyTree, key: Key) -> Array:
        return compiled(params, *_checked(state, goal, shapes), key)

    return call


def export_planner(
    planner: Planner,
    params: Params,
    path: str | os.PathLike,
    problem: Problem | None = None,
    platforms: Sequence[str] = PLATFORMS,
) -> None:
    """Writes a planner with its parameters to one file, for any batch size.

    Problem i of a batch is planned with ``keys.indexed(jax.random.key(seed), i)``, so a call is reproducible.

    Args:
        planner: what plans.
        params: its parameters; they become constants of the program.
        path: the file; replaced whole.
        problem: an example of one problem; see ``compile_planner``.
        platforms: what the file is to run on, of ``cpu``, ``cuda``, ``rocm`` and ``tpu``.

    Raises:
        ImportError: without flatbuffers; names the extra to install.
        ValueError: for a planner whose problem's sizes are not known, no platform, or an unknown one.
        OSError: if the file cannot be written.
    """
    if isinstance(platforms, str) or not platforms:
        raise ValueError(f"platforms is {platforms!r}; give a tuple of at least one of {', '.join(_KNOWN_PLATFORMS)}.")
    for platform in platforms:
        if platform not in _KNOWN_PLATFORMS:
            raise unknown_name("platform", platform, _KNOWN_PLATFORMS)
    _need_flatbuffers()
    one = _problem_shapes(planner, params, problem)

    def plan(states: Array, goals: PyTree, seed: Array) -> Array:
        keys = jax.vmap(indexed, in_axes=(None, 0))(jax.random.key(seed), jnp.arange(states.shape[0]))
        return _batch_actions(planner, params, keys, Problem(states, goals))

    (symbol,) = jax.export.symbolic_shape("b")
    shapes = (*_with_batch(one, symbol), jax.ShapeDtypeStruct((), jnp.uint32))
    program = jax.export.export(jax.jit(plan), platforms=list(platforms))(*shapes).serialize()
    head = {"sha256": hashlib.sha256(program).hexdigest(), "bytes": len(program), "jax": jax.__version__}
    replace_files({Path(path): _MAGIC + json.dumps(head).encode() + b"\n" + bytes(program)})


class ExportedPlanner:
    """A planner read from a file: ``exported(states [B, S], goals, seed) -> actions [B, T, A]``, B being any."""

    def __init__(self, exported: jax.export.Exported) -> None:
        """Wraps what ``jax.export`` read; ``load_exported`` makes one."""
        self._shapes = jax.tree.unflatten(exported.in_tree, exported.in_avals)[0][:2]
        self._call = jax.jit(exported.call)
        self.platforms = tuple(exported.platforms)
        self.horizon, self.action_size = exported.out_avals[0].shape[1:]

    def __call__(self, states: Numbers, goals: PyTree, seed: int = 0) -> Float[Array, "B T A"]:
        """Plans for a batch.

        Args:
            states: ``[B, S]``.
            goals: ``[B, G]``, or whatever goal the planner takes, with a leading batch.
            seed: of the planner's randomness, where it has any; 0 to 2^32 - 1.

        Returns:
            The actions.

        Raises:
            ValueError: for other shapes or a seed beyond its range.
        """
        return self._call(*_checked(states, goals, self._shapes), jnp.uint32(check_seed(seed)))


def load_exported(path: str | os.PathLike) -> ExportedPlanner:
    """Reads a file of ``export_planner``.

    Args:
        path: the file.

    Returns:
        The planner; it compiles once for each batch size it meets.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, no exported planner, or from a release of JAX that this one cannot read.
        ImportError: without flatbuffers; names the extra to install.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"There is no file {path}. export_planner writes one.") from error
    _need_flatbuffers()
    program, version = _program(content, path)
    try:
        return ExportedPlanner(jax.export.deserialize(bytearray(program)))
    except Exception as error:
        raise ValueError(
            f"{path} was exported by JAX {version} and cannot be read by JAX {jax.__version__} ({error}). Export the "
            "planner again with a release of JAX less than half a year older than the one that is to read it."
        ) from error


def _program(content: bytes, path: Path) -> tuple[bytes, str]:
    """The serialised program and the version of JAX that wrote it; every byte is checked."""
    if not content.startswith(_MAGIC):
        raise ValueError(f"{path} is no exported planner of this library. Write one with export_planner.")
    head, _, program = content[len(_MAGIC) :].partition(b"\n")
    try:
        fields = json.loads(head)
        wanted, size, version = fields["sha256"], fields["bytes"], fields["jax"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: its header cannot be read. Export the planner again.") from error
    if len(program) != size or hashlib.sha256(program).hexdigest() != wanted:
        raise ValueError(
            f"{path} is damaged: {len(program)} bytes of program where {size} were written, or changed ones. Copy it or "
            "export the planner again."
        )
    return program, version


def _need_flatbuffers() -> None:
    try:
        import flatbuffers  # noqa: F401, PLC0415
    except ImportError as error:
        raise ImportError("Exported planners need flatbuffers: pip install 'invlearn_jax[export]'.") from error


def _problem_shapes(planner: Planner, params: Params, problem: Problem | None) -> PyTree:
    """The shapes of one problem, ``(state, goal)``, in the parameters' floating type; complex numbers keep theirs."""
    dtype = float_type(params)
    if problem is not None:
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype if jnp.iscomplexobj(x) else dtype),
            _arrays(problem.state, problem.goal),
        )
    inverter = getattr(planner, "inverter", None)
    goal_size = getattr(inverter, "goal_size", getattr(inverter, "position_size", None))
    state_size = getattr(inverter, "state_size", None)
    if state_size is None or goal_size is None:
        raise ValueError(
            f"{type(planner).__name__} does not state the sizes of its problem. Give an example: problem=Problem(state, goal)."
        )
    return tuple(jax.ShapeDtypeStruct((n,), dtype) for n in (state_size, goal_size))


def _arrays(state: Numbers, goal: PyTree) -> tuple[Array, PyTree]:
    """State and goal as arrays of their own types; a list or tuple is one array."""
    parts = ("state", state), ("goal", goal)
    return tuple(
        jax.tree.map(lambda x, name=name: as_array(name, x), part, is_leaf=lambda x: type(x) in (list, tuple))
        for name, part in parts
    )


def _with_batch(shapes: PyTree, batch: Any) -> PyTree:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((batch, *x.shape), x.dtype), shapes)


def _batch_actions(planner: Planner, params: Params, keys: Array, problem: Problem) -> Array:
    return jax.vmap(planner.plan, in_axes=(None, 0, 0))(params, keys, problem).actions


def _checked(state: Numbers, goal: PyTree, shapes: PyTree) -> tuple[Array, PyTree]:
    """State and goal as arrays of the wanted types, once their shapes are found right; a symbolic batch is any from 1."""
    given = _arrays(state, goal)
    count = (given[0].shape or (0,))[0]

    def fits(x: Array, like: Any) -> bool:
        return x.shape == tuple(size if isinstance(size, int) else count for size in like.shape)

    same = jax.tree.structure(given) == jax.tree.structure(shapes)  # type: ignore[operator]  # JAX's stubs lack the type.
    if not (same and count >= 1 and all(jax.tree.leaves(jax.tree.map(fits, given, shapes)))):
        raise ValueError(
            f"State and goal have the shapes {jax.tree.map(np.shape, given)}; this planner takes "
            f"{jax.tree.map(lambda x: tuple(x.shape), shapes)}, b being any batch of at least 1. A planner for one problem "
            "a call takes no batch, one for a batch always does."
        )
    return jax.tree.map(lambda x, like: as_array("problem", x, like.dtype), given, shapes)
