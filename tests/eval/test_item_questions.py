"""Tasks about items alone, worked by hand on a shop of a dozen items."""

import dataclasses
import json

import jsonschema
import numpy as np
import polars as pl
import pytest

from genrec.data import Catalogue, Dataset
from genrec.eval import (
    TaskError,
    evaluate,
    read_report,
    sample_items,
    text_table,
    write_report,
)
from genrec.eval.item_questions import ItemQuestions
from genrec.eval.ranking import MISSED
from tests.eval.test_reported import SCHEMA
from tests.eval.written import Oracle, written

PLAIN = written({"ann": [3, 1, 4], "bob": [1, 5, 9]})
EXTRA = {
    "brand": ["Acme", None, *["Bolt"] * 10],
    "price": [9.5, None, *[3.0] * 10],
    "picture": [b"one", *[None] * 11],
}
SHOP = Dataset(
    Catalogue(PLAIN.catalogue.table.with_columns(**{n: pl.Series(v) for n, v in EXTRA.items()})),
    PLAIN.interactions, "shop",
)  # fmt: skip
NONE = np.zeros(0, dtype=np.int64)


def ask(task, items=None, *, dataset=SHOP, **options):
    rows = None if items is None else np.array(items)
    return list(ItemQuestions.about(dataset, task, rows, **options))


def scored(oracle, task, **options):
    return evaluate(oracle, SHOP, NONE, tasks=[task], **options)


def test_a_title_leads_to_its_item():
    questions = ask("title_to_item")
    assert [question.target for question in questions] == list(range(12))
    assert all(question.request.item == question.target for question in questions)
    assert not any(question.request.exclude for question in questions)


def test_an_item_has_one_right_title():
    assert [(q.request.item, q.text) for q in ask("item_to_title", [3, 0])] == [
        (3, "title 3"), (0, "title 0"),
    ]  # fmt: skip


def test_an_attribute_is_asked_for_that_the_item_has_and_told_as_prompts_tell_it():
    told = {(q.request.item, q.request.attribute, q.text) for q in ask("attribute")}
    assert {name for _, name, _ in told} == {"title", "brand", "price"}
    assert all(name == "title" for row, name, _ in told if row == 1)
    assert {text for _, name, text in told if name == "price"} <= {"9.5", "3"}


def test_only_some_attributes_are_asked_for():
    questions = ask("attribute", attributes=("price",))
    assert [q.target for q in questions] == [row for row in range(12) if row != 1]
    assert {q.request.attribute for q in questions} == {"price"}


def test_the_attribute_of_an_item_does_not_depend_on_what_else_is_asked():
    (alone,) = ask("attribute", [7])
    assert alone.request == ask("attribute")[7].request


@pytest.mark.parametrize(
    ("task", "rows"), [("picture_to_item", [0]), ("description_to_item", list(range(12)))]
)
def test_items_without_what_is_shown_are_left_out(task, rows):
    assert [question.target for question in ask(task)] == rows


def test_rankings_are_scored_over_the_whole_catalogue():
    oracle = Oracle(ranking=lambda request: [5, request.item] if request.item < 6 else [0])
    results = scored(oracle, "title_to_item", k=2)
    assert results.ranks.tolist() == [1] * 5 + [0] + [MISSED] * 6
    assert results.metrics["hr@1"].value == pytest.approx(1 / 12)
    assert results.metrics["hr@2"].value == pytest.approx(6 / 12)
    assert results.metrics["mrr@2"].value == pytest.approx((1 + 5 / 2) / 12)


def test_facts_are_right_or_wrong():
    oracle = Oracle(text=lambda r: "TITLE 3" if r.item == 3 else f"title {r.item} or so")
    result = scored(oracle, "item_to_title", items=np.array([3, 4]))["item_to_title"]
    assert result.metrics["exact-match"].value == 50
    assert result.metrics["rouge-1"].value == pytest.approx(100 * (1 + 2 * 2 / 6) / 2)
    assert result.counts == {"requests": 2, "empty": 0}
    assert (
        "EXACT-MATCH"
        in text_table(
            {"ours": evaluate(oracle, SHOP, NONE, tasks=["item_to_title"])}, "item_to_title"
        ).upper()
    )


def test_explanations_are_no_facts():
    dataset = written({"ann": [3, 1]}, texts={"ann": ["a", "too big"]})
    found = evaluate(Oracle(text=lambda r: "big"), dataset, np.array([1]), tasks=["explain"])
    assert "exact-match" not in found.metrics


def test_a_sample_is_drawn_by_the_seed():
    first, again, other = (sample_items(SHOP.catalogue, 4, seed=seed) for seed in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()
    assert len(set(first.tolist())) == 4
    assert sample_items(SHOP.catalogue, 0, seed=0).tolist() == list(range(12))


def test_every_item_stands_for_itself():
    oracle = Oracle(ranking=lambda request: [request.item] if request.item % 2 else [])
    found = scored(oracle, "title_to_item", k=1)["title_to_item"]
    assert found.questions.user_E.tolist() == list(range(12))
    low, high = found.metrics["hr@1"][1:]
    assert low < 0.5 < high


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("title_to_item", {"title": "name"}, "'name', but the catalogue of shop has none"),
        ("attribute", {"attributes": ("prize",)}, "did you mean 'price'"),
        ("picture_to_item", {"items": [1, 2]}, "none of 2 items of shop has a picture"),
        ("attribute", {"items": [1], "attributes": ("price",)}, "of 1 items of shop has price"),
        ("recommend", {}, "'recommend' is not about items"),
        ("item_to_picture", {}, "is answered by a picture"),
    ],
)
def test_what_cannot_be_asked_is_refused(task, options, message):
    with pytest.raises(TaskError, match=message):
        ask(task, **options)


@pytest.mark.parametrize(
    ("items", "message"), [([0, 12], "rows 0 to 11"), ([1, 1], "an item is listed twice")]
)
def test_rows_that_are_none_are_refused(items, message):
    with pytest.raises(ValueError, match=message):
        ask("title_to_item", items)


def test_renumbering_the_items_changes_no_score():
    """The one attribute that is asked for is drawn by the row, so all items have just one here."""
    order = np.random.default_rng(0).permutation(12)
    other = dataclasses.replace(PLAIN, catalogue=PLAIN.catalogue.select(order))

    def name(dataset):
        titles = dataset.catalogue.table["title"]
        return lambda request: titles[request.item] if titles[request.item] > "title 4" else "?"

    before, after = (
        evaluate(Oracle(text=name(data)), data, NONE, tasks=["attribute"]).metrics["exact-match"]
        for data in (PLAIN, other)
    )
    assert before.value == after.value


def test_a_report_tells_of_items_and_is_scored_again_as_it_was(tmp_path):
    oracle = Oracle(ranking=lambda request: [5, request.item], text=lambda request: "title 3")
    tasks = ("title_to_item", "item_to_title", "attribute")
    found = evaluate(
        oracle, SHOP, NONE, tasks=tasks, k=2, items=np.array([8, 3]), attributes=("title", "brand")
    )
    page = write_report(tmp_path / "report", {"ours": found}, SHOP).read_text()
    assert "Items found by their titles" in page
    assert "the catalogue</span>title 3" in page
    assert "bootstrap interval by item" in page
    told = json.loads((tmp_path / "report" / "results.json").read_text())
    jsonschema.validate(told, SCHEMA)
    lines = (tmp_path / "report" / "samples.jsonl").read_text().splitlines()
    samples = [json.loads(line) for line in lines]
    assert samples[0]["user"] == "item sku-8"
    assert samples[-1]["attribute"] in ("title", "brand")
    again = read_report(tmp_path / "report", SHOP)["ours"]
    for task in tasks:
        assert again[task].event_E.tolist() == [8, 3]
        assert again[task].statistics.values == found[task].statistics.values
