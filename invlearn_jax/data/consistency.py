"""Whether data are of the system they are meant for: their motion against what is known of that system.

Everything is judged by quantiles over a sample of steps, never by single rows, so that noise and contacts do no harm.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from invlearn_jax.data.dataset import LOG, Dataset
from invlearn_jax.data.episodes import sample_rows

_SHARE_INSIDE = 0.99  # of the positions that must be possible ones
_RATIO = 1.25  # between displacement and velocity, either way
_VELOCITY_ERROR = 0.35  # median, of a usual displacement
_STEP_ERROR = 0.1  # median, of a usual step of the simulator
_STEP_OFF = 0.5  # an error, of a usual step, from which on a step counts as wrong
_SHARE_OFF = 0.1  # of the steps that may be wrong
_SAID = 0.002  # of the steps wrong, or rows twice, from which on it is said
_LEAST = 20  # steps to judge by
_POSITIONS = 100_000  # rows whose positions are looked at
_UNITS = {0.01: "centimetres", 0.001: "millimetres"}
_MOST_TURNED = 3  # axes, up to which all exchanges and signs are tried


class Motion(NamedTuple):
    """What is known of a system's motion; all but the first three may be left out.

    Attributes:
        name: of the system, for messages.
        sizes: of a state and of an action.
        holds: what these are, for messages: ``"position and velocity (4) and forces (2)"``.
        dt: s, of a step.
        positions: from states ``[N, S]`` to ``[N, P]``, m; needed with ``velocities`` and with ``inside``.
        velocities: from states to ``[N, P]``, the positions' derivatives.
        inside: whether positions ``[N, P]`` are possible ones.
        forbidden: where the others lie, for messages.
        extent: the least and the greatest possible position, ``[P]`` each.
        check: raises a ValueError for states that are none; gets their description for the message.
        step: the simulator, ``(states [N, S], actions [N, A]) -> states [N, S]``.
        steps: how many steps to simulate.
    """

    name: str
    sizes: tuple[int, int]
    holds: str
    dt: float | None = None
    positions: Callable[[np.ndarray], np.ndarray] | None = None
    velocities: Callable[[np.ndarray], np.ndarray] | None = None
    inside: Callable[[np.ndarray], np.ndarray] | None = None
    forbidden: str = "where they cannot be"
    extent: tuple[np.ndarray, np.ndarray] | None = None
    check: Callable[[np.ndarray, str], object] | None = None
    step: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    steps: int = 1000


def check_motion(dataset: Dataset, motion: Motion, source: str) -> Dataset:
    """Checks that rows are of a system; what is doubtful but allowed is logged.

    Args:
        dataset: the rows.
        motion: the system.
        source: where the rows are from, for messages.

    Returns:
        The dataset.

    Raises:
        ValueError: says what was found, what is allowed, and what the likely cause is.
    """
    sizes = dataset.states.shape[1], dataset.actions.shape[1]
    if sizes != motion.sizes:
        raise ValueError(
            f"{source} has states and actions of {sizes[0]} and {sizes[1]} numbers; {motion.name} takes {motion.holds}. "
            "Give data of that system, with states in that order."
        )
    if motion.check is not None:
        motion.check(dataset.states, f"The states in {source}")
    if motion.inside is not None:
        _check_places(dataset, motion, source)
    rows = np.flatnonzero(~dataset.ends[:-1])
    if len(rows) < _LEAST:
        LOG.warning("%s: %d steps are too few to check their motion.", source, len(rows))
        return dataset
    if motion.velocities is not None and motion.dt is not None:
        _check_velocities(dataset, rows[sample_rows(len(rows))], motion, source)
    if motion.step is not None:
        _check_steps(dataset, rows[sample_rows(len(rows), motion.steps)], motion, source)
    _say_duplicates(dataset, source)
    return dataset


def _turns(size: int) -> Iterator[tuple[np.ndarray, str]]:
    """All matrices ``[P, P]`` that exchange and reverse axes, with what they do; the identity first."""
    for order in itertools.permutations(range(size)):
        for signs in itertools.product((1, -1), repeat=size):
            matrix = np.zeros((size, size))
            matrix[range(size), order] = signs
            yield matrix, f"axes ({', '.join('-' * (s < 0) + 'xyz'[o] for o, s in zip(order, signs, strict=True))})"


def _check_places(dataset: Dataset, motion: Motion, source: str) -> None:
    assert motion.positions is not None and motion.inside is not None
    rows = sample_rows(len(dataset.states), _POSITIONS)
    places = motion.positions(dataset.states[rows].astype(np.float64))
    inside = motion.inside(places)
    if inside.mean() >= _SHARE_INSIDE:
        return
    worst = int(np.argmin(inside))
    raise ValueError(
        f"{source}: {100 * (1 - inside.mean()):.0f} % of its positions lie {motion.forbidden}, the first at row {rows[worst]}: "
        f"{places[worst].tolist()}; allowed are {100 * (1 - _SHARE_INSIDE):.0f} %. {_where_from(places, motion)}"
    )


def _where_from(places: np.ndarray, motion: Motion) -> str:
    """The frame or unit in which positions would be possible ones, in words."""
    assert motion.inside is not None
    some, size = places[sample_rows(len(places), 2000)], places.shape[1]
    turns = list(_turns(size)) if size <= _MOST_TURNED else [(np.eye(size), "axes as they are")]
    found = []
    for (turn, words), scale in itertools.product(turns, (1.0, *_UNITS)):
        turned = scale * some @ turn.T
        # Shrunk far enough, anything fits.
        if (
            scale != 1
            and motion.extent is not None
            and (np.ptp(turned, axis=0) < 0.2 * np.subtract(*motion.extent[::-1])).any()
        ):
            continue
        offsets = [np.zeros(size)]
        if motion.extent is not None:
            low, high = np.quantile(turned, (0.002, 0.998), axis=0)
            offsets.append((np.add(*motion.extent) - low - high) / 2)
        for offset in offsets:
            share = motion.inside(turned + offset).mean()
            moved = f" moved by about [{', '.join(f'{x:.2f}' for x in offset)}] m" if offset.any() else ""
            found.append((share, f"{words}{moved}" + (f" from {_UNITS[scale]} to metres" if scale in _UNITS else "")))
    share, words = max(found, key=lambda pair: pair[0])
    if share < _SHARE_INSIDE:
        return f"No exchange of axes, shift or unit makes them fit {motion.name}: the data are from another one. Choose that."
    return (
        f"They fit ({100 * share:.0f} %) with {words}: turn and shift states and actions into the frame of {motion.name} first "
        "(gymnasium_robotics in its folder under tasks has converters), or choose the one the data are from."
    )


def _check_velocities(dataset: Dataset, rows: np.ndarray, motion: Motion, source: str) -> None:
    assert motion.positions is not None and motion.velocities is not None and motion.dt is not None
    before, after = (dataset.states[i].astype(np.float64) for i in (rows, rows + 1))
    speed = (motion.positions(after) - motion.positions(before)) / motion.dt
    given = (motion.velocities(before) + motion.velocities(after)) / 2
    size, told = np.linalg.norm(speed, axis=1), np.linalg.norm(given, axis=1)
    usual, usual_told = np.median(size), np.median(told)
    if max(usual, usual_told) < 1e-9:
        return
    moving = (size > 0.1 * usual) & (told > 0.1 * usual_told)
    ratio = np.median(size[moving] / told[moving]) if moving.any() else (math.inf if usual > 0 else 0.0)

    def error(turn: np.ndarray) -> float:
        return float(np.median(np.linalg.norm(speed - ratio * given @ turn.T, axis=1)) / max(usual, 1e-12))

    if 1 / _RATIO <= ratio <= _RATIO and error(np.eye(given.shape[1])) <= _VELOCITY_ERROR:
        return
    begin = (
        f"{source}: positions move {ratio:.2g} times as far in a step of {motion.dt:g} s as the velocities say; allowed is 1 "
        f"within a factor of {_RATIO}. "
    )
    if not moving.any() or not math.isfinite(ratio):
        raise ValueError(f"{begin}One of the two stands still: check the order of the entries, {motion.holds}.")
    turns = (
        list(_turns(given.shape[1]))
        if given.shape[1] <= _MOST_TURNED
        else [(np.eye(given.shape[1]), "axes as they are")]
    )
    errors = [error(turn) for turn, _ in turns]
    best = int(np.argmin(errors))
    if best and errors[best] <= _VELOCITY_ERROR < errors[0]:
        raise ValueError(
            f"{source}: velocities disagree with the positions by {errors[0]:.2g} of a usual displacement (median; allowed "
            f"{_VELOCITY_ERROR}), and by {errors[best]:.2g} with {turns[best][1]}. Turn positions and velocities alike."
        )
    if errors[0] > _VELOCITY_ERROR:
        raise ValueError(
            f"{source}: velocities disagree with the positions by {errors[0]:.2g} of a usual displacement (median); allowed is "
            f"{_VELOCITY_ERROR}. Likely another robot, rows left out, or entries in another order: {motion.name} takes "
            f"{motion.holds}."
        )
    raise ValueError(
        f"{begin}Likely a step of {motion.dt * ratio:.2g} s (rows left out, another frame skip), or positions and velocities in "
        "different units. Give every row, at that step, in metres and seconds."
    )


def _check_steps(dataset: Dataset, rows: np.ndarray, motion: Motion, source: str) -> None:
    assert motion.step is not None
    before, after = (dataset.states[i].astype(np.float64) for i in (rows, rows + 1))
    actions = dataset.actions[rows].astype(np.float64)
    moved = after - before
    scale = np.maximum(np.quantile(np.abs(moved), 0.75, axis=0), 1e-6 * (1 + np.abs(before).max(0)))

    def errors(predicted: np.ndarray) -> np.ndarray:
        return np.sqrt((((predicted - after) / scale) ** 2).mean(1))

    found = errors(motion.step(before, actions))
    median, off = float(np.median(found)), float((found > _STEP_OFF).mean())
    if median <= _STEP_ERROR and off <= _SHARE_OFF:
        if off > _SAID:
            LOG.warning(
                "%s: %.1f %% of %d steps differ from the simulator of %s.", source, 100 * off, len(rows), motion.name
            )
        return
    raise ValueError(
        f"{source}: the simulator of {motion.name} takes {len(rows)} of its steps elsewhere: {median:.2g} of a usual step away, "
        f"median; {100 * off:.0f} % of them more than {_STEP_OFF}; allowed are {_STEP_ERROR} and {100 * _SHARE_OFF:.0f} %. "
        f"{_likely(dataset, rows, before, actions, motion, errors)}"
    )


def _likely(
    dataset: Dataset,
    rows: np.ndarray,
    before: np.ndarray,
    actions: np.ndarray,
    motion: Motion,
    errors: Callable[[np.ndarray], np.ndarray],
) -> str:
    """The change of the actions that brings the simulator nearest to the data, in words."""
    assert motion.step is not None
    candidates = [("as they are", actions), ("reversed in sign", -actions)]
    for shift, words in ((1, "a row late"), (-1, "a row early")):
        other = np.clip(rows + shift, 0, len(dataset.actions) - 1)
        candidates.append((f"recorded {words}", dataset.actions[other].astype(np.float64)))
    if actions.shape[1] <= _MOST_TURNED:
        candidates += [
            (f"in another frame, with {words}", actions @ turn.T) for turn, words in _turns(actions.shape[1])
        ][1:]
    tried = [(float(np.median(errors(motion.step(before, other)))), words) for words, other in candidates]
    unscaled = tried[0][0]
    # Small actions have small effects, which add.
    largest = float(np.abs(actions).max())
    for factor in (largest, 1 / largest) if largest else ():
        tried.append((float(np.median(errors(motion.step(before, actions / factor)))), f"{factor:.3g} times too large"))
    best, words = min(tried, key=lambda pair: pair[0])
    range_ = f"Actions go up to {largest:.3g}."
    if best > _STEP_ERROR or best > unscaled / 2:
        return (
            f"{range_} No shift, sign, frame or scale of the actions explains it: likely another robot, unit, step or maze. "
            "Give data of this system."
        )
    return f"{range_} With actions {words} it is {best:.2g}: mend the actions, or give data of this system."


def _say_duplicates(dataset: Dataset, source: str) -> None:
    columns = [*dataset.states.T, *dataset.actions.T]
    # Two equal rows have equal sums; that two others do is of no consequence here. By columns, since data may be large.
    weights = np.random.default_rng(0).normal(size=len(columns))
    sums = sum(w * column.astype(np.float64) for w, column in zip(weights, columns, strict=True))
    twice = 1 - len(np.unique(sums)) / len(sums)
    if twice > _SAID:
        LOG.warning("%s: %.1f %% of its rows occur more than once.", source, 100 * twice)
