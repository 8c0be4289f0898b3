"""The error of everything that reads data, and the words that its messages share."""

import difflib
import itertools
from collections.abc import Collection
from typing import Final


class DataError(ValueError):
    """Data that cannot be used; the message names the file, the row, the value and the remedy."""


COMPARED: Final = 20_000
"""Among more names than these the nearest one is not looked for: it would take seconds."""


def did_you_mean(name: str, names: Collection[str], *, shown: int = 8) -> str:
    """Suggest the nearest known name, or list some of the known ones."""
    if not names:
        return "none is known"
    near = difflib.get_close_matches(name, names, n=1) if len(names) <= COMPARED else []
    if near:
        return f"did you mean {near[0]!r}?"
    listed = ", ".join(repr(known) for known in itertools.islice(names, shown))
    return f"known are {listed}" + (", ..." if len(names) > shown else "")
