"""Which rows lie around contacts, found in the data themselves; no map is needed."""

import numpy as np

from invlearn_jax.data.dataset import Dataset, kept_rows
from invlearn_jax.tasks.maze2d import model as ball

_OFF = 0.05  # m/s, from what free motion makes of a step; an action changes the speed by as much as 0.24
_SAMPLE = 200_000  # steps to fit free motion on


def contact_rows(dataset: Dataset, steps: int = 16) -> Dataset | None:
    """The rows from which ``steps`` steps come to a contact, and these steps' rows; episodes are cut where others are left out.

    In free motion the velocity is linear in itself, as clipped before each step, and in the force:

        v' = A clip(v) + B a,

    which least squares fit to nearly all steps; the others are contacts. In the controller's data these are one step in 2400.

    Args:
        dataset: of a ball, at least two rows.
        steps: of a window that the forward model is trained on.

    Returns:
        The rows, or None where no step is a contact.
    """
    states, inner = dataset.states.astype(np.float64), ~dataset.ends[:-1]
    before = np.clip(states[:-1, 2:], -ball.MAX_SPEED, ball.MAX_SPEED)
    known, after = np.concatenate([before, dataset.actions[:-1]], axis=1), states[1:, 2:]
    hits = np.zeros(len(states), bool)
    for _ in range(2):
        free = np.flatnonzero(inner & ~hits[:-1])
        free = free[:: max(1, len(free) // _SAMPLE)]
        law = np.linalg.lstsq(known[free], after[free], rcond=None)[0]
        hits[:-1] = inner & (np.abs(after - known @ law).max(1) > _OFF)
    if not hits.any():
        return None
    # A window of so many steps begins at most so many rows before the contact, and ends as many after it.
    count = np.convolve(hits, np.ones(2 * steps + 1), mode="full")[steps - 1 :][: len(hits)]
    return kept_rows(dataset, count > 0.5)
