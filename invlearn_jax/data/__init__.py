"""Offline data: readers and writers of D4RL, Minari and OGBench, generators, windows, normalisers."""

from invlearn_jax.data.consistency import Motion, check_motion
from invlearn_jax.data.d4rl import read_d4rl, write_d4rl
from invlearn_jax.data.dataset import (
    Dataset,
    Normalizer,
    WindowStore,
    concatenate,
    fit_normalizer,
    longest_episode,
    sample_windows,
    split,
    window_store,
)
from invlearn_jax.data.minari import read_minari, write_minari
from invlearn_jax.data.ogbench import read_ogbench, write_ogbench
from invlearn_jax.data.readers import read

__all__ = [
    "Dataset",
    "Motion",
    "Normalizer",
    "WindowStore",
    "check_motion",
    "concatenate",
    "fit_normalizer",
    "longest_episode",
    "read",
    "read_d4rl",
    "read_minari",
    "read_ogbench",
    "sample_windows",
    "split",
    "window_store",
    "write_d4rl",
    "write_minari",
    "write_ogbench",
]
