"""How every recipe runs: settings in, and what goes wrong told in one line."""

import dis
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from genrec.config import ConfigError, parse_args

T = TypeVar("T")


def run_recipe(
    main: Callable[[T], None], config: type[T], doc: str | None, args: Sequence[str] | None = None
) -> None:
    """Build a recipe's config from the command line, run it, and tell a refusal in one line.

    What genrec refuses, and what the operating system does, ends the process with status 1 and
    ``recipe: what is wrong``. All else is a bug, here or in another library: its traceback stays.
    """
    name = Path(sys.argv[0]).stem
    try:
        settings = parse_args(config, doc, args)
        if (seed := getattr(settings, "seed", 0)) < 0:
            raise ConfigError(f"seed is {seed}; give 0 or more")
        main(settings)
    except Exception as error:
        told = refusal(error)
        if told is None:
            raise
        sys.exit(f"{name}: {told}")


def refusal(error: Exception) -> str | None:
    """Tell in one line what was refused, or nothing where the error was not meant for the user."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) or _is_ours(error):
        return " ".join(line.strip() for line in str(error).splitlines())
    return None


def _is_ours(error: Exception) -> bool:
    """Tell whether a ``raise`` of genrec or of the recipe made it, and not some call or operator.

    So ``int("x")`` in genrec is a bug, though Python raises a ValueError for it there.
    """
    if isinstance(error, AssertionError | NotImplementedError):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    package = str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0]
    told = trace.tb_frame.f_code.co_code[trace.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return told and package in ("genrec", "__main__")
