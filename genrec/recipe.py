"""How every recipe runs: settings in, and what goes wrong told in one line."""

import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from genrec.config import ConfigError, parse_args

T = TypeVar("T")

_REFUSALS: Final = (ValueError, RuntimeError, ImportError)


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
    """Tell whether genrec or the recipe raised an error of a kind that refusals have.

    A TypeError or a KeyError is a bug wherever it comes from, and so is what another library says.
    """
    if not isinstance(error, _REFUSALS) or isinstance(error, NotImplementedError):
        return False
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    package = str(frame.f_globals.get("__name__")).partition(".")[0]
    return package in ("genrec", "__main__")
