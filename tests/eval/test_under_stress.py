"""Tasks about items and dialogues under stress, asked of recommenders that read what they are told.

The shop has twenty items; Reader looks all that it says up in the catalogue that it is made for.
"""

import json

import jsonschema
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.data import Catalogue, Dataset, Dialogue
from genrec.data.catalogue import in_words
from genrec.eval import evaluate, evaluate_dialogues, put_under_stress, write_report
from genrec.eval.item_questions import ItemQuestions
from genrec.eval.stress import INJECTION, STRESSES, Setting
from genrec.eval.tasks import DIALOGUE_TASKS, ITEM_TASKS
from genrec.eval.under_stress import Spared, Stressed
from genrec.recommender import Turn
from tests.eval.test_reported import SCHEMA
from tests.eval.test_stress import png
from tests.eval.written import Oracle, written

ITEMS = 20
PLAIN = written({"ann": [3, 1, 4]}, items=ITEMS)
SHOP = Dataset(
    Catalogue(
        PLAIN.catalogue.table.with_columns(
            pl.Series("brand", [f"brand {row}" for row in range(ITEMS)]),
            pl.Series("picture", [png(row) for row in range(ITEMS)]),
        )
    ),
    PLAIN.interactions, "shop",
)  # fmt: skip
NONE = np.zeros(0, dtype=np.int64)
TALK = Dialogue((Turn("user", "A lamp?"), Turn("recommender", "This one.", (2,))))
CLEAN = Setting(SHOP.catalogue)


class Reader:
    """Finds an item by what its setting tells of it, as long as the clean shop tells the same."""

    def __init__(self, setting):
        self.setting, self.requests = setting, []

    def recommend(self, requests, k):
        self.requests += requests
        return Oracle(ranking=lambda r: self._found(r)[:k]).recommend(requests, k)

    def generate(self, requests):
        self.requests += requests
        return [self._told(request) for request in requests]

    def _told(self, request):
        if request.task == "reply":
            return self.setting.catalogue.table["title"][2] or "?"
        name = request.attribute or "title"
        told = self.setting.catalogue.describe(request.item, [name])
        return in_words(told[name]) if told else "?"

    def _found(self, request):
        if request.task == "converse":
            return [2]
        shown = "title" if request.task == "title_to_item" else "brand"
        told = self.setting.catalogue.table[shown][request.item]
        clean = SHOP.catalogue.table[shown].to_list()
        return [clean.index(told)] if told in clean else []


def before(tasks=ITEM_TASKS, **options):
    return evaluate(Reader(CLEAN), SHOP, NONE, tasks=tasks, **options)


def under(stress, results=None, *, seed=0, **options):
    readers = []

    def make(setting):
        readers.append(Reader(setting))
        return readers[-1]

    results = results or before()
    found = put_under_stress(
        make, SHOP, results, metric_of=main, stresses=[stress], seed=seed, **options
    )
    return {one.task: one for one in found}, readers[0] if readers else None


def main(result):
    facts = dict.fromkeys(("item_to_title", "attribute"), "exact-match")
    return {**facts, "reply": "rouge-l"}.get(result.task, "hr@1")


def told(questions):
    """List what is asked and what is right; the rating is no number, and so unlike itself."""
    return [(one.event, one.request, one.target, one.text) for one in questions]


def value(result):
    return result.metrics[main(result)].value


def lost(name, seed=0):
    spoiled = STRESSES["missing attributes"].setting(SHOP.catalogue, seed).catalogue
    return np.flatnonzero(spoiled.table[name].is_null()).tolist()


@pytest.mark.parametrize("stress", list(STRESSES))
def test_every_task_is_stressed_or_spared_with_a_reason(stress):
    found, _ = under(stress)
    assert tuple(found) == ITEM_TASKS
    spared = {task: one.why for task, one in found.items() if isinstance(one, Spared)}
    if stress == "shuffled history":
        assert spared == dict.fromkeys(ITEM_TASKS, "no request tells what it changes")
    elif stress == "wrong pictures":
        (why,) = spared.values()
        assert list(spared) == ["picture_to_item"]
        assert why.startswith("the picture is the question")
    else:
        assert not spared


@pytest.mark.parametrize("stress", ["missing attributes", "injected titles", "unseen phrasing"])
def test_questions_and_truth_stay_those_of_the_clean_shop(stress):
    for task, one in under(stress)[0].items():
        clean = told(ItemQuestions.about(SHOP, task))
        for result in (one.before, one.after):
            assert set(told(result.questions)) <= set(clean)
            assert len(result.questions) == len(clean) - one.left_out


def test_a_forgotten_attribute_is_still_asked_for_and_its_truth_stays():
    found, reader = under("missing attributes")
    for task in ("item_to_title", "attribute"):
        one = found[task]
        assert (one.left_out, len(one.after.questions)) == (0, ITEMS)
        assert value(one.before) == 100
    titles = found["item_to_title"].after.answers
    assert titles.references == tuple(f"title {row}" for row in range(ITEMS))
    assert [row for row in range(ITEMS) if titles.answers[row] == "?"] == lost("title")
    assert value(found["item_to_title"].after) == 100 * (1 - len(lost("title")) / ITEMS)
    assert found["item_to_title"].changed == len(lost("title")) > 0
    assert reader.setting.catalogue != SHOP.catalogue


def test_a_question_that_shows_a_forgotten_title_is_left_out_of_both_sides():
    one = under("missing attributes")[0]["title_to_item"]
    kept = [row for row in range(ITEMS) if row not in lost("title")]
    assert one.left_out == len(lost("title"))
    assert one.before.event_E.tolist() == one.after.event_E.tolist() == kept
    assert (value(one.before), value(one.after), one.changed) == (1, 1, 0)


def test_a_description_is_shown_as_long_as_anything_of_it_is_left():
    both = set(lost("title")) & set(lost("brand"))
    one = under("missing attributes")[0]["description_to_item"]
    assert one.left_out == len(both)
    # The reader goes by the brand alone.
    assert one.changed == len(set(lost("brand")) - both) > 0


def test_an_injected_title_still_asks_for_its_item():
    found, reader = under("injected titles")
    one = found["title_to_item"]
    (row,) = np.flatnonzero([INJECTION in t for t in reader.setting.catalogue.table["title"]])
    assert (one.left_out, one.changed) == (0, 1)
    assert value(one.after) == 1 - 1 / ITEMS
    assert one.attacked.difference.value < 0  # the item that the reader does not find any more
    assert found["attribute"].attacked is None
    assert found["item_to_title"].after.answers.references[row] == f"title {row}"


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_no_draw_changes_who_is_asked_about_what(seed):
    results = before(("title_to_item", "attribute"))
    for one in under("missing attributes", results, seed=seed)[0].values():
        clean = results[one.task]
        assert one.left_out + len(one.after.questions) == len(clean.questions)
        assert told(one.before.questions) == told(one.after.questions)
        assert set(told(one.after.questions)) <= set(told(clean.questions))


def test_a_catalogue_that_forgets_all_leaves_nothing_to_ask(monkeypatch):
    monkeypatch.setattr("genrec.eval.stress.SHARE", 1.0)
    found, _ = under("missing attributes")
    assert {task for task, one in found.items() if isinstance(one, Spared)} == {
        "title_to_item", "description_to_item",
    }  # fmt: skip
    assert found["title_to_item"].why == "it leaves nothing to ask about"
    assert value(found["item_to_title"].after) == 0


def test_talks_are_asked_again_as_they_were():
    talks = evaluate_dialogues(Reader(CLEAN), [TALK] * 3, SHOP.catalogue, tasks=DIALOGUE_TASKS, k=1)
    for stress in STRESSES:
        found, reader = under(stress, talks, k=1)
        if stress == "shuffled history":
            assert {type(one) for one in found.values()} == {Spared}
            continue
        assert [request.dialogue for request in reader.requests] == [TALK.turns[:1]] * 6
        assert found["converse"].after.answers.target_E.tolist() == [2, 2, 2]
        assert found["converse"].changed == 0
        assert found["reply"].after.answers.references == ("This one.",) * 3


def test_answers_under_stress_are_kept_task_by_task(tmp_path):
    results = before(("title_to_item", "attribute"))
    _, first = under("missing attributes", results, answers=tmp_path)
    _, again = under("missing attributes", results, answers=tmp_path)
    assert len(first.requests) == 2 * ITEMS - len(lost("title"))
    assert again.requests == []
    assert {path.name for path in (tmp_path / "missing-attributes").iterdir()} == {
        "title_to_item", "attribute",
    }  # fmt: skip


def test_a_report_tells_what_was_stressed_left_out_and_spared(tmp_path):
    results = before()
    stressed = [one for name in STRESSES for one in under(name, results)[0].values()]
    page = write_report(tmp_path / "report", {"ours": results}, SHOP, stressed={"ours": stressed})
    text = page.read_text()
    assert f"{len(lost('title'))} not askable, no answer changed" in text
    assert "not asked: no request tells what it changes" in text
    found = json.loads((tmp_path / "report" / "results.json").read_text())
    jsonschema.validate(found, SCHEMA)
    assert len(found["stress"]) == sum(isinstance(one, Stressed) for one in stressed)
    (one,) = [
        one for one in found["stress"]
        if (one["stress"], one["task"]) == ("missing attributes", "title_to_item")
    ]  # fmt: skip
    assert (one["left_out"], one["changed"]) == (len(lost("title")), 0)
    assert one["requests"] + one["left_out"] == ITEMS
    assert {one["stress"] for one in found["spared"]} == {"shuffled history", "wrong pictures"}
