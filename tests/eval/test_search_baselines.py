"""BM25 and dense retrieval, the baselines of search."""

import math

import numpy as np
import pytest

from genrec.eval.dense import DenseRecommender
from genrec.eval.lexical import BM25Config, BM25Recommender
from genrec.recommender import Recommender, Request

pytest.importorskip("bm25s")

TEXTS = ["red soap", "red red lamp for the bath", None, "blue soap", "green towel"]
FEATURES = np.array([[1, 0], [1, 1], [0, 0], [0, 2]], dtype=np.float32)


def search(recommender, query, k=5, **told):
    return recommender.recommend([Request(task="search", query=query, **told)], k)[0]


def meaning(queries):
    """Encode 'soap' as the first direction, 'lamp' as the second."""
    return np.array([["soap" in query, 3 * ("lamp" in query)] for query in queries], np.float32)


def test_bm25_is_the_sum_of_its_docstring():
    config = BM25Config(saturation=1.2, length=0.6)
    ranking = search(BM25Recommender(TEXTS, config), "Red LAMP, red?")
    words = [(text or "").split() for text in TEXTS]
    mean = sum(map(len, words)) / len(words)

    def score(text):
        total = 0.0
        for word in ("red", "lamp", "red"):
            texts = sum(word in other for other in words)
            rarity = math.log(1 + (len(words) - texts + 0.5) / (texts + 0.5))
            count = text.count(word)
            total += rarity * count / (count + 1.2 * (1 - 0.6 + 0.6 * len(text) / mean))
        return total

    wanted = [score(words[item]) for item in ranking.items]
    assert ranking.scores == pytest.approx(wanted, abs=1e-6)
    assert ranking.items[:2].tolist() == [1, 0]


def test_items_that_fit_alike_follow_by_popularity():
    popularity_N = np.array([1.0, 5.0, 2.0, 9.0, 0.0])
    ranking = search(BM25Recommender(TEXTS, popularity_N=popularity_N), "soap")
    assert ranking.items.tolist() == [3, 0, 1, 2, 4]
    nothing = search(BM25Recommender(TEXTS, popularity_N=popularity_N), "zzz")
    assert nothing.items.tolist() == [3, 1, 2, 0, 4]


def test_dense_retrieval_ranks_by_cosine():
    ranking = search(DenseRecommender(FEATURES, meaning), "soap")
    assert ranking.items.tolist()[:2] == [0, 1]
    assert ranking.scores == pytest.approx([1, 0.5**0.5, 0, 0], abs=1e-6)
    assert search(DenseRecommender(FEATURES, meaning), "lamp").items[0] == 3


@pytest.mark.parametrize(
    "recommender", [BM25Recommender(TEXTS[:4]), DenseRecommender(FEATURES, meaning)]
)
def test_a_search_baseline_obeys_the_request_and_refuses_what_it_cannot(recommender):
    assert isinstance(recommender, Recommender)
    assert recommender.tasks == ("search", "query_to_item")
    requests = [
        Request(task="search", query="soap", exclude=(0,)),
        Request(task="search", query="lamp", only=(2, 3)),
    ]
    batch = recommender.recommend(requests, 4)
    assert 0 not in batch[0].items
    assert sorted(batch[1].items.tolist()) == [2, 3]
    for request, ranking in zip(requests, batch, strict=True):
        alone = recommender.recommend([request], 4)[0]
        assert alone.items.tolist() == ranking.items.tolist()
    with pytest.raises(ValueError, match="ranks by a query, but a request of task 'recommend'"):
        recommender.recommend([Request()], 5)
    with pytest.raises(NotImplementedError, match="only ranks items"):
        recommender.generate([Request(task="explain", item=0)])


def test_texts_without_a_word_are_refused():
    with pytest.raises(ValueError, match="none of the 2 texts has a word"):
        BM25Recommender([None, "!"])


@pytest.mark.parametrize("wrong", [{"saturation": -1.0}, {"length": 1.5}])
def test_a_config_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="it "):
        BM25Config(**wrong)
