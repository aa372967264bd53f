"""Estimates with intervals, and what is measured of episodes of any task."""

from typing import Any, NamedTuple

import numpy as np

_Z95 = 1.959963984540054  # the normal distribution's 97.5 % point


class Interval(NamedTuple):
    """An estimate with its standard error and 95 % confidence interval."""

    mean: float
    sem: float
    low: float
    high: float

    def fields(self, name: str) -> dict[str, Any]:
        """``NAME_mean, NAME_sem, NAME_ci95`` of a record."""
        return {f"{name}_mean": self.mean, f"{name}_sem": self.sem, f"{name}_ci95": [self.low, self.high]}


def mean_ci(values: np.ndarray) -> Interval:
    """``mean -+ 1.96 s / sqrt(n)``, s being the sample's standard deviation.

    Args:
        values: ``[n]`` independent values.

    Returns:
        The mean with its normal 95 % interval; one value has an infinite standard error.

    Raises:
        ValueError: for no values.
    """
    values = np.asarray(values, float).ravel()
    if not len(values):
        raise ValueError("No values were given; a mean needs at least one.")
    mean = float(values.mean())
    sem = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("inf")
    return Interval(mean, sem, mean - _Z95 * sem, mean + _Z95 * sem)


def wilson(successes: int, trials: int) -> Interval:
    """Wilson's 95 % interval of a rate.

    With ``p = successes / n`` and ``z = 1.96``,

        (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n).

    Args:
        successes: how often it came out so.
        trials: n.

    Returns:
        The rate p, its standard error ``sqrt(p (1 - p) / n)`` and the interval, which stays in [0, 1].

    Raises:
        ValueError: unless 0 <= successes <= trials and trials >= 1.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(
            f"{successes} successes of {trials} trials; give 0 <= successes <= trials and at least one trial."
        )
    rate, weight = successes / trials, _Z95**2 / trials
    variance = rate * (1 - rate) / trials
    middle = (rate + weight / 2) / (1 + weight)
    half = _Z95 * np.sqrt(variance + weight / (4 * trials)) / (1 + weight)
    return Interval(rate, float(np.sqrt(variance)), float(max(middle - half, 0.0)), float(min(middle + half, 1.0)))


def jerk(actions: np.ndarray, dt: float) -> np.ndarray | float:
    """``mean_t |a_{t+1} - a_t| / dt``, Euclidean over the action's entries.

    Args:
        actions: ``[..., T, A]``, T >= 2.
        dt: seconds per step.

    Returns:
        ``[...]`` per second.
    """
    return np.linalg.norm(np.diff(np.asarray(actions, float), axis=-2), axis=-1).mean(-1) / dt
