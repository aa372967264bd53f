"""The command that this process was started with, and what programs' command lines have in common."""

import copy
import difflib
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invlearn_jax.keys import MAX_SEED
from invlearn_jax.progress import show_progress
from invlearn_jax.settings import field_names

if TYPE_CHECKING:
    from absl import flags


def command_line() -> str:
    """The command as a shell takes it, e.g. ``python -m experiments.run --seed=0``."""
    module = getattr(sys.modules["__main__"], "__spec__", None)
    program = ["python", "-m", module.name] if module else ["python", Path(sys.argv[0]).name]
    return shlex.join([*program, *sys.argv[1:]])


def define_seed(
    default: int, text: str, flag_values: "flags.FlagValues | None" = None, name: str = "seed"
) -> "flags.FlagHolder[int]":
    """Defines ``--seed`` with the range of seeds that have a key of their own; see ``keys.check_seed``."""
    from absl import flags

    # A flag defined here is the calling program's: it stands in its --help.
    flags.disclaim_key_flags()
    values = flags.FLAGS if flag_values is None else flag_values
    return flags.DEFINE_integer(name, default, text, lower_bound=0, upper_bound=MAX_SEED, flag_values=values)


def option(argv: list[str], name: str) -> str | None:
    """The value of ``--name=value`` or ``--name value`` in the arguments, before flags are parsed."""
    for index, argument in enumerate(argv):
        if argument in (f"--{name}", f"-{name}"):
            return argv[index + 1] if index + 1 < len(argv) else None
        if argument.startswith((f"--{name}=", f"-{name}=")):
            return argument.split("=", 1)[1]
    return None


def define_config(
    config: Any, argv: list[str], flag: str = "config", flag_values: "flags.FlagValues | None" = None
) -> "flags.FlagHolder":
    """Defines ``--config.part.field=value`` for a dataclass.

    Args:
        config: a mutable dataclass with defaults.
        argv: the command line, whose ``--config.*`` names are checked first.
        flag: another name instead of ``config``.
        flag_values: where it is defined; the program's flags by default.

    Returns:
        The flag's holder; ``.value`` is the configuration with overrides.

    Raises:
        ValueError: for an unknown field; the nearest known ones are listed.
    """
    from absl import flags
    from ml_collections import config_flags

    flags.disclaim_key_flags()
    known = field_names(config)
    for argument in argv:
        if argument.startswith((f"--{flag}.", f"-{flag}.")):
            field = argument.split("=", 1)[0].split(f"{flag}.", 1)[1]
            if field not in known:
                near = difflib.get_close_matches(field, known, n=3, cutoff=0.3) or known
                raise ValueError(f"Unknown config field {field!r}. Nearest known: {', '.join(near)}.")
    values = flags.FLAGS if flag_values is None else flag_values
    return config_flags.DEFINE_config_dataclass(flag, copy.deepcopy(config), "The run's settings.", flag_values=values)


def given_config(config: Any, argv: list[str], flag: str) -> Any:
    """A copy of a dataclass as ``--flag.part.field=value`` in the arguments sets it, before flags are parsed.

    Raises:
        ValueError: for an unknown field, or a value of another type.
    """
    from absl import flags

    values = flags.FlagValues()
    define_config(config, argv, flag, values)
    own = []
    for argument, following in zip(argv, [*argv[1:], ""], strict=True):
        if argument.startswith((f"--{flag}.", f"-{flag}.")):
            # A truth value may stand without a value of its own.
            own += [argument] if "=" in argument or following.startswith("--") else [argument, following]
    try:
        values([argv[0], *own])
    except flags.Error as error:
        raise ValueError(str(error)) from error
    return values[flag].value


def run_program(main: Callable[[list[str]], None], arguments: bool = False) -> None:
    """Runs a program; what it raises about its input ends it with a sentence.

    Args:
        main: takes the command line without its flags, the program's name first.
        arguments: whether it takes others than flags.
    """
    from absl import app

    def guarded(argv: list[str]) -> None:
        if argv[1:] and not arguments:
            sys.exit(f"error: unknown argument {argv[1]!r}; see --help.")
        quiet()
        try:
            main(argv)
        except (ValueError, OSError, ImportError) as error:
            sys.exit(f"error: {error}")

    app.run(guarded)


def quiet() -> None:
    """Shows progress, and keeps other libraries' notes on theirs out of the program's output; their warnings stay."""
    from absl import logging

    logging.set_verbosity(logging.WARNING)
    show_progress()
