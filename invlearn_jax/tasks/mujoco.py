"""Tasks from a MuJoCo model: the user gives MJCF, costs and goals; sizes, features, physics and data follow from the model."""

import copy
import functools
import inspect
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import mujoco.rollout
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.frames import Frame, HeadingFrame, WorldFrame
from invlearn_jax.keys import streams
from invlearn_jax.names import unknown_name
from invlearn_jax.tasks.kinematics import body_pose, site_place
from invlearn_jax.tasks.task import Simulator, Task
from invlearn_jax.types import Key

_FREE, _BALL, _SLIDE, _HINGE = range(4)  # mujoco.mjtJoint
_MARGIN = 0.05  # of a joint's range that drawn states keep from its ends


class Joint(NamedTuple):
    """A joint of the model: its type (``mujoco.mjtJoint``), first entry in qpos, and range; NaN where it has no limits."""

    kind: int
    at: int
    low: float
    high: float


class MujocoTask(Task):
    """A task whose physics are a MuJoCo model.

        class Reach(MujocoTask):
            xml, control_dt, horizon, goal_size = "arm.xml", 0.02, 32, 2
            def draw_goal(self, key): ...
            def achieved(self, state): return self.site(state, "tip")[:2]
            def cost(self, state, action, goal): return {"reach": ((self.achieved(state) - goal) ** 2).sum()}

    The state is ``[qpos, qvel, act]``; actions are the model's controls, bounded by their ``ctrlrange``. Networks see unlimited
    hinges as cosine and sine, and orientations without jumps. Where the first joint is free and the only one that turns in
    space, models predict in the robot's heading frame and networks do not see x and y.

    Attributes:
        xml: the model: a path, relative to the file of the class, or MJCF text.
        control_dt: seconds per control step, a multiple of the model's timestep.
        velocity_spread: standard deviation of the velocities of ``draw_state``, m/s or rad/s: one for all, or one for each.
        tilt: the greatest angle that a free body of ``draw_state`` leans, rad.
        reset_noise: half-width of the uniform noise on positions at the start of an episode, m or rad.
    """

    xml: str | os.PathLike = ""
    control_dt: float = 0.02
    velocity_spread: float | tuple[float, ...] = 1.0
    tilt: float = 0.0
    reset_noise: float = 0.05
    gradient: Literal["reverse", "forward", "none"] = "none"

    def __init__(self) -> None:
        """Compiles the model.

        Raises:
            ValueError: for a model that MuJoCo refuses, one without actuators or with unbounded controls, or a ``control_dt``
                that is no multiple of its timestep.
            FileNotFoundError: if the model's file is missing.
        """
        self.mj_model = model = self.make_model()
        self.substeps = _substeps(self.control_dt, model.opt.timestep, self.name)
        self.dt = self.substeps * model.opt.timestep
        self.state_size = model.nq + model.nv + model.na
        self._low, self._high = self.limits()
        self.action_size = len(self._low)
        self._joints = [
            Joint(int(model.jnt_type[j]), int(model.jnt_qposadr[j]), *_range(model, j)) for j in range(model.njnt)
        ]
        self.floating = bool(self._joints) and self._joints[0].kind == _FREE
        # The heading frame turns one floating body whose state is positions and rates alone; where there are more (a ball to
        # push, say), what happens depends on the place of each.
        lone = self.floating and model.nq == model.nv + 1 and not model.na
        self.frame: Frame = HeadingFrame(model.nq + model.nv) if lone else WorldFrame()
        self.home = (model.key_qpos[0] if model.nkey else model.qpos0).astype(np.float32)

    def make_model(self) -> mujoco.MjModel:
        """The compiled model. By default of ``xml``.

        Raises:
            ValueError: for a model that MuJoCo refuses.
            FileNotFoundError: if the model's file is missing.
        """
        return _load(type(self), self.xml)

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """``[A]`` least and greatest actions. By default the controls' ranges.

        Raises:
            ValueError: for a model without actuators, or with unbounded ones.
        """
        model = self.mj_model
        if not model.nu:
            raise ValueError(
                f"The model of {self.name} has no actuators, so there is nothing to plan. Add an <actuator>."
            )
        unbounded = [
            model.actuator(i).name or f"number {i}" for i in range(model.nu) if not model.actuator_ctrllimited[i]
        ]
        if unbounded:
            raise ValueError(
                f"The model of {self.name} has actuators without limits ({', '.join(unbounded)}). Give each a ctrlrange."
            )
        low, high = model.actuator_ctrlrange.astype(np.float32).T
        return low, high

    @property
    def action_low(self) -> np.ndarray:
        """``[A]`` lower ends of the controls' ranges."""
        return self._low

    @property
    def action_high(self) -> np.ndarray:
        """``[A]`` upper ends of the controls' ranges."""
        return self._high

    # Parts of a state, for costs.

    def qpos(self, state: Float[Array, " S"]) -> Float[Array, " Q"]:
        """The generalised positions."""
        return state[: self.mj_model.nq]

    def qvel(self, state: Float[Array, " S"]) -> Float[Array, " V"]:
        """The generalised velocities."""
        return state[self.mj_model.nq : self.mj_model.nq + self.mj_model.nv]

    def site(self, state: Float[Array, " S"], name: str) -> Float[Array, "3"]:
        """Where a site is, metres in the world, by differentiable kinematics.

        Raises:
            ValueError: for an unknown site; the nearest known ones are listed.
        """
        return site_place(self.mj_model, self._id("site", name), self.qpos(state))

    def body(self, state: Float[Array, " S"], name: str) -> Float[Array, "3"]:
        """Where a body's frame is, metres in the world, by differentiable kinematics.

        Raises:
            ValueError: for an unknown body; the nearest known ones are listed.
        """
        return body_pose(self.mj_model, self._id("body", name), self.qpos(state))[0]

    def body_axes(self, state: Float[Array, " S"], name: str) -> Float[Array, "3 3"]:
        """The axes of a body's frame in the world, as columns.

        Raises:
            ValueError: for an unknown body; the nearest known ones are listed.
        """
        return body_pose(self.mj_model, self._id("body", name), self.qpos(state))[1]

    # The Task's contract.

    def features(self, state: Float[Array, " S"]) -> Float[Array, " F"]:
        """Positions by joint (an unlimited hinge as cosine and sine, orientations without jumps), then velocities."""
        parts = []
        for number, joint in enumerate(self._joints):
            at = joint.at
            if joint.kind == _FREE:
                in_heading = number == 0 and isinstance(self.frame, HeadingFrame)
                parts.append(state[at + 2 : at + 3] if in_heading else state[at : at + 3])
                # In the heading frame the quaternion has no z and is smooth up to upside down.
                quaternion = state[at + 3 : at + 7]
                parts.append(quaternion[:3] if in_heading else _two_columns(quaternion))
            elif joint.kind == _BALL:
                parts.append(_two_columns(state[at : at + 4]))
            elif joint.kind == _HINGE and np.isnan(joint.low):
                parts.append(jnp.stack([jnp.cos(state[at]), jnp.sin(state[at])]))
            else:
                parts.append(state[at : at + 1])
        return jnp.concatenate([*parts, state[self.mj_model.nq :]])

    def goal_features(self, state: Float[Array, " S"], goal: Float[Array, " G"]) -> Float[Array, " Fg"]:
        """The goal and the way to it; for a floating robot with goals of places, the way in its heading frame."""
        if not self.goal_size:
            return goal
        if isinstance(self.frame, HeadingFrame) and self.goal_size in (2, 3):
            return self.frame.point(goal, self.frame.reference(state))
        return super().goal_features(state, goal)

    def draw_state(self, key: Key) -> Float[Array, " S"]:
        """Joints uniform within their ranges (unlimited hinges anywhere, slides within 1 m), normal velocities.

        A free body is at home, turned about the vertical, and leans by an angle uniform up to ``tilt``. The key is consumed.
        """
        joint_key, velocity_key, heading_key = streams(key, "joints", "velocities", "heading")
        share = jax.random.uniform(joint_key, (self.mj_model.nq,))
        qpos = jnp.asarray(self.home, share.dtype)
        for joint in self._joints:
            if joint.kind in (_SLIDE, _HINGE):
                spread = np.pi if joint.kind == _HINGE else 1.0
                home = float(self.home[joint.at])
                free = np.isnan(joint.low)
                low, high = (home - spread, home + spread) if free else (joint.low, joint.high)
                margin = 0.0 if free else _MARGIN * (high - low)
                at = joint.at
                qpos = qpos.at[at].set(low + margin + share[at] * (high - low - 2 * margin))
        if self.floating:
            half = jax.random.uniform(heading_key, minval=-np.pi / 2, maxval=np.pi / 2)
            turn = jnp.stack([jnp.cos(half), 0 * half, 0 * half, jnp.sin(half)])
            # Numbers of the free joint's own that nothing else uses.
            lean, axis = share[3] * self.tilt / 2, 2 * np.pi * share[4]
            lean = jnp.stack([jnp.cos(lean), jnp.sin(lean) * jnp.cos(axis), jnp.sin(lean) * jnp.sin(axis), 0 * lean])
            qpos = qpos.at[3:7].set(_product(_product(turn, qpos[3:7]), lean))
        qvel = jnp.asarray(self.velocity_spread) * jax.random.normal(velocity_key, (self.mj_model.nv,))
        return jnp.concatenate([qpos, qvel, jnp.zeros(self.mj_model.na)])

    def reset(self, key: Key) -> Float[Array, " S"]:
        """At rest near the first keyframe, or the model's initial positions. The key is consumed."""
        noise = jax.random.uniform(key, (self.mj_model.nq,), minval=-self.reset_noise, maxval=self.reset_noise)
        low, high = self.home.copy(), self.home.copy()
        for joint in self._joints:
            if joint.kind in (_SLIDE, _HINGE):
                free = np.isnan(joint.low)
                low[joint.at], high[joint.at] = (-np.inf, np.inf) if free else (joint.low, joint.high)
        qpos = jnp.clip(self.home + noise, low, high)
        return jnp.concatenate([qpos, jnp.zeros(self.mj_model.nv + self.mj_model.na)])

    def step(self, state: Float[Array, " S"], action: Float[Array, " A"]) -> Float[Array, " S"]:
        """One control step on MJX.

        Raises:
            ValueError: for a model that MJX does not support; says what, and the ways out.
        """
        _, _, data = self._mjx
        nq, nv = self.mj_model.nq, self.mj_model.nv
        control = jnp.clip(action, self._low, self._high)
        data = data.replace(qpos=state[:nq], qvel=state[nq : nq + nv], act=state[nq + nv :], ctrl=control)
        data, _ = jax.lax.scan(lambda d, _: (self._physics(d), None), data, length=self.substeps)
        return jnp.concatenate([data.qpos, data.qvel, data.act])

    def simulator(self) -> Simulator:
        """C MuJoCo in float64, many robots at a time."""
        return MujocoSimulator(self.mj_model, self.substeps, self._low, self._high)

    @functools.cached_property
    def _mjx(self) -> tuple[Any, Any, Any]:
        return on_mjx(self.mj_model, self.name)

    @functools.cached_property
    def _places(self) -> tuple[Any, Any, Any]:
        """The same for kinematics alone."""
        return on_mjx(without_contacts(self.mj_model), self.name)

    @functools.cached_property
    def _physics(self) -> Callable[[Any], Any]:
        # MJX is thousands of lines of Python to a trace; under a jit of its own it is traced once.
        mjx, model, _ = self._mjx
        return jax.jit(functools.partial(mjx.step, model))

    def _id(self, kind: str, name: str) -> int:
        count, look = (getattr(self.mj_model, f"n{kind}"), getattr(self.mj_model, kind))
        names = [look(i).name for i in range(count)]
        if name not in names:
            raise unknown_name(f"{kind} of {self.name}", name, [n for n in names if n])
        return names.index(name)


class MujocoSimulator:
    """N copies of one model on C MuJoCo in float64, stepped together by a pool of threads."""

    def __init__(
        self, model: mujoco.MjModel, substeps: int, low: np.ndarray, high: np.ndarray, threads: int | None = None
    ) -> None:
        """Starts the threads.

        Args:
            model: the physics.
            substeps: steps of the model per control step.
            low: ``[A]`` least controls.
            high: ``[A]`` greatest controls.
            threads: workers, by default one per core.
        """
        threads = threads or os.cpu_count() or 1
        self._model, self._substeps, self._low, self._high = copy.copy(model), substeps, low, high
        # A state that diverges must be seen as one: MuJoCo would put it back to where the model begins.
        self._model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
        self._data = [mujoco.MjData(model) for _ in range(threads)]
        self._pool = mujoco.rollout.Rollout(nthread=threads)

    def step(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """States ``[N, S]`` one control step later; controls are clipped to their range. See ``Simulator``."""
        return self.unroll(states, np.asarray(actions)[:, None])[:, -1]

    def unroll(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """States ``[N, T+1, S]``; controls are clipped to their range. See ``Unrolls``."""
        states = np.asarray(states, np.float64)
        control = np.clip(np.asarray(actions, np.float64), self._low, self._high)
        begin = np.concatenate([np.zeros((len(states), 1)), states], axis=1)
        held = np.repeat(control, self._substeps, axis=1)
        found = self._pool.rollout(self._model, self._data, begin, held)[0]
        return np.concatenate([states[:, None], found[:, self._substeps - 1 :: self._substeps, 1:]], axis=1)

    def close(self) -> None:
        """Ends the threads."""
        self._pool.close()


def on_mjx(model: mujoco.MjModel, name: str) -> tuple[Any, Any, Any]:
    """``(mjx, model, data)``: the module, and the model and its data on MJX.

    Raises:
        ValueError: for a model that MJX does not support; says what, and the ways out.
    """
    # This may be under jit: the arrays must be plain ones all the same.
    with jax.ensure_compile_time_eval():
        from mujoco import mjx  # noqa: PLC0415  (a third of the library's import, which many never use)

        try:
            return mjx, mjx.put_model(model), mjx.make_data(model)
        except NotImplementedError as error:
            raise ValueError(
                f"MJX does not support the model of {name}: {error}. Its data, evaluation (backend mujoco) and sampling "
                "refiners run on C MuJoCo without MJX; or change the model: other geoms or contype and conaffinity of 0 where "
                "they touch, other sensors, actuators or integrator."
            ) from error


def without_contacts(model: mujoco.MjModel) -> mujoco.MjModel:
    """A copy whose geoms never touch, as spheres: for kinematics, whatever contacts MJX supports."""
    model = copy.copy(model)
    model.geom_contype[:] = model.geom_conaffinity[:] = 0
    model.geom_type[:] = mujoco.mjtGeom.mjGEOM_SPHERE
    return model


def _load(owner: type, xml: str | os.PathLike) -> mujoco.MjModel:
    xml = os.fspath(xml)
    if not xml:
        raise ValueError(f"{owner.__name__} has no model. Set its xml to a path or to MJCF text.")
    try:
        if "<" in xml:
            return mujoco.MjModel.from_xml_string(xml)
        path = _folder(owner) / xml
        if not path.is_file():
            raise FileNotFoundError(
                f"The model of {owner.__name__}, {path}, is missing. A relative path is taken from the file of the class that "
                "sets xml."
            )
        return mujoco.MjModel.from_xml_path(str(path))
    except ValueError as error:
        raise ValueError(f"MuJoCo refuses the model of {owner.__name__}: {error}") from error


def _folder(owner: type) -> Path:
    """The folder of the class that sets ``xml``; of one that is in no file (in a notebook, say) the current folder."""
    sets = next((c for c in owner.__mro__ if "xml" in vars(c)), owner)
    try:
        return Path(inspect.getfile(sets)).parent
    except (TypeError, OSError):
        return Path.cwd()


def _substeps(control_dt: float, timestep: float, name: str) -> int:
    count = round(control_dt / timestep) if math.isfinite(control_dt) else 0
    if count < 1 or abs(count * timestep - control_dt) > 1e-6 * control_dt:
        raise ValueError(
            f"control_dt of {name} is {control_dt} s and the model's timestep {timestep} s; the first must be a multiple of the "
            "second."
        )
    return count


def _range(model: mujoco.MjModel, joint: int) -> tuple[float, float]:
    if not model.jnt_limited[joint]:
        return float("nan"), float("nan")
    low, high = model.jnt_range[joint]
    return float(low), float(high)


def _product(p: Float[Array, "4"], q: Float[Array, "4"]) -> Float[Array, "4"]:
    """The quaternion of turning by q, then by p."""
    w, x, y, z = q
    return jnp.array([[w, -x, -y, -z], [x, w, z, -y], [y, -z, w, x], [z, y, -x, w]]) @ p


def _two_columns(quaternion: Float[Array, "4"]) -> Float[Array, "6"]:
    """The first two columns of a quaternion's rotation: q and -q give the same, and nothing jumps."""
    w, x, y, z = quaternion / jnp.sqrt((quaternion**2).sum() + 1e-12)
    return jnp.stack(
        [
            1 - 2 * (y * y + z * z),
            2 * (x * y + w * z),
            2 * (x * z - w * y),
            2 * (x * y - w * z),
            1 - 2 * (x * x + z * z),
            2 * (y * z + w * x),
        ]
    )
