"""How much arithmetic a call takes."""

from collections.abc import Callable
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
    return _once(jaxpr) + _left_out(jaxpr.jaxpr)


def _left_out(jaxpr: core.Jaxpr) -> float:
    """What XLA's count of a program leaves out: all turns of a scan but one."""
    total = 0.0
    for equation in jaxpr.eqns:
        inner = [x for x in jax.tree.leaves(equation.params, is_leaf=_is_program) if _is_program(x)]
        if equation.primitive.name == "scan":
            body = equation.params["jaxpr"]
            total += equation.params["length"] * _flops(body) - _once(body)
        elif inner:
            parts = [_left_out(x.jaxpr if isinstance(x, core.ClosedJaxpr) else x) for x in inner]
            # Of a condition's branches XLA counts the costliest.
            total += max(parts) if equation.primitive.name == "cond" else sum(parts)
    return total


def _once(jaxpr: core.ClosedJaxpr) -> float:
    shapes = [jax.ShapeDtypeStruct(x.aval.shape, x.aval.dtype) for x in jaxpr.jaxpr.invars]
    analysis = jax.jit(core.jaxpr_as_fun(jaxpr)).lower(*shapes).cost_analysis()
    return float((analysis or {}).get("flops", 0.0))


def _is_program(value: Any) -> bool:
    return isinstance(value, core.ClosedJaxpr | core.Jaxpr)
