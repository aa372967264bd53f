"""Motions of mechanisms as stick figures."""

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float

_LIGHTEST = 0.08  # opacity of the first moment
_LINE = "#0072b2"
_LAST = "#d55e00"


def places(model: mujoco.MjModel, states: Float[np.ndarray, "L S"], sites: Sequence[str]) -> Float[np.ndarray, "L P 3"]:
    """Where sites are in each state, metres in the world, by C MuJoCo."""
    data, found = mujoco.MjData(model), []
    numbers = [model.site(name).id for name in sites]
    for state in states:
        data.qpos[:] = state[: model.nq]
        mujoco.mj_kinematics(model, data)
        found.append(data.site_xpos[numbers].copy())
    return np.stack(found)


def draw_motion(
    axes: Any,
    model: mujoco.MjModel,
    states: Float[np.ndarray, "L S"],
    sites: Sequence[str],
    plane: tuple[int, int],
    dt: float,
    every: float = 0.1,
) -> None:
    """Sticks through sites at moments of an episode, later ones darker, the last in another colour; and the last site's track.

    Args:
        axes: to draw into.
        model: whose kinematics they are.
        states: ``[L, S]`` of one episode.
        sites: along the mechanism.
        plane: the two coordinates of the world that are shown.
        dt: seconds between states.
        every: seconds between the moments that are shown.
    """
    from matplotlib.collections import LineCollection  # noqa: PLC0415

    sticks = places(model, states, sites)[..., list(plane)]
    shown = sticks[:: max(1, round(every / dt))]
    opacity = np.linspace(_LIGHTEST, 0.6, len(shown))
    axes.plot(*sticks[:, -1].T, color="#999999", linewidth=0.5)
    axes.add_collection(LineCollection(list(shown), colors=[(*_rgb(_LINE), a) for a in opacity], linewidths=1.0))
    axes.plot(*sticks[-1].T, "o-", color=_LAST, linewidth=2.0, markersize=3)
    axes.autoscale_view()
    axes.set(aspect="equal")


def _rgb(color: str) -> tuple[float, ...]:
    return tuple(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
