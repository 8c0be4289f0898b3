"""The benchmark of posters spoils what it says it spoils, and runs in miniature."""

import json

import numpy as np
import pytest

from recipes.benchmarks.posters import Config, main, scores, spoilt
from tests.real_data import real_data
from tests.small_shop import small_dataset, with_pictures

DATASET = with_pictures(small_dataset())


def test_some_attributes_are_lost_and_everything_else_stays():
    before = DATASET.catalogue.table
    after = spoilt(DATASET, "missing_attributes", 0.5, seed=0).catalogue.table
    names = DATASET.catalogue.attributes
    lost = sum(int(after[name].is_null().sum() - before[name].is_null().sum()) for name in names)
    assert 0.2 < lost / (len(before) * len(names)) < 0.6  # some brands were missing before
    assert after.drop(names).equals(before.drop(names))
    for name in names:
        kept = after[name].is_not_null()
        assert after[name].filter(kept).equals(before[name].filter(kept))


def test_other_ways_spoil_no_attribute():
    assert spoilt(DATASET, "text", 0.5, seed=0) is DATASET
    dealt = spoilt(DATASET, "wrong_pictures", 0.5, seed=0).catalogue.table
    assert dealt.drop("picture").equals(DATASET.catalogue.table.drop("picture"))
    assert not dealt["picture"].equals(DATASET.catalogue.table["picture"])


def test_runs_of_several_seeds_are_scored_together():
    one = {"rank": [0, -1], "predicted": [4.0, None], "rating": [5.0, 3.0], "user": [0, 1]}
    other = {"rank": [-1, 9], "predicted": [2.0, 3.0], "rating": [5.0, 3.0], "user": [0, 1]}
    ranking, rating = scores([one, other])
    assert ranking.values["hr@10"] == 0.5
    assert rating.values["mae"] == pytest.approx((1 + 3 + 0) / 3)  # what is no number counts not
    assert len(np.unique(ranking.user_E)) == 2


@pytest.mark.slow
def test_it_measures_every_way(tmp_path, capsys):
    folder = real_data("movielens-small")
    main(Config(folder=folder, out=tmp_path, quick=True, ways=("pictures", "text")))
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0 <= summary["hr@10_pictures"] <= 1
    assert set(summary["pictures_over_text"]) == {"hr@10", "rmse"}
