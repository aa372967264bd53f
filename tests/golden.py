"""Actions of every shipped planner on fixed problems. ``python -m tests.golden`` records them in ``golden_actions.npz``."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import invlearn_jax

FILE = Path(__file__).with_name("golden_actions.npz")
_PAULI_X = np.array([[0, 1], [1, 0]], complex)
_HADAMARD = np.array([[1, 1], [1, -1]], complex) / np.sqrt(2)
_CNOT = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], complex)
# Ants upright in the mazes' first cell, one at rest and one turned and moving.
_ANT = np.array([0, 0, 0.55, 1, 0, 0, 0, 0, 1, 0, -1, 0, -1, 0, 1, *[0.0] * 14])
_ANT_MOVING = np.array(
    [0.4, -0.3, 0.6, 0.9, 0.05, -0.1, 0.4, 0.1, 0.9, 0.2, -0.8, -0.1, -1.1, 0.1, 0.9, 0.5, -0.4, *[0.3] * 12]
)


def problems(name: str) -> list[invlearn_jax.Problem]:
    """The fixed problems of a shipped planner."""
    if name.startswith("maze2d"):
        pairs = [
            ([1.0, 1.0, 0.0, 0.0], [3.0, 1.0]),
            ([2.1, 1.1, 1.5, -0.5], [1.0, 2.0]),
            ([1.1, 2.9, 0.0, 3.0], [3.0, 3.1]),
        ]
    elif name.startswith("ant"):
        pairs = [(_ANT, [3.5, 0.5]), (_ANT_MOVING, [0.2, 7.8])]
    elif name == "pulse-two-qubit":
        pairs = [(np.eye(4), _CNOT), (np.eye(4), np.kron(_HADAMARD, _PAULI_X))]
    else:
        pairs = [(np.eye(2), _PAULI_X), (np.eye(2), _HADAMARD)]
    kind = np.complex64 if name.startswith("pulse") else np.float32
    return [
        invlearn_jax.Problem(jnp.asarray(np.asarray(state), np.float32), jnp.asarray(np.asarray(goal), kind))
        for state, goal in pairs
    ]


def actions(name: str, refine_steps: int) -> np.ndarray:
    """``[problems, T, A]`` what the planner does."""
    planner, params = invlearn_jax.load_planner(name, refine_steps=refine_steps)
    plan = jax.jit(planner.plan)
    given = problems(name)
    return np.stack([plan(params, jax.random.key(i), given[i]).actions for i in range(len(given))])


def refines(name: str) -> bool:
    """Whether a refined plan is recorded too: of planners that are refined by default settings and quick to compile."""
    return not name.endswith(("-diffuser", "-dt", "-consistency"))


def main() -> None:
    """Records all shipped planners."""
    record = {}
    for name in invlearn_jax.planner_names():
        for steps in (0, 2) if refines(name) else (0,):
            record[f"{name}/{steps}"] = actions(name, steps)
            print(name, steps, record[f"{name}/{steps}"].shape, flush=True)
    np.savez_compressed(FILE, **record)


if __name__ == "__main__":
    main()
