"""From the arrays of a file to episodes: the one place that decides which rows follow each other.

A step (s_t, a_t, s_{t+1}) is kept only where nothing speaks against it:

- no flag ends the episode at row t;
- ``next_observations``, where there are any, hold the state of row t+1;
- entries that are integrals of others move as those say (``MotionLaw``): no jump, no standing still at speed.

Flags that contradict the motion are set right where one reading of them agrees with it: masks (1 where the episode goes on),
flags a row late or early. What was done is logged as a warning of ``invlearn_jax.data``, with counts.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from invlearn_jax.data.dataset import LOG, Dataset, check_rows

# Keys whose ones end an episode, and those whose zeros do.
END_FLAGS = ("terminals", "timeouts", "terminations", "truncations", "dones")
MASKS = ("masks",)
NEXT = "next_observations"
# What is read of a file with flat rows.
NEEDED = ("observations", "actions")
OPTIONAL = ("rewards", NEXT, *END_FLAGS, *MASKS)

_SAMPLE = 20_000
_CUTS_AT_MOST = 0.02  # of the steps, above which a law's breaks are taken for contacts
_SHARE_SAID = 0.01  # of the rows, from which on a loss is said


def sample_rows(count: int, most: int = _SAMPLE) -> np.ndarray:
    """At most ``most`` of ``count`` rows in order, drawn so that no period of the data can hide from them."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def close(first: np.ndarray, second: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """``[N]`` whether rows ``[N, D]`` are the same but for rounding: within 0.1 % of a usual one of ``steps`` ``[M, D]``."""
    usual = np.median(np.abs(steps[sample_rows(len(steps))]), axis=0) if len(steps) else 0.0
    allowed = 1e-3 * usual + 2e-6 * np.abs(second).max(0, initial=0)
    return (np.abs(first - second) <= allowed).all(1)


class MotionLaw(NamedTuple):
    """``p_{t+1} = p_t + w_0 r_t + w_1 r_{t+1}`` for entries p of a state that integrate entries r, as found in data.

    Attributes:
        positions: ``[P]`` entries p.
        rates: ``[P]`` entries r.
        weights: ``[2, P]`` w, s.
        allowed: ``[P]`` how far a step may be off.
    """

    positions: np.ndarray
    rates: np.ndarray
    weights: np.ndarray
    allowed: np.ndarray

    def breaks(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """``[N]`` whether steps from states ``before`` to ``after`` ``[N, S]`` are none that the law allows."""
        off = self._off(before, after)
        return np.asarray((off > self.allowed).any(1))

    def rests(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """``[N]`` whether steps leave an entry exactly as it was though its rate says otherwise: a row that repeats."""
        still = after[:, self.positions] == before[:, self.positions]
        return (still & (np.abs(self._said(before, after)) > self.allowed)).any(1)

    def _off(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        return np.abs(after[:, self.positions] - before[:, self.positions] - self._said(before, after))

    def _said(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """``[N, P]`` the movement that the rates make."""
        return self.weights[0] * before[:, self.rates] + self.weights[1] * after[:, self.rates]


def find_law(before: np.ndarray, after: np.ndarray) -> MotionLaw | None:
    """Finds the entries of states that are integrals of others.

    Args:
        before: ``[N, S]`` states.
        after: ``[N, S]`` the states a step later; up to a tenth of the rows may be wrong.

    Returns:
        The law; None if no entry is the integral of another, or there are too few rows to tell.
    """
    some = sample_rows(len(before))
    before, after = before[some].astype(np.float64), after[some].astype(np.float64)
    if len(some) < 20:
        return None
    # Integrators differ in which speed they take: that before, after, or between.
    moved = _clipped(after - before)
    likeness = np.max([moved.T @ _clipped(speed) / len(some) for speed in (before, after, before + after)], axis=0)
    np.fill_diagonal(likeness, 0.0)
    rates = likeness.argmax(1)
    best = likeness.max(1)
    # Of two entries that seem each other's integral, the better fit is; a rate is no position.
    positions = np.array(
        [p for p, r in enumerate(rates) if best[p] > 0.9 and (rates[r] != p or best[r] < best[p])], int
    )
    if not len(positions):
        return None
    rates = rates[positions]
    weights = np.stack(
        [
            _weights(after[:, p] - before[:, p], before[:, r], after[:, r])
            for p, r in zip(positions, rates, strict=True)
        ],
        1,
    )
    law = MotionLaw(positions, rates, weights, np.zeros(len(positions)))
    return law._replace(allowed=_allowed(law, before, after))


def _allowed(law: MotionLaw, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """``[P]`` how far steps may be off: next to nothing where the law is exact, else what the rates move at most."""
    off, said = law._off(before, after), np.abs(law._said(before, after))
    usual, most = np.quantile(said, (0.9, 0.999), axis=0)
    exact = (
        np.quantile(np.where(said >= np.median(said, axis=0), off / np.maximum(said, 1e-12), 0.0), 0.9, axis=0) < 1e-3
    )
    rounding = 4e-6 * np.abs(before[:, law.positions]).max(0)
    # At 20 times the usual error contacts pass; below 0.2 % of a usual step nothing is of interest. A coarse integrator's
    # errors are no usual ones where a robot rests most of the time.
    return np.maximum(20 * np.quantile(off, 0.9, axis=0), np.where(exact, 0.002 * usual, most)) + rounding


def _clipped(x: np.ndarray) -> np.ndarray:
    """Columns without outliers, of mean 0 and deviation 1 (0 where they are constant)."""
    limit = np.quantile(np.abs(x), 0.9, axis=0)
    x = np.clip(x, -limit, limit)
    x = x - x.mean(0)
    return x / np.maximum(x.std(0), 1e-12)


def _weights(moved: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """``[2]`` least squares over the nine tenths of the rows that fit best."""
    design, kept = np.stack([before, after], axis=1), np.ones(len(moved), bool)
    for _ in range(4):
        weights = np.linalg.lstsq(design[kept], moved[kept], rcond=None)[0]
        off = np.abs(moved - design @ weights)
        kept = off <= np.quantile(off, 0.9)
    return weights


def rows_of(raw: Mapping[str, object], source: str, truth: Sequence[str] = ()) -> Dataset:
    """A dataset from the arrays of a file with flat rows.

    Args:
        raw: ``NEEDED`` and any of ``OPTIONAL``, as read; others are ignored.
        source: the file's name, for messages.
        truth: keys of arrays that side by side are the simulator's states; these are taken where all are there and belong to
            the observations.

    Returns:
        The rows; see ``episodes``.

    Raises:
        ValueError: for wrong shapes, NaN or infinity, no rows; names key and row; see ``episodes``.
    """
    count = len(check_rows(raw["observations"], "observations", source, 2))
    truth = truth if all(key in raw for key in truth) else ()
    wide = (*NEEDED, NEXT, *truth)
    wanted = [key for key in (*NEEDED, *OPTIONAL, *truth) if key in raw]
    arrays = {key: check_rows(raw[key], key, source, 2 if key in wide else 1, count) for key in wanted}
    observations, following, flags = arrays["observations"], arrays.get(NEXT), {}
    if following is not None and following.shape != observations.shape:
        raise ValueError(
            f"{source}: {NEXT!r} has shape {following.shape}, 'observations' has {observations.shape}; they must agree."
        )
    states = observations
    if truth:
        states = _true_states(np.concatenate([arrays[key] for key in truth], axis=1), observations, source)
    if following is not None and states.shape != following.shape:
        # Of the states after the steps only so much is known: where the next row does not hold them.
        flags = {NEXT: np.append(~close(following[:-1], observations[1:], following - observations), True)}
        following = None
    flags |= {key: arrays[key] for key in (*END_FLAGS, *MASKS) if key in arrays}
    return episodes(states, arrays["actions"], flags, source, arrays.get("rewards"), following)


def _true_states(truth: np.ndarray, observations: np.ndarray, source: str) -> np.ndarray:
    """The simulator's states, unless they disagree with most observations or are those after the step."""
    # Observations of another size have the velocities last, as the states do.
    same = truth.shape == observations.shape
    size = truth.shape[1] if same else min(observations.shape[1], truth.shape[1] // 2)
    mine, seen = truth[:, -size:], observations[:, -size:]
    steps = np.diff(seen, axis=0)
    now = close(mine, seen, steps).mean()
    late = close(mine[:-1], seen[1:], steps).mean() if len(steps) else 0.0
    if late > max(now, 0.5):
        LOG.warning("%s: the simulator's states are one row late; the observations are taken instead.", source)
        return observations
    if same and now < 0.5:
        LOG.warning(
            "%s: the simulator's states are the observations in %.0f %% of the rows only; the observations are taken.",
            source,
            100 * now,
        )
        return observations
    return truth


def episodes(
    states: np.ndarray,
    actions: np.ndarray,
    flags: Mapping[str, np.ndarray],
    source: str,
    rewards: np.ndarray | None = None,
    following: np.ndarray | None = None,
) -> Dataset:
    """Cuts rows into episodes so that no step is one that the data did not hold.

    Args:
        states: ``[N, S]`` float32.
        actions: ``[N, A]`` float32.
        flags: ``[N]`` of 0 and 1 by key: those of ``END_FLAGS`` are 1 in an episode's last row, ``MASKS`` 0 there.
        source: the file's name, for messages.
        rewards: ``[N]``, or None.
        following: ``[N, S]`` the states after each step, or None. Where the next row holds another state, it becomes the last
            row of its episode, with zero action and reward.

    Returns:
        The rows.

    Raises:
        ValueError: if nothing tells where episodes end, or flags are not 0 and 1.
    """
    states, count = np.asarray(states), len(states)
    notes: list[str] = []
    law = find_law(states[:-1], states[1:]) if following is None else find_law(states, following)
    if law is None and following is None and not flags:
        raise ValueError(
            f"{source}: nothing tells where episodes end. Give one of {', '.join((*END_FLAGS, *MASKS))}, or next_observations."
        )
    off = np.zeros(count, bool)
    if law is not None:
        off[:-1] = law.breaks(states[:-1], states[1:])
        if flags and off.mean() > _CUTS_AT_MOST:
            # Contacts change rates within a step: what so many steps break is no law of this system, and flags are at hand.
            # A row that repeats still is no step of it, nor is the double step that follows.
            off[:-1] = law.rests(states[:-1], states[1:])
            off[1:] |= off[:-1].copy()
    apart = np.zeros(count, bool)
    if following is not None:
        apart[:-1] = ~close(following[:-1], states[1:], following - states)
    known = law is not None or following is not None
    ends = _flagged(flags, off | apart, known, source, notes)
    _count_breaks(notes, flags, ends, off, apart)
    ends = ends | off | apart
    ends[-1] = True
    dataset = Dataset(states, actions, ends, rewards)
    if following is not None:
        dataset = _with_last_states(dataset, following, apart, law)
    alone = int((ends & np.append(True, ends[:-1])).sum()) if following is None else 0
    if alone > _SHARE_SAID * count:
        notes.append(f"{alone} of {count} rows are episodes of one row, which hold no step")
    for note in notes:
        LOG.warning("%s: %s.", source, note)
    return dataset


def _flagged(
    flags: Mapping[str, np.ndarray], broken: np.ndarray, known: bool, source: str, notes: list[str]
) -> np.ndarray:
    """``[N]`` the rows that flags end, read as the motion says where it says anything."""
    ends = np.zeros(len(broken), bool)
    for key, raw in flags.items():
        flag = check_rows(raw, key, source, 1, len(broken))
        if flag.dtype != bool and not np.isin(flag, (0, 1)).all():
            raise ValueError(f"{source}: {key!r} holds {np.unique(flag)[:4].tolist()}, ..; a flag is 0 or 1.")
        flag = flag.astype(bool) ^ (key in MASKS)
        if known and len(flag) > 2 and flag.mean() > 0.5 and broken[flag].mean() < 0.5:
            notes.append(
                f"{key!r} ends episodes in {flag.mean():.0%} of the rows, where the motion goes on; read as its opposite"
            )
            flag = ~flag
        late, early = np.append(flag[1:], False), np.append(False, flag[:-1])
        if broken.any() and flag.any() and flag[broken].mean() < 0.5:
            for moved, word in ((late, "late"), (early, "early")):
                if moved[broken].mean() >= 0.9:
                    notes.append(
                        f"{key!r} is one row {word} ({int(broken.sum())} breaks of the motion say so) and was moved"
                    )
                    flag = moved
                    break
        ends |= flag
    return ends


def _count_breaks(
    notes: list[str], flags: Mapping[str, np.ndarray], ends: np.ndarray, off: np.ndarray, apart: np.ndarray
) -> None:
    if not flags:
        found = int((off | apart).sum())
        notes.append(f"no key says where episodes end; {found} ends were found by the motion")
        return
    if jumps := int((off & ~apart & ~ends).sum()):
        notes.append(
            f"{jumps} of {len(ends)} steps jump, or stand still at speed, where no flag is; episodes were cut there"
        )
    if left := int((apart & ~ends).sum()):
        notes.append(f"{left} of {len(ends)} rows are not followed by their next_observations; episodes were cut there")


def _with_last_states(dataset: Dataset, following: np.ndarray, apart: np.ndarray, law: MotionLaw | None) -> Dataset:
    """The state after an episode's last step as a row of its own, where the next row does not hold it."""
    added = apart.copy()
    # After the last row some files repeat it, or go on with the first.
    added[-1] = not close(following[-1:], dataset.states[:1], following - dataset.states)[0]
    added &= (following != dataset.states).any(1)
    if law is not None:
        added &= ~law.breaks(dataset.states, following)
    places = np.flatnonzero(added) + 1
    ends = dataset.ends & ~added
    rewards = None if dataset.rewards is None else np.insert(dataset.rewards, places, 0)
    return Dataset(
        np.insert(dataset.states, places, following[added], axis=0),
        np.insert(dataset.actions, places, 0, axis=0),
        np.insert(ends, places, True),
        rewards,
    )
