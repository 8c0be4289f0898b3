"""Search by meaning: items whose texts lie near the query in the space of a text encoder.

Shape letters in this file: B requests, N items, F features.
"""

from collections.abc import Callable, Sequence

from genrec.eval.encoded_texts import Features, unit_rows
from genrec.eval.lexical import queries_of
from genrec.eval.tasks import QUERY_TASKS
from genrec.eval.top_items import tie_breaks, top_items
from genrec.recommender import Ranking, Request


class DenseRecommender:
    r"""Ranks items by the cosine between what is written of them and the query.

    .. math:: s(j \mid q) = \cos(x_q, x_j)

    The bi-encoder retrieval of Sentence-BERT (https://arxiv.org/abs/1908.10084): one encoder for
    items and queries. Items without features (all 0) fit no query; the history is not looked at.
    """

    tasks = QUERY_TASKS

    def __init__(
        self,
        features_NF: Features,
        encode: Callable[[Sequence[str]], Features],
        *,
        seed: int = 0,
    ) -> None:
        """Keep the features of the items at length 1.

        Args:
            features_NF: What ``encode`` makes of the text of each item.
            encode: Turns queries into rows of features, such as
                :func:`genrec.tokenization.load_text_encoder` gives.
            seed: Orders items of equal score.

        Raises:
            ValueError: When the features are no matrix of finite numbers.
        """
        self._unit_NF = unit_rows(features_NF)
        self._encode = encode
        self._prior_N = 1e-9 * tie_breaks(len(self._unit_NF), seed)

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Rank the items that lie nearest to each query among those that it allows.

        Raises:
            ValueError: When a request has no query.
        """
        query_BF = unit_rows(self._encode(queries_of(requests, "dense retrieval")))
        return top_items(query_BF @ self._unit_NF.T + self._prior_N, requests, k)

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """Refuse: an encoder writes nothing."""
        raise NotImplementedError(
            "dense retrieval only ranks items; it answers no 'rate' or 'explain'"
        )
