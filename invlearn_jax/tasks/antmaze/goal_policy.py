"""A goal-reaching ant policy as plain arrays, in the form of the one that made D4RL's antmaze data."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.data.hdf5 import PathLike
from invlearn_jax.files import read_npz, replace_files
from invlearn_jax.tasks.antmaze.model import ACTION_SIZE, STATE_SIZE
from invlearn_jax.types import Key

_SHIPPED = Path(__file__).parent / "shipped"
_GOAL_NORM = 10.0  # m, the length that goal vectors were trained with
_LOG_STD = (-20.0, 2.0)
# Everything but the position, and the goal vector.
_INPUT_SIZE = (STATE_SIZE - 2) + 2
_MAX_BYTES = 2**28  # of the policy's arrays
_HEADS = ("last_fc", "last_fc_log_std")


class Linear(NamedTuple):
    """``w x + b``, ``w [out, in]``, ``b [out]``."""

    w: Float[Array, "out inp"]
    b: Float[Array, " out"]

    def __call__(self, x: Float[Array, "*b inp"]) -> Float[Array, "*b out"]:
        """The layer's output."""
        return x @ self.w.T + self.b


class GoalPolicy(NamedTuple):
    """``a = tanh(mean(h) + exp(log_std(h)) n)``, ``h`` being ReLU layers over the state and the direction to the goal.

    Attributes:
        hidden: the ReLU layers.
        mean: of the Gaussian before the tanh.
        log_std: its log standard deviation, clipped to [-20, 2].
    """

    hidden: tuple[Linear, ...]
    mean: Linear
    log_std: Linear

    def act(self, key: Key | None, obs: Float[Array, "*b S"], goal: Float[Array, "*b G"]) -> Float[Array, "*b A"]:
        """Draws actions towards goals.

        The input is the state without its position, and the vector to the goal rescaled to a length of 10 m.

        Args:
            key: consumed; None takes the mean's action.
            obs: ``[..., 29]``.
            goal: ``[..., 2]`` positions, m.

        Returns:
            ``[..., 8]`` in [-1, 1].
        """
        way = goal - obs[..., :2]
        # At the goal itself any direction will do.
        way = _GOAL_NORM * way / jnp.maximum(jnp.linalg.norm(way, axis=-1, keepdims=True), 1e-6)
        x = jnp.concatenate([obs[..., 2:], way], axis=-1)
        for layer in self.hidden:
            x = jax.nn.relu(layer(x))
        mean = self.mean(x)
        if key is None:
            return jnp.tanh(mean)
        return jnp.tanh(mean + jnp.exp(jnp.clip(self.log_std(x), *_LOG_STD)) * jax.random.normal(key, mean.shape))


def fresh_policy(key: Key, hidden: Sequence[int] = (256, 256), log_std: float = -2.0) -> GoalPolicy:
    """A policy as drawn, with one standard deviation for all actions. The key is consumed.

    Args:
        key: consumed.
        hidden: widths of the ReLU layers.
        log_std: of the Gaussian before the tanh.
    """
    sizes = (_INPUT_SIZE, *hidden)
    *keys, last = jax.random.split(key, len(sizes))
    draw = jax.nn.initializers.he_normal(in_axis=1, out_axis=0)
    pairs = zip(keys, sizes, sizes[1:], strict=False)
    layers = tuple(Linear(draw(k, (outputs, inputs)), jnp.zeros(outputs)) for k, inputs, outputs in pairs)
    mean = Linear(0.01 * draw(last, (ACTION_SIZE, sizes[-1])), jnp.zeros(ACTION_SIZE))
    return GoalPolicy(layers, mean, Linear(jnp.zeros((ACTION_SIZE, sizes[-1])), jnp.full(ACTION_SIZE, log_std)))


def goal_policy_names() -> list[str]:
    """Names of the shipped policies."""
    return sorted(file.stem for file in _SHIPPED.glob("*.npz"))


def read_goal_policy(path: PathLike) -> GoalPolicy:
    """Reads a policy, shipped or your own.

    Args:
        path: one of ``goal_policy_names()``, unless there is a file of that name, or an npz file with the float arrays
            ``actor.fc<i>.w [out, in]`` and ``actor.fc<i>.b [out]`` of the hidden layers i = 0, 1, .., and the same of
            ``actor.last_fc`` (means) and ``actor.last_fc_log_std``; others are ignored.

    Returns:
        The policy.

    Raises:
        FileNotFoundError: if there is no such file; says what to give instead.
        ValueError: if it is no npz, or an array is missing, of a wrong shape or not finite; names it.
    """
    source = os.fspath(path)
    if not Path(path).is_file() and source in goal_policy_names():
        path = _SHIPPED / f"{source}.npz"
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"{source}: there is no policy here (looked for {Path(path).absolute()}). Give a shipped one by its name "
            f"({', '.join(goal_policy_names())}), or an npz file as write_goal_policy writes it; `python -m experiments.run "
            "--task=ant-walk --method=goal-policy --workdir=DIR` trains one (DIR/policy.npz)."
        )
    arrays = read_npz(path, _MAX_BYTES)
    depth = sum(name.startswith("actor.fc") and name.endswith(".w") for name in arrays)
    layers, size = [], _INPUT_SIZE
    for index in range(depth):
        layers.append(_layer(arrays, f"fc{index}", size, None, source))
        size = len(layers[-1].b)
    heads = [_layer(arrays, name, size, ACTION_SIZE, source) for name in _HEADS]
    return GoalPolicy(tuple(layers), *heads)


def _layer(file: dict[str, np.ndarray], name: str, inputs: int, outputs: int | None, source: str) -> Linear:
    arrays = []
    for key in (f"actor.{name}.w", f"actor.{name}.b"):
        if key not in file:
            raise ValueError(
                f"{source}: there is no array {key!r}. The keys are: {', '.join(file) or 'none'}. "
                "Give a file that has it."
            )
        with np.errstate(over="ignore"):
            arrays.append(np.asarray(file[key], np.float32))
        if not np.isfinite(arrays[-1]).all():
            raise ValueError(f"{source}: {key!r} holds NaN or infinity. Give a sound file.")
    w, b = arrays
    outputs = outputs or (len(b) if b.ndim else 0)
    if w.shape != (outputs, inputs) or b.shape != (outputs,):
        raise ValueError(
            f"{source}: 'actor.{name}' has w of shape {w.shape} and b of {b.shape}; needed are {(outputs, inputs)} and "
            f"{(outputs,)}. Give the policy of an ant: {_INPUT_SIZE} inputs, {ACTION_SIZE} actions."
        )
    return Linear(jnp.asarray(w), jnp.asarray(b))


def write_goal_policy(path: PathLike, policy: GoalPolicy) -> None:
    """Writes a policy as ``read_goal_policy`` reads it, all or nothing.

    Raises:
        OSError: if the file cannot be written; an old file is left as it was.
    """
    names = [*(f"fc{index}" for index in range(len(policy.hidden))), *_HEADS]
    layers = zip(names, (*policy.hidden, policy.mean, policy.log_std), strict=True)
    content = io.BytesIO()
    np.savez(content, **{f"actor.{name}.{part}": getattr(layer, part) for name, layer in layers for part in "wb"})
    replace_files({Path(path): content.getvalue()})
