import dataclasses

import numpy as np
import polars as pl
import pytest

from genrec.data import Dataset, leave_one_out
from genrec.eval import Questions, evaluate
from genrec.eval.background import Background
from genrec.eval.divisions import divisions
from genrec.eval.slices import slice_results
from tests.eval.written import Oracle, written

RANDOM = np.random.default_rng(0)
LOG = {f"user {u}": RANDOM.permutation(24)[: 4 if u < 40 else 8].tolist() for u in range(80)}
SHOP = written(LOG, items=24)
LAST = leave_one_out(SHOP.interactions).test


def background(dataset=SHOP):
    return Background.of(dataset, leave_one_out(dataset.interactions).train)


def found(dataset=SHOP, events=LAST):
    return dict(divisions(Questions.about(dataset, events, "recommend"), background(dataset)))


def test_events_are_divided_by_the_length_of_the_history():
    parts = found()["history"]
    assert {name: int(inside.sum()) for name, inside in parts.items()} == {
        "0 to 4 items": 40, "5 to 9 items": 40,
    }  # fmt: skip


def test_items_are_head_tail_or_new():
    groups = background().popularity_N
    counts = background().count_N
    assert (groups == 0).sum() == round(0.2 * (counts > 0).sum())
    assert counts[groups == 0].min() >= counts[groups == 1].max()
    assert set(np.flatnonzero(groups == 2)) == set(np.flatnonzero(counts == 0))


def test_what_the_data_cannot_tell_divides_nothing():
    assert "picture of the next item" not in found()
    assert "scenario" not in found()


def with_scenarios():
    """In the last event half of the users are in a shop that nobody was in before."""
    interactions = SHOP.interactions
    told = np.full(len(interactions), "old shop", dtype=object)
    told[LAST[::2]] = "new shop"
    extras = pl.DataFrame({"scenario": pl.Series(told.tolist(), dtype=pl.String)})
    return Dataset(SHOP.catalogue, dataclasses.replace(interactions, extras=extras), "shops")


def test_a_domain_is_new_where_nothing_of_it_was_trained_on():
    parts = found(with_scenarios())
    assert int(parts["scenario"]["new shop"].sum()) == 40
    new = next(inside for name, inside in parts["domain"].items() if name.startswith("new"))
    assert LAST[new].tolist() == LAST[::2].tolist()


def test_parts_hold_the_metric_of_their_events_alone():
    short = {tuple(h[:-1]) for h in LOG.values() if len(h) == 4}
    target_of = {tuple(h[:-1]): h[-1] for h in LOG.values()}
    good = Oracle(
        ranking=lambda r: [target_of[r.history]] if r.history in short else [r.history[0]]
    )
    bad = Oracle(ranking=lambda r: [r.history[0]])
    results = {
        name: evaluate(oracle, SHOP, LAST)["recommend"]
        for name, oracle in (("g", good), ("b", bad))
    }
    (history,) = [d for d in slice_results(results, "hr@10", background()) if d.name == "history"]
    few, many = history.parts
    assert (few.values["g"].value, many.values["g"].value) == (1, 0)
    assert few.comparisons["b"].verdict == "better"
    assert many.comparisons["b"].verdict == "cannot tell"
    assert (history.gap("g"), history.gap("b")) == (1, 0)


def test_p_values_are_corrected_over_the_parts():
    results = {
        name: evaluate(Oracle(ranking=lambda r, n=n: [n]), SHOP, LAST)["recommend"]
        for name, n in (("a", 1), ("b", 2))
    }
    for division in slice_results(results, "hr@10", background()):
        p_values = sorted(part.comparisons["b"].p_value for part in division.parts)
        lowest = min(part.comparisons["b"].p_adjusted for part in division.parts)
        assert lowest == pytest.approx(min(1, len(p_values) * p_values[0]))
