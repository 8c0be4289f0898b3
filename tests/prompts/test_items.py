"""The unified item format, written out."""

import numpy as np
import pytest

from genrec.data import DataError
from genrec.recommender import Request
from tests.prompts.shown import owned, renderer_of, weights_of, written


def card(row, **config):
    renderer = renderer_of(**config)
    text = written(renderer, renderer.render(Request(task="rate", item=row)))
    return text[text.index("<a_") : text.index("[EOC]") + 5]


def test_attributes_stand_in_the_order_of_the_config_and_not_of_the_catalogue():
    assert card(4, attributes=("price", "title")) == "<a_1><b_1> price 5 title blue case[EOC]"


def test_attributes_may_go_by_other_words_or_by_none():
    words = {"price": "costs", "title": ""}
    assert card(4, attribute_words=words) == "<a_1><b_1> blue case brand Bolt costs 5[EOC]"


def test_values_are_cut_by_tokens_some_shorter_than_others():
    renderer = renderer_of(attribute_tokens=3, attribute_limits={"title": 1})
    tokens = renderer.items.card(4).tokens.tolist()
    encode = renderer.vocabulary.encode
    expected = [
        *encode("title"), *encode("blue case")[:1], *encode("brand"), *encode("Bolt")[:3],
        *encode("price"), *encode("5"), renderer.vocabulary.end_of_chunk,
    ]  # fmt: skip
    assert tokens[2:] == expected


def test_what_is_missing_is_left_out_or_marked():
    assert "brand" not in card(2)
    assert "brand unknown price 3" in card(2, missing="unknown")


def test_a_picture_stands_behind_the_codes_and_is_seen_from_there_to_the_end_of_the_item():
    renderer = renderer_of(pictures=True)
    example = renderer.render(Request(task="rate", history=(0,), item=4))
    card = "[IMG] title blue case brand Bolt price 5[EOC]"
    assert owned(renderer, example) == [(0, "[IMG][EOC]"), (4, card)]
    assert "<a_0><b_0>[IMG][EOC] What rating" in written(renderer, example)


def test_an_item_shown_twice_is_two_pictures():
    renderer = renderer_of(pictures=True, history_cards=True)
    example = renderer.render(Request(task="rate", history=(4,), item=4))
    assert example.pictures == (4, 4)
    assert set(example.owner.tolist()) == {-1, 0, 1}


def test_a_picture_may_take_several_tokens_and_is_still_one():
    renderer = renderer_of(pictures=True, picture_tokens=3)
    example = renderer.render(Request(history=(0, 1)))
    assert owned(renderer, example) == [(0, "[IMG]" * 3 + "[EOC]"), (1, "[IMG]" * 3 + "[EOC]")]


def test_an_item_without_a_picture_shows_none_or_is_marked():
    for missing, text in (("", "<a_1><b_2>"), ("unknown", "<a_1><b_2> picture unknown[EOC]")):
        renderer = renderer_of(pictures=True, missing=missing)
        example = renderer.render(Request(history=(5,)))
        assert written(renderer, example).endswith(text)
        assert example.pictures == ()
        assert len(example.owner) == 0


def test_with_pictures_off_nothing_is_owned():
    renderer = renderer_of(history_cards=True)
    example = renderer.render(Request(task="rate", history=(0, 1), item=4))
    assert "[IMG]" not in written(renderer, example)
    assert (len(example.owner), example.pictures) == (0, ())


def test_codes_own_no_picture_and_are_learnt_from():
    renderer = renderer_of(pictures=True, history_cards=True, attribute_weight=0.5)
    example = renderer.render(Request(history=(0, 4)))
    is_code = example.prompt >= renderer.vocabulary.first_code
    assert (example.owner[is_code] == -1).all()
    np.testing.assert_array_equal(example.prompt_weights == 1.0, is_code)


def test_the_attributes_of_a_history_may_be_learnt_too_but_not_its_markers():
    renderer = renderer_of(pictures=True, history_cards=True, attribute_weight=0.5)
    example = renderer.render(Request(history=(4,)))
    assert weights_of(renderer, example, 0.5) == "title blue case brand Bolt price 5"


def test_what_is_asked_about_is_not_learnt():
    renderer = renderer_of(attribute_weight=0.5)
    assert not renderer.render(Request(task="rate", item=4)).prompt_weights.any()


@pytest.mark.parametrize(
    ("config", "row", "message"),
    [
        ({}, 0, "pictures are off"),
        ({"pictures": True}, 5, "'sku-5' has no picture"),
    ],
)
def test_a_picture_that_cannot_be_shown_is_an_error(config, row, message):
    with pytest.raises(ValueError, match=message):
        renderer_of(**config).render(Request(task="picture_to_item", item=row))


def test_a_catalogue_without_titles_says_how_to_name_the_attribute():
    renderer = renderer_of(title="name")
    with pytest.raises(ValueError, match=r"no attribute is called 'name'; set prompts.title"):
        renderer.render(Request(task="title_to_item", item=0))
    renderer = renderer_of(title="brand")
    assert "Acme" in written(renderer, renderer.render(Request(task="title_to_item", item=0)))
    with pytest.raises(ValueError, match="'sku-2' has no 'brand'"):
        renderer.render(Request(task="title_to_item", item=2))


def test_what_is_told_of_an_item_is_what_its_card_says():
    assert renderer_of().items.told(4, "price") == "5"
    with pytest.raises(DataError, match="no attribute 'prize'"):
        renderer_of().items.told(4, "prize")


@pytest.mark.parametrize("field", ["attribute_words", "attribute_limits"])
def test_other_words_for_unknown_attributes_are_refused(field):
    with pytest.raises(ValueError, match="colour"):
        renderer_of(**{field: {"colour": 3 if field == "attribute_limits" else "hue"}})
