import gzip
import json
from pathlib import Path

import pytest

from genrec.data import DataError, EventRules, SequencesConfig, load_sequences, temporal
from tests.real_data import real_data

ITEMS = [
    {"item_id": 1, "title": "One", "brand": "Unknown", "categories": ["A", "B"], "price": "12.0"},
    {"item_id": 2, "title": "", "brand": "Two's", "categories": [], "price": ""},
    {"item_id": 3, "title": "Three", "brand": "", "categories": ["A"], "price": "3"},
]


def config(folder: Path, sequences: str, *, items: str | None = None) -> SequencesConfig:
    (folder / "sequences.tsv").write_text(sequences)
    lines = items if items is not None else "".join(json.dumps(item) + "\n" for item in ITEMS)
    (folder / "items.jsonl").write_text(lines)
    return SequencesConfig(sequences=folder / "sequences.tsv", items=folder / "items.jsonl")


def test_times_are_the_gaps_summed_up_from_0_for_every_user(tmp_path):
    dataset = load_sequences(config(tmp_path, "u 3 1 3\t0 10 5\nv 2\t0\n"))
    events = dataset.interactions
    assert events.users.to_list() == ["u", "v"]
    assert events.item.tolist() == [2, 0, 2, 1]
    assert events.time.tolist() == [0, 10, 15, 0]
    assert events.time_is_relative


def test_lines_may_end_as_on_windows_and_be_blank(tmp_path):
    files = config(tmp_path, "u 3 1\t0 10\n")
    plain = load_sequences(files)
    files.sequences.write_bytes(b"u 3 1\t0 10\r\n\r\n")
    assert load_sequences(files) == plain


def test_events_of_the_same_second_stay_in_their_order(tmp_path):
    events = load_sequences(config(tmp_path, "u 3 1 2 1\t0 0 0 0\n")).interactions
    assert events.item.tolist() == [2, 0, 1, 0]


def test_a_split_in_absolute_time_is_refused(tmp_path):
    with pytest.raises(DataError, match="count from each user's first event"):
        temporal(load_sequences(config(tmp_path, "u 3 1\t0 10\n")).interactions, 5, 8)


def test_items_are_cleaned(tmp_path):
    shop = load_sequences(config(tmp_path, "u 1\t0\n")).catalogue
    assert shop.item_ids == ["1", "2", "3"]
    assert shop.describe(0) == {"title": "One", "categories": "A > B", "price": 12.0}
    assert shop.describe(1) == {"brand": "Two's"}
    assert shop.describe(2) == {"title": "Three", "categories": "A", "price": 3.0}


def test_the_files_may_be_gzipped(tmp_path):
    plain = config(tmp_path, "u 3 1\t0 10\n")
    for path in (plain.sequences, plain.items):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    packed = SequencesConfig(
        sequences=tmp_path / "sequences.tsv.gz", items=tmp_path / "items.jsonl.gz"
    )
    assert load_sequences(packed) == load_sequences(plain)


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ("u 1\t0\nv 1 2\t0\n", "row 2 has not as many gaps as items: 'v 1 2\\\\t0'"),
        ("u 1\t0 5\n", "row 1 has not as many gaps as items"),
        ("u 1\n", "row 1 has not one tab.*; write 'user item item .*', a tab, the gaps"),
        ("u 1 \t0 0\n", "row 1 has no item; drop the row"),
        ("u\t0\n", "row 1 has no item behind its user"),
        ("u 1 2\t0 -5\n", "row 1 has a gap that is no number of seconds from 0 up"),
        ("u 1 2\t0 x\n", "row 1 has a gap that is no number"),
        ("u 1\t0\nv 2\t0\nu 3\t0\n", "row 3 has the user of an earlier row"),
        ("u 1\t0\nv 2 4\t0 0\n", "row 2 has the item '4'; the catalogue does not have it"),
        ("u 1\t0\t0\n", "row 1 has not one tab"),
        ("", "is empty"),
    ],
)
def test_a_wrong_sequence_is_refused(tmp_path, sequences, message):
    with pytest.raises(DataError, match=r"sequences\.tsv.*" + message):
        load_sequences(config(tmp_path, sequences))


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ('{"item_id": 1}\n{"item_id": 1}\n', "row 2 repeats the item_id '1' of row 1"),
        ('{"item_id": 1}\n{"id": 1}\n', r"row 2 has no 'item_id'; it has \['id'\]"),
        ('{"item_id": 1, "price": "much"}\n', "row 1: the price 'much' is no number; correct it"),
        ("", "is empty"),
    ],
)
def test_a_wrong_item_is_refused(tmp_path, items, message):
    with pytest.raises(DataError, match=r"items\.jsonl.*" + message):
        load_sequences(config(tmp_path, "u 1\t0\n", items=items))


def test_unknown_items_can_be_dropped(tmp_path):
    files = config(tmp_path, "u 1 9 2\t0 5 5\n")
    rules = EventRules(unknown_items="drop")
    dataset = load_sequences(
        SequencesConfig(sequences=files.sequences, items=files.items, rules=rules)
    )
    assert dataset.interactions.time.tolist() == [0, 10]
    assert dataset.info["dropped_events"] == 1


@pytest.mark.parametrize(
    ("name", "users", "items", "interactions"),
    [("amazon-beauty", 22_363, 12_101, 198_502), ("amazon-toys", 19_412, 11_924, 167_597)],
)
def test_the_counts_are_those_that_papers_publish(name, users, items, interactions):
    folder = real_data(name)
    dataset = load_sequences(
        SequencesConfig(sequences=folder / "sequences.tsv", items=folder / "items.jsonl")
    )
    expected = {"users": users, "items": items, "interactions": interactions, "pictures": 0}
    assert dataset.counts == expected
    assert dataset.interactions.events_per_user.min() == 5


def test_beauty_agrees_with_reading_it_by_hand():
    folder = real_data("amazon-beauty")
    events = load_sequences(
        SequencesConfig(sequences=folder / "sequences.tsv", items=folder / "items.jsonl")
    ).interactions
    with (folder / "sequences.tsv").open() as lines:
        for user, line in enumerate(lines):
            words, gaps = (half.split() for half in line.split("\t"))
            own = slice(events.offsets[user], events.offsets[user + 1])
            assert events.users[user] == words[0]
            assert [item + 1 for item in events.item[own].tolist()] == [*map(int, words[1:])]
            assert events.time[own][-1] == sum(map(int, gaps))
