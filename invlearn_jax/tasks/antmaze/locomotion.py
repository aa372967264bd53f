"""How well a motor level walks on an open floor: speed towards the goal, falls, and getting up again."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from invlearn_jax.tasks.antmaze.rows import uprightness
from invlearn_jax.tasks.antmaze.simulator import MujocoAntmaze

# ``(step, states [N, S], goals [N, 2]) -> actions [N, A]``
Walk = Callable[[int, np.ndarray, np.ndarray], np.ndarray]

_FAR = 10.0  # m, where the goal is kept, so that it is a direction
_START_UP = 20  # steps in which the ant gets going, left out of its speed


class Locomotion(NamedTuple):
    """What N ants did in L steps of 0.1 s.

    Attributes:
        progress: ``[L, N]`` metres towards the goal in each step.
        upright: ``[L, N]`` uprightness after each step.
    """

    progress: np.ndarray
    upright: np.ndarray

    def summary(self) -> dict[str, float | None]:
        """Metres per step once under way, flips per 1000 steps, the share of flips got up from, ants flipped at the end."""
        down = self.upright < 0
        falls = down[1:] & ~down[:-1]
        rises = ~down[1:] & down[:-1]
        return {
            "metres_per_step": float(self.progress[_START_UP:].mean()),
            "slowest_ant": float(self.progress[_START_UP:].mean(0).min()),
            "flips_per_1000_steps": 1000 * float(falls.sum()) / falls.size,
            "recovered_share": float(rises.sum() / falls.sum()) if falls.any() else None,
            "flipped_at_end": float(down[-1].mean()),
        }


def walk_openly(
    act: Walk, starts: np.ndarray, seed: int, steps: int = 300, hold: int | None = None, threads: int | None = None
) -> Locomotion:
    """Lets ants walk on an open floor on C MuJoCo, each towards a goal 10 m ahead in a direction of its own.

    Args:
        act: the walker.
        starts: ``[N, 29]`` their states; all are set upright, facing any way.
        seed: of headings and directions.
        steps: L.
        hold: steps after which directions are drawn anew; None keeps them.
        threads: of the simulator; see ``MujocoAntmaze``.

    Returns:
        What they did.

    Raises:
        ValueError: for too few steps to have a speed.
    """
    if steps <= _START_UP:
        raise ValueError(f"steps is {steps}; the first {_START_UP} are left out of the speed, so give more.")
    rng = np.random.default_rng(seed)
    states, count = np.array(starts, np.float64), len(starts)
    yaw = rng.uniform(0, 2 * np.pi, count)
    states[:, 3:7] = np.stack([np.cos(yaw / 2), 0 * yaw, 0 * yaw, np.sin(yaw / 2)], axis=1)
    angle = rng.uniform(0, 2 * np.pi, count)
    simulator, progress, upright = MujocoAntmaze(None, threads), [], []
    for step in range(steps):
        if hold and step and step % hold == 0:
            angle = rng.uniform(0, 2 * np.pi, count)
        ahead = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        after = simulator.step(states, act(step, states, states[:, :2] + _FAR * ahead))
        progress.append(((after - states)[:, :2] * ahead).sum(-1))
        upright.append(uprightness(after))
        states = after
    simulator.close()
    return Locomotion(np.stack(progress), np.stack(upright))
