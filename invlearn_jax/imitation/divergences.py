"""What IQ-Learn maximises of the recovered reward on expert rows: a concave function for each statistical divergence.

    psi(r) = E_expert[r - phi(r)],    so that the expert's part of the objective is  E_expert[phi(r)]

    chi2        x, and  -x^2 / (4 alpha)  as a term of its own, over expert rows or over all (``iq_learn.chi2_penalty``)
    w1          x, with a gradient penalty on Q in place of the Lipschitz bound
    tv          x, with a penalty on what leaves  |x| <= 1/2
    hellinger   x / (1 + x)
    kl          1 - e^-x
    js          log(2 - e^-x)

The last three are finite on a half line only, and steep near its end: below ``_STEEP`` they go on as their tangent, which is
concave too, so that a bad row's gradient stays finite. Source: IQ-Learn (arXiv 2106.12142), section 4 and table 1.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.names import unknown_name

Phi = Callable[[Array], Array]

_STEEP = {"hellinger": -0.5, "kl": -2.0, "js": -0.5}


def _hellinger(x: Array) -> Array:
    return x / (1 + x)


def _kl(x: Array) -> Array:
    return -jnp.expm1(-x)


def _js(x: Array) -> Array:
    return jnp.log(2 - jnp.exp(-x))


def _same(x: Array) -> Array:
    return x


_PHI: dict[str, Phi] = {"chi2": _same, "w1": _same, "tv": _same, "hellinger": _hellinger, "kl": _kl, "js": _js}
DIVERGENCES = tuple(_PHI)


def phi(name: str) -> Callable[[Float[Array, "*b"]], Float[Array, "*b"]]:
    """The concave function of a divergence; see the module's table.

    Raises:
        ValueError: for an unknown divergence; the nearest known ones are listed.
    """
    if name not in _PHI:
        raise unknown_name("divergence", name, DIVERGENCES)
    return _with_tangent(_PHI[name], _STEEP[name]) if name in _STEEP else _PHI[name]


def _with_tangent(function: Phi, at: float) -> Phi:
    """The function above ``at``, its tangent there below."""
    value, slope = function(jnp.array(at)), jax.grad(function)(jnp.array(at))

    def extended(x: Array) -> Array:
        # The function is not evaluated where it is not finite: its gradient would spoil the other branch's.
        return jnp.where(x > at, function(jnp.maximum(x, at)), value + slope * (x - at))

    return extended
