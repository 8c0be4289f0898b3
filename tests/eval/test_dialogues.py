import json

import jsonschema
import pytest

from genrec.data import Dialogue
from genrec.eval import LeakError, TaskError, evaluate_dialogues, text_table, write_report
from genrec.eval.ranking import MISSED
from genrec.recommender import Turn
from tests.eval.test_reported import SCHEMA
from tests.eval.written import Oracle, written

SHOP = written({"ann": [3, 1, 4]})
CATALOGUE = SHOP.catalogue
TALK = Dialogue(
    (
        Turn("user", "Like the red lamp?", (1,)),
        Turn("recommender", "These two.", (2, 3)),
        Turn("user", "I have number three.", (3,)),
        Turn("recommender", "Then two again, or five.", (2, 5)),
    )
)
GREETING = Dialogue((Turn("recommender", "We have a ten!", (10,)), Turn("user", "Oh.", (4,))))


def test_every_item_that_is_named_for_the_first_time_is_a_question():
    oracle = Oracle(ranking=lambda request: [3, 5])
    results = evaluate_dialogues(oracle, [GREETING, TALK], CATALOGUE, k=2)
    assert results["converse"].answers.target_E.tolist() == [2, 3, 5]
    assert results.ranks.tolist() == [MISSED, 0, 1]
    assert results.metrics["recall@2"].value == pytest.approx(2 / 3)
    assert [request.exclude for request in oracle.requests] == [(1,), (1,), (1, 2, 3)]
    assert [len(request.dialogue) for request in oracle.requests] == [1, 1, 3]
    assert results["converse"].counts["invalid"] == 1  # 3 was spoken of


def test_a_talk_is_drawn_as_a_whole():
    results = evaluate_dialogues(Oracle(ranking=lambda r: [5]), [TALK, TALK], CATALOGUE)
    assert results["converse"].questions.user_E.tolist() == [0, 0, 0, 1, 1, 1]
    interval = results.metrics["recall@1"]
    assert interval.low == interval.high


def test_all_that_the_recommender_answers_is_asked_from_what_was_said_before():
    oracle = Oracle(text=lambda request: "These two.")
    silent = Dialogue((Turn("user", "Hm?"), Turn("recommender", " ", (7,)), Turn("user", "Oh.")))
    results = evaluate_dialogues(oracle, [GREETING, silent, TALK], CATALOGUE, tasks=["reply"])
    found = results["reply"]
    assert found.answers.references == ("These two.", "Then two again, or five.")
    assert [request.dialogue for request in oracle.requests] == [TALK.turns[:1], TALK.turns[:3]]
    assert [question.target for question in found.questions] == [2, 5]
    assert found.questions.user_E.tolist() == [2, 2]


def test_replies_are_scored_by_hand():
    said = iter(["these two", "two or more"])
    results = evaluate_dialogues(
        Oracle(text=lambda request: next(said)), [TALK], CATALOGUE, tasks=["reply"]
    )
    # "these two": both words. "two or more": 2 of 3 words are among 5, so F is 2 * 2 / (3 + 5).
    assert results.metrics["rouge-1"].value == pytest.approx(100 * (1 + 0.5) / 2)
    # Of the second no two words follow each other in the real one.
    assert results.metrics["rouge-2"].value == pytest.approx(50)
    assert results["reply"].figures["distinct-1"] == pytest.approx(4 / 5)
    assert results["reply"].figures["unique-sentences"] == 1
    assert results["reply"].counts == {"requests": 2, "empty": 0}


def test_both_tasks_are_asked_in_one_call_and_kept(tmp_path):
    oracle = Oracle(ranking=lambda request: [2], text=lambda request: "These two.")
    options = {"tasks": ["converse", "reply"], "k": 2, "answers": tmp_path}
    first = evaluate_dialogues(oracle, [TALK], CATALOGUE, **options)
    asked = len(oracle.requests)
    again = evaluate_dialogues(oracle, [TALK], CATALOGUE, **options)
    assert len(oracle.requests) == asked == 5
    for task in options["tasks"]:
        assert again[task].metrics == first[task].metrics


def test_a_dialogue_that_was_learned_from_is_refused():
    with pytest.raises(LeakError, match=r"dialogue 1 is to be predicted.* for 1 of 2"):
        evaluate_dialogues(Oracle(), [TALK, GREETING], CATALOGUE, learned=[GREETING])


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("converse", "in 1 dialogues no recommender names an item"),
        ("reply", "in 1 dialogues no recommender answers"),
        ("recommend", "'recommend' is not about dialogues; call evaluate"),
        ("imagine", "'imagine' is answered by a picture"),
    ],
)
def test_a_task_that_cannot_be_asked_is_refused(task, message):
    with pytest.raises(TaskError, match=message):
        evaluate_dialogues(Oracle(), [GREETING], CATALOGUE, tasks=[task])


def test_a_turn_without_items_is_about_none(tmp_path):
    talk = Dialogue((Turn("user", "Hello."), Turn("recommender", "What do you like?")))
    oracle = Oracle(text=lambda request: "Hm.")
    results = {"ours": evaluate_dialogues(oracle, [talk], CATALOGUE, tasks=["reply"])}
    page = write_report(tmp_path / "report", results, SHOP).read_text()
    assert "What is said next in a dialogue" in page
    assert "user: Hello." in page
    assert "the recommender</span>What do you like?" in page
    assert "bootstrap interval by dialogue" in page
    (line,) = (tmp_path / "report" / "samples.jsonl").read_text().splitlines()
    sample = json.loads(line)
    assert (sample["target"], sample["text"]) == (None, "What do you like?")
    told = json.loads((tmp_path / "report" / "results.json").read_text())
    jsonschema.validate(told, SCHEMA)
    assert told["methods"]["ours"]["reply"]["unit"] == "dialogue"


def test_a_report_tells_of_dialogues(tmp_path):
    oracle = Oracle(ranking=lambda request: [2])
    results = {"ours": evaluate_dialogues(oracle, [GREETING, TALK], CATALOGUE, k=2)}
    page = write_report(tmp_path / "report", results, SHOP)
    assert "What a dialogue asks for" in page.read_text()
    lines = (tmp_path / "report" / "samples.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    assert (first["user"], first["target"]) == ("dialogue 1", "sku-2")
    assert first["dialogue"] == ["user: Like the red lamp?"]
    assert text_table(results, "converse").startswith("converse")
