"""Gates: by name, by axis and angle, drawn from the Haar measure; and the check that a matrix is one."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from invlearn_jax.names import unknown_name
from invlearn_jax.types import Key

PAULI = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])

_HALF = np.sqrt(0.5)
_ONE_QUBIT = {
    "identity": np.eye(2),
    "x": PAULI[0],
    "y": PAULI[1],
    "z": PAULI[2],
    "hadamard": _HALF * np.array([[1, 1], [1, -1]]),
    "s": np.diag([1, 1j]),
    "t": np.diag([1, np.exp(0.25j * np.pi)]),
    "sqrt_x": 0.5 * np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]),
}
_TWO_QUBITS = {
    "cnot": np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]),
    "cz": np.diag([1, 1, 1, -1]),
    "swap": np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]),
    "iswap": np.array([[1, 0, 0, 0], [0, 0, 1j, 0], [0, 1j, 0, 0], [0, 0, 0, 1]]),
}
GATES = {name: gate.astype(complex) for name, gate in (_ONE_QUBIT | _TWO_QUBITS).items()}


def named_gate(name: str) -> np.ndarray:
    """The matrix ``[d, d]`` of a gate.

    Raises:
        ValueError: for an unknown name; the nearest known ones are listed.
    """
    if name not in GATES:
        raise unknown_name("gate", name, [*GATES, "axis_angle"])
    return GATES[name]


def axis_angle(axis: tuple[float, float, float], angle: float) -> np.ndarray:
    """``exp(-i angle n.sigma / 2)``: the rotation of the Bloch sphere by ``angle`` (rad) about ``n = axis / |axis|``.

    Raises:
        ValueError: for an axis without direction, or numbers that are not finite.
    """
    n = np.asarray(axis, float)
    if n.shape != (3,) or not np.isfinite([*n, angle]).all() or not np.linalg.norm(n) > 0:
        raise ValueError(
            f"axis is {tuple(axis)}, angle is {angle}; give three finite numbers, not all 0, and a finite angle."
        )
    spin = np.tensordot(n / np.linalg.norm(n), PAULI, 1)
    return np.cos(angle / 2) * np.eye(2) - 1j * np.sin(angle / 2) * spin


def haar_gates(key: Key, num: int, dimension: int) -> Complex[Array, "num d d"]:
    """Draws unitaries from the Haar measure: the Q of a complex normal matrix, its phases made even (arXiv math-ph/0609050).

    The key is consumed.
    """
    parts = jax.random.normal(key, (2, num, dimension, dimension))
    q, r = jnp.linalg.qr(parts[0] + 1j * parts[1])
    diagonal = jnp.diagonal(r, axis1=-2, axis2=-1)
    return q * (diagonal / jnp.abs(diagonal))[:, None, :]


def check_gate(gate: np.ndarray, dimension: int, tolerance: float = 1e-6) -> np.ndarray:
    """A gate as a complex matrix.

    Args:
        gate: what was given.
        dimension: d, of the system.
        tolerance: on ``max |G' G - 1|``.

    Returns:
        ``[d, d]`` complex128.

    Raises:
        ValueError: for another shape, numbers that are not finite, or a matrix that is not unitary (by how much is told).
    """
    matrix = np.asarray(gate, complex)
    if matrix.shape != (dimension, dimension):
        raise ValueError(f"The gate has shape {matrix.shape}; this system takes ({dimension}, {dimension}).")
    if not np.isfinite(matrix).all():
        raise ValueError("The gate holds NaN or infinite numbers; give a unitary matrix.")
    off = float(np.abs(matrix.conj().T @ matrix - np.eye(dimension)).max())
    if off > tolerance:
        raise ValueError(
            f"The gate is not unitary: the largest entry of |G' G - 1| is {off:.3g}, allowed is {tolerance:g}. Give a unitary "
            "matrix (the nearest one is u @ vh of its singular value decomposition)."
        )
    return matrix


def departure(matrix: Complex[Array, "d d"]) -> Float[Array, ""]:
    """``max |G' G - 1|``: how far a matrix is from a unitary one."""
    return jnp.abs(small_product(jnp.conj(matrix.T), matrix) - jnp.eye(len(matrix), dtype=matrix.dtype)).max()


def bloch_vector(state: Complex[Array, "*b D"]) -> Float[Array, "*b 3"]:
    """``<sigma>`` of the first two levels of a state."""
    a, b = state[..., 0], state[..., 1]
    cross = 2 * jnp.conj(a) * b
    return jnp.stack([cross.real, cross.imag, jnp.abs(a) ** 2 - jnp.abs(b) ** 2], axis=-1)


def training_gates(key: Key, num: int) -> Complex[Array, "num 2 2"]:
    """Gates of one qubit to learn from: half from the Haar measure, half even in the angles, which reach its rare corners.

    The second half is ``[[a, -b*], [b, a*]]`` with ``a = cos(t / 2) exp(-i c)`` and ``b = sin(t / 2) exp(i p)``, t even on
    [0, pi], c on [-pi / 2, pi / 2], p on [0, 2 pi]. The key is consumed.
    """
    haar_key, angle_key, order_key = jax.random.split(key, 3)
    t, c, p = jax.random.uniform(angle_key, (3, num // 2)) * jnp.array([[jnp.pi], [jnp.pi], [2 * jnp.pi]])
    a, b = jnp.cos(t / 2) * jnp.exp(-1j * (c - jnp.pi / 2)), jnp.sin(t / 2) * jnp.exp(1j * p)
    even = jnp.stack([jnp.stack([a, -jnp.conj(b)], -1), jnp.stack([b, jnp.conj(a)], -1)], -2)
    return jax.random.permutation(order_key, jnp.concatenate([haar_gates(haar_key, num - num // 2, 2), even]))


def small_product(a: Complex[Array, "*b d e"], b: Complex[Array, "*b e f"]) -> Complex[Array, "*b d f"]:
    """``a @ b`` as sums of products: on CPUs a call of the matrix library for every small matrix costs ten times as much."""
    return (a[..., :, :, None] * b[..., None, :, :]).sum(-2)
