import numpy as np
import pytest

from genrec.prompts import PromptConfig
from genrec.recommender import Request
from tests.small_shop import small_dataset, small_renderer


@pytest.fixture(scope="module")
def renderer():
    return small_renderer()


def written(renderer, example):
    """Write out a prompt's tokens as text, codes and markers included."""
    return renderer.vocabulary.tokenizer.decode(example.prompt.tolist())


def test_a_history_is_the_ids_of_its_items_oldest_first(renderer):
    example = renderer.render(Request(history=(0, 4)))
    assert written(renderer, example).endswith("<a_0><b_0><a_1><b_1>")


def test_the_answer_is_the_id_of_the_target(renderer):
    example = renderer.render(Request(history=(0,)), answer=5)
    assert renderer.vocabulary.decode(example.answer) == "<a_1><b_2>"


def test_without_an_answer_there_is_nothing_to_learn_but_the_prompt_is_the_same(renderer):
    asked = renderer.render(Request(history=(0, 4)))
    learnt = renderer.render(Request(history=(0, 4)), answer=5)
    assert len(asked.answer) == 0
    np.testing.assert_array_equal(asked.prompt, learnt.prompt)


def test_context_reconstruction_weighs_the_codes_of_the_history_alone(renderer):
    example = renderer.render(Request(history=(0, 4)))
    codes = example.prompt >= renderer.vocabulary.first_code
    np.testing.assert_array_equal(example.prompt_weights, codes.astype(float))


def test_a_card_flattens_the_attributes_in_their_order_and_ends_with_the_marker(renderer):
    example = renderer.render(Request(task="rate", history=(), item=4))
    assert "<a_1><b_1> title blue case brand Bolt price 5[EOC]" in written(renderer, example)


def test_missing_attributes_are_left_out_of_a_card(renderer):
    example = renderer.render(Request(task="rate", history=(), item=2))
    assert "brand" not in written(renderer, example)


def test_a_rating_is_written_as_a_number_and_ended(renderer):
    example = renderer.render(Request(task="rate", item=4), answer=4.0)
    assert renderer.vocabulary.decode(example.answer) == "4"
    assert example.answer[-1] == renderer.vocabulary.eos


def test_the_oldest_items_go_when_a_history_is_too_long():
    renderer = small_renderer(config=PromptConfig(history_items=2))
    example = renderer.render(Request(history=(0, 1, 2, 3)))
    assert written(renderer, example).endswith("<a_0><b_2><a_1><b_0>")
    assert "<b_1>" not in written(renderer, example)


def test_a_prompt_never_has_more_tokens_than_allowed():
    renderer = small_renderer(config=PromptConfig(prompt_tokens=40, history_cards=True))
    example = renderer.render(Request(history=tuple(range(12))))
    assert len(example.prompt) <= 40
    assert "<a_3><b_2>" in written(renderer, example)  # the latest item is kept


def test_histories_may_be_written_as_cards():
    renderer = small_renderer(config=PromptConfig(history_cards=True))
    example = renderer.render(Request(history=(4,)))
    assert written(renderer, example).endswith("<a_1><b_1> title blue case brand Bolt price 5[EOC]")


def test_phrasings_go_round_and_the_unseen_one_is_apart(renderer):
    request = Request(history=(0,))
    prompts = [written(renderer, renderer.render(request, phrasing=i)) for i in (0, 1, 2, 3, None)]
    assert prompts[0] == prompts[3]
    assert len(set(prompts)) == 4


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(task="search", history=(0,)), "needs a query"),
        (Request(task="rate", history=(0,)), "needs an item"),
    ],
)
def test_a_request_that_lacks_what_its_task_needs_is_refused(renderer, request_, message):
    with pytest.raises(ValueError, match=message):
        renderer.render(request_)


def test_unknown_attributes_are_refused():
    with pytest.raises(ValueError, match="colour"):
        small_renderer(config=PromptConfig(attributes=("colour",)))


def test_ids_of_another_catalogue_are_refused(renderer):
    dataset = small_dataset()
    fewer = type(dataset.catalogue)(dataset.catalogue.table.head(5))
    with pytest.raises(ValueError, match="semantic IDs for 12 items, but the catalogue has 5"):
        type(renderer)(
            vocabulary=renderer.vocabulary,
            ids=renderer.ids,
            catalogue=fewer,
            tasks=renderer.tasks,
            config=renderer.config,
        )


@pytest.mark.parametrize(
    "fields", [{"history": (0, -1)}, {"history": (12,)}, {"task": "item_to_title", "item": -1},
               {"task": "direct", "candidates": (-2,)}]
)  # fmt: skip
def test_a_row_that_is_no_item_is_refused(renderer, fields):
    with pytest.raises(IndexError, match="there is no item"):
        renderer.render(Request(**fields))
    with pytest.raises(IndexError, match="there is no item -1"):
        renderer.render(Request(), answer=-1)
