"""Users to look at: what they have, what comes next, and what was recommended, in pictures."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from genrec.data import Catalogue, Dataset
from genrec.eval.intervals import Ints
from genrec.eval.questions import Question
from genrec.eval.results import Ranked, TaskResults, Written
from genrec.figures import data_uri

_HISTORY_SHOWN: Final = 8


class Tile(NamedTuple):
    """One item as it is shown."""

    title: str
    picture: str | None
    """The key of its picture in the showcase; ``None`` where the item has none."""

    is_target: bool


class Shopper(NamedTuple):
    """One user whose next item was to be found."""

    user: str
    query: str | None
    earlier: int
    """How many items of the history are not shown."""

    history: list[Tile]
    target: Tile
    place: int | None
    """Where the target stands, from 1, as people count; ``None`` where it was missed."""

    ranking: list[Tile]


class WrittenText(NamedTuple):
    """One explanation beside what the user wrote."""

    title: str
    reference: str
    answer: str


class Showcase(NamedTuple):
    """Users whose next item was found, users whose next item was not, and all their pictures."""

    hits: list[Shopper]
    misses: list[Shopper]
    hit_count: int
    miss_count: int
    pictures: Mapping[str, str]
    """Pictures as data URIs, each once however often it is shown."""


def showcase(result: TaskResults, dataset: Dataset, *, count: int, seed: int = 0) -> Showcase:
    """Draw users at random, half of them among the hits where there are enough.

    Args:
        result: What a method ranked.
        dataset: The data that it was evaluated on.
        count: How many users to show in all.
        seed: Draws them.
    """
    assert isinstance(result.answers, Ranked)
    draw = np.random.default_rng(seed)
    hit_E = np.flatnonzero(result.answers.rank_E >= 0)
    miss_E = np.flatnonzero(result.answers.rank_E < 0)
    hits = draw.permutation(hit_E)[: max(count // 2, count - len(miss_E))]
    misses = draw.permutation(miss_E)[: count - len(hits)]
    pictures: dict[str, str] = {}
    return Showcase(
        hits=_shoppers(result, dataset, hits, pictures),
        misses=_shoppers(result, dataset, misses, pictures),
        hit_count=len(hit_E),
        miss_count=len(miss_E),
        pictures=pictures,
    )


def written_texts(
    result: TaskResults, dataset: Dataset, *, count: int, seed: int = 0
) -> list[WrittenText]:
    """Draw some explanations at random."""
    answers, chosen = result.answers, np.arange(len(result.event_E))
    assert isinstance(answers, Written)
    chosen = np.random.default_rng(seed).permutation(chosen)[:count]
    items = dataset.interactions.item[result.event_E[chosen]].tolist()
    return [
        WrittenText(title_of(dataset.catalogue, item), answers.references[e], answers.answers[e])
        for e, item in zip(chosen.tolist(), items, strict=True)
    ]


def title_of(catalogue: Catalogue, item: int) -> str:
    """Name an item for people: its title, else its first attribute, else its raw id."""
    told = catalogue.describe(item)
    return str(told.get("title") or next(iter(told.values()), catalogue.item_ids[item]))


def _shoppers(
    result: TaskResults, dataset: Dataset, chosen: Ints, pictures: dict[str, str]
) -> list[Shopper]:
    answers = result.answers
    assert isinstance(answers, Ranked)
    questions = result.questions.at(chosen)
    return [
        _shopper(
            question,
            questions.user_name(question),
            answers.items_EK[e],
            int(answers.rank_E[e]),
            dataset,
            pictures,
        )
        for e, question in zip(chosen.tolist(), questions, strict=True)
    ]  # fmt: skip


def _shopper(
    question: Question,
    user: str,
    items_K: Ints,
    rank: int,
    dataset: Dataset,
    pictures: dict[str, str],
) -> Shopper:
    history, target = question.request.history, question.target

    def tile(item: int) -> Tile:
        return _tile(item, dataset.catalogue, pictures, is_target=item == target)

    return Shopper(
        user=user,
        query=question.request.query,
        earlier=max(0, len(history) - _HISTORY_SHOWN),
        history=[tile(item) for item in history[-_HISTORY_SHOWN:]],
        target=tile(target),
        place=rank + 1 if rank >= 0 else None,
        ranking=[tile(item) for item in items_K.tolist() if item != -1],
    )


def _tile(item: int, catalogue: Catalogue, pictures: dict[str, str], *, is_target: bool) -> Tile:
    if not 0 <= item < len(catalogue):
        return Tile(f"{item} is no item", None, is_target=False)
    title, key = title_of(catalogue, item), f"p{item}"
    if key not in pictures and catalogue.has_picture[item]:
        picture = catalogue.picture(item)
        assert picture is not None
        pictures[key] = data_uri(picture)
    return Tile(title, key if key in pictures else None, is_target=is_target)
