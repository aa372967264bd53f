"""The command that this process was started with."""

import shlex
import sys
from pathlib import Path


def command_line() -> str:
    """The command as a shell takes it, e.g. ``python -m experiments.run --seed=0``."""
    module = getattr(sys.modules["__main__"], "__spec__", None)
    program = ["python", "-m", module.name] if module else ["python", Path(sys.argv[0]).name]
    return shlex.join([*program, *sys.argv[1:]])
