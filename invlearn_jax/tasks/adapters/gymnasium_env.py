"""gymnasium's MuJoCo environments as tasks: ``--task=gymnasium:HalfCheetah-v5``, or a subclass of ``GymnasiumTask``.

Data come from C MuJoCo on the environment's model, which is what the environment itself steps; the return of an episode is the
sum of the rewards that the environment gives. Its reward is a Python function: learning needs a cost in JAX, which is known here
for the environments whose reward is a smooth function of action and next state, and is the user's for all others.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.evaluate.metrics import mean_ci
from invlearn_jax.names import unknown_name
from invlearn_jax.progress import progress
from invlearn_jax.tasks.mujoco import MujocoTask
from invlearn_jax.tasks.task import Episodes, MissingMethodError, Terms
from invlearn_jax.types import Key

_STARTS = 1024  # of the environment's own, that episodes begin at


@runtime_checkable
class MujocoEnvironment(Protocol):
    """What gymnasium's MuJoCo environments have: physics, and a way to put them into a state."""

    model: mujoco.MjModel
    data: mujoco.MjData
    frame_skip: int
    action_space: Any

    def set_state(self, qpos: np.ndarray, qvel: np.ndarray) -> None:
        """Puts the physics into a state."""


@runtime_checkable
class HidesPlace(Protocol):
    """An environment that says whether its observations leave out how far it has come."""

    _exclude_current_positions_from_observation: bool


class GymnasiumTask(MujocoTask):
    """An environment of gymnasium on MuJoCo.

        class Balance(GymnasiumTask):
            environment, horizon = "InvertedPendulum-v5", 16
            def cost(self, state, action, goal): return {"upright": 1 - jnp.cos(state[1]), "centre": 0.1 * state[0] ** 2}

    The state is ``[qpos, qvel, act]``; networks do not see how far a robot has come where the environment's observations do not
    tell it either. Episodes begin at starts of the environment's ``reset``.

    Attributes:
        environment: its id, or a function that makes it.
        options: of ``gymnasium.make``.
    """

    environment: str | Callable[[], Any] = ""
    options: Mapping[str, Any] = {}

    def __init__(self) -> None:
        """Makes the environment.

        Raises:
            ImportError: without gymnasium; names the extra to install.
            TypeError: for an environment whose cost is not known; says how to give one.
            ValueError: for an unknown id, an environment that cannot be put into a state, unbounded or discrete actions, and what
                ``MujocoTask`` refuses.
        """
        self.env = _made(type(self).environment, self.options)
        inner = self.env.unwrapped
        _check(inner, self.name)
        self._inner: MujocoEnvironment = inner
        self.control_dt = inner.model.opt.timestep * inner.frame_skip
        if self.env.spec is not None and self.env.spec.max_episode_steps:
            self.episode_length = self.env.spec.max_episode_steps
        super().__init__()
        self._hidden = _hidden(inner)
        self._known = _known_cost(inner)
        if self._known is None and type(self).cost is GymnasiumTask.cost:
            raise MissingMethodError(
                f"The reward of {self.name} is a Python function of more than action and next state, or jumps where an episode "
                "ends: there is no gradient to learn from. Inherit from GymnasiumTask and give cost(state, action, goal) in JAX; "
                "the return in records is the environment's own all the same."
            )
        self._starts = jnp.asarray(np.stack([self._start(seed) for seed in range(_STARTS)]), jnp.float32)

    def make_model(self) -> mujoco.MjModel:
        """A copy of the environment's model."""
        return copy.copy(self._inner.model)

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Those of the environment's actions."""
        space = self._inner.action_space
        return np.asarray(space.low, np.float32), np.asarray(space.high, np.float32)

    def features(self, state: Float[Array, " S"]) -> Float[Array, " F"]:
        """As ``MujocoTask``, without the leading slides (how far it has come) that the environment's observations leave out."""
        return super().features(state)[self._hidden :]

    def cost(self, state: Float[Array, " S"], action: Float[Array, " A"], goal: Float[Array, " G"]) -> Terms:
        """Minus the environment's reward per second, the speed over a step taken to be that at its end."""
        assert self._known is not None
        return {name: value / self.dt for name, value in self._known(self, state, action).items()}

    def reset(self, key: Key) -> Float[Array, " S"]:
        """A start of the environment's own, of 1024. The key is consumed."""
        return self._starts[jax.random.randint(key, (), 0, _STARTS)]

    def metrics(self, episodes: Episodes) -> dict[str, Any]:
        """The return of each episode by the environment itself, up to where it terminates.

        Every state is put into the environment, which makes the step and gives its reward. ``replay_error`` is how far its next
        state is from the episode's at the 99th percentile, of any entry.
        """
        rows = list(zip(episodes.states, episodes.actions, strict=True))
        replayed = [self._replayed(*row) for row in progress(rows, "returns by the environment", unit="episode")]
        returns, lengths, errors = zip(*replayed, strict=True)
        error = float(np.percentile(np.concatenate(errors), 99))
        found = mean_ci(np.array(returns)).fields("return")
        return found | {"steps_mean": float(np.mean(lengths)), "replay_error": error}

    def _replayed(self, states: np.ndarray, actions: np.ndarray) -> tuple[float, int, list[float]]:
        """Return, length and errors of an episode in the environment."""
        self.env.reset(seed=0)
        total, errors, nq = 0.0, [], self.mj_model.nq
        for step, action in enumerate(actions):
            places, rates = np.split(states[step, : nq + self.mj_model.nv].astype(np.float64), [nq])
            self._inner.set_state(places, rates)
            reward, terminated = self._inner.step(action)[1:3]  # type: ignore[attr-defined]  # every environment's
            total += float(reward)
            errors.append(float(np.abs(self._now() - states[step + 1]).max()))
            if terminated:
                break
        return total, len(errors), errors

    def _start(self, seed: int) -> np.ndarray:
        self.env.reset(seed=seed)
        return self._now()

    def _now(self) -> np.ndarray:
        data = self._inner.data
        return np.concatenate([data.qpos, data.qvel, data.act])


def _made(environment: str | Callable[[], Any], options: Mapping[str, Any]) -> Any:
    try:
        import gymnasium  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise ImportError("gymnasium's environments need it: pip install 'invlearn_jax[robotics]'.") from error
    if callable(environment):
        return environment()
    try:
        return gymnasium.make(environment, **options)
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.Error) as error:
        if environment in gymnasium.registry:
            raise ValueError(f"gymnasium cannot make {environment}: {error}") from error
        raise unknown_name("environment of gymnasium", environment, gymnasium.registry) from error


def _check(env: Any, name: str) -> None:
    """Refuses environments that are no MuJoCo physics with a settable state and bounded actions."""
    if not isinstance(env, MujocoEnvironment) or not isinstance(env.model, mujoco.MjModel):
        lacks = [
            part for part in ("model", "data", "frame_skip", "action_space", "set_state") if not hasattr(env, part)
        ]
        raise ValueError(
            f"The environment of {name}, a {type(env).__name__}, cannot be put into a state: it lacks "
            f"{', '.join(lacks) or 'a model'}. Allowed are MuJoCo environments with model, data, frame_skip and "
            "set_state(qpos, qvel). For others inherit from invlearn_jax.Task and give step() or "
            "simulator(), or learn from recorded data (Task.data)."
        )
    space: Any = env.action_space
    if not (hasattr(space, "low") and np.isfinite([space.low, space.high]).all()):
        raise ValueError(
            f"The actions of {name} are {space}; wanted is a bounded box. Wrap the environment with "
            "gymnasium.wrappers.RescaleAction, or give the actuators a ctrlrange."
        )


def _hidden(env: Any) -> int:
    """How many leading slides the observations leave out."""
    hides = isinstance(env, HidesPlace) and env._exclude_current_positions_from_observation
    if not hides:
        return 0
    slides = np.logical_and.accumulate(env.model.jnt_type == mujoco.mjtJoint.mjJNT_SLIDE).sum()
    left_out = env.model.nq + env.model.nv - env.observation_space.shape[0]
    return int(np.clip(left_out, 0, slides))


# Costs of a step: minus the reward, by named terms.

_Cost = Callable[[GymnasiumTask, Array, Array], Terms]


def _runs(task: GymnasiumTask, state: Array, action: Array) -> Terms:
    env: Any = task._inner
    return {
        "speed": -env._forward_reward_weight * task.qvel(state)[0],
        "effort": env._ctrl_cost_weight * (action**2).sum(),
    }


def _reaches(task: GymnasiumTask, state: Array, action: Array) -> Terms:
    env: Any = task._inner
    return {
        "reach": env._reward_dist_weight * _apart(task, state, "fingertip", "target"),
        "effort": env._reward_control_weight * (action**2).sum(),
    }


def _pushes(task: GymnasiumTask, state: Array, action: Array) -> Terms:
    env: Any = task._inner
    return {
        "near": env._reward_near_weight * _apart(task, state, "object", "tips_arm"),
        "place": env._reward_dist_weight * _apart(task, state, "object", "goal"),
        "effort": env._reward_control_weight * (action**2).sum(),
    }


def _apart(task: GymnasiumTask, state: Array, one: str, other: str) -> Array:
    # The root is kept away from zero, where its gradient is infinite.
    return jnp.sqrt(((task.body(state, one) - task.body(state, other)) ** 2).sum() + 1e-8)


def _known_cost(env: Any) -> _Cost | None:
    from gymnasium.envs.mujoco import (  # noqa: PLC0415  (an extra)
        half_cheetah_v4,
        half_cheetah_v5,
        pusher_v5,
        reacher_v5,
        swimmer_v4,
        swimmer_v5,
    )

    known: dict[type, _Cost] = {
        half_cheetah_v4.HalfCheetahEnv: _runs,
        half_cheetah_v5.HalfCheetahEnv: _runs,
        swimmer_v4.SwimmerEnv: _runs,
        swimmer_v5.SwimmerEnv: _runs,
        reacher_v5.ReacherEnv: _reaches,
        pusher_v5.PusherEnv: _pushes,
    }
    return known.get(type(env))


def make(name: str) -> GymnasiumTask:
    """The task of an environment by its id. See ``GymnasiumTask``."""
    return type("Environment", (GymnasiumTask,), {"name": f"gymnasium:{name}", "environment": name})()
