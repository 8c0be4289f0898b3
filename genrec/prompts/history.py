"""What a user did and said before, as much of it as a prompt has room for."""

import bisect
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice
from typing import Final, TypeVar

from genrec.prompts.config import Context, PromptConfig
from genrec.prompts.items import ItemWriter
from genrec.prompts.pieces import Piece
from genrec.prompts.vocabulary import Vocabulary
from genrec.recommender import Request

T = TypeVar("T")

_DAY: Final = 86_400
_GAP_ENDS: Final = (60, 3_600, _DAY, 7 * _DAY, 30 * _DAY, 365 * _DAY)
_GAP_WORDS: Final = ("moments", "minutes", "hours", "days", "weeks", "months", "years")

_SPEAKERS: Final = {"user": "User:", "recommender": "Recommender:"}


class HistoryWriter:
    """Writes histories and dialogues; what is oldest goes first when there is no room."""

    def __init__(self, vocabulary: Vocabulary, items: ItemWriter, config: PromptConfig) -> None:
        self._vocabulary = vocabulary
        self._items = items
        self._config = config
        self._is_bare = not (config.history_cards or config.pictures or config.history_context)
        self._words = lru_cache(maxsize=4_096)(self._write_words)
        self._title = lru_cache(maxsize=65_536)(self._write_title)

    def events(self, request: Request, room: int) -> list[Piece]:
        """Write the latest items of a history, oldest first, each with what is told of its event.

        What the user is about to do stands last, as it would before the next item.
        """
        weight = self._config.context_weight
        if self._is_bare:
            levels = self._items.tokens_NL.shape[1]
            count = min(self._config.history_items, max(room, 0) // levels)
            rows = request.history[max(len(request.history) - count, 0) :]
            return [self._items.codes(rows, weight=weight)]
        return _latest(chain([self._ahead(request)], self._newest_first(request)), room)

    def titles(self, request: Request, room: int) -> list[Piece]:
        """Write the titles of the latest items that have one, oldest first, each with an end."""
        titled = (row for row in reversed(request.history) if self._items.has_title(row))
        latest = islice(titled, self._config.history_items)
        return _latest(([self._title(row)] for row in latest), room)

    def turns(self, request: Request, room: int) -> list[Piece]:
        """Write the latest turns of a dialogue, oldest first, with the IDs of what they name.

        Raises:
            ValueError: When there is none, or nobody known speaks.
        """
        turns = request.dialogue[-self._config.dialogue_turns :]
        if not turns:
            raise ValueError(f"the task {request.task!r} needs a dialogue; the request has none")
        groups = []
        for turn in reversed(turns):
            if turn.speaker not in _SPEAKERS:
                raise ValueError(f"{turn.speaker!r} speaks; in a dialogue {list(_SPEAKERS)} do")
            text = self._vocabulary.encode(turn.text, max_tokens=self._config.text_tokens)
            named = [self._items.short(row) for row in turn.items]
            who = self._vocabulary.encode(_SPEAKERS[turn.speaker])
            groups.append([Piece.of([*who, *text]), *named])
        return _latest(groups, room)

    def _newest_first(self, request: Request) -> Iterator[list[Piece]]:
        write = self._items.past_card if self._config.history_cards else self._items.past_short
        asked = self._config.history_context
        first = max(len(request.history) - self._config.history_items, 0)
        for place in range(len(request.history) - 1, first - 1, -1):
            pieces = [write(request.history[place])]
            if asked:
                pieces = [
                    *self._before(
                        _gap(request.times[place - 1 : place + 1]),
                        _at(request.scenarios, place),
                        _at(request.behaviours, place),
                    ),
                    *pieces,
                ]
                rating = _at(request.ratings, place)
                if "rating" in asked and rating is not None:
                    pieces.append(self._words("rating", f"{rating:g}"))
            yield pieces

    def _ahead(self, request: Request) -> list[Piece]:
        """Tell when, where and what for the question is asked, as far as it is known."""
        moments = () if request.time is None else (*request.times[-1:], request.time)
        return self._before(_gap(moments), request.scenario, request.behaviour)

    def _before(self, gap: str | None, scenario: str | None, behaviour: str | None) -> list[Piece]:
        told: tuple[tuple[Context, str | None], ...] = (
            ("gap", gap), ("scenario", scenario), ("behaviour", behaviour)
        )  # fmt: skip
        asked = self._config.history_context
        return [self._words(what, value) for what, value in told if what in asked and value]

    def _write_words(self, context: Context, value: str) -> Piece:
        words = self._config.words_for(context, value)
        return Piece.of(self._vocabulary.encode(words, max_tokens=self._config.attribute_tokens))

    def _write_title(self, row: int) -> Piece:
        limit = self._items.attribute_tokens(self._config.title)
        title = self._vocabulary.encode(self._items.title(row), max_tokens=limit)
        return Piece.of([*title, self._vocabulary.end_of_chunk])


def _latest(groups: Iterable[list[Piece]], room: int) -> list[Piece]:
    """Take groups, the newest first, while there is room; return their pieces oldest first."""
    taken: list[list[Piece]] = []
    for group in groups:
        room -= sum(len(piece.tokens) for piece in group)
        if room < 0:
            break
        taken.append(group)
    return [piece for group in reversed(taken) for piece in group]


def _at(values: Sequence[T | None], place: int) -> T | None:
    return values[place] if values else None


def _gap(moments: Sequence[int]) -> str | None:
    """Put the time between two moments into one of a few words."""
    if len(moments) < 2:
        return None
    before, after = moments
    if after < before:
        raise ValueError(
            f"a history goes back in time, from {before} to {after} seconds; sort it, oldest first"
        )
    return _GAP_WORDS[bisect.bisect_right(_GAP_ENDS, after - before)]
