import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from genrec.tokenization.drift import Drift, mann_whitney, measure_drift

TRAINING = np.arange(1, 101, dtype=np.float32)


def drift(new: list[float], moved: int = 0, cost: float = 0.0) -> Drift:
    new_M = np.array(new, dtype=np.float32)
    return measure_drift(TRAINING, new_M, new_M * (1 + cost), np.arange(len(new)) < moved)


def test_the_report_worked_by_hand():
    found = drift([50.5, 100.0, 0.0, 200.0], moved=1, cost=0.02)
    assert found.training_items == 100
    assert found.items == 4
    assert found.training_error == pytest.approx(50.5)
    assert found.error == pytest.approx(350.5 / 4)
    assert found.final_error == pytest.approx(1.02 * 350.5 / 4)
    assert found.cost == pytest.approx(0.02)
    # 50.5 beats 50 of 100, 100 beats 99 and ties with one, 0 beats none, 200 beats all.
    assert found.worse_share == pytest.approx((50 + 99.5 + 0 + 100) / 400)
    assert found.beyond_share == 0.5
    assert found.moved_share == 0.25
    assert found.quantiles[2] == pytest.approx((50.5 + 100) / 2)


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_mann_whitney_agrees_with_scipy(shift):
    draw = np.random.default_rng(0)
    first, second = draw.normal(size=300), draw.normal(shift, size=80)
    share, p_value = mann_whitney(first.astype(np.float32), second.astype(np.float32))
    theirs = mannwhitneyu(
        second.astype(np.float32), first.astype(np.float32),
        alternative="greater", method="asymptotic", use_continuity=False,
    )  # fmt: skip
    assert share == pytest.approx(theirs.statistic / (300 * 80))
    assert p_value == pytest.approx(theirs.pvalue, rel=1e-6)


def test_items_like_those_of_training_keep_the_tokenizer():
    assert drift(TRAINING.tolist()).verdict == "keep"


def test_many_items_far_off_call_for_a_new_one():
    found = drift([150.0] * 30)
    assert found.verdict == "retrain"
    assert "100.0% of 30 new items" in found.advice


def test_some_items_far_off_are_to_be_watched():
    assert drift([*range(40, 101), 150.0, 160.0, 170.0, 180.0]).verdict == "watch"


def test_two_items_far_off_are_luck():
    found = drift([1.0, 120.0])
    assert found.beyond_share == 0.5
    assert found.p_value > 0.01
    assert found.verdict == "keep"


def test_a_crowded_space_calls_for_a_new_one_too():
    assert drift(TRAINING.tolist(), moved=100, cost=0.01).verdict == "keep"
    assert drift(TRAINING.tolist(), moved=12, cost=0.06).verdict == "watch"
    assert drift(TRAINING.tolist(), moved=30, cost=0.11).verdict == "retrain"


def test_it_comes_back_from_json():
    found = drift([50.0, 60.0])
    assert Drift.from_json(found.to_json()) == found


def test_nothing_to_compare_is_refused():
    with pytest.raises(ValueError, match="100 training and 0 new items"):
        drift([])
