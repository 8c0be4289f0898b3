"""How questions about items and dialogues are divided, worked by hand on small shops."""

import numpy as np
import polars as pl
import pytest

from genrec.data import Catalogue, Dataset, Dialogue
from genrec.eval.background import POPULARITIES, Background
from genrec.eval.dialogues import DialogueQuestions
from genrec.eval.divisions import FEWEST, divisions
from genrec.eval.item_questions import ItemQuestions
from genrec.recommender import Turn
from tests.eval.written import written

# Of 200 items the first 100 are bought once, the first 20 of these once more; 40 have no picture.
ITEMS, BOUGHT, POPULAR, BLIND = 200, 100, 20, 40
PLAIN = written({"ann": list(range(BOUGHT)), "bob": list(range(POPULAR))}, items=ITEMS)
KINDS = ["lamp" if row % 4 else "rug" for row in range(ITEMS)]
SHOP = Dataset(
    Catalogue(
        PLAIN.catalogue.table.with_columns(
            pl.Series("category", KINDS),
            pl.Series("brand", ["Acme" if row < BOUGHT else None for row in range(ITEMS)]),
            pl.Series("picture", [None if row < BLIND else b"x" for row in range(ITEMS)]),
        )
    ),
    PLAIN.interactions, "shop",
)  # fmt: skip


def background():
    return Background.of(SHOP, np.ones(len(SHOP.interactions), dtype=bool))


def items(task, **options):
    asked = ItemQuestions.about(SHOP, task, **options)
    return asked, dict(divisions(asked, background()))


def rows(asked, inside_E):
    return asked.event_E[inside_E].tolist()


def test_items_are_divided_by_how_often_they_were_bought():
    asked, found = items("title_to_item")
    parts = found["item"]
    # The head is a fifth of the 100 items that were bought, fewer than are told of.
    assert POPULAR < FEWEST
    assert list(parts) == ["tail", "never in training"]
    assert rows(asked, parts["tail"]) == list(range(POPULAR, BOUGHT))
    assert rows(asked, parts["never in training"]) == list(range(BOUGHT, ITEMS))


def test_items_are_divided_by_picture_and_category():
    asked, found = items("item_to_title")
    pictures, kinds = found["picture of the item"], found["category of the item"]
    assert rows(asked, pictures["without"]) == list(range(BLIND))
    assert rows(asked, kinds["rug"]) == list(range(0, ITEMS, 4))
    assert "attribute asked for" not in found


def test_items_that_all_have_a_picture_are_not_divided_by_it():
    asked, found = items("picture_to_item")
    assert len(asked) == ITEMS - BLIND
    assert "picture of the item" not in found


def test_questions_for_attributes_are_divided_by_what_is_asked_for():
    asked, found = items("attribute", attributes=("brand", "category"))
    names = np.array([question.request.attribute for question in asked])
    parts = found["attribute asked for"]
    assert set(parts) == {"brand", "category"}
    for name, inside_E in parts.items():
        assert inside_E.tolist() == (names == name).tolist()


@pytest.mark.parametrize("task", ["title_to_item", "attribute", "description_to_item"])
def test_no_question_is_in_two_parts(task):
    for parts in items(task)[1].values():
        assert (np.sum(list(parts.values()), axis=0) <= 1).all()


# The popular item 0 is named at once; after two turns item 150, which nobody bought, then both.
TALK = Dialogue(
    (
        Turn("user", "A lamp?"),
        Turn("recommender", "Zero.", (0,)),
        Turn("user", "Another."),
        Turn("recommender", "One hundred and fifty.", (150,)),
        Turn("user", "Which?"),
        Turn("recommender", "Both.", (0, 150)),
        Turn("user", "Hm."),
        Turn("recommender", "Well."),
    )
)


def talks(task):
    asked = DialogueQuestions((TALK,) * 30, SHOP.catalogue, task=task)
    return asked, dict(divisions(asked, background()))


def places(inside_E, of_talk):
    """List which questions of the first talk are in a part, once all talks agree."""
    inside = inside_E.reshape(-1, of_talk)
    assert (inside == inside[0]).all()
    return np.flatnonzero(inside[0]).tolist()


def test_what_a_talk_asks_for_is_divided_by_the_talk_so_far():
    found = talks("converse")[1]
    assert {name: places(part, 2) for name, part in found["dialogue so far"].items()} == {
        "1 to 2 turns": [0], "3 to 4 turns": [1],
    }  # fmt: skip
    assert {name: places(part, 2) for name, part in found["spoken of so far"].items()} == {
        "0 items": [0], "1 to 2 items": [1],
    }  # fmt: skip
    assert {name: places(part, 2) for name, part in found["item named next"].items()} == {
        POPULARITIES[0]: [0], POPULARITIES[2]: [1],
    }  # fmt: skip
    assert "named next" not in found


def test_replies_are_divided_by_what_they_name():
    found = talks("reply")[1]
    assert {name: places(part, 4) for name, part in found["named next"].items()} == {
        "a new item": [0, 1], "one that was spoken of": [2], "no item": [3],
    }  # fmt: skip
    # Replies without a new item are in no part by what is known of it.
    assert {name: places(part, 4) for name, part in found["item named next"].items()} == {
        POPULARITIES[0]: [0], POPULARITIES[2]: [1],
    }  # fmt: skip
    kinds = found["category of the item named next"]
    assert {name: places(part, 4) for name, part in kinds.items()} == {"rug": [0], "lamp": [1]}


def test_a_part_of_the_talks_is_divided_as_in_the_whole():
    asked = talks("reply")[0]
    second_and_last = np.arange(1, len(asked), 2)
    assert asked.at(second_and_last).names_items_E.tolist() == [True, False] * 30
