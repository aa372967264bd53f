"""D4RL's antmaze: an eight-jointed ant that walks, on an open floor and among walls."""

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invlearn_jax.tasks.registry import TaskEntry


def tasks() -> dict[str, "TaskEntry"]:
    """The world's tasks by name."""
    # The ant's model and environment are imported by what the tasks are built on.
    from invlearn_jax.tasks.antmaze.maze import AntmazeTask  # noqa: PLC0415
    from invlearn_jax.tasks.antmaze.specs import SPECS  # noqa: PLC0415
    from invlearn_jax.tasks.antmaze.walk import AntWalk  # noqa: PLC0415
    from invlearn_jax.tasks.registry import TaskEntry  # noqa: PLC0415

    entries = {
        name: TaskEntry(functools.partial(AntmazeTask, name), "D4RL's antmaze: an ant finds its way to a goal")
        for name in SPECS
    }
    return entries | {"ant-walk": TaskEntry(AntWalk, "an ant walks to a place a few metres away on an open floor")}
