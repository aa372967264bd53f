"""gymnasium's MuJoCo environments as tasks: ``--task=gymnasium:HalfCheetah-v5``, or a subclass of ``GymnasiumTask``.

Data come from C MuJoCo on the environment's model, which is what the environment itself steps; the return of an episode is the
sum of the rewards that the environment gives. Its reward is a Python function: learning needs a cost in JAX, which is known for
some of them (``gymnasium_costs``), and is the user's for all others.
"""

import copy
import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.evaluate.metrics import mean_ci
from invlearn_jax.frames import HeadingFrame, WorldFrame
from invlearn_jax.names import unknown_name
from invlearn_jax.progress import progress
from invlearn_jax.tasks.adapters.gymnasium_costs import ends, known
from invlearn_jax.tasks.mujoco import MujocoTask
from invlearn_jax.tasks.task import Episodes, MissingMethodError, Recorded, Terms
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
    tell it either. Episodes begin at starts of the environment's ``reset``. Where the cost is the environment's own, episodes end
    where it terminates them, and a robot that turns in space is seen in the world's frame, in whose x it is paid to run.

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
        self.known = known(inner)
        if self._paid_by_environment and self.floating:
            self.frame = WorldFrame()
        own_end = type(self).over is not GymnasiumTask.over
        self.endless = not own_end and not (self._paid_by_environment and ends(self.known, inner))
        if self.known is None and self._paid_by_environment:
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
        """As ``MujocoTask``, without how far the robot has come where the environment's observations leave it out."""
        # The heading frame has left it out already.
        return super().features(state)[0 if isinstance(self.frame, HeadingFrame) else self._hidden :]

    def cost(self, state: Float[Array, " S"], action: Float[Array, " A"], goal: Float[Array, " G"]) -> Terms:
        """Minus the environment's reward per second; see ``gymnasium_costs``."""
        assert self.known is not None
        return {name: value / self.dt for name, value in self.known.cost(self, state, action).items()}

    def over(self, state: Float[Array, " S"]) -> Array:
        """Where the environment terminates; never where the cost is the user's, who may give an end to go with it."""
        return (
            jnp.array(False)
            if self.endless or not self.known or not self.known.fallen
            else self.known.fallen(self, state)
        )

    def reset(self, key: Key) -> Float[Array, " S"]:
        """A start of the environment's own, of 1024. The key is consumed."""
        return self._starts[jax.random.randint(key, (), 0, _STARTS)]

    @property
    def observation_size(self) -> int:
        """How many numbers the environment observes."""
        return int(self._inner.observation_space.shape[0])  # type: ignore[attr-defined]  # every environment's

    def episode(self, act: Callable[[np.ndarray], np.ndarray], seed: int) -> Recorded:
        """One episode in the environment itself; see ``tasks.task.ActsOnObservations``. Actions are clipped to their limits."""
        observation, _ = self.env.reset(seed=seed)
        states, ended = [self._now()], False
        actions: list[np.ndarray] = []
        rewards: list[float] = []
        while not ended and len(actions) < self.episode_length:
            action = np.clip(act(np.asarray(observation)), self._low, self._high).astype(np.float32)
            observation, reward, ended = self._inner.step(action)[:3]  # type: ignore[attr-defined]
            states.append(self._now())
            actions.append(action)
            rewards.append(float(reward))
        return Recorded(np.stack(states), np.stack(actions), np.asarray(rewards), bool(ended))

    def from_observations(self, observations: np.ndarray) -> np.ndarray:
        """States of the environment's observations, how far it has come being 0 where they do not tell.

        Observations that go on behind positions and velocities (contact forces, inertias) are taken as far as these; states are
        taken as they are.

        Raises:
            ValueError: for rows of another size, or an environment that does not observe its positions and velocities.
        """
        hidden = self._observed_from
        observations = np.asarray(observations)
        known_size = self.mj_model.nq + self.mj_model.nv - hidden
        sizes = {self.state_size: "states"} | {known_size: "positions and velocities"}
        sizes |= {self.observation_size: "the environment's observations"}
        if observations.ndim != 2 or observations.shape[1] not in sizes:
            raise ValueError(
                f"The observations have shape {observations.shape}; those of {self.name} have "
                f"{' or '.join(f'{size} ({what})' for size, what in sizes.items())} numbers each. Give data of this environment."
            )
        if observations.shape[1] == self.state_size:
            return observations
        return np.pad(observations[:, :known_size], ((0, 0), (hidden, self.mj_model.na)))

    @functools.cached_property
    def _observed_from(self) -> int:
        """How many leading positions observations lack.

        Raises:
            ValueError: if observations do not begin with the other positions and the velocities.
        """
        observation, _ = self.env.reset(seed=0)
        whole, size = self._now(), self.mj_model.nq + self.mj_model.nv
        for hidden in range(self.mj_model.nq):
            seen = observation[: size - hidden]
            if len(seen) == size - hidden and np.allclose(seen, whole[hidden:size]):
                return hidden
        raise ValueError(
            f"Observations of {self.name} do not begin with positions and velocities, so that states cannot be told from them. "
            "Override from_observations."
        )

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

    def returns(self, episodes: Episodes) -> np.ndarray:
        """``[N]`` the return of each episode by the environment itself; see ``metrics``."""
        return np.array([self._replayed(*row)[0] for row in zip(episodes.states, episodes.actions, strict=True)])

    @property
    def _paid_by_environment(self) -> bool:
        return type(self).cost is GymnasiumTask.cost

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
        with warnings.catch_warnings():
            # Returns in one edition are none in another: whoever names an old one means it.
            warnings.filterwarnings("ignore", message="(?s).*is out of date")
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
    """How many leading entries of the positions the observations leave out: slides, or the place of a free body."""
    hides = isinstance(env, HidesPlace) and env._exclude_current_positions_from_observation
    if not hides:
        return 0
    if env.model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE:
        return 2
    slides = np.logical_and.accumulate(env.model.jnt_type == mujoco.mjtJoint.mjJNT_SLIDE).sum()
    left_out = env.model.nq + env.model.nv - env.observation_space.shape[0]
    return int(np.clip(left_out, 0, slides))


def make(name: str) -> GymnasiumTask:
    """The task of an environment by its id. See ``GymnasiumTask``."""
    return type("Environment", (GymnasiumTask,), {"name": f"gymnasium:{name}", "environment": name})()
