import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.data import Catalogue, Dataset, leave_one_out
from genrec.eval import evaluate
from genrec.eval.background import Background, category_values
from genrec.eval.beyond import beyond_accuracy, gini
from tests.eval.written import Oracle, written

# Items 0..3 are lamps, 4..7 cases, 8..11 of no category. Item 1 is trained on twice, 3 and 5 once.
LOG = {"ann": [3, 1, 4], "bob": [1, 5, 9]}


def shop(features=None):
    dataset = written(LOG)
    kinds = ["lamp"] * 4 + ["case"] * 4 + [None] * 4
    table = dataset.catalogue.table.with_columns(category=pl.Series(kinds))
    dataset = Dataset(Catalogue(table), dataset.interactions, "shop")
    train = np.array([True, True, False, True, True, False])
    return dataset, Background.of(dataset, train, features)


def described(ranking, features=None, k=3):
    dataset, background = shop(features)
    events = leave_one_out(dataset.interactions).test
    result = evaluate(Oracle(ranking=ranking), dataset, events, k=k)["recommend"]
    return beyond_accuracy(result, background)


def test_novelty_is_surprise_in_bits():
    values = described(lambda request: [5, 0, 2]).statistics.values
    bits = [-math.log2(2 / 16), -math.log2(1 / 16), -math.log2(1 / 16)]
    assert values["novelty"] == pytest.approx(sum(bits) / 3)


def test_diversity_is_the_share_of_pairs_that_differ():
    # lamp, lamp, case: 2 of 3 pairs differ. The item without a category is in no pair.
    assert described(lambda r: [0, 2, 7]).statistics.values["diversity"] == pytest.approx(2 / 3)
    assert described(lambda r: [0, 2, 11]).statistics.values["diversity"] == 0


def test_diversity_of_features_is_the_mean_distance_of_pairs():
    features = np.zeros((12, 2), dtype=np.float32)
    features[[0, 2]], features[7] = (3, 0), (0, 5)
    values = described(lambda request: [0, 2, 7], features).statistics.values
    assert values["feature-diversity"] == pytest.approx((0 + 1 + 1) / 3)
    assert described(lambda request: [0], features).statistics.values["feature-diversity"] == 0


def test_a_hit_on_what_everybody_is_told_is_no_serendipity():
    # The three most popular are 1, 3, 5; ann wants 4 and bob 9.
    assert described(lambda r: [4, 9, 0]).statistics.values["serendipity"] == 1
    assert described(lambda r: [4, 0, 2]).statistics.values["serendipity"] == 0.5


def test_popularity_lift_compares_with_the_histories():
    # Histories of 3, 1 and 1, 5: 1.5 train events an item. Rankings of 1, 0 (ann may not: counted).
    values = described(lambda request: [1, 0], k=2).statistics.values
    assert values["popularity-lift"] == pytest.approx(1.0 / 1.5 - 1)


def test_miscalibration_by_hand():
    # ann had lamps alone; bob a lamp and a case. Both are shown one lamp and one case.
    found = described(lambda request: [0, 7], k=2).statistics.values["miscalibration"]
    ann = math.log2(1 / (0.99 * 0.5 + 0.01))
    assert found == pytest.approx(ann / 2)
    # All cases: ann's lamps come from the smoothing alone.
    found = described(lambda request: [6, 7], k=2).statistics.values["miscalibration"]
    bob = 0.5 * math.log2(0.5 / (0.01 * 0.5)) + 0.5 * math.log2(0.5 / (0.99 + 0.01 * 0.5))
    assert found == pytest.approx((math.log2(1 / 0.01) + bob) / 2)


def test_coverage_and_gini_by_hand():
    figures = described(lambda request: [0, 2, 4]).figures
    assert figures["coverage"] == 3 / 12
    assert figures["gini"] == pytest.approx(9 / 12)  # 3 of 12 share all alike


@pytest.mark.parametrize(
    ("counts", "expected"), [([1, 1, 1, 1], 0), ([0, 0, 0, 4], 0.75), ([0, 0], 0), ([1, 3], 0.25)]
)
def test_gini(counts, expected):
    assert gini(np.array(counts)) == pytest.approx(expected)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.integers(2, 5))
def test_gini_knows_no_unit_and_no_order(counts, factor):
    value = gini(np.array(counts))
    assert value + 1e-12 >= 0
    assert value <= 1
    assert gini(factor * np.array(counts[::-1])) == pytest.approx(value)


def test_exposure_counts_the_first_place_most():
    head, tail, never = described(lambda request: [1, 3, 0]).exposure
    assert [group.items for group in (head, tail, never)] == [1, 2, 9]
    weights = [1, 1 / math.log2(3), 1 / 2]
    assert head.share == pytest.approx(weights[0] / sum(weights))
    assert tail.share == pytest.approx(weights[1] / sum(weights))
    assert (head.wanted, never.wanted) == (0, 1)
    assert never.gap == pytest.approx(weights[2] / sum(weights) - 1)


def test_items_that_do_not_exist_are_left_out():
    found = described(lambda request: [99, 0])
    assert found.figures["coverage"] == 1 / 12
    assert found.count_N.sum() == 2


def test_of_paths_the_first_level_that_differs_is_the_category():
    table = pl.DataFrame({
        "item_id": ["a", "b", "c", "d"], "categories": ["B > Hair > X", "B > Skin", None, "B"],
    })  # fmt: skip
    assert category_values(Catalogue(table), "categories") == ["Hair", "Skin", None, None]
    same = Catalogue(pl.DataFrame({"item_id": ["a", "b"], "categories": ["B", "B"]}))
    assert category_values(same, "categories") == ["B", "B"]


def test_features_of_other_items_are_refused():
    with pytest.raises(ValueError, match="features of 3 items, but the catalogue has 12"):
        shop(np.ones((3, 2), dtype=np.float32))
