"""Where bodies are, from joints' positions: differentiable, along the one chain of bodies that leads there.

    R_b = R_parent R_0 prod_j R(axis_j, q_j),    x_b = x_parent + R_parent x_0, joint by joint about their anchors

MJX computes all bodies of a model at once, in code that takes XLA 10 s and more to compile on a CPU in every function that asks
for a place. This is the chain alone, with the conventions of MuJoCo (``mj_kinematics``), number by number: zeros and ones of the
model cost nothing, and under ``vmap`` each operation is one over the whole batch instead of many over three numbers.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float

# A number that is known, or one that follows from the state.
_Number = float | Array
_Vector = list[_Number]
_Matrix = list[_Vector]  # rows

_FREE, _BALL, _SLIDE, _HINGE = range(4)  # mujoco.mjtJoint
_EYE: _Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


def body_pose(
    model: mujoco.MjModel, body: int, qpos: Float[Array, " Q"]
) -> tuple[Float[Array, "3"], Float[Array, "3 3"]]:
    """Where a body's frame is in the world.

    Args:
        model: whose body it is.
        body: its number.
        qpos: generalised positions; quaternions need no unit length.

    Returns:
        The place, metres, and the frame's axes as columns.
    """
    place, axes = _pose(model, body, qpos)
    return _stacked(place, qpos), jnp.stack([_stacked(row, qpos) for row in axes])


def site_place(model: mujoco.MjModel, site: int, qpos: Float[Array, " Q"]) -> Float[Array, "3"]:
    """Where a site is in the world, metres."""
    place, axes = _pose(model, int(model.site_bodyid[site]), qpos)
    return _stacked(_sum(place, _turned(axes, _known(model.site_pos[site]))), qpos)


def _pose(model: mujoco.MjModel, body: int, qpos: Array) -> tuple[_Vector, _Matrix]:
    chain = []
    while body:
        chain.append(body)
        body = int(model.body_parentid[body])
    place: _Vector = [0.0, 0.0, 0.0]
    axes: _Matrix = _EYE
    for number in reversed(chain):
        place = _sum(place, _turned(axes, _known(model.body_pos[number])))
        axes = _product(axes, _rotation(_known(model.body_quat[number])))
        first = int(model.body_jntadr[number])
        for joint in range(first, first + int(model.body_jntnum[number])):
            place, axes = _moved(model, joint, qpos, place, axes)
    return place, axes


def _moved(model: mujoco.MjModel, joint: int, qpos: Array, place: _Vector, axes: _Matrix) -> tuple[_Vector, _Matrix]:
    """The frame after one of its joints."""
    kind, at = int(model.jnt_type[joint]), int(model.jnt_qposadr[joint])
    if kind == _FREE:
        return [qpos[at + i] for i in range(3)], _rotation(_unit(qpos[at + 3 : at + 7]))
    axis, moved = _known(model.jnt_axis[joint]), qpos[at] - float(model.qpos0[at])
    if kind == _SLIDE:
        return _sum(place, [_times(moved, x) for x in _turned(axes, axis)]), axes
    turn = _rotation(_unit(qpos[at : at + 4])) if kind == _BALL else _about(axis, moved)
    following, anchor = _product(axes, turn), _known(model.jnt_pos[joint])
    back = [_times(-1.0, x) for x in _turned(following, anchor)]
    return _sum(_sum(place, _turned(axes, anchor)), back), following


def _about(axis: _Vector, angle: Array) -> _Matrix:
    """Rodrigues: ``I + sin K + (1 - cos) K^2``, K the cross product with the axis."""
    cross = np.cross(np.eye(3), np.asarray(axis))
    sine, versine = jnp.sin(angle), 1 - jnp.cos(angle)
    parts = zip(np.eye(3).tolist(), cross.tolist(), (cross @ cross).tolist(), strict=True)
    return [
        [_plus(_plus(e, _times(k, sine)), _times(kk, versine)) for e, k, kk in zip(*rows, strict=True)]
        for rows in parts
    ]


def _unit(quaternion: Array) -> _Vector:
    scaled = quaternion / jnp.sqrt((quaternion**2).sum())
    return [scaled[i] for i in range(4)]


def _rotation(quaternion: _Vector) -> _Matrix:
    """The rotation of a unit quaternion (w, x, y, z)."""
    if all(_is(part, known) for part, known in zip(quaternion, (1.0, 0.0, 0.0, 0.0), strict=True)):
        return _EYE
    w, x, y, z = quaternion
    return [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]


def _turned(axes: _Matrix, vector: _Vector) -> _Vector:
    return [_dot(row, vector) for row in axes]


def _product(a: _Matrix, b: _Matrix) -> _Matrix:
    columns = [list(column) for column in zip(*b, strict=True)]
    return [[_dot(row, column) for column in columns] for row in a]


def _dot(a: _Vector, b: _Vector) -> _Number:
    total: _Number = 0.0
    for x, y in zip(a, b, strict=True):
        total = _plus(total, _times(x, y))
    return total


def _sum(a: _Vector, b: _Vector) -> _Vector:
    return [_plus(x, y) for x, y in zip(a, b, strict=True)]


def _plus(a: _Number, b: _Number) -> _Number:
    return b if _is(a, 0.0) else a if _is(b, 0.0) else a + b


def _times(a: _Number, b: _Number) -> _Number:
    if _is(a, 0.0) or _is(b, 0.0):
        return 0.0
    return b if _is(a, 1.0) else a if _is(b, 1.0) else a * b


def _is(number: _Number, value: float) -> bool:
    return isinstance(number, float) and number == value


def _known(numbers: np.ndarray) -> _Vector:
    return [float(x) for x in numbers]


def _stacked(numbers: Sequence[_Number], like: Array) -> Array:
    return jnp.stack([jnp.asarray(x, like.dtype) for x in numbers])
