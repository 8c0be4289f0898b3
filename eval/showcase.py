"""Users to look at: what they have, what comes next, and what was recommended, in pictures."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from genrec.data import Catalogue, Dataset
from genrec.eval.intervals import Ints
from genrec.eval.questions import Question
from genrec.eval.ranking import ndcg_at
from genrec.eval.results import Ranked, TaskResults, Written
from genrec.eval.tasks import FACT_TASKS, REPLY
from genrec.figures import data_uri

_HISTORY_SHOWN: Final = 8


class Tile(NamedTuple):
    """One item as it is shown."""

    title: str
    picture: str | None
    """The key of its picture in the showcase; ``None`` where the item has none."""

    is_target: bool


class Shown(NamedTuple):
    """What one method recommended to a user."""

    method: str
    place: int | None
    """Where the target stands, from 1, as people count; ``None`` where it was missed."""

    ranking: list[Tile]


class Shopper(NamedTuple):
    """One user whose next item was to be found."""

    user: str
    query: str | None
    earlier: int
    """How many items of the history are not shown."""

    history: list[Tile]
    target: Tile
    shown: list[Shown]
    """The rankings, the subject's first."""

    @property
    def place(self) -> int | None:
        """Where the subject has the target."""
        return self.shown[0].place


class Group(NamedTuple):
    """Users to look at together."""

    heading: str
    about: str
    shoppers: list[Shopper]


class WrittenText(NamedTuple):
    """One text beside the right one."""

    title: str
    """What it is about: an item, or what was said before."""

    reference: str
    answer: str
    who: str
    """Whose words are the reference."""


class Showcase(NamedTuple):
    """Users to look at, and all their pictures."""

    groups: list[Group]
    pictures: Mapping[str, str]
    """Pictures as data URIs, each once however often it is shown."""


def showcase(
    results: Mapping[str, TaskResults],
    dataset: Dataset,
    *,
    count: int,
    rival: str | None = None,
    seed: int = 0,
) -> Showcase:
    """Draw users at random, half of them among the hits, and show where two methods differ most.

    Args:
        results: What the methods ranked, by name, on the same events. The first is the subject.
        dataset: The data that they were evaluated on.
        count: How many users to draw in all.
        rival: The method to find the largest differences to; none for ``None``.
        seed: Draws the users.
    """
    name, result = next(iter(results.items()))
    assert isinstance(result.answers, Ranked)
    draw = np.random.default_rng(seed)
    hit_E = np.flatnonzero(result.answers.rank_E >= 0)
    miss_E = np.flatnonzero(result.answers.rank_E < 0)
    hits = draw.permutation(hit_E)[: max(count // 2, count - len(miss_E))]
    misses = draw.permutation(miss_E)[: count - len(hits)]
    chosen = [
        ("Found", f"Drawn at random from {len(hit_E):,} whose next item {name} found.", hits),
        ("Missed", f"Drawn at random from {len(miss_E):,} whose next item {name} missed.", misses),
    ]
    shown = {name: result}
    if rival is not None:
        shown_too = {**shown, rival: results[rival]}
        chosen += _apart(name, result, rival, results[rival], draw, count=max(1, count // 4))
    pictures: dict[str, str] = {}
    groups = [
        Group(
            heading, about,
            _shoppers(shown if place < 2 else shown_too, dataset, rows, pictures),
        )
        for place, (heading, about, rows) in enumerate(chosen)
        if len(rows)
    ]  # fmt: skip
    return Showcase(groups, pictures)


def _apart(
    name: str,
    result: TaskResults,
    rival: str,
    other: TaskResults,
    draw: np.random.Generator,
    *,
    count: int,
) -> list[tuple[str, str, Ints]]:
    """Choose the users of whom one method finds the next item much higher up than the other."""
    assert isinstance(result.answers, Ranked)
    assert isinstance(other.answers, Ranked)
    k = result.answers.items_EK.shape[1]
    gap_E = ndcg_at(result.answers.rank_E, k) - ndcg_at(other.answers.rank_E, k)
    mixed_E = draw.permutation(len(gap_E))  # of equal gaps any
    order_E = mixed_E[np.argsort(-gap_E[mixed_E], kind="stable")]
    better = order_E[gap_E[order_E] > 0][:count]
    worse = order_E[gap_E[order_E] < 0][::-1][:count]
    told = "Users between whose NDCG the difference is largest; of equal ones some at random."
    return [
        (f"Better by {name} than by {rival}", told, better),
        (f"Better by {rival} than by {name}", told, worse),
    ]


def written_texts(
    result: TaskResults, dataset: Dataset, *, count: int, seed: int = 0
) -> list[WrittenText]:
    """Draw some texts at random."""
    answers = result.answers
    assert isinstance(answers, Written)
    chosen = np.random.default_rng(seed).permutation(len(result.event_E))[:count]
    who = "the recommender" if result.task == REPLY else "the user"
    who = "the catalogue" if result.task in FACT_TASKS else who
    return [
        WrittenText(
            _about(question, dataset.catalogue), answers.references[e], answers.answers[e], who
        )
        for e, question in zip(chosen.tolist(), result.questions.at(chosen), strict=True)
    ]


def _about(question: Question, catalogue: Catalogue) -> str:
    """Tell what a text is about."""
    request = question.request
    if request.dialogue:
        return f"{request.dialogue[-1].speaker}: {request.dialogue[-1].text}"
    title = title_of(catalogue, question.target)
    return title if request.attribute is None else f"{request.attribute} of {title}"


def title_of(catalogue: Catalogue, item: int) -> str:
    """Name an item for people: its title, else its first attribute, else its raw id."""
    told = catalogue.describe(item)
    return str(told.get("title") or next(iter(told.values()), catalogue.item_ids[item]))


def _shoppers(
    results: Mapping[str, TaskResults], dataset: Dataset, chosen: Ints, pictures: dict[str, str]
) -> list[Shopper]:
    questions = next(iter(results.values())).questions.at(chosen)
    return [
        _shopper(question, questions.user_name(question), e, results, dataset, pictures)
        for e, question in zip(chosen.tolist(), questions, strict=True)
    ]


def _shopper(
    question: Question,
    user: str,
    e: int,
    results: Mapping[str, TaskResults],
    dataset: Dataset,
    pictures: dict[str, str],
) -> Shopper:
    history, target = question.request.history, question.target

    def tile(item: int) -> Tile:
        return _tile(item, dataset.catalogue, pictures, is_target=item == target)

    shown = []
    for name, result in results.items():
        assert isinstance(result.answers, Ranked)
        rank, items = int(result.answers.rank_E[e]), result.answers.items_EK[e].tolist()
        tiles = [tile(item) for item in items if item != -1]
        shown.append(Shown(name, rank + 1 if rank >= 0 else None, tiles))
    return Shopper(
        user=user,
        query=question.request.query,
        earlier=max(0, len(history) - _HISTORY_SHOWN),
        history=[tile(item) for item in history[-_HISTORY_SHOWN:]],
        target=tile(target),
        shown=shown,
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
