"""The benchmark of pictures runs in miniature, and changes what each way says it changes."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from genrec.data import Catalogue, leave_one_out
from recipes.benchmarks.seeing import SeeingConfig, deal_pictures
from recipes.benchmarks.vision import WAYS, Config, main, settings
from tests.small_shop import small_dataset, with_pictures


def test_it_measures_every_way_and_takes_up_what_was_done(tmp_path, capsys):
    ways = ("vision", "blind", "shuffled", "non_exclusive")
    config = Config(out=tmp_path, quick=True, ways=ways)
    main(config)
    told = capsys.readouterr().out.splitlines()
    summary = json.loads(told[-1])
    assert {f"hr@10_{way}" for way in ways} <= set(summary)
    assert all(0 <= summary[f"hr@10_{way}"] <= 1 for way in ways)
    assert summary["vision_over_blind"]["low"] <= summary["vision_over_blind"]["high"]
    main(config)
    again = capsys.readouterr().out.splitlines()
    assert json.loads(again[-1]) == summary
    assert not any(line.startswith("vision, seed") for line in again)


@pytest.mark.parametrize("way", WAYS)
def test_a_way_is_the_usual_one_but_for_what_it_names(way):
    usual = SeeingConfig()
    other = settings(way, usual)
    named = {name for name in WAYS[way] if name != "dealt"}
    assert all(getattr(other, name) != getattr(usual, name) for name in named)
    assert replace(usual, **{name: getattr(other, name) for name in named}) == other


def test_dealt_pictures_go_to_other_items_and_what_has_none_keeps_none():
    dataset = with_pictures(small_dataset())
    dealt = deal_pictures(dataset, 1.0, seed=0)
    before, after = (d.catalogue.table["picture"].to_list() for d in (dataset, dealt))
    assert sorted(filter(None, before)) == sorted(filter(None, after))
    assert after[-1] is None
    assert before != after
    things = [title.split()[1] for title in dataset.catalogue.table["title"]]
    table = dataset.catalogue.table.with_columns(pl.Series("thing", things))
    sorted_by_thing = replace(dataset, catalogue=Catalogue(table))
    within = deal_pictures(sorted_by_thing, 1.0, seed=0, within="thing").catalogue.table
    for thing in set(things):
        rows = np.flatnonzero(np.array(things) == thing)
        then, now = table["picture"].gather(rows), within["picture"].gather(rows)
        assert sorted(then.drop_nulls()) == sorted(now.drop_nulls())
        assert (then != now).sum() == then.drop_nulls().len()
    assert deal_pictures(dataset, 0.0, seed=0).catalogue.table.equals(dataset.catalogue.table)
    np.testing.assert_array_equal(
        leave_one_out(dealt.interactions).test, leave_one_out(dataset.interactions).test
    )
