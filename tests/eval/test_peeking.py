import numpy as np
import pytest

from genrec.data import leave_one_out
from genrec.eval import (
    ItemKNNConfig,
    ItemKNNRecommender,
    LeakError,
    PopularityRecommender,
    refuse_peeking,
)
from tests.eval.written import Oracle, written

RANDOM = np.random.default_rng(0)
SHOP = written({f"user {u}": RANDOM.permutation(30)[:6].tolist() for u in range(40)}, items=30)
SPLIT = leave_one_out(SHOP.interactions)


@pytest.mark.parametrize(
    "make",
    [
        lambda data: PopularityRecommender(data, SPLIT.train),
        lambda data: ItemKNNRecommender(data, SPLIT.train, ItemKNNConfig()),
    ],
    ids=["popularity", "item_knn"],
)
def test_who_learns_from_the_train_events_alone_passes(make):
    refuse_peeking(make, SHOP, SPLIT.test)


def test_who_counts_all_events_is_caught():
    everything = np.ones_like(SPLIT.train)
    with pytest.raises(LeakError, match="held-out events are exchanged"):
        refuse_peeking(lambda data: PopularityRecommender(data, everything), SHOP, SPLIT.test)


def test_who_looks_the_answer_up_is_caught_naming_the_user():
    def cheat(data):
        answer_of = {
            tuple(data.interactions.history(event).tolist()): int(data.interactions.item[event])
            for event in SPLIT.test
        }
        return Oracle(ranking=lambda request: [answer_of[request.history]])

    with pytest.raises(LeakError, match="user 'user 0'"):
        refuse_peeking(cheat, SHOP, SPLIT.test)
