"""Wall-clock time of a compiled call: trace, compile and run apart, the device always waited for."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np


class Latency(NamedTuple):
    """Times in milliseconds.

    Attributes:
        trace_ms: Python to jaxpr and its lowering.
        compile_ms: XLA (or its cache).
        p50, p95, p99: of single calls, dispatch and wait included.
        calls: how many were timed.
    """

    trace_ms: float
    compile_ms: float
    p50: float
    p95: float
    p99: float
    calls: int


def measure(function: Callable, *args: Any, calls: int = 200, warm_up: int = 20, seconds: float = 20.0) -> Latency:
    """Times ``function(*args)`` under ``jit``.

    Args:
        function: pure; its output is waited for on every call.
        *args: arrays and pytrees.
        calls: timed calls, at least 1.
        warm_up: calls before, untimed.
        seconds: stop timing after this long, though not before 5 calls.

    Returns:
        The times.
    """
    # The jitted function itself is called, not the compiled object: its dispatch is what a user's loop pays.
    jitted = jax.jit(function)
    begin = time.perf_counter()
    lowered = jitted.lower(*args)
    traced = time.perf_counter()
    lowered.compile()
    compiled = time.perf_counter()
    for _ in range(warm_up):
        jax.block_until_ready(jitted(*args))
        if time.perf_counter() - compiled > seconds / 4:
            break
    times, start = [], time.perf_counter()
    for _ in range(calls):
        before = time.perf_counter()
        jax.block_until_ready(jitted(*args))
        times.append(time.perf_counter() - before)
        if len(times) >= 5 and time.perf_counter() - start > seconds:
            break
    p50, p95, p99 = (1e3 * float(np.percentile(times, q)) for q in (50, 95, 99))
    return Latency(1e3 * (traced - begin), 1e3 * (compiled - traced), p50, p95, p99, len(times))
