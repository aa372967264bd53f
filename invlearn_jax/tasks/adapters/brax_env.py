"""brax's environments as tasks: ``--task=brax:halfcheetah``, or a subclass of ``BraxTask``.

They are simulated on MJX (brax's backend ``mjx``) and handled as MuJoCo Playground's are. Their rewards compare places before and
after a step; of a state after it, the places before are taken to be those that its velocities came from, ``x - dt v``.
"""

import copy
from typing import Any, NamedTuple
from unittest import mock

import mujoco
from jaxtyping import Array

from invlearn_jax.names import unknown_name
from invlearn_jax.tasks.adapters.derived import frozen
from invlearn_jax.tasks.adapters.playground import PlaygroundTask, zeros
from invlearn_jax.types import Key

# brax changes these of its system and not of the MuJoCo model that it was made from.
_OPTIONS = ("timestep", "iterations", "ls_iterations", "solver", "disableflags", "integrator")


class Whole(NamedTuple):
    """A state of brax's in the form of Playground's."""

    data: Any
    obs: Any
    reward: Any
    done: Any
    metrics: dict[str, Any]
    info: dict[str, Any]

    def replace(self, **parts: Any) -> "Whole":
        """The same with other parts."""
        return self._replace(**parts)


class BraxTask(PlaygroundTask):
    """An environment of brax. See ``PlaygroundTask``, whose attributes it has.

    Attributes:
        environment: its name in ``brax.envs``, or a function that makes one with ``backend="mjx"``.
        overrides: arguments of the environment.
    """

    def make_environment(self) -> Any:
        """The environment in the form of Playground's.

        Raises:
            ImportError: without brax; names the extra to install.
            ValueError: for an unknown name, or an environment on another backend.
        """
        return Bridge(_load(type(self).environment, dict(self.overrides)), self.name)

    def make_model(self) -> mujoco.MjModel:
        """The environment's model with the options of its system."""
        model, own = copy.copy(self.env.mj_model), self.env.mjx_model.opt
        for name in _OPTIONS:
            setattr(model.opt, name, type(getattr(model.opt, name))(getattr(own, name)))
        return model

    def stepped_without_physics(self, whole: Whole, action: Array) -> Whole:
        """The step, the places before it being those that the velocities came from."""
        from brax.mjx import pipeline  # noqa: PLC0415  (an extra)

        # Contacts keep brax's form where no step of MJX makes them anew.
        with frozen(), mock.patch.object(pipeline, "_reformat_contact", lambda sys, contact: contact):
            return self.env.step(whole, action, back=1.0)

    def on_mjx(self) -> tuple[Any, Any, Any]:
        """The module, and the environment's own system and data."""
        from mujoco import mjx  # noqa: PLC0415  (brax has imported it by now)

        return mjx, self.env.mjx_model, zeros(self._shapes.data)


class Bridge:
    """A brax environment in the form of Playground's."""

    def __init__(self, env: Any, name: str) -> None:
        """Wraps it.

        Raises:
            ValueError: for an environment on another backend than MJX.
        """
        self._env = env.unwrapped
        if self._env.backend != "mjx":
            raise ValueError(
                f"The environment of {name} runs on brax's backend {self._env.backend!r}, whose states hold no qpos and qvel of "
                'MuJoCo. Make it with backend="mjx".'
            )
        self.mjx_model, self.mj_model = self._env.sys, self._env.sys.mj_model
        self.dt, self.action_size = float(self._env.dt), int(self._env.action_size)

    def reset(self, key: Key) -> Whole:
        """See ``PlaygroundTask``."""
        return _whole(self._env.reset(key))

    def step(self, whole: Whole, action: Array, back: float = 0.0) -> Whole:
        """A step from ``[qpos, qvel, act]`` of the data, its links moved ``back`` so many steps along their velocities."""
        from brax.base import Motion, Transform  # noqa: PLC0415  (an extra)
        from brax.envs.base import State  # noqa: PLC0415
        from mujoco import mjx  # noqa: PLC0415

        sys, data = self.mjx_model, whole.data
        for part in (mjx.kinematics, mjx.com_pos, mjx.com_vel):
            data = part(sys, data)
        # As brax.mjx.pipeline.init has them.
        offset = Transform.create(pos=data.xpos[1:] - data.subtree_com[sys.body_rootid[1:]])
        rates = offset.vmap().do(Motion(vel=data.cvel[1:, 3:], ang=data.cvel[1:, :3]))
        places = Transform(pos=data.xpos[1:] - back * self.dt * rates.vel, rot=data.xquat[1:])
        data = data.replace(q=data.qpos, qd=data.qvel, x=places, xd=rates)
        state = State(data, whole.obs, whole.reward, whole.done, dict(whole.metrics), dict(whole.info))
        return _whole(self._env.step(state, action))


def _whole(state: Any) -> Whole:
    return Whole(state.pipeline_state, state.obs, state.reward, state.done, dict(state.metrics), dict(state.info))


def _load(environment: Any, arguments: dict[str, Any]) -> Any:
    try:
        from brax import envs  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise ImportError("brax's environments need it: pip install 'invlearn_jax[brax]'.") from error
    if callable(environment):
        return environment(**arguments)
    known = envs._envs
    if environment not in known:
        raise unknown_name("environment of brax", environment, known)
    return envs.get_environment(environment, backend="mjx", **arguments)


def make(name: str) -> BraxTask:
    """The task of an environment by its name in ``brax.envs``. See ``BraxTask``."""
    return type("Environment", (BraxTask,), {"name": f"brax:{name}", "environment": name})()
