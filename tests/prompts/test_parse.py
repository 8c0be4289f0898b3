"""The way back: what was rendered is read as what it was."""

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.prompts import AnswerError, AnswerParser, PromptConfig, Tasks, clean
from tests.prompts.shown import RIGHT, renderer_of, request_for, shop_with_pictures
from tests.small_shop import small_renderer

ANSWERABLE = sorted(name for name, task in Tasks.load().items() if task.answer != "picture")
WORDS = st.text(st.sampled_from("abcdefghij klmnopqrstuvwxyz.,!'0123456789"), max_size=40)


@functools.cache
def shop(kind="llama"):
    config = PromptConfig(pictures=True)
    renderer = small_renderer(shop_with_pictures(), kind=kind, config=config)
    return renderer, AnswerParser(renderer)


def answer_to(renderer, task, right):
    return renderer.render(request_for(task), answer=right).answer.tolist()


@pytest.mark.parametrize("task", ANSWERABLE)
@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_every_task_is_read_back_as_it_was_rendered(kind, task):
    renderer, parser = shop(kind)
    right = RIGHT[renderer.tasks[task].answer]
    parsed = parser.parse(task, answer_to(renderer, task, right))
    if renderer.tasks[task].answer == "items":
        assert set(parsed) == set(right)
    else:
        assert parsed == ((right,) if renderer.tasks[task].answer == "item" else right)


@settings(deadline=None)
@given(row=st.integers(0, 11))
def test_every_item_comes_back(row):
    renderer, parser = shop()
    assert parser.parse("recommend", answer_to(renderer, "recommend", row)) == (row,)


@settings(deadline=None)
@given(rows=st.permutations(range(12)).flatmap(lambda rows: st.just(rows[:7])), data=st.data())
def test_every_selection_comes_back_in_the_order_of_the_candidates(rows, data):
    renderer, parser = shop()
    fitting = data.draw(st.sets(st.sampled_from(rows)))
    request = request_for("select", candidates=tuple(rows))
    answer = renderer.render(request, answer=tuple(fitting)).answer
    assert parser.parse("select", answer) == tuple(row for row in rows if row in fitting)


@settings(deadline=None)
@given(scale=st.sets(st.integers(0, 20).map(lambda half: half / 2), min_size=2), data=st.data())
def test_every_rating_of_any_scale_comes_back(scale, data):
    renderer = renderer_of(rating_scale=tuple(sorted(scale)))
    rating = data.draw(st.sampled_from(sorted(scale)))
    answer = answer_to(renderer, "rate", rating)
    assert AnswerParser(renderer).parse("rate", answer) == rating


@settings(deadline=None)
@given(text=WORDS)
def test_every_text_of_known_letters_comes_back(text):
    renderer, parser = shop()
    assert parser.parse("explain", answer_to(renderer, "explain", text)) == clean(text)


@settings(deadline=None)
@given(text=st.text(max_size=40))
def test_any_text_comes_back_as_one_that_reads_the_same(text):
    renderer, parser = shop()
    tokens = answer_to(renderer, "explain", text)
    parsed = parser.parse("explain", tokens)
    assert parser.parse("explain", answer_to(renderer, "explain", parsed)) == parsed


def test_what_follows_the_end_is_padding():
    renderer, parser = shop()
    tokens = answer_to(renderer, "rate", 4.0)
    assert parser.parse("rate", [*tokens, renderer.vocabulary.pad, 7]) == 4.0


def test_items_that_share_an_id_come_back_together():
    renderer = renderer_of()
    parser = AnswerParser(renderer)
    codes = tuple(renderer.items.tokens_NL[3].tolist())
    parser._rows_of[codes].append(5)
    assert parser.parse("recommend", list(codes)) == (3, 5)


def test_what_cannot_be_read_is_an_error_with_its_reason():
    renderer, parser = shop()
    first, encode = renderer.vocabulary.first_code, renderer.vocabulary.encode
    for task, tokens, reason in (
        ("recommend", [first], "not the length of one semantic ID"),
        ("recommend", encode("blue case"), "not the length of one"),
        ("recommend", [first, first], "no item has this semantic ID"),
        ("select", [first, first + 4, first], "not the length of whole semantic IDs"),
        ("rate", encode("7"), "not a rating of the scale"),
        ("rate", encode("4 stars"), "not a rating of the scale"),
        ("rate", [], "not a rating of the scale"),
        ("explain", [*encode("so"), first], "codes or markers stand in a text"),
        ("imagine", [first], "not image tokens alone"),
        ("imagine", [], "not image tokens alone"),
    ):
        with pytest.raises(AnswerError, match=reason):
            parser.parse(task, tokens)


def test_what_cannot_be_read_is_counted_by_reason_and_never_replaced():
    renderer, parser = shop()
    good = answer_to(renderer, "rate", 5.0)
    parsed = parser.parse_all("rate", [good, [], renderer.vocabulary.encode("six"), good])
    assert parsed.answers == [5.0, None, None, 5.0]
    assert parsed.problems == {"not a rating of the scale": 2}
