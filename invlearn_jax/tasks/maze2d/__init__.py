"""D4RL's maze2d: a force-actuated ball among walls."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invlearn_jax.tasks.maze2d.task import Maze2dTask
    from invlearn_jax.tasks.registry import TaskEntry


def tasks() -> "dict[str, TaskEntry]":
    """D4RL's mazes by name, each with its own goal or, ``-multi``, with a random goal per episode."""
    from invlearn_jax.tasks.maze2d.task import entries  # noqa: PLC0415  (data's readers import parts of this folder)

    return entries()


def parse(name: str) -> "Maze2dTask | None":
    """A user's own maze from its rows joined by ``/``, gymnasium-robotics' by ``pointmaze:ID``, or None for any other name.

    Raises:
        ValueError: for a bad maze, or an unknown id.
    """
    from invlearn_jax.tasks.maze2d.pointmaze import point_maze  # noqa: PLC0415  (as above)
    from invlearn_jax.tasks.maze2d.task import own_maze  # noqa: PLC0415  (as above)

    return own_maze(name) or point_maze(name)
