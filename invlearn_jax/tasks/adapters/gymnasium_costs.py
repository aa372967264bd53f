"""What gymnasium's MuJoCo environments reward and where they end, in JAX, for those where action and next state tell it.

Known are rewards that are smooth in action and next state, but for the bonus of not having fallen. The speed over a step is taken
to be that at its end, the humanoid's that of its trunk instead of its centre of mass; the cost of contact forces is left out.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from invlearn_jax.tasks.task import Terms

if TYPE_CHECKING:
    from invlearn_jax.tasks.adapters.gymnasium_env import GymnasiumTask

_Cost = Callable[["GymnasiumTask", Array, Array], Terms]
_Over = Callable[["GymnasiumTask", Array], Array]


class Known(NamedTuple):
    """What is known of an environment.

    Attributes:
        cost: minus the reward of a step that ends in a state, by named terms.
        fallen: whether a state is none of those in which the environment goes on; None where it always does.
    """

    cost: _Cost
    fallen: _Over | None = None


def known(env: Any) -> Known | None:
    """What is known of an unwrapped environment, or None."""
    package, _, module = type(env).__module__.rpartition(".")
    return _KNOWN.get(module) if package == "gymnasium.envs.mujoco" else None


def ends(found: Known | None, env: Any) -> bool:
    """Whether there are states in which an environment of which so much is known ends an episode for good."""
    return found is not None and found.fallen is not None and env._terminate_when_unhealthy


def _runs(task: "GymnasiumTask", state: Array, action: Array) -> Terms:
    env: Any = task.env.unwrapped
    # Ant-v4 has no weight.
    weight = getattr(env, "_forward_reward_weight", 1.0)
    return {"speed": -weight * task.qvel(state)[0], "effort": env._ctrl_cost_weight * (action**2).sum()}


def _runs_upright(task: "GymnasiumTask", state: Array, action: Array) -> Terms:
    env: Any = task.env.unwrapped
    bonus = jnp.asarray(env._healthy_reward, state.dtype)
    # v4 pays the bonus for the step that ends in a fall too.
    if not (type(env).__module__.endswith("_v4") and env._terminate_when_unhealthy):
        fallen = task.known.fallen if task.known else None
        bonus = jnp.where(fallen(task, state), 0.0, bonus) if fallen else bonus
    return _runs(task, state, action) | {"alive": -bonus}


def _reaches(task: "GymnasiumTask", state: Array, action: Array) -> Terms:
    env: Any = task.env.unwrapped
    return {
        "reach": env._reward_dist_weight * _apart(task, state, "fingertip", "target"),
        "effort": env._reward_control_weight * (action**2).sum(),
    }


def _pushes(task: "GymnasiumTask", state: Array, action: Array) -> Terms:
    env: Any = task.env.unwrapped
    return {
        "near": env._reward_near_weight * _apart(task, state, "object", "tips_arm"),
        "place": env._reward_dist_weight * _apart(task, state, "object", "goal"),
        "effort": env._reward_control_weight * (action**2).sum(),
    }


def _apart(task: "GymnasiumTask", state: Array, one: str, other: str) -> Array:
    # The root is kept away from zero, where its gradient is infinite.
    return jnp.sqrt(((task.body(state, one) - task.body(state, other)) ** 2).sum() + 1e-8)


def _outside(value: Array, limits: tuple[float, float]) -> Array:
    return ~((limits[0] < value) & (value < limits[1]))


def _leans(task: "GymnasiumTask", state: Array) -> Array:
    """A planar robot that is too low, too high or leans too much: height and angle are entries 1 and 2."""
    env: Any = task.env.unwrapped
    return _outside(state[1], env._healthy_z_range) | _outside(state[2], env._healthy_angle_range)


def _leans_or_diverges(task: "GymnasiumTask", state: Array) -> Array:
    env: Any = task.env.unwrapped
    return _leans(task, state) | _outside(state[2:], env._healthy_state_range).any()


def _off_height(task: "GymnasiumTask", state: Array) -> Array:
    env: Any = task.env.unwrapped
    return _outside(state[2], env._healthy_z_range)


def _off_height_or_infinite(task: "GymnasiumTask", state: Array) -> Array:
    """As ``_off_height``, the ends of the range among those in which the environment goes on."""
    env: Any = task.env.unwrapped
    low, high = env._healthy_z_range
    return ~((low <= state[2]) & (state[2] <= high)) | ~jnp.isfinite(state).all()


_KNOWN = {
    "half_cheetah_v4": Known(_runs),
    "half_cheetah_v5": Known(_runs),
    "swimmer_v4": Known(_runs),
    "swimmer_v5": Known(_runs),
    "reacher_v5": Known(_reaches),
    "pusher_v5": Known(_pushes),
    "hopper_v4": Known(_runs_upright, _leans_or_diverges),
    "hopper_v5": Known(_runs_upright, _leans_or_diverges),
    "walker2d_v4": Known(_runs_upright, _leans),
    "walker2d_v5": Known(_runs_upright, _leans),
    "ant_v4": Known(_runs_upright, _off_height_or_infinite),
    "ant_v5": Known(_runs_upright, _off_height_or_infinite),
    "humanoid_v4": Known(_runs_upright, _off_height),
    "humanoid_v5": Known(_runs_upright, _off_height),
}
