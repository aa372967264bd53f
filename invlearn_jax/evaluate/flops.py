"""How much arithmetic a call takes."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend import core
from jax.interpreters import partial_eval


def flops(function: Callable, *args: Any) -> float:
    """Floating-point operations of ``function(*args)`` by XLA's cost analysis, every turn of a scan counted.

    XLA counts a loop's body once, whatever its length, so what a scan of length n leaves out is added:

        flops(f) = xla(f) + sum over scans in f of n flops(body) - xla(body).

    A loop whose length is only known while it runs counts once.

    Args:
        function: pure.
        *args: arrays and pytrees.

    Returns:
        The operations, before XLA's optimisations.
    """
    program = jax.make_jaxpr(function)(*args)
    # What no output needs is left out, as the compiler leaves it out.
    used, _ = partial_eval.dce_jaxpr(program.jaxpr, [True] * len(program.jaxpr.outvars), instantiate=True)
    return _flops(core.ClosedJaxpr(used, program.consts))


def _flops(jaxpr: core.ClosedJaxpr) -> float:
    total = _once(jaxpr)
    for length, body in _scans(jaxpr.jaxpr):
        total += length * _flops(body) - _once(body)
    return total


def _once(jaxpr: core.ClosedJaxpr) -> float:
    shapes = [jax.ShapeDtypeStruct(x.aval.shape, x.aval.dtype) for x in jaxpr.jaxpr.invars]
    analysis = jax.jit(core.jaxpr_as_fun(jaxpr)).lower(*shapes).cost_analysis()
    return float((analysis or {}).get("flops", 0.0))


def _scans(jaxpr: core.Jaxpr) -> Iterator[tuple[int, core.ClosedJaxpr]]:
    """The outermost scans of a program, with their lengths."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            yield equation.params["length"], equation.params["jaxpr"]
            continue
        for value in jax.tree.leaves(equation.params, is_leaf=_is_program):
            if _is_program(value):
                yield from _scans(value.jaxpr if isinstance(value, core.ClosedJaxpr) else value)


def _is_program(value: Any) -> bool:
    return isinstance(value, core.ClosedJaxpr | core.Jaxpr)
