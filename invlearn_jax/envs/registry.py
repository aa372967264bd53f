"""Environments by name, with D4RL's time limits and reference scores.

Those of antmaze are of ``d4rl/locomotion/__init__.py`` and ``d4rl/infos.py``.
"""

from typing import Literal

from invlearn_jax.names import unknown_name
from invlearn_jax.tasks import layouts
from invlearn_jax.tasks.antmaze.environment import Antmaze, AntmazeSpec
from invlearn_jax.tasks.layouts import parse_layout
from invlearn_jax.tasks.maze2d.environment import Maze2d, Maze2dSpec
from invlearn_jax.tasks.maze2d.specs import SPECS, own_spec

# Data of different starts and goals, one environment for all of a size: rows, steps.
_ANTMAZES = {
    "umaze": (layouts.ANT_UMAZE, 700),
    "umaze-diverse": (layouts.ANT_UMAZE, 700),
    "medium-play": (layouts.MEDIUM, 1000),
    "medium-diverse": (layouts.MEDIUM, 1000),
    "large-play": (layouts.LARGE, 1000),
    "large-diverse": (layouts.LARGE, 1000),
}
_KINDS = {"maze2d": (Maze2dSpec, "maze2d-large-v1"), "antmaze": (AntmazeSpec, "antmaze-large-play-v2")}


def _specs() -> dict[str, Maze2dSpec | AntmazeSpec]:
    specs = dict(SPECS)
    for stem, (rows, steps) in _ANTMAZES.items():
        name = f"antmaze-{stem}-v2"
        specs[name] = AntmazeSpec(name, parse_layout(rows), steps)
    return specs


_SPECS = _specs()


def environment_names() -> list[str]:
    """The ids that ``make`` knows."""
    return sorted(_SPECS)


def spec(name: str, kind: Literal["maze2d", "antmaze"] | None = None) -> Maze2dSpec | AntmazeSpec:
    """The specification of a named environment, or of a user's own maze.

    A maze of one's own is its rows joined by ``/``, e.g. ``#####/#OOG#/#####``: maze2d with episodes of 600 steps, sparse
    reward, and references of 0 and 600, so that its score is the percentage of steps at the goal.

    Args:
        name: an id of ``environment_names()``, or a maze.
        kind: the kind it has to be of, if one is needed.

    Returns:
        The specification.

    Raises:
        ValueError: if the name is unknown (the nearest known names are listed), a bad maze, or of another kind.
    """
    if "#" in name:
        found = own_spec(name)
    elif name in _SPECS:
        found = _SPECS[name]
    else:
        raise unknown_name("environment", name, _SPECS)
    if kind and not isinstance(found, _KINDS[kind][0]):
        raise ValueError(f"{name!r} is no {kind} environment, and one is needed here: e.g. {_KINDS[kind][1]!r}.")
    return found


def make(name: str, kind: Literal["maze2d", "antmaze"] | None = None) -> Maze2d | Antmaze:
    """Builds a named environment on MJX.

    Args:
        name: an id of ``environment_names()``, e.g. ``maze2d-large-v1``, or a maze of your own; see ``spec``.
        kind: the kind it has to be of, if one is needed.

    Returns:
        The environment.

    Raises:
        ValueError: if the name is unknown (the nearest known names are listed), a bad maze, or of another kind.
    """
    found = spec(name, kind)
    return (Antmaze if isinstance(found, AntmazeSpec) else Maze2d)(found)
