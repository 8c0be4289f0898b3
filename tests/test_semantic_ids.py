import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from genrec.artifacts import ArtifactError
from genrec.semantic_ids import SemanticIds
from tests.real_data import real_data

SIZES = (3, 5, 2)


def ids(*codes):
    return SemanticIds(np.asarray(codes, dtype=np.int32), SIZES)


@st.composite
def random_ids(draw):
    codes = st.tuples(*(st.integers(0, size - 1) for size in SIZES))
    return ids(*draw(st.lists(codes, min_size=1, max_size=20)))


def test_an_id_is_written_with_a_letter_per_level():
    assert ids([1, 4, 0]).text(0) == "<a_1><b_4><c_0>"


def test_the_tokens_are_all_codes_of_all_levels_in_order():
    tokens = ids([0, 0, 0]).tokens
    assert tokens[:4] == ["<a_0>", "<a_1>", "<a_2>", "<b_0>"]
    assert len(tokens) == sum(SIZES)


def test_items_that_share_an_id_are_counted():
    shared = ids([0, 0, 0], [1, 0, 0], [0, 0, 0])
    assert shared.items_per_id.tolist() == [2, 1, 2]
    assert not shared.are_unique
    assert ids([0, 0, 0], [1, 0, 0]).are_unique


@given(random_ids())
def test_unique_means_as_many_ids_as_items(some):
    distinct = {tuple(row) for row in some.codes_NL.tolist()}
    assert some.are_unique == (len(distinct) == len(some))


@given(some=random_ids())
def test_saved_and_loaded_they_are_equal(tmp_path_factory, some):
    path = tmp_path_factory.mktemp("ids") / "ids.safetensors"
    some.save(path)
    assert SemanticIds.load(path) == some


@pytest.mark.parametrize(
    ("codes", "sizes", "message"),
    [
        ([[0, 5, 0]], SIZES, "item 0 has code 5 at level 1, whose codebook has 5 codes"),
        ([[0, 0, 0], [-1, 0, 0]], SIZES, "item 1 has code -1 at level 0"),
        ([[0, 0]], SIZES, "codes have 2 levels, but there are 3 codebook sizes"),
        ([], SIZES, r"shape \(items, levels\), not \(0,\)"),
    ],
)
def test_nonsense_is_refused(codes, sizes, message):
    with pytest.raises(ValueError, match=message):
        SemanticIds(np.asarray(codes, dtype=np.int32), sizes)


def test_they_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        ids([0, 0, 0]).codes_NL[0, 0] = 1


def test_a_file_that_was_tampered_with_is_refused(tmp_path):
    path = tmp_path / "ids.safetensors"
    some = ids([0, 0, 0], [1, 1, 1])
    metadata = {"codebook_sizes": "[3, 5, 2]", "fingerprint": some.fingerprint}
    save_file({"codes": some.codes_NL[::-1].copy()}, path, metadata=metadata)
    with pytest.raises(ArtifactError, match="was changed after it was written"):
        SemanticIds.load(path)


@pytest.mark.parametrize("content", [None, b"", b"not safetensors at all"])
def test_a_file_that_is_missing_or_broken_is_named(tmp_path, content):
    path = tmp_path / "ids.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"ids.safetensors does not"):
        SemanticIds.load(path)


def write_index(path, index):
    path.write_text(json.dumps(index), encoding="utf-8")
    return path


def test_a_published_index_is_read_by_its_rows(tmp_path):
    index = {"1": ["<a_1>", "<b_4>", "<c_0>"], "0": ["<a_2>", "<b_0>", "<c_1>"]}
    read = SemanticIds.from_index_json(write_index(tmp_path / "index.json", index), SIZES)
    assert read == ids([2, 0, 1], [1, 4, 0])


@given(some=random_ids())
def test_an_index_holds_what_its_tokens_say(tmp_path_factory, some):
    tokens = {
        row: [f"<{'abc'[level]}_{code}>" for level, code in enumerate(codes)]
        for row, codes in enumerate(some.codes_NL.tolist())
    }
    path = write_index(tmp_path_factory.mktemp("index") / "index.json", tokens)
    assert SemanticIds.from_index_json(path, SIZES) == some


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({}, "has 0 items, but none with the key '0'"),
        ({"1": ["<a_1>"]}, "has 1 items, but none with the key '0'"),
        ({"0": ["<b_1>", "<a_1>", "<c_1>"]}, "item 0 has .* not tokens such as"),
        ({"0": ["<a_01>"]}, "item 0 has .* not tokens such as"),
        ({"0": [7]}, "item 0 has .* not tokens such as"),
        ({"0": None}, "item 0 has None, which are not tokens"),
        ({"0": ["<a_1>", "<b_9>", "<c_1>"]}, "item 0 has code 9 at level 1"),
        ({"0": ["<a_1>"], "1": ["<a_1>", "<b_1>"]}, "no IDs of this shape"),
    ],
)
def test_an_index_that_makes_no_sense_is_refused(tmp_path, index, message):
    with pytest.raises(ArtifactError, match=message):
        SemanticIds.from_index_json(write_index(tmp_path / "index.json", index), SIZES)


def test_the_index_of_letter_has_24_of_12101_items_in_collision():
    letter = SemanticIds.from_index_json(
        real_data("amazon-beauty") / "letter.index.json", [256] * 4
    )
    assert len(letter) == 12_101
    assert (letter.items_per_id > 1).sum() == 24
