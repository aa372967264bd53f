"""The experiments by name: a configuration and the pipeline that trains it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from experiments.configs import maze2d
from invlearn_jax.names import unknown_name


class Experiment(NamedTuple):
    """What a name stands for.

    Attributes:
        config: makes the default configuration.
        pipeline: the module and function that train it, e.g. ``maze2d.train_planner``, under ``experiments.pipelines``.
    """

    config: Callable[[], Any]
    pipeline: str


EXPERIMENTS = {
    "maze2d-umaze": Experiment(maze2d.umaze, "maze2d.train_planner"),
    "maze2d-medium": Experiment(maze2d.medium, "maze2d.train_planner"),
    "maze2d-large": Experiment(maze2d.large, "maze2d.train_planner"),
}


def experiment(name: str) -> Experiment:
    """A named experiment.

    Raises:
        ValueError: if the name is unknown; the nearest known names are listed.
    """
    if name not in EXPERIMENTS:
        raise unknown_name("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name]
