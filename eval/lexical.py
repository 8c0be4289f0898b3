"""Search by words: BM25 over what is written of the items.

Shape letters in this file: B requests, N items.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genrec.eval.intervals import Floats
from genrec.eval.tasks import QUERY_TASKS
from genrec.eval.top_items import tie_breaks, top_items
from genrec.optional import require
from genrec.recommender import Ranking, Request


@dataclass(frozen=True, kw_only=True)
class BM25Config:
    """How words are weighed. The values are the usual ones."""

    saturation: float = 1.5
    """How slowly a word that is repeated in a text stops to count more (k1)."""

    length: float = 0.75
    """How strongly long texts are divided down (b): 0 not at all, 1 in full."""

    def __post_init__(self) -> None:
        if self.saturation < 0:
            raise ValueError(f"saturation is {self.saturation}; it must not be negative")
        if not 0 <= self.length <= 1:
            raise ValueError(f"length is {self.length}; it is a share from 0 to 1")


class BM25Recommender:
    r"""Ranks items by the words that their texts share with the query.

    .. math::
        s(j \mid q) = \sum_{w \in q} \log\!\Big(1 + \frac{N - n_w + \frac12}{n_w + \frac12}\Big)
            \frac{f_{wj}}{f_{wj} + k_1 (1 - b + b \, |j| / \overline{|j|})}

    with ``f`` how often a word stands in a text and ``n`` in how many texts it stands: BM25 as
    Lucene has it (https://arxiv.org/abs/2407.03618, section 2), computed by the package ``bm25s``.
    Texts and queries are lower-cased words of two letters or more, unstemmed. Items of equal score
    follow by popularity; the history is not looked at.
    """

    tasks = QUERY_TASKS

    def __init__(
        self,
        texts: Sequence[str | None],
        config: BM25Config | None = None,
        *,
        popularity_N: Floats | None = None,
        seed: int = 0,
    ) -> None:
        """Index the texts.

        Args:
            texts: What is written of each item; ``None`` where there is nothing.
            config: How words are weighed.
            popularity_N: Orders items of equal score, such as counts of train events.
            seed: Orders items that are equally popular.

        Raises:
            MissingDependencyError: When bm25s is not installed.
            ValueError: When no text has a word.
        """
        config = config or BM25Config()
        self._bm25s = require("bm25s", extra="baselines", why="BM25Recommender")
        words = self._words([text or "" for text in texts])
        if not any(words):
            raise ValueError(f"none of the {len(texts)} texts has a word; give titles at least")
        self._index = self._bm25s.BM25(k1=config.saturation, b=config.length, method="lucene")
        self._index.index(words, show_progress=False)
        self._prior_N = 1e-9 * tie_breaks(len(texts), seed)
        if popularity_N is not None:
            self._prior_N += 1e-6 * popularity_N / max(popularity_N.max(), 1)

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Rank the items whose texts fit each query best among those that it allows.

        Raises:
            ValueError: When a request has no query.
        """
        queries = self._words(queries_of(requests, "BM25"))
        score_BN = np.stack([self._scores(words) for words in queries]) + self._prior_N
        return top_items(score_BN, requests, k)

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """Refuse: an index writes nothing."""
        raise NotImplementedError("BM25 only ranks items; it answers no 'rate' or 'explain'")

    def _scores(self, words: list[str]) -> Any:
        known = [word for word in words if word in self._index.vocab_dict]
        return self._index.get_scores(known) if known else np.zeros(len(self._prior_N))

    def _words(self, texts: list[str]) -> list[list[str]]:
        words: list[list[str]] = self._bm25s.tokenize(
            texts, stopwords=None, return_ids=False, show_progress=False
        )
        return words


def queries_of(requests: Sequence[Request], who: str) -> list[str]:
    """Return the queries of all requests.

    Raises:
        ValueError: When one has none.
    """
    for request in requests:
        if not request.query:
            raise ValueError(
                f"{who} ranks by a query, but a request of task {request.task!r} has none"
            )
    return [request.query or "" for request in requests]
