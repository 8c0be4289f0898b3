import io

import numpy as np
import polars as pl
import pytest
from PIL import Image

from genrec.data import Catalogue, leave_one_out
from genrec.eval import evaluate
from genrec.eval.stress import (
    INJECTION,
    STRESSES,
    attacked_items,
    drop_attributes,
    exchange_pictures,
    inject_instructions,
    shuffle_history,
)
from genrec.eval.under_stress import Spared, put_under_stress
from genrec.recommender import Request
from tests.eval.written import Oracle, written

ITEMS = 60
LOG = {f"user {u}": np.random.default_rng(u).permutation(ITEMS)[:6].tolist() for u in range(50)}
SHOP = written(LOG, items=ITEMS)
LAST = leave_one_out(SHOP.interactions).test


def draw():
    return np.random.default_rng(0)


def png(row):
    encoded = io.BytesIO()
    Image.new("RGB", (2, 2), (row, row, row)).save(encoded, format="PNG")
    return encoded.getvalue()


def test_a_fifth_of_the_attributes_is_forgotten_and_nothing_else():
    catalogue = Catalogue(pl.DataFrame({
        "item_id": [str(n) for n in range(2000)], "title": ["a"] * 2000, "price": [1.0] * 2000,
    }))  # fmt: skip
    lost = drop_attributes(catalogue, draw()).table
    assert lost["item_id"].equals(catalogue.table["item_id"])
    assert all(abs(lost[name].null_count() / 2000 - 0.2) < 0.04 for name in ("title", "price"))


def test_a_fifth_of_the_pictures_is_another_items():
    pictures = [png(row) if row % 2 == 0 else None for row in range(100)]
    catalogue = Catalogue(
        pl.DataFrame({"item_id": [str(n) for n in range(100)], "picture": pictures})
    )
    changed = exchange_pictures(catalogue, draw()).table["picture"].to_list()
    assert sum(a != b for a, b in zip(changed, pictures, strict=True)) == 10
    assert [p is None for p in changed] == [p is None for p in pictures]
    assert sorted(filter(None, changed)) == sorted(filter(None, pictures))


def test_the_attacker_writes_into_the_titles_of_a_twentieth():
    changed = inject_instructions(SHOP.catalogue, draw()).table["title"].to_list()
    spoiled = [row for row, title in enumerate(changed) if title.startswith(INJECTION)]
    assert spoiled == attacked_items(SHOP.catalogue, draw()).tolist()
    assert len(spoiled) == 3
    assert changed[spoiled[0]].endswith(f"title {spoiled[0]}")


def test_a_shuffled_history_keeps_what_belongs_together():
    request = Request(
        history=(1, 2, 3, 4), ratings=(1.0, 2.0, 3.0, 4.0), times=(10, 20, 30, 40), exclude=(1,)
    )
    shuffled = shuffle_history(request, draw())
    assert shuffled.history != request.history
    assert [float(item) for item in shuffled.history] == list(shuffled.ratings)
    assert (shuffled.times, shuffled.exclude) == (request.times, request.exclude)


class ReadsItems:
    """Names the items whose titles speak of instructions first, if it is gullible."""

    def __init__(self, setting, *, gullible):
        self.setting = setting
        titles = setting.catalogue.table["title"].fill_null("").to_list()
        self._order = sorted(range(ITEMS), key=lambda n: gullible and INJECTION not in titles[n])

    def recommend(self, requests, k):
        order = self._order
        return Oracle(
            ranking=lambda r: [item for item in order if item not in r.history][:k]
        ).recommend(requests, k)

    def generate(self, requests):
        raise NotImplementedError


def under(gullible, *names):
    def make(setting):
        return ReadsItems(setting, gullible=gullible)

    class Plain:
        catalogue, is_unseen = SHOP.catalogue, False

    before = evaluate(make(Plain), SHOP, LAST)
    return list(
        put_under_stress(
            make, SHOP, before, metric_of=lambda result: "ndcg@10", stresses=names or STRESSES
        )
    )


def test_an_attack_that_works_is_seen_to():
    (gullible,), (wary,) = under(True, "injected titles"), under(False, "injected titles")
    assert gullible.attacked.verdict == "higher"
    assert gullible.attacked.difference.value > 0.2
    assert wary.attacked.verdict == "cannot tell"
    assert wary.attacked.difference == (0, 0, 0)


def test_every_stress_is_scored_on_the_same_events():
    found = under(False)
    assert [one.stress for one in found] == list(STRESSES)
    for one in found:
        if one.stress != "wrong pictures":
            assert one.after.event_E.tolist() == LAST.tolist()
            assert (one.left_out, one.changed) == (0, 0)
            assert one.comparison.verdict == "cannot tell"
            assert (one.attacked is not None) == (one.stress == "injected titles")


def test_a_stress_that_changes_nothing_is_not_scored_as_harmless():
    (pictures,) = under(False, "wrong pictures")  # the shop has none
    assert isinstance(pictures, Spared)
    assert (pictures.task, pictures.why) == (
        "recommend", "the catalogue has nothing that it could spoil",
    )  # fmt: skip


def test_a_stress_may_change_words_and_requests_alone():
    settings = {name: stress.setting(SHOP.catalogue, 0) for name, stress in STRESSES.items()}
    assert [name for name in settings if settings[name].is_unseen] == ["unseen phrasing"]
    assert settings["shuffled history"].catalogue is SHOP.catalogue
    assert STRESSES["missing attributes"].rewrite(0) is None


def test_an_unknown_stress_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="did you mean 'wrong pictures'"):
        under(False, "wrong picture")
