"""Gymnasium's LunarLander-v3, stepped by Box2D."""

import functools
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.tasks.classic.controllers import land
from invlearn_jax.tasks.classic.settings import DEMONSTRATIONS, imitation_settings
from invlearn_jax.tasks.returns import return_metrics
from invlearn_jax.tasks.task import Episodes, Task, Terms
from invlearn_jax.types import Key

_STARTS = 1024  # seeds 0, 1, ... of the environment, each a start and a ground
_SEEN = 8
_OVER, _REWARD = 8, 9  # entries of the state beside what is observed


class LunarLander(Task):
    """A lander is to come down between two flags; it fires nothing, its left, its main or its right engine.

    The state is gymnasium's observation [8] (place, velocity, angle and its rate in gymnasium's units, contact of each leg),
    then whether all is over and the reward of the step that led there, which the observation does not tell; networks see the
    observation alone. The reward of a plan is therefore as good as a model's prediction of that entry.

    Box2D cannot be set to a state. Episodes begin in one of 1024 starts, those of the environment's seeds 0 to 1023, ground and
    noise of engines included, and the simulator steps on from states that it returned last.
    """

    name = "lunarlander"
    dt, state_size, action_size, choices = 0.02, 10, 1, 4
    horizon, episode_length, execute_steps = 32, 1000, 1
    demonstrations = DEMONSTRATIONS / "lunarlander.npz"

    def features(self, state: Float[Array, " S"]) -> Float[Array, " F"]:
        """``[8]`` gymnasium's observation."""
        return state[:_SEEN]

    def cost(self, state: Float[Array, " S"], action: Float[Array, " A"], goal: Float[Array, " G"]) -> Terms:
        """Minus gymnasium's reward, per second."""
        # A record of what was, that no network sees: nothing to descend.
        return {"reward": -jax.lax.stop_gradient(state[_REWARD]) / self.dt}

    def over(self, state: Float[Array, " S"]) -> Array:
        """Whether it has crashed, flown away or come to rest."""
        return state[_OVER] > 0.5

    def success(self, state: Float[Array, " S"], goal: Float[Array, " G"]) -> Array:
        """Whether it has just come to rest, for which 100 is paid."""
        return self.over(state) & (state[_REWARD] > 50.0)

    def draw_state(self, key: Key) -> Float[Array, " S"]:
        """One of the 1024 starts. The key is consumed."""
        return jnp.asarray(starts(), float)[jax.random.randint(key, (), 0, _STARTS)]

    def check_states(self, states: np.ndarray) -> None:
        """Refuses states that are no starts."""
        for state in states:
            if _name(state) not in _seeds():
                raise _unreachable(state)

    def simulator(self) -> "LanderSimulator":
        """Box2D."""
        return LanderSimulator()

    def configure(self, method: str, settings: Any) -> Any:
        """Settings of imitation; see ``imitation_settings``."""
        return imitation_settings(method, settings, 5, 0.01, 0.1)

    def rule(self, states: np.ndarray) -> np.ndarray:
        """The choices ``[N, 1]`` of a scripted expert; see ``controllers.land``."""
        return land(states)[:, None]

    def metrics(self, episodes: Episodes) -> dict[str, Any]:
        """Mean return, its standard error, and mean length in steps."""
        return return_metrics(self, episodes)

    def draw(self, axes: Any, episodes: Episodes) -> None:
        """The ways of up to twenty episodes, and where they ended."""
        for way in episodes.states[:20]:
            axes.plot(way[:, 0], way[:, 1], linewidth=0.8, color="#0072b2")
            axes.plot(way[-1, 0], way[-1, 1], "o", markersize=3, color="#d55e00")
        axes.plot([-0.2, 0.2], [0, 0], color="black", linewidth=2)
        axes.set(xlabel="x, of half the view", ylabel="height over the pad, of half the view")


class LanderSimulator:
    """Many landers, each in an environment of its own, found again by the state that it returned last.

    A lander in a state that is over stays there, and earns nothing.
    """

    def __init__(self) -> None:
        """Environments are made at their first step."""
        self._waiting: dict[bytes, list[Any]] = {}

    def step(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """See ``Simulator``.

        Raises:
            ValueError: for a state that is neither a start nor what the last step of a lander returned.
        """
        return np.stack([self._stepped(state, action) for state, action in zip(states, actions, strict=True)])

    def close(self) -> None:
        """Drops all environments."""
        self._waiting.clear()

    def _stepped(self, state: np.ndarray, action: np.ndarray) -> np.ndarray:
        if state[_OVER] > 0.5:
            return np.append(np.asarray(state[:_REWARD], np.float64), 0.0)
        environment = self._environment(state)
        seen, reward, ended, _, _ = environment.step(int(np.clip(np.round(action[0]), 0, LunarLander.choices - 1)))
        following = _state(seen, ended, float(reward))
        if not ended:
            self._waiting.setdefault(_name(following), []).append(environment)
        return following

    def _environment(self, state: np.ndarray) -> Any:
        name = _name(state)
        if waiting := self._waiting.get(name):
            environment = waiting.pop()
            if not waiting:
                del self._waiting[name]
            return environment
        if name not in _seeds():
            raise _unreachable(state)
        environment = _lander()
        environment.reset(seed=_seeds()[name])
        return environment


@functools.cache
def starts() -> np.ndarray:
    """``[1024, 10]`` the starts, by seed; half a second.

    Raises:
        ImportError: without Box2D; names the extra to install.
    """
    environment = _lander()
    return np.stack([_state(environment.reset(seed=seed)[0], False, 0.0) for seed in range(_STARTS)])


@functools.cache
def _seeds() -> dict[bytes, int]:
    return {_name(start): seed for seed, start in enumerate(starts())}


def _lander() -> Any:
    try:
        with warnings.catch_warnings():
            # Of Box2D's bindings, made by an old Swig.
            warnings.simplefilter("ignore", DeprecationWarning)
            from gymnasium.envs.box2d.lunar_lander import LunarLander as Environment  # noqa: PLC0415
    # Gymnasium's own error where Box2D or pygame is missing is no ImportError.
    except Exception as error:
        raise ImportError("The lander needs gymnasium with Box2D: pip install 'invlearn_jax[box2d]'.") from error
    return Environment()


def _state(seen: np.ndarray, ended: bool, reward: float) -> np.ndarray:
    return np.concatenate([seen, np.asarray([ended, reward], np.float32)]).astype(np.float64)


def _name(state: np.ndarray) -> bytes:
    """The state as a key: in single precision, in which it is observed; minus zero as zero."""
    return (np.asarray(state, np.float32) + 0.0).tobytes()


def _unreachable(state: np.ndarray) -> ValueError:
    return ValueError(
        f"The lander cannot be set to a state: {np.round(state, 3).tolist()} is neither one of its {_STARTS} starts nor what its "
        "last step returned. Step on from states as they come, or learn from recorded data."
    )
