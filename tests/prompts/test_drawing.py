"""Pictures as answers: their tokens, the prompts that ask for them, and what guides them."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from genrec.data import Catalogue, leave_one_out
from genrec.prompts import (
    AnswerParser,
    Mixture,
    MixtureConfig,
    PromptConfig,
    Renderer,
    TaskError,
    Vocabulary,
)
from genrec.prompts.guides import Guides, looks_of
from genrec.recommender import Request
from genrec.semantic_ids import SemanticIds
from tests.prompts.shown import PICTURED, png, shop_with_pictures, written
from tests.prompts.tokenizers import MAKERS
from tests.small_shop import small_ids, small_renderer

CODES, LENGTH = 6, 4


def drawn_codes():
    """Give every pictured item of the small shop four codes that tell its number."""
    codes_NT = np.full((12, LENGTH), -1, dtype=np.int32)
    for row in PICTURED:
        codes_NT[row] = [row // 6, row % 6, 0, 5]
    return codes_NT


@pytest.fixture(scope="module")
def renderer():
    dataset = shop_with_pictures()
    plain = small_renderer(dataset)
    vocabulary = Vocabulary.extend(MAKERS["llama"](), small_ids(), image_codes=CODES)
    return Renderer(
        vocabulary=vocabulary, ids=plain.ids, catalogue=plain.catalogue, tasks=plain.tasks,
        config=PromptConfig(pictures=True), image_codes_NT=drawn_codes(),
    )  # fmt: skip


def mixture(renderer, weights, **config):
    dataset = shop_with_pictures()
    return Mixture(
        dataset=dataset, train=leave_one_out(dataset.interactions).train, renderer=renderer,
        weights=weights, every_position=True, config=MixtureConfig(**config),
    )  # fmt: skip


def test_image_tokens_follow_the_semantic_ids_and_survive_a_file(renderer, tmp_path):
    vocabulary = renderer.vocabulary
    names = vocabulary.tokenizer.convert_ids_to_tokens(list(vocabulary.image_tokens))
    assert names == [f"<img_{code}>" for code in range(CODES)]
    assert vocabulary.image_tokens.start == vocabulary.first_code + 7
    assert set(vocabulary.image_tokens) < set(vocabulary.new_tokens)
    vocabulary.save(tmp_path)
    loaded = Vocabulary.load(tmp_path, (4, 3))
    assert loaded.image_tokens == vocabulary.image_tokens
    assert loaded.fingerprint == vocabulary.fingerprint


def test_without_image_codes_nothing_changes():
    vocabulary = Vocabulary.extend(MAKERS["llama"](), small_ids())
    assert len(vocabulary.image_tokens) == 0
    assert max(vocabulary.new_tokens) == vocabulary.first_code + 6


@given(parts=st.lists(st.sampled_from(["<img_1>", "<img_", "1>", "<", "lamp", "\0<img_2>"])))
def test_no_text_becomes_an_image_token(renderer, parts):
    encoded = renderer.vocabulary.encode("".join(parts))
    assert not set(renderer.vocabulary.image_tokens) & set(encoded)


def test_the_prompt_shows_the_retrieved_pictures_and_the_query(renderer):
    request = Request(task="imagine", query="red lamp", candidates=(2, 5))
    example = renderer.render(request, answer=7)
    assert written(renderer, example) == (
        "<s><a_0><b_2>[IMG][EOC]<a_1><b_2> red lamp Can you generate the product figure that the "
        "user may be interested in?"
    )
    assert example.pictures == (2,)  # item 5 has none
    first = renderer.vocabulary.image_tokens.start
    assert (example.answer - first).tolist() == [1, 1, 0, 5]


def test_a_blank_prompt_tells_nothing_of_the_request(renderer):
    for task, fields in (
        ("imagine", {"candidates": (2,)}),
        ("imagine_directly", {"history": (2,)}),
    ):
        request = Request(task=task, query="red lamp", **fields)
        other = Request(task=task, query="blue", **dict.fromkeys(fields, (4,)))
        blank = renderer.render(request, blank=True)
        assert blank.prompt.tolist() == renderer.render(other, blank=True).prompt.tolist()
        assert blank.pictures == ()
        assert len(blank.prompt) < len(renderer.render(request).prompt)


@pytest.mark.parametrize("task", ["imagine", "imagine_directly", "item_to_picture"])
def test_only_pictures_that_exist_are_learnt(renderer, task):
    mix = mixture(renderer, {task: 1.0}, blank=0.0)
    first = renderer.vocabulary.image_tokens.start
    learnt = {6 * answer[0] + answer[1] for answer in ((e.answer - first) for e in mix.epoch(0))}
    assert learnt == set(PICTURED)


def test_a_share_of_the_prompts_is_blank_and_the_same_in_every_reading(renderer):
    mix = mixture(renderer, {"imagine": 5.0}, blank=0.5)
    blanks = [{len(renderer.render(Request(task="imagine"), phrasing=number, blank=True).prompt)
               for number in range(3)}]  # fmt: skip
    read = [[example.prompt.tolist() for example in mix.epoch(0)] for _ in range(2)]
    assert read[0] == read[1]
    share = np.mean([len(prompt) in blanks[0] for prompt in read[0]])
    assert 0.35 < share < 0.65
    assert not any(
        example.task == "search" and len(example.answer) != 2
        for example in mixture(renderer, {"search": 1.0}, blank=0.9).epoch(0)
    )


def test_guides_are_of_the_kind_and_look_most_alike_and_are_never_the_item_itself():
    # Two kinds, and in each two looks.
    ids = SemanticIds(np.repeat(np.arange(2, dtype=np.int32), 6)[:, None], (2,))
    look_NF = np.array([[1, 0]] * 3 + [[0.6, 0.8]] * 3, dtype=np.float32)[[*range(6)] * 2]
    guides, draw = Guides(ids, look_NF, count=1, noise=0.0), np.random.default_rng(0)
    for item, twins in ((0, {1, 2}), (4, {3, 5}), (6, {7, 8}), (9, {10, 11})):
        assert {guides.of(item, draw)[0] for _ in range(30)} == twins


@pytest.mark.parametrize(("count", "kinds"), [(2, {0}), (3, {0}), (4, {0, 1})])
def test_guides_are_of_one_kind_where_it_has_enough(count, kinds):
    ids = SemanticIds(np.array([[n // 4, n % 4] for n in range(8)]), (2, 4))
    guides = Guides(ids, np.ones((8, 1), dtype=np.float32), count=count, noise=0.0)
    draw = np.random.default_rng(0)  # the last item of its kind has strangers beside it
    drawn = {row for _ in range(30) for row in guides.of(3, draw)}
    assert {row // 4 for row in drawn} == kinds


def test_looks_are_alike_by_the_colours_that_pictures_share():
    red, blue = (250, 0, 0), (0, 0, 250)
    half = Image.new("RGB", (8, 8), red)
    half.paste(blue, (0, 0, 4, 8))
    pictures = [Image.new("RGB", (4, 6), red), Image.new("RGB", (40, 8), blue), half, None]
    encoded = [picture and png(picture) for picture in pictures]
    table = pl.DataFrame({"item_id": ["a", "b", "c", "d"], "picture": encoded})
    look_NF = looks_of(Catalogue(table))
    alike_NN = [[1, 0, 0.5**0.5, 0], [0, 1, 0.5**0.5, 0], [0.5**0.5, 0.5**0.5, 1, 0], [0] * 4]
    np.testing.assert_allclose(look_NF @ look_NF.T, alike_NN, atol=0.06)  # scaling blurs the edge


def test_noise_makes_some_guides_strangers():
    ids = SemanticIds(np.arange(1000, dtype=np.int32)[:, None], (1000,))
    look_NF = np.zeros((1000, 1), dtype=np.float32)
    guides, draw = Guides(ids, look_NF, count=4, noise=0.25), np.random.default_rng(0)
    drawn = np.array([guides.of(500, draw) for _ in range(500)])
    assert 0.2 < (np.abs(drawn - 500) > 8).mean() < 0.3
    assert all(len(set(rows)) == 4 and 500 not in rows for rows in drawn.tolist())


def test_few_items_give_few_guides():
    ids = SemanticIds(np.zeros((2, 1), dtype=np.int32), (1,))
    guides = Guides(ids, np.zeros((2, 1), dtype=np.float32), count=5, noise=0.9)
    assert {guides.of(1, np.random.default_rng(seed)) for seed in range(9)} == {(0,)}


def test_a_lesson_is_guided_by_others_than_its_answer(renderer):
    mix = mixture(renderer, {"imagine": 1.0}, guides=2, guide_noise=0.0)
    (lessons,) = mix._lessons.values()
    for number in range(len(lessons)):
        request, answer = lessons.read(number, (0, number))
        assert len(request.candidates) == 2
        assert answer not in request.candidates
        assert request.query


def test_codes_are_read_back_from_tokens(renderer):
    parser, first = AnswerParser(renderer), renderer.vocabulary.image_tokens.start
    assert parser.parse("imagine", [first + 3, first, first + 5]) == (3, 0, 5)


def test_what_cannot_be_drawn_is_refused_with_a_reason(renderer):
    request = Request(task="item_to_picture", item=5)
    with pytest.raises(ValueError, match="'sku-5' has no picture to draw"):
        renderer.render(request, answer=5)
    plain = small_renderer(shop_with_pictures())
    with pytest.raises(ValueError, match="was given no image_codes_NT"):
        plain.render(request, answer=7)
    with pytest.raises(TaskError, match="give the training an image_tokenizer"):
        mixture(plain, {"item_to_picture": 1.0})
    for codes_NT, message in (
        (drawn_codes()[:3], "of 3 items, but the catalogue has 12"),
        (drawn_codes() + 1, "go up to 6, but the vocabulary has 6"),
        (np.zeros((12, 65), dtype=np.int32), "takes 65 tokens, but answers have 64"),
    ):
        with pytest.raises(ValueError, match=message):
            Renderer(
                vocabulary=renderer.vocabulary, ids=plain.ids, catalogue=plain.catalogue,
                tasks=plain.tasks, config=PromptConfig(), image_codes_NT=codes_NT,
            )  # fmt: skip


def test_the_settings_of_drawing_are_checked():
    for setting in ({"guides": 0}, {"guide_noise": 1.0}, {"blank": -0.1}):
        with pytest.raises(ValueError, match=next(iter(setting))):
            MixtureConfig(**setting)
