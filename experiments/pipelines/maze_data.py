"""What a maze2d run starts from: the user's own files or D4RL's regenerated, broad random data beside."""

import functools
from typing import NamedTuple

import numpy as np

from experiments.configs.shared import DataConfig
from experiments.pipelines.stages import kept_data
from invlearn_jax.data import Dataset, concatenate
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.keys import from_seed, stream
from invlearn_jax.tasks.maze2d import specs as maze2d_specs
from invlearn_jax.tasks.maze2d.files import read_for
from invlearn_jax.tasks.maze2d.generator import controller_data, random_data
from invlearn_jax.tasks.registry import make_task


class Data(NamedTuple):
    """The offline data of a run: the goal-directed part (``name``: ``d4rl`` or ``own``), and the broad part, if any."""

    name: str
    main: Dataset
    broad: Dataset | None

    def joined(self) -> Dataset:
        """All rows."""
        return self.main if self.broad is None else concatenate(self.main, self.broad)


def load_data(settings: DataConfig, env: str, run: RunFolder, seed: int) -> Data:
    """Reads the user's files, or makes D4RL's data (kept in the run's folder), and the broad data if asked for.

    Raises:
        ValueError: if a file's rows are not the environment's; see ``read_for``.
    """
    paths, folder = [path for path in settings.path.split(",") if path], run.path / "data"
    if paths:
        name, main = "own", concatenate(*(read_for(maze2d_specs.spec(env), path) for path in paths))
    else:
        name, main = "d4rl", kept_data(folder / "d4rl.npz", functools.partial(_controller, settings, env, seed))
    if not settings.random_rows:
        return Data(name, main, None)
    return Data(name, main, kept_data(folder / "random.npz", functools.partial(_random, settings, env, seed)))


def _controller(settings: DataConfig, name: str, seed: int) -> Dataset:
    env = make_task(name).environment
    rows = controller_data(env, stream(from_seed(seed), "controller data"), settings.rows, settings.noise)
    # The true state: D4RL's observation repeats once after every new goal.
    states = np.concatenate([rows["infos/qpos"], rows["infos/qvel"]], axis=1)
    return Dataset(states, rows["actions"], rows["timeouts"])


def _random(settings: DataConfig, name: str, seed: int) -> Dataset:
    env = make_task(name).environment
    rows = random_data(env, stream(from_seed(seed), "random data"), settings.random_rows)
    return Dataset(rows["observations"], rows["actions"], rows["timeouts"])
