"""What a history tells beside its items, and what of a dialogue is kept."""

import pytest

from genrec.recommender import Request, Turn
from tests.prompts.shown import renderer_of, written

HOUR, DAY = 3_600, 86_400


def told(request, **config):
    renderer = renderer_of(**config)
    text = written(renderer, renderer.render(request))
    return text[text.index(":") + 1 :].strip()


EVENTS = {
    "history": (0, 1),
    "ratings": (None, 4.5),
    "behaviours": ("view", "buy"),
    "scenarios": ("Beauty", None),
    "times": (0, 2 * HOUR),
}


@pytest.mark.parametrize(
    ("context", "text"),
    [
        ((), "<a_0><b_0><a_0><b_1>"),
        (("rating",), "<a_0><b_0><a_0><b_1> rated 4.5"),
        (("behaviour",), "view<a_0><b_0> buy<a_0><b_1>"),
        (("scenario",), "in Beauty<a_0><b_0><a_0><b_1>"),
        (("gap",), "<a_0><b_0> hours later<a_0><b_1>"),
        (
            ("behaviour", "gap", "rating", "scenario"),
            "in Beauty view<a_0><b_0> hours later buy<a_0><b_1> rated 4.5",
        ),
    ],
)
def test_each_part_of_the_context_can_be_switched_on(context, text):
    assert told(Request(**EVENTS), history_context=context) == text


def test_what_the_user_is_about_to_do_stands_last():
    request = Request(**EVENTS, time=40 * DAY, behaviour="cart", scenario="Toys")
    text = told(request, history_context=("gap", "behaviour", "scenario"))
    assert text.endswith("<a_0><b_1> months later in Toys cart")


@pytest.mark.parametrize(
    ("seconds", "word"),
    [
        (0, "moments"), (59, "moments"), (60, "minutes"), (HOUR, "hours"), (DAY, "days"),
        (7 * DAY - 1, "days"), (7 * DAY, "weeks"), (30 * DAY, "months"), (365 * DAY, "years"),
    ],
)  # fmt: skip
def test_gaps_are_put_into_few_words(seconds, word):
    request = Request(history=(0, 1), times=(7, 7 + seconds))
    assert f"{word} later" in told(request, history_context=("gap",))


def test_the_gap_before_the_first_kept_item_is_known():
    request = Request(history=(0, 1), times=(0, DAY))
    assert told(request, history_context=("gap",), history_items=1) == "days later<a_0><b_1>"


def test_a_history_that_goes_back_in_time_is_refused():
    with pytest.raises(ValueError, match="goes back in time"):
        told(Request(history=(0, 1), times=(5, 4)), history_context=("gap",))


def test_the_words_of_the_context_are_the_configs():
    words = {"rating": "({} stars)"}
    text = told(Request(**EVENTS), history_context=("rating",), context_words=words)
    assert text == "<a_0><b_0><a_0><b_1> (4.5 stars)"


def test_nothing_of_the_context_is_learnt():
    renderer = renderer_of(history_context=("gap", "behaviour", "rating"))
    example = renderer.render(Request(**EVENTS, time=DAY, behaviour="buy"))
    is_code = example.prompt >= renderer.vocabulary.first_code
    assert (example.prompt_weights == is_code).all()


def test_an_event_that_does_not_fit_goes_with_all_that_is_told_of_it():
    request = Request(history=tuple(range(9)), ratings=(5.0,) * 9)
    renderer = renderer_of(history_context=("rating",), prompt_tokens=25)
    example = renderer.render(request)
    text = written(renderer, example)
    assert len(example.prompt) <= 25
    assert text.count("rated") == text.count("<a_")
    assert text.endswith("<a_2><b_2> rated 5")


@pytest.mark.parametrize("room", [0, 3, 6, 9, 12])
def test_what_is_told_ahead_of_the_answer_takes_no_more_room_than_there_is(room):
    fixed = len(renderer_of().render(Request(task="search", query="lamp")).prompt)
    renderer = renderer_of(history_context=("behaviour",), prompt_tokens=fixed + room)
    example = renderer.render(
        Request(task="search", query="lamp", history=(0, 1), behaviour="buys it")
    )
    assert len(example.prompt) <= fixed + room
    text = written(renderer, example)
    assert "buys it" in text or "<a_0>" not in text  # the oldest goes first


def test_titles_stand_for_items_and_are_told_apart():
    renderer = renderer_of()
    text = written(renderer, renderer.render(Request(task="titles_to_item", history=(0, 4))))
    assert "red phone[EOC] blue case[EOC]" in text


def test_items_without_a_title_are_passed_over():
    renderer = renderer_of(title="brand")  # the item 2 has none
    request = Request(task="titles_to_item", history=(0, 1, 2))
    assert "Acme[EOC] Bolt[EOC]" in written(renderer, renderer.render(request))
    renderer = renderer_of(title="brand", history_items=1)
    assert "Bolt[EOC]" in written(renderer, renderer.render(request))


TALK = (
    Turn("user", "Something for a dark room?"),
    Turn("recommender", "How about this?", (2, 5)),
    Turn("user", "Greener, please."),
)


def test_a_dialogue_tells_who_speaks_and_which_items_are_named():
    renderer = renderer_of()
    text = written(renderer, renderer.render(Request(task="converse", dialogue=TALK)))
    assert text.index("User: Something") < text.index("Recommender: How about this?<a_0><b_2>")
    assert "this?<a_0><b_2><a_1><b_2> User: Greener, please." in text


def test_an_answer_in_words_names_items_as_they_were_said():
    renderer = renderer_of()
    example = renderer.render(
        Request(task="reply", dialogue=TALK), answer="Then the green case <a_1>"
    )
    assert "this?<a_0><b_2><a_1><b_2> User: Greener, please." in written(renderer, example)
    vocabulary = renderer.vocabulary
    assert not set(example.answer.tolist()) & set(vocabulary.new_tokens)
    assert example.answer[-1] == vocabulary.eos


def test_the_latest_turns_are_kept():
    for config in ({"dialogue_turns": 1}, {"prompt_tokens": 45}):
        renderer = renderer_of(**config)
        text = written(renderer, renderer.render(Request(task="converse", dialogue=TALK)))
        assert "Greener, please." in text
        assert "dark room" not in text


@pytest.mark.parametrize(
    ("dialogue", "message"),
    [((), "needs a dialogue"), ((Turn("shop", "Hello"),), "'shop' speaks")],
)
def test_a_dialogue_that_makes_no_sense_is_refused(dialogue, message):
    with pytest.raises(ValueError, match=message):
        renderer_of().render(Request(task="converse", dialogue=dialogue))


@pytest.mark.parametrize("name", ["ratings", "behaviours", "scenarios", "times"])
def test_what_is_told_of_events_is_one_for_each(name):
    with pytest.raises(ValueError, match=f"1 {name} were given for a history of 2 items"):
        Request(history=(1, 2), **{name: (3,)})
