"""Maps of grids, and motions of the classic mechanisms."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

_LINE, _LAST = "#0072b2", "#d55e00"


def draw_map(axes: Any, values: Float[np.ndarray, "R C"], limits: tuple[float, float] | None = None) -> Any:
    """A value of each cell as its shade and as a number, row 0 on top.

    Args:
        axes: to draw into.
        values: of the cells.
        limits: of the shades; by default the least and the greatest value.

    Returns:
        The image, for a colour bar.
    """
    low, high = limits or (float(values.min()), float(values.max()))
    image = axes.imshow(values, cmap="Blues", vmin=low, vmax=high)
    for (row, column), value in np.ndenumerate(values):
        dark = value > (low + high) / 2
        axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=7, color="white" if dark else "black")
    axes.set(xticks=range(values.shape[1]), yticks=range(values.shape[0]))
    return image


def map_figure(maps: Mapping[str, Float[np.ndarray, "R C"]]) -> Any:
    """Maps side by side, each with its title and shades of its own: true and recovered rewards or values, say."""
    from matplotlib.figure import Figure  # noqa: PLC0415  (an extra)

    figure = Figure(figsize=(2.4 * len(maps), 2.6), layout="constrained")
    for axes, (title, values) in zip(figure.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True):
        draw_map(axes, np.asarray(values))
        axes.set_title(title, fontsize=9)
    return figure


def draw_sticks(axes: Any, sticks: Float[np.ndarray, "L P 2"], shown: int = 40) -> None:
    """A mechanism at up to ``shown`` moments of an episode, later ones darker, the last in another colour."""
    picked = sticks[np.unique(np.linspace(0, len(sticks) - 1, shown).astype(int))]
    for stick, opacity in zip(picked, np.linspace(0.08, 0.6, len(picked)), strict=True):
        axes.plot(*stick.T, color=_LINE, alpha=opacity, linewidth=1.0)
    axes.plot(*sticks[-1].T, "o-", color=_LAST, linewidth=2.0, markersize=3)
    axes.set(xlabel="x, m", ylabel="height, m", aspect="equal")
