"""Cartan's decomposition of gates of two qubits: gates of the single qubits around an interaction.

    V = e^{ig} (A1 x B1) exp(-i (x XX + y YY + z ZZ)) (A2 x B2),   pi/4 >= z >= x >= |y|

(Zhang, Vala, Sastry, Whaley, PRA 67, 042313; Kraus and Cirac, PRA 63, 062309). It is the same function for all gates under
``jit`` and ``vmap``; where single gates are not unique, one of them is returned.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from invlearn_jax.tasks.gates.gates import PAULI
from invlearn_jax.types import Key

# Columns are Bell states: local gates become real, and XX, YY, ZZ diagonal.
_MAGIC = np.array([[1, 0, 0, 1j], [0, 1j, 1, 0], [0, 1j, -1, 0], [1, 0, 0, -1j]]) / np.sqrt(2)
_MIXTURES = np.stack([np.cos(np.pi / 7 * np.arange(7)), np.sin(np.pi / 7 * np.arange(7))])[:, :, None, None]
_PAIRS = np.stack([np.kron(p, p) for p in PAULI])
# [3, 4]: the eigenvalues of XX, YY, ZZ on the Bell states.
_SIGNS = np.stack([np.diag(_MAGIC.conj().T @ pair @ _MAGIC).real for pair in _PAIRS])


def _swapping(first: int, second: int) -> np.ndarray:
    """A gate of one qubit that exchanges two Paulis, the third changing sign."""
    return (PAULI[first] + PAULI[second]) / np.sqrt(2)


class Decomposition(NamedTuple):
    """See the module.

    Attributes:
        after: ``[2, 2, 2]`` A1, B1.
        interaction: ``[3]`` x, y, z, rad.
        before: ``[2, 2, 2]`` A2, B2.
    """

    after: Complex[Array, "2 2 2"]
    interaction: Float[Array, "3"]
    before: Complex[Array, "2 2 2"]


def interaction(coordinates: Float[Array, "3"]) -> Complex[Array, "4 4"]:
    """``exp(-i (x XX + y YY + z ZZ))``."""
    kind = jnp.result_type(coordinates, jnp.complex64)
    magic = jnp.asarray(_MAGIC, kind)
    return (magic * jnp.exp(-1j * (coordinates @ jnp.asarray(_SIGNS, coordinates.dtype)))) @ jnp.conj(magic.T)


def local(pair: Complex[Array, "2 2 2"]) -> Complex[Array, "4 4"]:
    """``A x B``."""
    return jnp.kron(pair[0], pair[1])


def decompose(gate: Complex[Array, "4 4"]) -> Decomposition:
    """The decomposition of one gate."""
    real, magic = gate.real.dtype, jnp.asarray(_MAGIC, gate.dtype)
    gate = gate / jnp.exp(1j * jnp.angle(jnp.linalg.det(gate)) / 4)
    bell = jnp.conj(magic.T) @ gate @ magic
    square = bell.T @ bell
    # Real and imaginary part commute, and a mixture of both has their common eigenvectors, unless two of its eigenvalues meet
    # though theirs differ. Four eigenvalues make six pairs, so one of seven mixtures is always clear of that.
    mixed = jnp.asarray(_MIXTURES[0], real) * square.real + jnp.asarray(_MIXTURES[1], real) * square.imag
    _, tried = jnp.linalg.eigh((mixed + mixed.swapaxes(1, 2)) / 2)
    left_over = jnp.einsum("mij,ik,mkl->mjl", tried, square, tried) * (1 - jnp.eye(4, dtype=real))
    size = jnp.sqrt((jnp.abs(left_over) ** 2).sum((1, 2)))
    # The first that is good enough, so that rounding does not choose.
    vectors = tried[jnp.argmax(size <= jnp.maximum(2 * size.min(), 32 * jnp.finfo(real).eps))]
    vectors = vectors.at[:, 0].multiply(jnp.sign(jnp.linalg.det(vectors)))
    angles = jnp.angle(jnp.einsum("ik,ij,jk->k", vectors, square, vectors)) / 2
    left = ((bell @ vectors) * jnp.exp(-1j * angles)).real
    turned = jnp.where(jnp.linalg.det(left) < 0, -1.0, 1.0).astype(real)
    left = left.at[:, 0].multiply(turned)
    angles = angles.at[0].add(jnp.where(turned < 0, jnp.pi, 0.0).astype(real))
    coordinates = -jnp.asarray(_SIGNS, real) @ angles / 4
    after = magic @ left.astype(gate.dtype) @ jnp.conj(magic.T)
    before = magic @ vectors.T.astype(gate.dtype) @ jnp.conj(magic.T)
    return _into_chamber(after, coordinates, before)


def _into_chamber(after: Array, c: Array, before: Array) -> Decomposition:
    kind = after.dtype
    # A quarter turn of an interaction is local: exp(-i pi/2 XX) = -i XX.
    for axis in range(3):
        turns = jnp.round(c[axis] / (jnp.pi / 2))
        odd = jnp.mod(turns, 2) == 1
        after = after @ jnp.where(odd, jnp.asarray(_PAIRS[axis], kind), jnp.eye(4, dtype=kind))
        c = c.at[axis].add(-turns * (jnp.pi / 2))
    # Exchanges of axes, by which the sizes become |z| >= |x| >= |y|; both qubits are turned alike, so no sign changes.
    for first, second in ((2, 0), (2, 1), (0, 1)):
        wrong = jnp.abs(c[first]) < jnp.abs(c[second])
        swap = jnp.where(wrong, jnp.asarray(np.kron(*[_swapping(first, second)] * 2), kind), jnp.eye(4, dtype=kind))
        after, before = after @ swap, jnp.conj(swap.T) @ before
        c = jnp.where(wrong, c.at[first].set(c[second]).at[second].set(c[first]), c)
    # A Pauli on one qubit changes the signs of the two other axes: z, then x, become positive, y takes what is left.
    for axis, pauli in ((2, 0), (0, 2)):
        negative = c[axis] < 0
        flip = jnp.where(negative, jnp.asarray(np.kron(PAULI[pauli], np.eye(2)), kind), jnp.eye(4, dtype=kind))
        after, before = after @ flip, flip @ before
        c = jnp.where(negative, -c.at[pauli].multiply(-1.0), c)
    return Decomposition(_split(after), c, _split(before))


def _split(product: Array) -> Array:
    """``A, B`` of ``A x B``, each of determinant 1 up to a phase of both."""
    blocks = product.reshape(2, 2, 2, 2).transpose(0, 2, 1, 3)
    size = (jnp.abs(blocks) ** 2).sum((-2, -1))
    at = jnp.argmax(size.ravel())
    second = blocks.reshape(4, 2, 2)[at]
    second = second / jnp.sqrt(second[0, 0] * second[1, 1] - second[0, 1] * second[1, 0])
    first = jnp.einsum("abij,ij->ab", blocks, jnp.conj(second)) / 2
    return jnp.stack([first, second])


def training_interactions(key: Key, num: int) -> Float[Array, "num 3"]:
    """Interactions to learn from, even over the chamber and a little beyond. The key is consumed."""
    size_key, sign_key = jax.random.split(key)
    y, x, z = jnp.sort(jax.random.uniform(size_key, (num, 3), maxval=1.02 * jnp.pi / 4), axis=1).T
    return jnp.stack([x, jnp.where(jax.random.bernoulli(sign_key, shape=(num,)), y, -y), z], axis=1)
