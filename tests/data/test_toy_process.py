import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.toy_process import (
    ToyLog,
    ToyProcess,
    ToyShopConfig,
    draw,
    plant,
    sample_log,
)
from genrec.data.toy_world import CATEGORIES


@pytest.fixture(scope="module")
def process() -> ToyProcess:
    return plant(ToyShopConfig(), np.random.default_rng(0))


@pytest.fixture(scope="module")
def log(process) -> ToyLog:
    return sample_log(process, np.random.default_rng(1))


def moves(process, log):
    """Count how often each category followed each other."""
    counts_CC = np.zeros((len(CATEGORIES), len(CATEGORIES)))
    for item_E, events in zip(log.item_UE, log.events_U, strict=True):
        category_E = process.items.category_N[item_E[:events]]
        np.add.at(counts_CC, (category_E[:-1], category_E[1:]), 1)
    return counts_CC


def test_users_follow_the_planted_habits(process, log):
    counts_CC = moves(process, log)
    expected_CC = process.next_CC * counts_CC.sum(axis=1, keepdims=True)
    deviation_CC = np.sqrt(expected_CC * (1 - process.next_CC))
    assert (np.abs(counts_CC - expected_CC) < 4.5 * deviation_CC).all()


def test_a_case_follows_a_phone_most_often(process, log):
    following_C = moves(process, log)[0]
    assert CATEGORIES[following_C.argmax()].name == "phone case"
    assert following_C.max() / following_C.sum() == pytest.approx(0.85 * 0.7 + 0.15 / 20, abs=0.05)


@given(categories=st.integers(1, 20), wander=st.floats(0, 1), usual_share=st.floats(0, 1))
def test_every_category_leads_somewhere(categories, wander, usual_share):
    config = ToyShopConfig(categories=categories, wander=wander, usual_share=usual_share)
    next_CC = plant(config, np.random.default_rng(0)).next_CC
    np.testing.assert_allclose(next_CC.sum(axis=1), 1)
    assert (next_CC >= 0).all()


def test_nobody_buys_an_item_twice(log):
    for item_E, events in zip(log.item_UE, log.events_U, strict=True):
        assert len(set(item_E[:events])) == events


@pytest.mark.parametrize(
    ("wish", "value", "among"),
    [("brand_T", "brand_N", 6), ("tier_T", "tier_N", 3), ("colour_T", "colour_N", 8)],
)
def test_who_has_a_wish_buys_it_far_more_often_than_others(process, log, wish, value, among):
    wish_U1 = getattr(process.tastes, wish)[log.taste_U][:, None]
    value_UE = getattr(process.items, value)[log.item_UE]
    wishes_U = wish_U1[:, 0] >= 0
    assert (value_UE == wish_U1)[wishes_U].mean() > 1.5 / among
    assert (value_UE == 0)[~wishes_U].mean() == pytest.approx(1 / among, abs=0.05)


def test_the_look_of_an_item_without_a_picture_meets_no_wish(process):
    in_pictures_T = process.tastes.in_pictures_T
    unseen_N = ~process.items.has_picture_N
    assert unseen_N.any()
    utility_TN = process.utility_TN[in_pictures_T][:, unseen_N]
    assert (utility_TN == process.items.appeal_N[unseen_N]).all()


def test_a_utility_is_the_appeal_plus_the_weights_of_the_wishes_met(process):
    taste = int(np.flatnonzero(process.tastes.brand_T == 2)[1])
    items, config = process.items, process.config
    for item in range(30):
        expected = items.appeal_N[item]
        expected += config.brand_weight if items.brand_N[item] == 2 else 0
        expected += config.tier_weight if items.tier_N[item] == process.tastes.tier_T[taste] else 0
        assert process.utility_TN[taste, item] == pytest.approx(expected)


def test_every_brand_sells_in_every_category(process):
    for item_M in process.items_CM:
        assert np.bincount(process.items.brand_N[item_M], minlength=6).tolist() == [5] * 6


def test_half_of_the_users_have_a_taste_that_only_pictures_tell(process, log):
    assert process.tastes.in_pictures_T[log.taste_U].mean() == pytest.approx(0.5, abs=0.04)
    assert process.tastes.prior_T.sum() == pytest.approx(1)


def test_all_event_counts_from_fewest_to_most_occur(log):
    assert sorted(set(log.events_U)) == list(range(8, 17))


def test_draw_follows_the_shares():
    shares_DV = np.tile([0.2, 0.0, 0.5, 0.3], (20_000, 1))
    counts = np.bincount(draw(shares_DV, np.random.default_rng(0)), minlength=4)
    np.testing.assert_allclose(counts / 20_000, [0.2, 0, 0.5, 0.3], atol=0.015)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": 21}, "categories is 21; 1 to 20 are possible"),
        ({"brands": 0}, "brands is 0; 1 to 12 are possible"),
        ({"users": 0}, "users is 0; give at least 1"),
        ({"wander": 1.5}, "wander is 1.5; it is a share from 0 to 1"),
        ({"fewest_events": 9, "most_events": 8}, "users have 9 to 8 events"),
        ({"items_per_category": 16}, "no category sells out"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(ToyShopConfig(), **change)
