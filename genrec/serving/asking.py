"""From a caller's raw ids to requests about rows of a catalogue."""

from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, Literal, get_args

from genrec.data import Catalogue
from genrec.recommender import Request, Turn

History = Sequence[str]

Speaker = Literal["user", "recommender"]
Said = tuple[Speaker, str] | tuple[Speaker, str, History]
"""Who said what and, where the words speak of items, their raw ids."""

Dialogue = Sequence[Said]


_A_DIALOGUE = "a dialogue is a list of turns, such as ('user', 'Something for rain?')"


def check_number(name: str, value: object, wanted: str) -> None:
    """Refuse what is no number, such as a text of digits."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}; give a number {wanted}")


def check_whole(name: str, value: object) -> None:
    """Refuse what is no whole number."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} is {value!r}; give a whole number, such as 10")


def check_text(name: str, value: object) -> None:
    """Refuse what is no text; ``None`` is for prompts to refuse, where they need one."""
    if not isinstance(value, str | None):
        raise TypeError(f"{name} is {value!r}; give a text")


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
        for value in values:
            _check_column(name, value)
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
    turns = [_turns(catalogue, dialogue) for dialogue in dialogues]
    histories = [()] * len(turns) if histories is None else histories
    return requests_for(catalogue, task, histories, dialogue=turns)


def about_review(task: str, review: str) -> Request:
    """Write a request about a review."""
    check_text("review", review)
    return Request(task=task, review=review)


def _check_column(name: str, value: object) -> None:
    if name in ("query", "hint"):
        check_text(name, value)
    elif name == "rating" and value is not None:
        check_number(name, value, "such as 4.0")


def _turns(catalogue: Catalogue, dialogue: Any) -> tuple[Turn, ...]:
    if isinstance(dialogue, str) or not isinstance(dialogue, Sequence):
        raise TypeError(f"{_A_DIALOGUE}, not {dialogue!r}")
    for said in dialogue:
        if isinstance(said, str) or not isinstance(said, Sequence) or len(said) not in (2, 3):
            raise TypeError(f"{_A_DIALOGUE}; this turn is {said!r}")
        if said[0] not in get_args(Speaker) or not isinstance(said[1], str):
            raise TypeError(f"a turn is 'user' or 'recommender' and a text, not {said!r}")
    return tuple(_turn(catalogue, *said) for said in dialogue)


def _turn(catalogue: Catalogue, speaker: Speaker, text: str, items: History = ()) -> Turn:
    return Turn(speaker, text, rows_of(catalogue, items, what="a turn names"))
