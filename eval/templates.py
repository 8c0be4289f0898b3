"""Explanations without a model: what reviewers said most often of the item.

Such sentences say the same to everybody and score well all the same, so a model has to beat them
before its words mean anything.
"""

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from genrec.data import DataError, Dataset, Split
from genrec.data.errors import did_you_mean
from genrec.eval.questions import Bools
from genrec.eval.tuning import tune
from genrec.recommender import Ranking, Request

_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+")
_WORD: Final = re.compile(r"\w+")
_MOST_OF_A_GROUP: Final = 200
"""Of the sentences of a group, the most frequent ones that may be told."""

_PER_GROUP: Final = 5
"""An attribute groups items where it has at most one value for so many."""

_Group = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class TemplateConfig:
    """How sentences are chosen."""

    category: str | None = None
    """An attribute of the catalogue that groups items, such as ``category``. Sentences of the
    group stand in where an item has few; those of all items where it is left out."""

    sentences: int = 1
    """How many of the most frequent sentences are told."""

    shrinkage: float = 5.0
    """How many sentences of its own outweigh what is said of the item's group."""

    def __post_init__(self) -> None:
        if self.sentences < 1:
            raise ValueError(f"sentences is {self.sentences}; tell at least 1")
        if self.shrinkage <= 0:
            raise ValueError(f"shrinkage is {self.shrinkage}; it must be positive")


class TemplateRecommender:
    r"""Says of an item what is said of it most often, shrunk towards its group and all items.

    .. math::
        p_g(s) = \frac{n_g(s) + \mu \, p_{g'}(s)}{n_g + \mu}

    for groups ``g`` from all items over the category to the item, each shrunk to the one before it
    (Dirichlet smoothing, https://doi.org/10.1145/984321.984322). Where the rating is told, events
    of the same rating are groups of their own; where a hint is, sentences that hold it come first.
    """

    tasks = ("explain", "explain_rated", "explain_hint")

    def __init__(
        self, dataset: Dataset, train: Bools, config: TemplateConfig | None = None
    ) -> None:
        """Count the sentences of the train events.

        Raises:
            DataError: When the catalogue lacks the category.
            ValueError: When no train event has a text.
        """
        self._config = config or TemplateConfig()
        self._category = _categories(dataset, self._config.category)
        self._said: dict[_Group, Counter[str]] = {}
        interactions = dataset.interactions
        column = interactions.column("text")
        texts = [] if column is None else column.to_list()
        for event in np.flatnonzero(train[: len(texts)]).tolist():
            item, rating = int(interactions.item[event]), float(interactions.rating[event])
            groups = {*self._groups(item, None), *self._groups(item, rating)}
            for sentence, group in itertools.product(_sentences(texts[event]), groups):
                self._said.setdefault(group, Counter())[sentence] += 1
        if not self._said:
            raise ValueError(f"no train event of {dataset.name} has a text to take sentences from")
        self._count = {group: said.total() for group, said in self._said.items()}
        self._frequent = {
            group: [sentence for sentence, _ in said.most_common(_MOST_OF_A_GROUP)]
            for group, said in self._said.items()
        }

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Refuse: what is said of items does not rank them."""
        raise NotImplementedError("templates answer 'explain' and its kin; they rank no items")

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """Tell the most frequent sentences of each item."""
        return [self._explain(request) for request in requests]

    def _explain(self, request: Request) -> str:
        if request.task not in self.tasks or request.item is None:
            raise NotImplementedError(
                f"templates answer {', '.join(self.tasks)}, not {request.task!r}"
            )
        rating = request.rating if request.task == "explain_rated" else None
        groups = [group for group in self._groups(request.item, rating) if group in self._said]
        share = {sentence: self._share(groups, sentence) for sentence in self._heard(groups)}
        hint = (request.hint or "").lower() if request.task == "explain_hint" else ""
        lacks = {said: hint not in _WORD.findall(said.lower()) for said in share}
        ranked = sorted(share, key=lambda said: (lacks[said], -share[said], said))
        return " ".join(ranked[: self._config.sentences])

    def _share(self, groups: Sequence[_Group], sentence: str) -> float:
        """Estimate how often a sentence is said, from the widest group to the narrowest."""
        share, prior = 0.0, self._config.shrinkage
        for group in groups:
            share = (self._said[group][sentence] + prior * share) / (self._count[group] + prior)
        return share

    def _heard(self, groups: Sequence[_Group]) -> set[str]:
        """Gather what was said of the item, and the most of what was said of its groups."""
        return set(itertools.chain.from_iterable(self._frequent[group] for group in groups))

    def _groups(self, item: int, rating: float | None) -> list[_Group]:
        """Name the groups of an item, the widest first; those of one rating where it is told."""
        scopes: list[_Group] = [(), ("item", item)]
        if self._category is not None:
            scopes.insert(1, ("category", self._category[item]))
        if rating is None or np.isnan(rating):
            return scopes
        return [(), *((*scope, round(rating)) for scope in scopes)]


def tune_templates(
    dataset: Dataset, split: Split, *, users: int = 1000, seed: int = 0
) -> TemplateConfig:
    """Choose the config with the best BLEU-4 on the validation events, from a small grid.

    Args:
        dataset: The data.
        split: What to learn from and what to validate on; the test events are not touched.
        users: Validate on so many events at most.
        seed: Draws them.
    """
    table = dataset.catalogue.table
    groups = [
        name for name in dataset.catalogue.attributes
        if table[name].dtype == pl.String and table[name].n_unique() <= len(table) / _PER_GROUP
    ]  # fmt: skip
    configs = (
        TemplateConfig(category=category, sentences=sentences, shrinkage=shrinkage)
        for category, sentences, shrinkage in itertools.product(
            [None, *groups], [1, 2, 3], [1.0, 10.0]
        )
    )
    return tune(
        configs, lambda config: TemplateRecommender(dataset, split.train, config),
        dataset, split, task="explain", metric="bleu-4", users=users, seed=seed,
    )  # fmt: skip


def _sentences(text: str | None) -> list[str]:
    return [sentence for sentence in _SENTENCE_END.split((text or "").strip()) if sentence]


def _categories(dataset: Dataset, attribute: str | None) -> list[str] | None:
    """Tell the group of every item, where there are groups."""
    if attribute is None:
        return None
    catalogue = dataset.catalogue
    if attribute not in catalogue.attributes:
        raise DataError(
            f"the catalogue of {dataset.name} has no attribute {attribute!r}; "
            f"{did_you_mean(attribute, catalogue.attributes)}"
        )
    return [str(value or "") for value in catalogue.table[attribute]]
