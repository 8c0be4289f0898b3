import json

import numpy as np
import pytest

from genrec.data import leave_one_out
from genrec.tokenization import CollaborativeConfig
from recipes.benchmarks.cold_start import Config, features_of, main, withhold
from recipes.benchmarks.new_items import reserve, told
from tests.small_shop import small_dataset

NEW = np.isin(np.arange(12), [3, 7])


def test_quick_it_tells_how_new_items_fare(tmp_path, capsys):
    main(Config(out=tmp_path / "run", features=tmp_path / "features", quick=True))
    lines = capsys.readouterr().out.splitlines()
    summary = json.loads(lines[-1])
    assert summary["withheld_items"] == 20
    assert 0 < summary["events_on_withheld"] < summary["events"]
    for name in ("generator", "content kNN"):
        assert summary[f"{name}, new only"]["places_of_new"] == 1
        assert summary[f"{name}, reserved"]["places_of_new"] >= 0.1
        assert summary[f"{name}, new only"]["recall@10_known"]["value"] == 0
        assert any(line.startswith(f"{name}, reserved ") for line in lines)


def test_nothing_about_new_items_trains_or_validates():
    dataset = small_dataset()
    whole = leave_one_out(dataset.interactions)
    split = withhold(whole, dataset, NEW)
    item = dataset.interactions.item
    assert not NEW[item[split.train]].any()
    assert not NEW[item[split.validation]].any()
    assert split.train.sum() == (whole.train & ~NEW[item]).sum()
    assert split.test.tolist() == whole.test.tolist()


def test_what_no_event_tells_of_new_items_is_filled_in_from_their_texts():
    dataset = small_dataset()
    split = withhold(leave_one_out(dataset.interactions), dataset, NEW)
    text_NF = np.random.default_rng(0).standard_normal((12, 5)).astype(np.float32)
    config = Config(collaborative=CollaborativeConfig(dim=3))
    features_NF = features_of(text_NF, dataset, split, NEW, config)
    assert features_NF.shape == (12, 8)
    assert np.isfinite(features_NF).all()
    assert np.abs(features_NF[NEW, 5:]).min() > 0
    text_NF[7] *= 2  # the text of a new item decides nothing but its own features
    again_NF = features_of(text_NF, dataset, split, NEW, config)
    assert np.flatnonzero((again_NF != features_NF).any(axis=1)).tolist() == [7]


def test_the_last_places_go_to_the_best_new_items_that_are_not_named_before():
    named_2K = np.array([[7, *range(20, 29)], [*range(20, 29), 3]])
    new_2K = np.array([[7, 3, *[-1] * 8], [7, 3, *[-1] * 8]])
    one, two = reserve(named_2K, new_2K, 1), reserve(named_2K, new_2K, 2)
    assert one.tolist() == [[7, *range(20, 28), 3], [*range(20, 29), 7]]
    assert two.tolist() == [[7, *range(20, 27), 3, -1], [*range(20, 28), 7, 3]]


def test_hits_and_places_are_counted_apart_for_new_items():
    dataset = small_dataset()
    events = leave_one_out(dataset.interactions).test
    target_E = dataset.interactions.item[events].astype(np.int64)
    items_E2 = np.column_stack([target_E, np.full_like(target_E, -1)])
    items_E2[~NEW[target_E], 0] = 3  # old targets are missed: a new item stands there
    found = told(items_E2, dataset, events, NEW)
    assert NEW[target_E].any()
    assert found["places_of_new"] == 1
    assert found["recall@10_new"]["value"] == 1
    assert found["recall@10_known"]["value"] == 0
    assert found["new_items_named"] == pytest.approx(len(np.unique(items_E2[:, 0])) / 2)
