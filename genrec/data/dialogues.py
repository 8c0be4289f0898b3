"""Talks in which items are recommended: a file of JSON lines, one dialogue each.

Two forms are read. The plain one names items by their raw ids::

    {"user": "u1", "turns": [{"speaker": "user", "text": "A brush for travelling?"},
                             {"speaker": "recommender", "text": "Take this one", "items": ["B01"]}]}

``user`` and ``items`` may be left out. The other is that of ReDial
(https://arxiv.org/abs/1812.07617): ``messages`` of two workers, with mentions such as ``@111776``
that ``movieMentions`` gives a title, by which items are found.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genrec.data.catalogue import Catalogue
from genrec.data.errors import DataError
from genrec.data.reading import json_lines
from genrec.recommender import Turn

_MENTION = re.compile(r"@(\d+)")


@dataclass(frozen=True)
class Dialogue:
    """What a user and a recommender said, oldest first."""

    turns: tuple[Turn, ...]

    user: str | None = None
    """The user's raw id, where the interactions may have it too."""


def load_dialogues(
    path: Path | str | None, catalogue: Catalogue, *, title: str = "title"
) -> list[Dialogue]:
    """Read a file of dialogues about the items of a catalogue.

    Args:
        path: JSON lines, gzipped if the name ends in .gz; ``None`` where nobody talks.
        catalogue: The items that turns may name.
        title: The attribute by which ReDial's films are found; those that the catalogue lacks stay
            words of the text.

    Raises:
        DataError: When a line is no dialogue or names an unknown item; the message names the row.
    """
    if path is None:
        return []
    path = Path(path)
    row_of = _rows_by_title(catalogue, title)
    dialogues = []
    for number, record in json_lines(path):
        try:
            if "messages" in record:
                dialogues.append(_redial(record, row_of))
            else:
                dialogues.append(_plain(record, catalogue))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(f"{path}, row {number} is no dialogue: {reason}") from error
    return dialogues


def _plain(record: Mapping[str, Any], catalogue: Catalogue) -> Dialogue:
    turns = []
    for turn in record["turns"]:
        if turn["speaker"] not in ("user", "recommender"):
            raise ValueError(f"{turn['speaker']!r} speaks; use 'user' or 'recommender'")
        items = tuple(catalogue.rows(turn.get("items", ())))
        turns.append(Turn(turn["speaker"], str(turn["text"]), items))
    user = record.get("user")
    return Dialogue(tuple(turns), None if user is None else str(user))


def _redial(record: Mapping[str, Any], row_of: Mapping[str, int]) -> Dialogue:
    # An empty list stands for no mentions.
    titles: dict[str, str | None] = dict(record.get("movieMentions") or {})
    turns = []
    for message in record["messages"]:
        asks = message["senderWorkerId"] == record["initiatorWorkerId"]
        named = [titles.get(mention) or "" for mention in _MENTION.findall(message["text"])]
        rows = dict.fromkeys(row_of[name] for name in named if name in row_of)
        text = _MENTION.sub(lambda mention: titles.get(mention[1]) or mention[0], message["text"])
        turns.append(Turn("user" if asks else "recommender", text, tuple(rows)))
    return Dialogue(tuple(turns))


def _rows_by_title(catalogue: Catalogue, title: str) -> dict[str, int]:
    """Find items by the one attribute that names them; a title of several items names none."""
    if title not in catalogue.attributes:
        return {}
    titles = catalogue.table[title]
    is_one = titles.is_not_null() & titles.is_unique()
    return {str(titles[row]): row for row in is_one.arg_true().to_list()}
