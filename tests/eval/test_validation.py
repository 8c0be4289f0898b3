import numpy as np
import pytest

from genrec.eval import rated_requests
from genrec.eval.validation import Validation
from genrec.recommender import Ranking
from tests.eval.written import written

SHOP = written(
    {"ann": [0, 1, 2], "bob": [3, 4, 5]}, ratings={"ann": [1, 2, 5], "bob": [3, 3, None]}
)
LAST = np.array([2, 5])


class NamesFixed:
    """Ranks the same items for everybody."""

    def __init__(self, items):
        self.items = np.asarray(items)

    def recommend(self, requests, k):
        return [Ranking(self.items[:k], -np.arange(len(self.items[:k]))) for _ in requests]


def test_the_model_as_it_stands_is_served_and_scored():
    validate = Validation(dataset=SHOP, event_E=LAST, serve=NamesFixed)
    found = validate([2, 9, 10])  # right for ann at the first place, wrong for bob
    assert found == {"recall@10": 0.5, "ndcg@10": 0.5}
    later = validate([9, 5, 2])  # ann's item at the third place, bob's at the second
    assert later["recall@10"] == 1.0
    assert later["ndcg@10"] == pytest.approx((1 / np.log2(4) + 1 / np.log2(3)) / 2)
    assert validate.score in later


def test_only_events_with_a_rating_are_asked_about():
    requests, ratings = rated_requests(SHOP, LAST)
    assert [(request.task, request.history, request.item) for request in requests] == [
        ("rate", (0, 1), 2)
    ]
    assert ratings == [5.0]
