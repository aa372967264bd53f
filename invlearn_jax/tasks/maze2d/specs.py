"""D4RL's mazes by name, with its time limits and reference scores, and a user's own maze by its rows.

The numbers are those of ``d4rl/pointmaze/__init__.py`` and ``d4rl/infos.py``.
"""

from invlearn_jax.names import unknown_name
from invlearn_jax.tasks import layouts
from invlearn_jax.tasks.layouts import cell_distances
from invlearn_jax.tasks.maze2d.environment import Maze2dSpec, maze2d_spec

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

# D4RL's time limits are 50, 55 and 42 steps for each cell of the longest way through its umaze, medium and large maze.
_STEPS_A_CELL = 40


def _specs() -> dict[str, Maze2dSpec]:
    specs: dict[str, Maze2dSpec] = {}
    for stem, (rows, steps, sparse, dense) in _MAZES.items():
        size, version = stem.rsplit("-", 1)
        for spec, (low, high) in (
            (maze2d_spec(rows, f"maze2d-{size}-{version}", steps, "sparse"), sparse),
            (maze2d_spec(rows, f"maze2d-{size}-dense-{version}", steps, "dense"), dense),
        ):
            specs[spec.name] = spec._replace(ref_min=low, ref_max=high)
    return specs


SPECS = _specs()


def own_spec(name: str) -> Maze2dSpec:
    """The specification of a user's own maze from its rows joined by ``/``, e.g. ``#####/#OOG#/#####``.

    Episodes have 40 steps for each cell of the longest of its shortest ways, and at least 600, so that whoever drives at half
    the speed limit arrives from everywhere. The reward is sparse, with references of 0 and that length: the score is the
    percentage of steps at the goal.

    Raises:
        ValueError: for a bad maze.
    """
    own = maze2d_spec(name.split("/"), name)
    longest = max(cell_distances(own.layout.walls, cell).max() for cell in own.layout.free)
    length = max(own.episode_length, _STEPS_A_CELL * int(longest))
    return own._replace(episode_length=length, ref_min=0.0, ref_max=float(length))


def spec(name: str) -> Maze2dSpec:
    """The specification of a named maze2d, or of a user's own maze; see ``own_spec``.

    Raises:
        ValueError: if the name is unknown (the nearest known names are listed), or for a bad maze.
    """
    if "#" in name:
        return own_spec(name)
    if name not in SPECS:
        raise unknown_name("maze2d", name, SPECS)
    return SPECS[name]
