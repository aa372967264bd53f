"""Moving code moves no figure: every shipped planner acts as recorded."""

import numpy as np
import pytest
from golden import FILE, actions

import invlearn_jax

RECORD = dict(np.load(FILE))
# One planner of each kind; the others differ in their numbers alone, and stand in the record too. What diffuses is judged by
# its scores (test_shipped).
KINDS = (
    "maze2d-large-v1/",
    *(f"maze2d-umaze-v1-{policy}/" for policy in ("bc", "rebrac", "dt")),
    "ant-motor/",
    "antmaze-umaze-v2/",
    "pulse-qubit/",
    "pulse-two-qubit/",
)


def test_every_shipped_planner_is_recorded():
    assert {key.split("/")[0] for key in RECORD} == set(invlearn_jax.planner_names())


def recorded():
    """The keys of the record to try; an ant's many sums are the recorded ones only with all optimisations, as users run them."""
    for key in sorted(key for key in RECORD if key.startswith(KINDS)):
        yield pytest.param(key, marks=pytest.mark.slow if key.startswith("ant") else ())


@pytest.mark.parametrize("key", list(recorded()))
def test_actions_are_those_recorded(key):
    name, steps = key.split("/")
    # Adam divides by the size of a gradient, which makes rounding visible where it is small.
    tolerance = 1e-6 if steps == "0" else 1e-4
    scale = np.abs(RECORD[key]).max()
    np.testing.assert_allclose(actions(name, int(steps)), RECORD[key], rtol=0, atol=tolerance * max(scale, 1.0))
