import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.data import leave_one_out
from genrec.eval import ContentKNNConfig, ContentKNNRecommender, tune_content_knn
from genrec.recommender import Recommender, Request
from tests.eval.written import written

SOAP, SHAMPOO, LAMP, NOTHING = range(4)
FEATURES = np.array([[2, 0], [3, 3], [0, 1], [0, 0]], dtype=np.float32)


def test_it_ranks_by_cosine():
    ranking = ContentKNNRecommender(FEATURES).recommend([Request(history=(SOAP,))], 4)[0]
    assert ranking.items[:2].tolist() == [SOAP, SHAMPOO]
    assert ranking.scores == pytest.approx([1, 0.5**0.5, 0, 0], abs=1e-6)


def test_later_items_of_the_history_weigh_more():
    knn = ContentKNNRecommender(FEATURES, ContentKNNConfig(decay=0.5))
    ranking = knn.recommend([Request(history=(LAMP, SOAP))], 4)[0]
    assert ranking.items.tolist() == [SHAMPOO, SOAP, LAMP, NOTHING]
    assert ranking.scores == pytest.approx([1.5 * 0.5**0.5, 1, 0.5, 0], abs=1e-6)


def test_only_the_end_of_the_history_counts():
    knn = ContentKNNRecommender(FEATURES, ContentKNNConfig(last=1))
    short, long = knn.recommend([Request(history=(SOAP,)), Request(history=(LAMP, SOAP))], 4)
    assert short.items.tolist() == long.items.tolist()


def test_it_obeys_what_a_request_allows():
    requests = [Request(history=(SOAP,), exclude=(SOAP,)), Request(history=(SOAP,), only=(LAMP,))]
    excluded, only = ContentKNNRecommender(FEATURES).recommend(requests, 4)
    assert SOAP not in excluded.items
    assert only.items.tolist() == [LAMP]


def test_without_a_history_all_items_are_alike():
    ranking = ContentKNNRecommender(FEATURES, seed=3).recommend([Request()], 4)[0]
    assert sorted(ranking.items.tolist()) == [SOAP, SHAMPOO, LAMP, NOTHING]


@given(
    history=st.lists(st.integers(0, 3), min_size=1, max_size=5),
    decay=st.floats(0.1, 1.0),
    last=st.integers(1, 5),
)
def test_scores_are_the_sum_that_the_formula_tells(history, decay, last):
    knn = ContentKNNRecommender(FEATURES, ContentKNNConfig(decay=decay, last=last))
    ranking = knn.recommend([Request(history=tuple(history))], 4)[0]

    def cosine(a, b):
        lengths = np.linalg.norm(FEATURES[a]) * np.linalg.norm(FEATURES[b])
        return FEATURES[a] @ FEATURES[b] / lengths if lengths else 0

    for item, score in zip(ranking.items, ranking.scores, strict=True):
        wanted = sum(
            decay**age * cosine(past, item) for age, past in enumerate(history[::-1][:last])
        )
        assert score == pytest.approx(wanted, abs=1e-5)


def test_it_is_a_recommender_that_only_ranks():
    knn = ContentKNNRecommender(FEATURES)
    assert isinstance(knn, Recommender)
    with pytest.raises(NotImplementedError, match="only ranks"):
        knn.generate([Request(task="rate")])


def test_tuning_finds_how_fast_a_history_is_forgotten():
    # Of the history, the last item points to item 2 and the two before it to item 3.
    features = np.array([[0, 1], [1, 0], [0.95, 0.3], [0.3, 0.95], [0, 0]], dtype=np.float32)

    def decay(target):
        dataset = written({f"u{user}": [0, 0, 1, target, 4] for user in range(5)})
        return tune_content_knn(features, dataset, leave_one_out(dataset.interactions)).decay

    assert decay(2) == 0.1
    assert decay(3) > 0.3


@pytest.mark.parametrize(
    "features", [np.zeros(3), np.array([[1.0, np.nan]])], ids=["no matrix", "no number"]
)
def test_features_that_make_no_sense_are_refused(features):
    with pytest.raises(ValueError, match="no matrix of finite numbers"):
        ContentKNNRecommender(features)


@pytest.mark.parametrize("wrong", [{"decay": 0.0}, {"decay": 1.5}, {"last": 0}])
def test_a_config_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="it is a"):
        ContentKNNConfig(**wrong)
