"""The error of everything that reads data, and the words that its messages share."""

import difflib
from collections.abc import Collection
from dataclasses import dataclass


class DataError(ValueError):
    """Data that cannot be used; the message names the file, the row, the value and the remedy."""


def did_you_mean(name: str, names: Collection[str], *, shown: int = 8) -> str:
    """Suggest the nearest known name, or list some of the known ones."""
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    listed = ", ".join(repr(known) for known in list(names)[:shown])
    return f"known are {listed}" + (", ..." if len(names) > shown else "")


@dataclass(frozen=True)
class Source:
    """Where rows come from, so that an error can point at one."""

    name: str = "the interactions"
    """A file's path, or words for a table that is in memory."""

    first_row: int = 0
    """The number that people see at the first row: 2 in a CSV file with a header."""

    def at(self, index: int) -> str:
        """Name the row with this index."""
        return f"{self.name}, row {index + self.first_row}"
