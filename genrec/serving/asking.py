"""From a caller's raw ids to requests about rows of a catalogue."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from genrec.data import Catalogue
from genrec.recommender import Request, Turn

History = Sequence[str]

Speaker = Literal["user", "recommender"]
Said = tuple[Speaker, str] | tuple[Speaker, str, History]
"""Who said what and, where the words speak of items, their raw ids."""

Dialogue = Sequence[Said]


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


def talks_for(
    catalogue: Catalogue,
    task: str,
    dialogues: Sequence[Dialogue],
    histories: Sequence[History] | None = None,
) -> list[Request]:
    """Write a request per dialogue, with what its user had before where that is known."""
    turns = [tuple(_turn(catalogue, *said) for said in dialogue) for dialogue in dialogues]
    histories = [()] * len(turns) if histories is None else histories
    return requests_for(catalogue, task, histories, dialogue=turns)


def _turn(catalogue: Catalogue, speaker: Speaker, text: str, items: History = ()) -> Turn:
    return Turn(speaker, text, rows_of(catalogue, items, what="a turn names"))
