"""Mixtures of methods that are evaluated side by side, beside their parts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Final

import numpy as np

from genrec.data import Dataset, Split
from genrec.eval.asking import Recorded
from genrec.eval.contenders import Contender
from genrec.eval.hybrid import HybridRecommender, Part, tune_hybrid
from genrec.eval.tasks import RANKING_TASKS
from genrec.recommender import Ranking, Recommender, Request

_NOTHING: Final = Ranking(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))


def check_hybrids(names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse mixtures whose parts are not asked for, or too few."""
    for name in names:
        parts = name.split("+")
        if missing := {*parts} - {*known}:
            raise ValueError(
                f"the hybrid {name!r} has the parts {sorted(missing)}, but only {', '.join(known)} "
                "are asked here"
            )
        if len({*parts}) < max(2, len(parts)):
            raise ValueError(f"the hybrid {name!r} is no mixture of two methods or more")


def hybrids(
    names: Sequence[str],
    methods: Mapping[str, Contender],
    dataset: Dataset,
    split: Split,
    *,
    seed: int = 0,
) -> Iterator[tuple[str, Contender]]:
    """Mix methods, as much of each as validates best.

    Args:
        names: Which: names of methods, joined by ``+``. The first of them answers in words.
        methods: All methods by name; those that are mixed rank items.
        dataset: The data.
        split: The validation events tune; the test events are not touched.
        seed: Draws the events to tune on.
    """
    asked = {
        part: Remembering(_askable(methods[part])) for name in names for part in name.split("+")
    }
    for name in names:
        mixed = [methods[part] for part in name.split("+")]
        parts = [Part(asked[part], methods[part].scale) for part in name.split("+")]
        tuned = tune_hybrid(parts, dataset, split, seed=seed)
        tasks = set(RANKING_TASKS).intersection(*(one.tasks for one in mixed))
        identity = {"parts": [dict(one.identity) for one in mixed], "mixture": asdict(tuned)}
        yield (
            name,
            replace(
                mixed[0], recommender=HybridRecommender(parts, tuned), make=None, scale="scores",
                tasks=tuple(sorted(tasks)), identity=identity,
            ),
        )  # fmt: skip


class Remembering:
    """Answers a question once, however many mixtures a recommender is a part of.

    What an item scores must not depend on which others may be named, as mixtures need anyway.
    """

    def __init__(self, recommender: Recommender) -> None:
        """Answer with the words of a recommender."""
        self._recommender = recommender
        self._rankings: dict[tuple[Request, int], Ranking] = {}
        self._scored: dict[Request, Ranking] = {}
        """The items that a request was asked ``only`` about; NaN for those that were not named."""

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Rank up to ``k`` items for each request, from memory as far as that goes."""
        whole = [request for request in dict.fromkeys(requests) if request.only is None]
        new = [request for request in whole if (request, k) not in self._rankings]
        if new:
            rankings = self._recommender.recommend(new, k)
            self._rankings.update(zip([(request, k) for request in new], rankings, strict=True))
        self._score([request for request in requests if request.only is not None])
        return [
            self._rankings[request, k] if request.only is None else self._best_of(request, k)
            for request in requests
        ]

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """Answer in words; nothing is remembered."""
        return self._recommender.generate(requests)

    def _score(self, requests: Sequence[Request]) -> None:
        """Ask about those items that each request was not yet asked about."""
        wanted: dict[Request, set[int]] = {}
        for request in requests:
            wanted.setdefault(replace(request, only=None), set()).update(request.only or ())
        for request, items in list(wanted.items()):
            items.difference_update(self._scored.get(request, _NOTHING).items.tolist())
            if not items:
                del wanted[request]
        if not wanted:
            return
        rankings = self._recommender.recommend(
            [replace(request, only=tuple(sorted(items))) for request, items in wanted.items()],
            max(map(len, wanted.values())),
        )
        for (request, items), ranking in zip(wanted.items(), rankings, strict=True):
            unnamed = np.array(sorted(items.difference(ranking.items.tolist())), dtype=np.int64)
            nothing = np.full(len(unnamed), np.nan, dtype=np.float32)
            parts = (self._scored.get(request, _NOTHING), ranking, Ranking(unnamed, nothing))
            self._scored[request] = Ranking(
                np.concatenate([part.items for part in parts]),
                np.concatenate([part.scores for part in parts]),
            )

    def _best_of(self, request: Request, k: int) -> Ranking:
        items, scores = self._scored[replace(request, only=None)]
        rows = np.flatnonzero(np.isin(items, request.only or ()) & ~np.isnan(scores))
        best = rows[np.lexsort((items[rows], -scores[rows]))][:k]
        return Ranking(items[best], scores[best])


def _askable(contender: Contender) -> Recommender:
    assert not isinstance(contender.recommender, Recorded)
    return contender.recommender
