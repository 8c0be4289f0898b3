"""Tasks as one user of a data set meets them."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from genrec.data import Catalogue, DataError, leave_one_out
from genrec.prompts.specimens import HISTORY, Specimens, numbering_renderer
from tests.small_shop import small_dataset


@pytest.fixture(scope="module")
def specimens():
    return Specimens(small_dataset(), seed=0)


def shop_of(items):
    """Take the events of the small shop, in a larger catalogue."""
    table = pl.DataFrame({
        "item_id": [f"sku-{row}" for row in range(items)], "title": ["lamp"] * items
    })  # fmt: skip
    return dataclasses.replace(small_dataset(), catalogue=Catalogue(table))


@pytest.mark.parametrize(
    ("items", "row", "codes"),
    [(12, 11, [0, 0, 0, 11]), (400, 300, [0, 1, 2, 12]), (65_537, 65_536, [1, 0, 0, 0, 0])],
)
def test_ids_number_the_items(items, row, codes):
    ids = numbering_renderer(shop_of(items)).ids
    assert ids.codes_NL[row].tolist() == codes
    assert ids.are_unique


def test_where_nobody_has_enough_items_that_is_told():
    with pytest.raises(DataError, match=r"no user of the data set 'small' has the 6 .* has 4"):
        Specimens(small_dataset(events=4), seed=0)


def test_the_user_has_enough_items_and_none_that_tests(specimens):
    events = small_dataset().interactions
    split = leave_one_out(events)
    of_users = [
        events.item[split.train & (events.user_of == user)].tolist()
        for user in np.unique(events.user_of)
    ]
    assert specimens.user in of_users
    assert len(specimens.user) >= HISTORY


def test_what_training_reads_names_an_item_of_the_user(specimens):
    example = specimens.write("recommend")
    answer = specimens.renderer.vocabulary.tokenizer.decode(example.answer.tolist())
    ids = specimens.renderer.ids
    assert any(ids.text(row) in answer for row in specimens.user)


def test_where_there_is_nothing_to_learn_the_task_is_only_asked(specimens):
    assert small_dataset().interactions.column("summary") is None
    example = specimens.write("summarize")
    assert len(example.answer) == 0
    prompt = specimens.renderer.vocabulary.tokenizer.decode(example.prompt.tolist())
    assert "Just what I was looking for." in prompt


def test_a_task_about_what_the_data_lacks_is_refused(specimens):
    with pytest.raises(ValueError, match="pictures are off"):
        specimens.write("picture_to_item")
