"""What follows from a state without stepping: MJX's data, the fields of it that a function reads, and what cannot be had.

A cost or reward that was written for a simulator's data becomes one of a state and an action where it reads only

    places = kinematics(qpos),    rates = f(places, qvel),    forces of actuators = f(rates, act, control)

What the constraint solver gives (accelerations, forces of contacts and limits) needs a step, and time is no part of a state.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.extend
import jax.numpy as jnp
import mujoco
import numpy as np
from jax.interpreters import partial_eval
from jaxtyping import Array, Float

from invlearn_jax.inputs import float_type

_GIVEN = {"qpos", "qvel", "act", "ctrl"}
_KEPT = {"mocap_pos", "mocap_quat", "userdata", "eq_active", "qfrc_applied", "xfrc_applied"}  # as the model has them
_PLACES = {"xpos", "xquat", "xmat", "xipos", "ximat", "xanchor", "xaxis", "geom_xpos", "geom_xmat", "site_xpos"}
_PLACES |= {"site_xmat"}
_FURTHER = {"subtree_com", "cdof", "cinert", "cam_xpos", "cam_xmat", "light_xpos", "light_xdir", "ten_length", "ten_J"}
_FURTHER |= {"actuator_length", "actuator_moment", "contact", "cvel", "cdof_dot", "actuator_velocity", "ten_velocity"}
_FURTHER |= {"qfrc_bias", "qfrc_passive", "qfrc_spring", "qfrc_damper", "actuator_force", "qfrc_actuator", "sensordata"}
FIELDS = _GIVEN | _KEPT | _PLACES | _FURTHER
_TRIED = 8  # random values of sensors that need a step
_FAR = 1e3  # their size


class Pruned(NamedTuple):
    """A function traced once, without what its result does not need.

    Attributes:
        call: the function.
        reads: which of its arguments' arrays the result depends on, by their path, ``("data", "qpos")``.
    """

    call: Callable[..., Any]
    reads: frozenset[tuple[str, ...]]


def pruned(function: Callable[..., Any], *examples: Any) -> Pruned:
    """Traces a function and drops all that its result does not need, e.g. the physics of a step whose reward reads places alone.

    Args:
        function: pure.
        examples: arguments, or their shapes.

    Returns:
        The function for arguments of these shapes.
    """
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*examples)
    jaxpr, used = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    run = jax.extend.core.jaxpr_as_fun(jax.extend.core.ClosedJaxpr(jaxpr, closed.consts))
    paths = jax.tree_util.tree_leaves_with_path(examples)
    types = [leaf.dtype for _, leaf in paths]

    def call(*arguments: Any) -> Any:
        leaves = jax.tree.leaves(arguments)
        needed = [
            leaf if jnp.issubdtype(kind, jax.dtypes.prng_key) else jnp.asarray(leaf, kind)
            for leaf, kind, use in zip(leaves, types, used, strict=True)
            if use
        ]
        return jax.tree.unflatten(jax.tree.structure(shape), run(*needed))

    reads = frozenset(_names(path) for (path, _), use in zip(paths, used, strict=True) if use)
    return Pruned(call, reads)


@contextlib.contextmanager
def frozen() -> Iterator[None]:
    """While functions are traced in this context, a step of MJX leaves its data as they are."""
    from mujoco import mjx  # noqa: PLC0415  (a third of the library's import)

    with mock.patch.object(mjx, "step", lambda model, data: data):
        yield


def _names(path: tuple[Any, ...]) -> tuple[str, ...]:
    """The steps of a path as words; MJX's inner struct is left out."""
    words = (jax.tree_util.keystr((step,), simple=True) for step in path)
    return tuple(word for word in words if word != "_impl")


def data_reads(reads: Iterable[tuple[str, ...]], at: int) -> frozenset[str]:
    """The names of the fields that are read of the MJX data at argument ``at``, anywhere inside of it."""
    names = (path[1:] for path in reads if path[0] == str(at))
    return frozenset("contact" if "contact" in path else path[-1] for path in names)


def refuse_fields(reads: Iterable[str], what: str) -> None:
    """Refuses fields that a state does not give.

    Args:
        reads: names of fields of MJX data.
        what: what reads them, for the error.

    Raises:
        ValueError: names them, and the ways out.
    """
    unknown = sorted(set(reads) - FIELDS)
    if unknown:
        raise ValueError(
            f"{what} reads {', '.join(unknown)} of MJX's data, which a state (qpos, qvel, act) and a control do not give without "
            "a step: time, accelerations and the forces of contacts are no function of them. Allowed are places (xpos, "
            "site_xpos, ...), rates (cvel, ...), actuator_force, contact and sensordata of places and rates. Give a cost without "
            "these, or a Task of your own whose state holds them."
        )


def refuse_sensors(model: mujoco.MjModel, value: Callable[[Array], Array], size: int, what: str) -> None:
    """Refuses what reads sensors that need a step: those of accelerations and forces.

    Args:
        model: whose sensors.
        value: of ``sensordata``; it is tried whether such sensors change it.
        size: of ``sensordata``.
        what: what reads it, for the error.

    Raises:
        ValueError: names the sensors.
    """
    late = [i for i in range(model.nsensor) if model.sensor_needstage[i] == mujoco.mjtStage.mjSTAGE_ACC]
    if not late:
        return
    rng = np.random.default_rng(0)
    at = [slice(model.sensor_adr[i], model.sensor_adr[i] + model.sensor_dim[i]) for i in late]
    tried = np.zeros((1 + len(late) * _TRIED, size), np.float32)
    for number, own in enumerate(at):
        rows = slice(1 + number * _TRIED, 1 + (number + 1) * _TRIED)
        tried[rows, own] = _FAR * rng.normal(size=tried[rows, own].shape)
    found = np.asarray(jax.jit(jax.vmap(value))(jnp.asarray(tried)))
    changed = (found[1:] != found[0]).reshape(len(late), _TRIED).any(1)
    names = [model.sensor(i).name or f"number {i}" for i, moved in zip(late, changed, strict=True) if moved]
    if names:
        raise ValueError(
            f"{what} reads the sensors {', '.join(names)}, which measure accelerations or forces: they need a step. Use "
            "sensors of places or rates, or give a cost without them."
        )


def derive(
    mjx: Any, model: Any, data: Any, state: Float[Array, " S"], control: Float[Array, " U"], reads: frozenset[str]
) -> Any:
    """MJX's data in a state under a control, as far as ``reads`` asks for it. All is differentiable.

    Args:
        mjx: the module.
        model: on MJX.
        data: to begin with: what is kept is taken from it.
        state: ``[qpos, qvel, act]``.
        control: of the actuators.
        reads: the fields that must be right.

    Returns:
        The data.
    """
    kind = float_type()
    places, rates, act = jnp.split(jnp.asarray(state, kind), [model.nq, model.nq + model.nv])
    data = data.replace(qpos=places, qvel=rates, act=act, ctrl=jnp.asarray(control, kind))
    if reads <= _GIVEN | _KEPT:
        return data
    data = mjx.kinematics(model, data)
    if reads <= _GIVEN | _KEPT | _PLACES:
        return data
    for part in (mjx.com_pos, mjx.camlight, mjx.tendon, mjx.crb, mjx.factor_m, mjx.transmission):
        data = part(model, data)
    if "contact" in reads:
        data = mjx.collision(model, data)
    if "sensordata" in reads:
        data = mjx.sensor_pos(model, data)
    data = mjx.fwd_velocity(model, data)
    if "sensordata" in reads:
        data = mjx.sensor_vel(model, data)
    return mjx.fwd_actuation(model, data)
