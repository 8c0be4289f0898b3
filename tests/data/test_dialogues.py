import json

import polars as pl
import pytest

from genrec.data import Catalogue, DataError, load_dialogues
from genrec.recommender import Turn

CATALOGUE = Catalogue(
    pl.DataFrame({
        "item_id": ["m1", "m2", "m3", "m4"],
        "title": ["Heat (1995)", "Alien (1979)", "Twin (2000)", "Twin (2000)"],
    })
)  # fmt: skip

PLAIN = {
    "user": "u1",
    "turns": [
        {"speaker": "user", "text": "Something dark?"},
        {"speaker": "recommender", "text": "Try this", "items": ["m2", "m1"]},
    ],
}

REDIAL = {
    "conversationId": "391", "initiatorWorkerId": 956, "respondentWorkerId": 957,
    "movieMentions": {"111": "Heat (1995)", "222": "Unknown (2001)", "333": "Twin (2000)"},
    "messages": [
        {"senderWorkerId": 956, "text": "I liked @111 and @222"},
        {"senderWorkerId": 957, "text": "Then see @333, or @999"},
    ],
}  # fmt: skip


def load(tmp_path, *records):
    path = tmp_path / "dialogues.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return load_dialogues(path, CATALOGUE)


def test_the_plain_form_names_items_by_their_raw_ids(tmp_path):
    (dialogue,) = load(tmp_path, PLAIN)
    assert dialogue.user == "u1"
    assert dialogue.turns == (
        Turn("user", "Something dark?"), Turn("recommender", "Try this", (1, 0))
    )  # fmt: skip


def test_redial_names_films_by_titles_and_the_unknown_ones_stay_words(tmp_path):
    (dialogue,) = load(tmp_path, REDIAL)
    assert dialogue.user is None
    assert dialogue.turns == (
        Turn("user", "I liked Heat (1995) and Unknown (2001)", (0,)),
        # Two items are called Twin (2000), so it names neither; 999 is mentioned nowhere else.
        Turn("recommender", "Then see Twin (2000), or @999"),
    )


def test_a_redial_dialogue_without_mentions_has_an_empty_list_of_them(tmp_path):
    (dialogue,) = load(tmp_path, REDIAL | {"movieMentions": []})
    assert dialogue.turns[0] == Turn("user", "I liked @111 and @222")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"user": "u1"}, "row 2 is no dialogue: it has no 'turns'"),
        ({"turns": [{"speaker": "system", "text": "x"}]}, "row 2 .*'system' speaks"),
        ({"turns": [{"speaker": "user"}]}, "row 2 .*it has no 'text'"),
        ({"turns": [{"speaker": "user", "text": "x", "items": ["m9"]}]}, "row 2 .*no item 'm9'"),
        ({"turns": 3}, "row 2 is no dialogue"),
        ({"messages": [{"text": "x"}]}, "row 2 .*it has no 'senderWorkerId'"),
    ],
)
def test_what_is_no_dialogue_is_refused_by_its_row(tmp_path, record, message):
    with pytest.raises(DataError, match=message):
        load(tmp_path, PLAIN, record)
