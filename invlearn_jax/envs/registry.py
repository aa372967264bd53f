"""Environments by name, with D4RL's time limits and reference scores.

They are those of ``d4rl/pointmaze/__init__.py``, ``d4rl/locomotion/__init__.py`` and ``d4rl/infos.py``.
"""

from typing import Literal

from invlearn_jax.envs import layouts
from invlearn_jax.envs.layouts import parse_layout
from invlearn_jax.envs.maze2d import Maze2d, Maze2dSpec, maze2d_spec
from invlearn_jax.names import unknown_name
from invlearn_jax.tasks.antmaze.environment import Antmaze, AntmazeSpec

# id stem: rows, steps, (sparse ref min, max), (dense ref min, max).
_MAZES = {
    "open-v0": (layouts.OPEN, 150, (0.01, 20.66), (11.17817, 27.166538620695782)),
    "umaze-v1": (layouts.UMAZE, 300, (23.85, 161.86), (68.537689, 193.66285642381482)),
    "medium-v1": (layouts.MEDIUM, 600, (13.13, 277.39), (44.264742, 297.4552547777125)),
    "large-v1": (layouts.LARGE, 800, (6.7, 273.99), (30.569041, 303.4857382709002)),
    "eval-umaze-v1": (layouts.EVAL_UMAZE, 300, (36.63, 141.4), (56.95455, 178.21373133248397)),
    "eval-medium-v1": (layouts.EVAL_MEDIUM, 600, (13.07, 204.93), (42.28578, 235.5658957482388)),
    "eval-large-v1": (layouts.EVAL_LARGE, 800, (16.4, 302.22), (56.95455, 326.09647655082637)),
}
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
    specs = {}
    for stem, (rows, steps) in _ANTMAZES.items():
        name = f"antmaze-{stem}-v2"
        specs[name] = AntmazeSpec(name, parse_layout(rows), steps)
    for stem, (rows, steps, sparse, dense) in _MAZES.items():
        layout = parse_layout(rows)
        size, version = stem.rsplit("-", 1)
        for reward, refs, infix in (("sparse", sparse, ""), ("dense", dense, "-dense")):
            name = f"maze2d-{size}{infix}-{version}"
            specs[name] = Maze2dSpec(name, layout, steps, reward, *refs)
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
        own = maze2d_spec(name.split("/"), name)
        found = own._replace(ref_min=0.0, ref_max=float(own.episode_length))
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
