"""The experiments by name."""

from experiments.configs import maze2d
from invlearn_jax.names import unknown_name

EXPERIMENTS = {"maze2d-umaze": maze2d.umaze, "maze2d-medium": maze2d.medium, "maze2d-large": maze2d.large}


def experiment_config(name: str) -> maze2d.Config:
    """The configuration of a named experiment.

    Raises:
        ValueError: if the name is unknown; the nearest known names are listed.
    """
    if name not in EXPERIMENTS:
        raise unknown_name("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name]()
