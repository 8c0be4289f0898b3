import json

import pytest

from genrec.data import Dialogue
from genrec.eval import TaskError, evaluate_dialogues, text_table, write_report
from genrec.eval.ranking import MISSED
from genrec.recommender import Turn
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


def test_talks_without_items_are_refused():
    with pytest.raises(TaskError, match="in 1 dialogues no recommender names an item"):
        evaluate_dialogues(Oracle(), [GREETING], CATALOGUE)


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
