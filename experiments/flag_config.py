"""Command-line flags for an experiment's configuration, with errors that name the field."""

import difflib
import sys
from collections.abc import Callable
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

from invlearn_jax.keys import MAX_SEED
from invlearn_jax.progress import show_progress
from invlearn_jax.settings import field_names

# A flag defined here is the calling program's: it stands in its --help.
flags.disclaim_key_flags()


def define_seed(
    default: int, text: str, flag_values: flags.FlagValues = flags.FLAGS, name: str = "seed"
) -> flags.FlagHolder[int]:
    """Defines ``--seed`` with the range of seeds that have a key of their own; see ``keys.check_seed``."""
    return flags.DEFINE_integer(name, default, text, lower_bound=0, upper_bound=MAX_SEED, flag_values=flag_values)


def option(argv: list[str], name: str) -> str | None:
    """The value of ``--name=value`` or ``--name value`` in the arguments, before flags are parsed."""
    for index, argument in enumerate(argv):
        if argument in (f"--{name}", f"-{name}"):
            return argv[index + 1] if index + 1 < len(argv) else None
        if argument.startswith((f"--{name}=", f"-{name}=")):
            return argument.split("=", 1)[1]
    return None


def define_config(config: Any, argv: list[str], flag: str = "config") -> flags.FlagHolder:
    """Defines ``--config.part.field=value`` for a dataclass.

    Args:
        config: a mutable dataclass with defaults.
        argv: the command line, whose ``--config.*`` names are checked first.
        flag: another name instead of ``config``.

    Returns:
        The flag's holder; ``.value`` is the configuration with overrides.

    Raises:
        ValueError: for an unknown field; the nearest known ones are listed.
    """
    known = field_names(config)
    for argument in argv:
        if argument.startswith((f"--{flag}.", f"-{flag}.")):
            field = argument.split("=", 1)[0].split(f"{flag}.", 1)[1]
            if field not in known:
                near = difflib.get_close_matches(field, known, n=3, cutoff=0.3) or known
                raise ValueError(f"Unknown config field {field!r}. Nearest known: {', '.join(near)}.")
    return config_flags.DEFINE_config_dataclass(flag, config, "The run's settings.")


def run_program(main: Callable[[list[str]], None]) -> None:
    """Runs a program that takes flags alone; what it raises about its input ends it with a sentence."""

    def guarded(argv: list[str]) -> None:
        if argv[1:]:
            sys.exit(f"error: unknown argument {argv[1]!r}; see --help.")
        quiet()
        try:
            main(argv)
        except (ValueError, OSError, ImportError) as error:
            sys.exit(f"error: {error}")

    app.run(guarded)


def quiet() -> None:
    """Shows progress, and keeps other libraries' notes on theirs out of the program's output; their warnings stay."""
    logging.set_verbosity(logging.WARNING)
    show_progress()
