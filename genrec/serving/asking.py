"""From a caller's raw ids to requests about rows of a catalogue."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from genrec.data import Catalogue
from genrec.recommender import Request

History = Sequence[str]


def requests_for(
    catalogue: Catalogue,
    task: str,
    histories: Sequence[History],
    **columns: Sequence[Any] | None,
) -> list[Request]:
    """Write a request per user from columns of what else it says."""
    requests = [Request(task=task, history=rows_of(catalogue, history)) for history in histories]
    for name, values in columns.items():
        if values is None:
            continue
        if len(values) != len(requests):
            raise ValueError(
                f"there are {len(requests)} histories, but {len(values)} of {name!r}; give one each"
            )
        requests = [
            replace(request, **{name: value})
            for request, value in zip(requests, values, strict=True)
        ]
    return requests


def choices_for(
    catalogue: Catalogue, task: str, histories: Sequence[History], candidates: Sequence[History]
) -> list[Request]:
    """Write a request per user who chooses among candidates of their own."""
    rows = [rows_of(catalogue, of_one, what="candidates are") for of_one in candidates]
    return requests_for(catalogue, task, histories, candidates=rows)


def rows_of(
    catalogue: Catalogue, history: History, *, what: str = "a history is"
) -> tuple[int, ...]:
    """Find the rows of a list of raw ids; a text in its place would be read letter by letter."""
    if isinstance(history, str):
        raise TypeError(f"{what} a list of item ids, not the text {history!r}")
    return tuple(catalogue.rows(history))
