"""D4RL's antmazes by name, with its time limits.

The numbers are those of ``d4rl/locomotion/__init__.py`` and ``d4rl/infos.py``.
"""

from invlearn_jax.names import unknown_name
from invlearn_jax.tasks import layouts
from invlearn_jax.tasks.antmaze.environment import AntmazeSpec
from invlearn_jax.tasks.layouts import parse_layout

# Data of different starts and goals, one environment for all of a size: rows, steps.
_MAZES = {
    "umaze": (layouts.ANT_UMAZE, 700),
    "umaze-diverse": (layouts.ANT_UMAZE, 700),
    "medium-play": (layouts.MEDIUM, 1000),
    "medium-diverse": (layouts.MEDIUM, 1000),
    "large-play": (layouts.LARGE, 1000),
    "large-diverse": (layouts.LARGE, 1000),
}
SPECS = {
    f"antmaze-{stem}-v2": AntmazeSpec(f"antmaze-{stem}-v2", parse_layout(rows), steps)
    for stem, (rows, steps) in _MAZES.items()
}


def spec(name: str) -> AntmazeSpec:
    """The specification of a named antmaze.

    Raises:
        ValueError: if the name is unknown; the nearest known names are listed.
    """
    if name not in SPECS:
        raise unknown_name("antmaze", name, SPECS)
    return SPECS[name]
